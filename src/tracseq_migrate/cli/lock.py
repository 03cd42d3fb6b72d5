"""``tracseq-migrate lock [show|release]``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.session import session_of

app = typer.Typer(
    help="Who holds the lock, and taking it away.", invoke_without_command=True, rich_markup_mode=None
)


@app.callback()
def default(context: typer.Context) -> None:
    """Without a subcommand: show."""
    if context.invoked_subcommand is None:
        show(context)


@app.command()
def show(context: typer.Context) -> None:
    """Who holds the lock, since when, and how it is known that the holder lives."""
    from tracseq_migrate.operations.locking import show as operation

    session_of(context).show(operation)


@app.command()
def release(
    context: typer.Context,
    holder_id: Annotated[
        str, typer.Argument(metavar="HOLDER_ID", help="The holder's id, as `lock show` prints it.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Although the holder lives: its run is broken off in the middle. Asks all the same.",
        ),
    ] = False,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the journal.")
    ] = "",
) -> None:
    """Take the lock away from this holder, who can change nothing from then on."""
    from tracseq_migrate.operations.locking import release as operation

    session_of(context).show(
        lambda system: operation(system, holder_id, assume_yes=yes, force=force, reason=reason)
    )
