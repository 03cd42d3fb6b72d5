"""What is asked before anything goes back: whether going back would break more than it mends."""

from __future__ import annotations

from tracseq_migrate.errors import NotAllowed
from tracseq_migrate.journal.replay import WeekState
from tracseq_migrate.operations.context import context
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.system import System
from tracseq_migrate.plan import WeekPlan
from tracseq_migrate.step import Concern


def hindrances(
    system: System, ledger: Ledger, plan: WeekPlan, state: WeekState, keep: frozenset[str]
) -> list[Concern]:
    """What stands in the way of taking back every step but ``keep``, each said once."""
    entries = {entry.id: entry for entry in plan.entries()}
    found: dict[str, Concern] = {}
    for record in state.completed_steps():
        entry = entries.get(record.id)
        if entry is None or record.id in keep:
            continue
        ctx = context(
            system,
            ledger,
            week=state.week,
            run_id="",
            step_id=entry.id,
            digest=state.digest,
            timeout=entry.timeout,
            writing=False,
            texts=plan.texts,
        )
        for concern in entry.step.concerns_of_return(ctx, record.undo):
            found.setdefault(concern.detail, concern)
    return list(found.values())


def refuse_hindered(
    system: System, ledger: Ledger, plan: WeekPlan, state: WeekState, keep: frozenset[str]
) -> None:
    """Raise `NotAllowed` where something stands in the way."""
    found = hindrances(system, ledger, plan, state, keep)
    if found:
        remedies = " ".join(concern.remedy for concern in found)
        raise NotAllowed(
            f"{state.week} cannot go back yet: {system.redact('; '.join(c.detail for c in found))}",
            state=f"{state.week} is {state.status}, as it was, and nothing was changed.",
            hint=f"{remedies} Then `{system.type_this(f'rollback {state.week}')}`.",
        )
