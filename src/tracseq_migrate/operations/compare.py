"""``compare``: the two sides of every replication of a week, row for row, while people write. Changes nothing but the lag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tracseq_migrate.errors import CouldNotReach, Interrupted, NotAllowed, StepFailed, UsageError
from tracseq_migrate.operations.context import context
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import Compared, CompareView
from tracseq_migrate.plan import WeekPlan
from tracseq_migrate.ports import SqlFailed, Unreachable
from tracseq_migrate.replication.blockers import blockers
from tracseq_migrate.replication.bringing import LEAD, compare_aligned, look
from tracseq_migrate.replication.comparing import Comparison, apart
from tracseq_migrate.replication.comparing import compare as compared
from tracseq_migrate.replication.opening import name_of
from tracseq_migrate.replication.pair import Replication
from tracseq_migrate.step import StepContext
from tracseq_migrate.steps.replicate import ReplicateStep

PATIENCE = 60.0
_GLANCE = 3.0
_LOCKED = "55P03"


def compare(
    system: System,
    week: str,
    *,
    tables: Sequence[str] = (),
    limit: int = 20,
    values: bool = False,
    patience: float = PATIENCE,
) -> CompareView:
    """Compare what a week replicates: exactly where its changes are carried over, else as well as two looks can tell.

    Args:
        tables: names of tables, as either side or the mapping calls them; all where this is empty.
        limit: how many rows that differ are listed, a table.
        values: whether they are listed with what is in them.
        patience: for how many seconds a side that does not answer is waited for.

    Raises:
        NotAllowed: the week replicates nothing.
        UsageError: there is no such week, or no such table in it.
        CouldNotReach: a side could not be asked, or whoever carries changes over does not make way.
        Interrupted: by a signal.
    """
    ledger = Ledger(system, glance=True)
    known = ledger.state.weeks.get(week)
    if known is not None and known.status.applied and known.plan:
        plan, digest = WeekPlan.from_document(known.plan), known.digest
    else:
        plan = system.shelf.find(week)
        digest = system.digest_of(plan)
    steps = [(entry.id, entry.step) for entry in plan.entries() if isinstance(entry.step, ReplicateStep)]
    if not steps:
        raise NotAllowed(
            f"{plan.week} has no step that replicates: there is nothing to compare",
            hint=f"`{system.type_this(f'plan {plan.week}')}` shows its steps.",
        )
    opened = []
    for step_id, step in steps:
        ctx = context(
            system,
            ledger,
            week=plan.week,
            run_id="",
            step_id=step_id,
            digest=digest,
            timeout=patience,
            writing=False,
            texts=plan.texts,
        )
        opened.append((step_id, step, _replication(system, step, ctx)))
    chosen = [_chosen(replication, tables) for _, _, replication in opened]
    missed = [
        name for name in tables if not any(_chosen(replication, [name]) for _, _, replication in opened)
    ]
    if missed:
        there = sorted({pair.name for _, _, replication in opened for pair in replication.pairs})
        raise UsageError(
            f"{plan.week} replicates no table {', '.join(missed)}", hint=f"There are: {', '.join(there)}."
        )
    found = [
        _one(system, step_id, step, replication, names, limit=limit, values=values, patience=patience)
        for (step_id, step, replication), names in zip(opened, chosen, strict=True)
        if names or not tables
    ]
    return CompareView(system.header, plan.week, found)


def _replication(system: System, step: ReplicateStep, ctx: StepContext) -> Replication:
    try:
        return step.opened(ctx).replication
    except StepFailed as error:
        raise CouldNotReach(f"{step.title}: {error.message}", hint=error.hint) from error
    except (SqlFailed, Unreachable) as error:
        raise _unasked(system, step, error) from error


def _chosen(replication: Replication, tables: Sequence[str]) -> list[str]:
    return [
        pair.name
        for pair in replication.pairs
        if any(name in (pair.name, pair.a.name, pair.b.name) for name in tables)
    ]


def _one(
    system: System,
    step_id: str,
    step: ReplicateStep,
    replication: Replication,
    names: Sequence[str],
    *,
    limit: int,
    values: bool,
    patience: float,
) -> Compared:
    def check() -> None:
        if system.interrupt.requested:
            raise Interrupted(system.interrupt.requested, state="Nothing was changed by asking.")

    try:
        seen = look(system.free_sessions, name_of(step.mapping), step.from_, step.to, patience=patience)
        carried = bool(seen.phases) and all(each.phase == "following" for each in seen.phases.values())
        comparison: Comparison
        if carried:
            note = ""
            comparison = compare_aligned(
                system.free_sessions,
                replication,
                patience=LEAD,
                only=names,
                limit=limit,
                values=values,
                check=check,
            )
        else:
            note = (
                "nothing is carried over between the two yet"
                if seen.nothing
                else f"not everything is copied: {seen.text}"
            ) + ": each side was looked at for itself, and what was written in between differs"
            bare = _bare(replication) if seen.nothing else replication
            comparison = compared(
                bare,
                lambda: apart(system.free_sessions, bare),
                tables=names,
                limit=limit,
                values=values,
                check=check,
            )
    except StepFailed as error:
        raise CouldNotReach(f"{step.title}: {error.message}", hint=error.hint) from error
    except (SqlFailed, Unreachable) as error:
        raise _unasked(system, step, error) from error
    return Compared(step_id, step.from_, step.to, comparison, note)


def _bare(replication: Replication) -> Replication:
    """Without what is only there once it was begun: side tables. Raises `StepFailed` where id maps would be needed."""
    mapped = [pair.name for pair in replication.pairs if pair.ids]
    if mapped:
        raise StepFailed(
            f"{', '.join(mapped)}: the keys that its rows get are written down when it begins, so before that nothing compares",
            hint="Run the week; it compares by itself, and `compare` does at any time from then on.",
        )
    return replace(replication, pairs=tuple(replace(pair, kept=(), side="") for pair in replication.pairs))


def _unasked(system: System, step: ReplicateStep, error: SqlFailed | Unreachable) -> CouldNotReach:
    """Why it is not known whether the two are equal; where a lock is in the way, with who may hold it."""
    who = ""
    if isinstance(error, Unreachable) or error.sqlstate == _LOCKED:
        who = "; ".join(filter(None, (_holders(system, name) for name in (step.from_, step.to))))
    return CouldNotReach(
        f"{step.title}: the two sides could not be compared: {error}",
        state="Nothing was changed, and nothing is known of what they hold.",
        hint=who or "Try again when both databases answer.",
    )


def _holders(system: System, database: str) -> str:
    try:
        with system.free_sessions.open(
            database, purpose="compare", timeout=_GLANCE, patience=_GLANCE
        ) as session:
            return blockers(session)
    except (SqlFailed, Unreachable):
        return ""
