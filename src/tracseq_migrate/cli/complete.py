"""``tracseq-migrate complete WEEK``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.run import LockTimeout, Week, seconds
from tracseq_migrate.cli.session import session_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("complete", help="Give up the way back of a proven week, for ever; signed.")(complete)


def complete(
    context: typer.Context,
    week: Week,
    confirm: Annotated[
        str,
        typer.Option(
            "--confirm", metavar="WEEK", help="Sign it: the week's name once more. Else it is asked."
        ),
    ] = "",
    lock_timeout: LockTimeout = "0s",
) -> None:
    """Parse and call."""
    from tracseq_migrate.operations.complete import complete as operation

    patience = seconds(lock_timeout, "--lock-timeout")
    session_of(context).show(
        lambda system: operation(system, week, confirm=confirm, lock_timeout=patience), watched=True
    )
