"""``tracseq-migrate status [WEEK]``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.session import session_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "status", help="Every week, service and flag, what is owed, and the one command to type next."
    )(status)


def status(
    context: typer.Context,
    week: Annotated[
        str | None, typer.Argument(metavar="[WEEK]", help="Only this week, with its steps.")
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit as the state is: 6, 7, 9, 11, or 0 where all is well.")
    ] = False,
) -> None:
    """Parse and call."""
    from tracseq_migrate.operations import status as operation
    from tracseq_migrate.operations.views import StatusView

    view = session_of(context).show(lambda system: operation.status(system, week))
    if exit_code and isinstance(view, StatusView):
        code = operation.exit_code(view)
        if code:
            raise typer.Exit(code)
