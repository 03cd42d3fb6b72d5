"""What is asked before anything is touched: whether the tables can move, and whether every row fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports import SYNC, SqlFailed, Unreachable
from tracseq_migrate.step import Concern, PreviewLine, StepContext, assumed, known

if TYPE_CHECKING:
    from tracseq_migrate.replication.opening import Opened

_PATIENCE = 60.0


@frozen
class Between:
    """Which databases, and by which mapping; ``file`` is its name in a plan's texts."""

    a: str
    b: str
    mapping: str
    file: str


def stray(between: Between, ctx: StepContext, question: str) -> list[Concern]:
    """A replication of this name that the databases know of, and this journal does not: what was before it is not known."""
    from tracseq_migrate.replication.bringing import look
    from tracseq_migrate.replication.opening import name_of

    seen = look(ctx.sessions, name_of(between.file), between.a, between.b, patience=ctx.remaining(10.0))
    if seen.nothing or ctx.journal.owes(SYNC):
        return []
    return [
        Concern(
            question,
            "fail",
            f"{between.a} and {between.b} know of a replication {between.mapping} that is not in this journal: {seen.text}",
            f"`tracseq-migrate state adopt {ctx.week}` takes it over, and then it can be rolled back.",
        )
    ]


def refused(between: Between, ctx: StepContext, opened: Opened, question: str) -> list[Concern]:
    """What the catalogs say against it; one that passes where they say nothing."""
    from tracseq_migrate.replication.refusals import refusals

    with (
        ctx.sessions.open(between.a, purpose="preflight", timeout=10.0, patience=_PATIENCE) as a,
        ctx.sessions.open(between.b, purpose="preflight", timeout=10.0, patience=_PATIENCE) as b,
    ):
        found = refusals(opened.replication, opened.catalog_a, opened.catalog_b, a, b)
    concerns = [
        Concern(
            f"{each.database}: {each.where}",
            "fail" if each.grade == "refused" else "unknown",
            f"{each.where}: {each.what}",
            each.remedy,
        )
        for each in found
        if each.grade != "note"
    ]
    if concerns:
        return concerns
    names = ", ".join(pair.a.name for pair in opened.replication.pairs)
    return [Concern(question, "pass", f"{names}: nothing stands in the way")]


def misfits(between: Between, ctx: StepContext, opened: Opened) -> list[Concern]:
    """The rows that would not fit; one concern that passes where all do."""
    from tracseq_migrate.replication.prescan import prescan

    with (
        ctx.sessions.open(between.a, purpose="pre-scan", timeout=10.0, patience=ctx.remaining()) as a,
        ctx.sessions.open(between.b, purpose="pre-scan", timeout=10.0, patience=_PATIENCE) as b,
    ):
        found = prescan(a, b, opened.replication)
    question = f"every row of {between.mapping} fits"
    if not found:
        return [Concern(question, "pass", "no row of the source breaks a rule of the target")]
    return [
        Concern(
            f"{each.where}: {each.what}",
            # What only B can tell, B asks of each row as it comes; nothing of it stays where one is refused.
            "fail" if each.refused else "pass",
            each.told
            if each.refused
            else f"{each.told}; {between.b} asks each row, and this goes back if it refuses one",
            each.remedy,
        )
        for each in found
    ]


def scanned(between: Between, ctx: StepContext, opened: Opened) -> list[PreviewLine]:
    """What the pre-scan finds: what would refuse the run."""
    try:
        found = misfits(between, ctx, opened)
    except (Unreachable, SqlFailed) as error:
        return [assumed(f"the rows cannot be looked at: {error}")]
    return [
        known(each.question) if each.verdict == "pass" else known(f"{each.detail}: {each.remedy}")
        for each in found
    ]


def seen_to_fit(between: Between, ctx: StepContext, opened: Opened) -> None:
    """What the preflight could not ask yet. Raises `StepFailed`."""
    open_questions = refused(between, ctx, opened, "") + misfits(between, ctx, opened)
    wrong = [each for each in open_questions if each.verdict != "pass"]
    if wrong:
        raise StepFailed("; ".join(each.detail for each in wrong), hint=wrong[0].remedy)


def foretold(between: Between, opened: Opened) -> list[PreviewLine]:
    """What a run would do, table by table."""
    lines: list[PreviewLine] = []
    for pair in opened.replication.pairs:
        rows = f"about {pair.a.rows:,} rows" if pair.a.rows >= 0 else "rows not estimated by the server yet"
        lines.append(
            known(f"{between.a}.{pair.a.name} -> {between.b}.{pair.b.name}: {rows}, {pair.a.bytes:,} bytes")
        )
        if pair.kept:
            lines.append(known(f"{', '.join(pair.kept)}: kept in {pair.side}, from where they come back"))
        lines += [
            known(f"rows there where {each.match}: {each.then} ({each.reason})") for each in pair.seeded
        ]
        off = [trigger.name for trigger in pair.b.triggers if trigger.enabled != "disabled"]
        if off:
            lines.append(known(f"{', '.join(off)} on {pair.b.name}: off until {between.b} is the owner"))
    lines.append(
        known(
            f"triggers on {', '.join(pair.a.name for pair in opened.replication.pairs)} record every changed key; "
            "making them waits for open transactions, and never longer than 2 s at a time"
        )
    )
    lines.append(
        known("`sync run` must go on carrying changes over until the cutover, the rollback or `complete`")
    )
    return lines
