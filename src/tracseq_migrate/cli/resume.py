"""``tracseq-migrate resume [WEEK]``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.run import Confirm, LockTimeout, Yes, confirmations, seconds
from tracseq_migrate.cli.session import session_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("resume", help="Go on after a crash, an interruption or a wait, in the journaled direction.")(
        resume
    )


def resume(
    context: typer.Context,
    week: Annotated[
        str | None, typer.Argument(metavar="[WEEK]", help="Else the one that is in progress.")
    ] = None,
    until: Annotated[
        str, typer.Option("--until", metavar="STEP", help="Stop after this step; the week waits then.")
    ] = "",
    as_guardian: Annotated[bool, typer.Option("--as-guardian", hidden=True)] = False,
    confirm: Confirm = None,
    yes: Yes = False,
    lock_timeout: LockTimeout = "0s",
) -> None:
    """Parse and call."""
    from tracseq_migrate.operations.run import RunOptions
    from tracseq_migrate.operations.run import resume as operation

    options = RunOptions(
        confirm=confirmations(confirm),
        assume_yes=yes,
        until=until,
        as_guardian=as_guardian,
        lock_timeout=seconds(lock_timeout, "--lock-timeout"),
    )
    session_of(context).operate(lambda system: operation(system, week, options))
