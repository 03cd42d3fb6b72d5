"""``tracseq-migrate log [show|render|verify]``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.session import session_of

app = typer.Typer(
    help="The migration log, and the journal behind it.", invoke_without_command=True, rich_markup_mode=None
)


@app.callback()
def default(context: typer.Context) -> None:
    """Without a subcommand: show."""
    if context.invoked_subcommand is None:
        show(context)


@app.command()
def show(
    context: typer.Context,
    week: Annotated[str | None, typer.Argument(metavar="[WEEK]", help="Only this week.")] = None,
) -> None:
    """Every run and rollback, oldest first."""
    from tracseq_migrate.operations.history import runs
    from tracseq_migrate.operations.witness import loss

    session = session_of(context)
    with session.system() as system:
        view = runs(system, week)
        session.screen.show(view)
        if view.lost:
            raise loss(system, view.lost)


@app.command()
def render(context: typer.Context) -> None:
    """Render the log again, from the journal alone."""
    from tracseq_migrate.operations.history import render as operation

    session_of(context).show(operation)


@app.command()
def verify(context: typer.Context) -> None:
    """Walk the journal's chain, and hold the rendered file against it."""
    from tracseq_migrate.errors import Residue
    from tracseq_migrate.operations.history import verify_chain
    from tracseq_migrate.operations.views import ChainView

    view = session_of(context).show(verify_chain)
    if isinstance(view, ChainView) and view.broken_at is not None:
        raise Residue(
            f"the journal is broken at event {view.broken_at}: {view.why}",
            state="Nothing was changed. Everything before that event fits.",
            hint="Keep the state folder as it is, and compare it with a backup.",
        )
    if isinstance(view, ChainView) and view.lost:
        raise Residue(
            view.lost,
            state="Nothing was changed. The events that are there fit each other.",
            hint="Put the last good copy of the state folder back, or `tracseq-migrate state import FILE`; without either, "
            "`tracseq-migrate state adopt WEEK` looks at what is so.",
        )
