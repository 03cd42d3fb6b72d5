"""``rehearse``."""

from __future__ import annotations

from tracseq_migrate import duration
from tracseq_migrate.console.blocks import Block, Heading, Paragraph, Rows, Space
from tracseq_migrate.console.documents.look import Look
from tracseq_migrate.console.ink import Line, Tone
from tracseq_migrate.operations.views import ClonesDroppedView, RehearsalView, RehearsedStep


def render_rehearsal(view: RehearsalView, look: Look) -> list[Block]:
    """Clones, steps, changes of owner with their gaps, what was written, and the verdict."""
    blocks: list[Block] = [Heading(f"rehearsal of {view.week}, {view.title}: there, back, and there again")]
    for database, how, size, seconds, note in view.clones:
        text = f"a clone of {database} by {how}: {size:,} bytes in {duration.show(seconds)}"
        blocks.append(Paragraph((text, f"; {note}" if note else ""), indent=2))
    blocks.append(
        Rows(("", "step", "", "there", "back", "there again"), [_step(each, look) for each in view.steps])
    )
    seen: set[str] = set()
    for one in view.changes:
        over = one.gap > one.allowed
        gap = (duration.show(one.gap), Tone.BAD if over else Tone.STRONG)
        way = "back" if one.direction == "back" else "there again" if one.step in seen else "there"
        seen.add(one.step)
        tries = "" if one.tries == 1 else f", at try {one.tries}"
        what = "writes waited" if view.order == "hold" else "writes were refused for"
        line: Line = (f"{one.step}, {way}: {what} ", gap, f" of {duration.show(one.allowed)}{tries}")
        blocks.append(Paragraph(line, mark=look.verdict("fail" if over else "pass"), indent=2))
    tables = ", ".join(f"{name} {count:,}" for name, count in view.tables.items())
    blocks.append(
        Paragraph(
            (
                f"{view.acknowledged:,} writes were acknowledged meanwhile ({view.inserted:,} new rows, {view.updated:,} changes,"
                f" {view.deleted:,} deletions; {tables or 'none'}), {view.refused:,} were refused",
            ),
            indent=2,
        )
    )
    blocks += [
        Paragraph(
            (f"the way back loses {text}: a rollback refuses that without --accept-loss",),
            mark=(look.marks.warn, Tone.WARN),
            indent=2,
        )
        for text in view.losses
    ]
    blocks += [Paragraph((text,), mark=(look.marks.warn, Tone.WARN), indent=2) for text in view.notes]
    if any(each.not_rehearsed for each in view.steps):
        text = "what is not rehearsed asks or changes something outside of the databases: the run itself shows it"
        blocks.append(Paragraph(((text, Tone.MUTED),), indent=2))
    blocks.append(Space())
    blocks += [Paragraph((text,), mark=look.verdict("fail"), indent=2) for text in view.found]
    blocks += [
        Paragraph((f"left behind: {text}",), mark=look.verdict("unknown"), indent=2) for text in view.left
    ]
    told = (
        "passed: nothing was lost, and both sides were equal each time"
        if view.verdict == "pass"
        else "failed: do not run it yet"
    )
    blocks.append(Paragraph(((told, Tone.STRONG),), mark=look.verdict(view.verdict)))
    return blocks + look.next(view.next_command)


def _step(each: RehearsedStep, look: Look) -> tuple[Line, ...]:
    times = [duration.show(seconds) for seconds in each.seconds] + [""] * (3 - len(each.seconds))
    if each.not_rehearsed:
        return (
            ("·",),
            (each.id,),
            ((each.kind, Tone.MUTED),),
            (("not rehearsed", Tone.MUTED),),
            ("",),
            ("",),
        )
    mark = look.verdict("pass" if len(each.seconds) >= 3 else "fail")
    return ((mark,), ((each.id, Tone.STRONG),), ((each.kind, Tone.MUTED),), *((text,) for text in times[:3]))


def render_clones_dropped(view: ClonesDroppedView, look: Look) -> list[Block]:
    """What was left of rehearsals, and is gone."""
    if not view.dropped:
        return [Space(), Paragraph(("no rehearsal has left a clone",), mark=look.verdict("pass"))]
    blocks: list[Block] = [Space()]
    return blocks + [Paragraph((f"{name} is dropped",), mark=look.verdict("pass")) for name in view.dropped]
