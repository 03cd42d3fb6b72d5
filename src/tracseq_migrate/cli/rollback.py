"""``tracseq-migrate rollback WEEK``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tracseq_migrate.cli.run import LockTimeout, Week, seconds
from tracseq_migrate.cli.session import session_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "rollback", help="Go back, by the journaled plan, and leave nothing behind that nobody accepted."
    )(rollback)


def rollback(
    context: typer.Context,
    week: Week,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the way back and what it would leave.")
    ] = False,
    print_manual: Annotated[
        bool, typer.Option("--print-manual", help="Only print what to do by hand; asks nothing outside.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="DIR",
            help="With --print-manual: the state folder, where the environment file cannot be read.",
        ),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="STEP", help="Go back as far as this step, which stays.")
    ] = "",
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss", help="Go back although writes stay on the new side; their list is kept first."
        ),
    ] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the log.")] = "",
    lock_timeout: LockTimeout = "0s",
) -> None:
    """Parse and call."""
    if print_manual:
        _print_manual(context, week, to, state)
        return
    from tracseq_migrate.errors import UsageError
    from tracseq_migrate.operations.rollback import RollbackOptions, preview
    from tracseq_migrate.operations.rollback import rollback as operation

    session = session_of(context)
    if state is not None:
        raise UsageError(
            "--state goes with --print-manual: else the environment file says where the state is"
        )
    options = RollbackOptions(
        accept_loss=accept_loss,
        to=to,
        reason=reason,
        lock_timeout=seconds(lock_timeout, "--lock-timeout"),
    )
    if dry_run:
        session.show(lambda system: preview(system, week, options, ask=True))
        return
    session.operate(lambda system: operation(system, week, options))


def _print_manual(context: typer.Context, week: str, to: str, state: Path | None) -> None:
    """What to type by hand; needs nothing but the journal."""
    from tracseq_migrate.cli.wiring import remaining
    from tracseq_migrate.operations.by_hand import by_hand

    session = session_of(context)
    with remaining(session, state) as remains:
        session.screen.show(by_hand(remains, week, to=to))
