"""``tracseq-migrate validate [WEEK]``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.session import session_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("validate", help="Check plans and environment file; every finding as file:line:column.")(
        validate
    )


def validate(
    context: typer.Context,
    week: Annotated[str | None, typer.Argument(metavar="[WEEK]", help="Only this plan.")] = None,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="Variables and secret files that are missing are unknown, not findings."
        ),
    ] = False,
) -> None:
    """Parse and call."""
    import os
    from pathlib import Path

    from tracseq_migrate.adapters.files import LocalFiles
    from tracseq_migrate.errors import InvalidInput
    from tracseq_migrate.operations.validate import validate as operation

    session = session_of(context)
    view, findings = operation(
        LocalFiles(),
        os.environ,
        config=session.config,
        cwd=Path.cwd(),
        environment=session.environment,
        week=week,
        offline=offline,
    )
    session.screen.show(view)
    if findings:
        raise InvalidInput(findings)
