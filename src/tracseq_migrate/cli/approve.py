"""``tracseq-migrate approve WEEK ITEM``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.run import Week
from tracseq_migrate.cli.session import session_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("approve", help="Sign a checklist item or a pause, for the plan as it is now.")(approve)


def approve(
    context: typer.Context,
    week: Week,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="The item's id, as `plan` shows it.")],
    evidence: Annotated[
        str, typer.Option("--evidence", metavar="TEXT", help="What shows that it is so.")
    ] = "",
    by: Annotated[
        str,
        typer.Option("--by", metavar="NAME", help="In whose name; recorded beside who is really at work."),
    ] = "",
) -> None:
    """Parse and call."""
    from tracseq_migrate.operations.approve import approve as operation

    session_of(context).show(lambda system: operation(system, week, item, evidence=evidence, claimed=by))
