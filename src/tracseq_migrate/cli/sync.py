"""``tracseq-migrate sync run|status|stop``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.session import session_of

app = typer.Typer(
    help="Carry changes over from one database to the other, after a replication began.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def run(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="End as soon as nothing is owed any more.")] = False,
) -> None:
    """Carry changes over until it is stopped (Ctrl-C, SIGTERM, or `sync stop`). Several at once are harmless: one leads."""
    from tracseq_migrate.operations.sync import run as operation

    session_of(context).keep_on(lambda system: operation(system, once=once))


@app.command()
def status(context: typer.Context) -> None:
    """Who carries changes over, and how far behind each replication is. Exit code 11 where one stands still."""
    from tracseq_migrate.errors import Different
    from tracseq_migrate.operations.sync import status as operation
    from tracseq_migrate.operations.views import SyncView

    view = session_of(context).show(operation)
    if isinstance(view, SyncView) and (alarmed := [line for line in view.replications if line.alarm]):
        raise Different(
            f"{len(alarmed)} of {len(view.replications)} replications need somebody",
            state="Nothing is lost: changes are recorded, and wait.",
            hint=f"`{view.next_command}`",
        )


@app.command()
def stop(context: typer.Context) -> None:
    """Ask every `sync run` to end. Changes are recorded all the same, and wait until one is started again."""
    from tracseq_migrate.errors import CouldNotReach
    from tracseq_migrate.operations.sync import stop as operation
    from tracseq_migrate.operations.views import SyncStoppedView

    view = session_of(context).show(operation)
    if isinstance(view, SyncStoppedView) and view.left:
        raise CouldNotReach(
            f"{', '.join(view.left)}: whoever carries changes over does not stop",
            state="They were asked.",
            hint=f"`{view.next_command}` says who it is.",
        )
