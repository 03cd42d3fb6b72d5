"""``tracseq-migrate verify [WEEK]``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.session import session_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify", help="Ask reality again about everything that is in force; names drift.")(verify)


def verify(
    context: typer.Context,
    week: Annotated[str | None, typer.Argument(metavar="[WEEK]", help="Only this week.")] = None,
) -> None:
    """Parse and call."""
    from tracseq_migrate.errors import CouldNotReach, Different, InProgress, Residue
    from tracseq_migrate.journal.replay import WeekStatus
    from tracseq_migrate.operations.verify import verify as operation
    from tracseq_migrate.operations.views import VerifyView

    session = session_of(context)
    view = session.show(lambda system: operation(system, week))
    if not isinstance(view, VerifyView) or not view.drift:
        return
    states = {state for _, state in view.states}
    if WeekStatus.RESIDUE in states:
        raise Residue(
            f"{len(view.drift)} of {len(view.lines)} steps do not hold, and a rollback has left something",
            state="Nothing was changed by asking.",
            hint=f"`{view.next_command}` tries again.",
        )
    if states & {WeekStatus.IN_DOUBT, WeekStatus.ROLLING_BACK, WeekStatus.RUNNING}:
        raise InProgress(
            f"{len(view.drift)} of {len(view.lines)} steps are not known to hold: a run is at work or was broken off",
            state="Nothing was changed by asking.",
            hint=f"`{view.next_command}`, when no run is at work.",
        )
    failed = sum(line.verdict == "fail" for line in view.lines)
    unknown = len(view.drift) - failed
    hint = f"`{view.next_command}` goes back; or mend it, and verify again."
    if failed:
        more = f", and {unknown} could not be asked" if unknown else ""
        raise Different(f"{failed} of {len(view.lines)} steps are not as they were left{more}", hint=hint)
    raise CouldNotReach(f"{unknown} of {len(view.lines)} steps could not be asked", hint=hint)
