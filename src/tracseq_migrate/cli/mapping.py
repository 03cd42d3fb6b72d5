"""``tracseq-migrate mapping draft|check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tracseq_migrate.cli.session import session_of

app = typer.Typer(
    help="How tables become others: a first mapping, and mappings held against the databases.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def draft(
    context: typer.Context,
    source: Annotated[
        str, typer.Option("--from", metavar="DB.TABLE", help="The table that moves: main.users.")
    ],
    target: Annotated[
        str, typer.Option("--to", metavar="DB.TABLE", help="The table that it becomes: auth.users.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A new file; else it is printed.")
    ] = None,
) -> None:
    """Write a first mapping from the two catalogs, with every open question marked TODO."""
    from tracseq_migrate.operations.mapping import draft as operation

    session = session_of(context)
    with session.system() as system:
        view = operation(system, source=source, target=target, output=output)
        if output is None and not session.json:
            session.screen.text(view.text)
        else:
            session.screen.show(view)


@app.command()
def check(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Only this mapping.")] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="DB", help="The database that FILE's rows come from.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--to", metavar="DB", help="The database that they go to.")
    ] = None,
) -> None:
    """Hold mappings against both live databases: those of all plans, or one file. Every finding as file:line:column."""
    from tracseq_migrate.errors import InvalidInput
    from tracseq_migrate.operations.mapping import check as operation

    session = session_of(context)
    with session.system() as system:
        view, findings = operation(system, file=file, source=source, target=target)
        session.screen.show(view)
    if findings:
        raise InvalidInput(findings)
