"""The first and the last note of an operation."""

from __future__ import annotations

from typing import Literal

from tracseq_migrate.operations import observer as notes
from tracseq_migrate.operations.system import System
from tracseq_migrate.plan import WeekPlan


def began(
    system: System, operation: Literal["run", "resume", "rollback"], plan: WeekPlan, run_id: str
) -> None:
    """Tell what begins, with the steps that it is about."""
    entries = plan.entries()
    if operation == "rollback":
        entries = tuple(reversed(entries))
    steps = tuple((entry.id, entry.title, entry.group) for entry in entries)
    system.observer.emit(notes.Began(system.clock.now(), operation, plan.week, plan.title, run_id, steps))


def finished(
    system: System,
    week: str,
    run_id: str,
    *,
    state: str,
    code: int,
    summary: str,
    next_command: str,
    since: float,
) -> None:
    """Tell how it ended; ``since`` is the monotonic time at which it began."""
    system.observer.emit(
        notes.Finished(
            system.clock.now(),
            week,
            run_id,
            str(state),
            int(code),
            str(system.redact(summary)),
            system.type_this(next_command),
            system.clock.monotonic() - since,
        )
    )
