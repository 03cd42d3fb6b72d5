"""``tracseq-migrate state [export|import|adopt]``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tracseq_migrate.cli.run import LockTimeout, Week, seconds
from tracseq_migrate.cli.session import Session, session_of

if TYPE_CHECKING:
    from tracseq_migrate.operations.system import System
    from tracseq_migrate.operations.views import AdoptView

app = typer.Typer(
    help="Move the state; put it back after a loss.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("export")
def export_(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="A new file; - is standard output.")] = "-",
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Also where the chain is broken: as evidence.")
    ] = False,
) -> None:
    """The whole journal as lines of JSON. Needs no lock, and disturbs no run."""
    from tracseq_migrate.operations.moving import export, export_to

    session = session_of(context)
    if file != "-":
        session.show(lambda system: export_to(system, Path(file), as_is=as_is))
        return
    with session.system() as system:
        session.screen.letters(export(system, as_is=as_is))


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `state export` wrote.")],
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Although events are known here that FILE does not have.")
    ] = False,
    lock_timeout: LockTimeout = "0s",
) -> None:
    """Take a journal in where there is none, a damaged one, or the beginning of it."""
    from tracseq_migrate.errors import InvalidSetup
    from tracseq_migrate.operations.moving import import_state

    patience = seconds(lock_timeout, "--lock-timeout")
    try:
        body = file.read_bytes()
    except OSError as error:
        raise InvalidSetup(f"{file}: {error.strerror or error}") from error
    session_of(context).show(
        lambda system: import_state(system, str(file), body, accept_loss=accept_loss, lock_timeout=patience),
        watched=True,
    )


@app.command()
def adopt(
    context: typer.Context,
    week: Week,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it is journaled.")] = False,
    keep_running: Annotated[
        bool,
        typer.Option(
            "--keep-running", help="Services that the plan starts ran before: going back leaves them running."
        ),
    ] = False,
    lock_timeout: LockTimeout = "0s",
) -> None:
    """Rebuild a week's state from what is so: look at every step, show what is seen, and journal it."""
    from tracseq_migrate.operations.adopt import AdoptOptions
    from tracseq_migrate.operations.adopt import adopt as operation

    session = session_of(context)
    options = AdoptOptions(keep_running, seconds(lock_timeout, "--lock-timeout"))
    session.show(
        lambda system: operation(system, week, options, lambda view: _consent(session, system, view, yes)),
        watched=True,
    )


def _consent(session: Session, system: System, view: AdoptView, yes: bool) -> None:
    """Show what would be journaled, and ask. Raises `NotAllowed` where nobody is there to be asked."""
    from tracseq_migrate.errors import Declined, NotAllowed

    if yes:
        return
    if not system.asker.present:
        session.screen.show(view)
        raise NotAllowed(
            f"adopting {view.week} needs a yes, and nobody is here to be asked",
            state="Nothing was journaled.",
            hint=f"`{view.next_command}`",
        )
    if not session.json:
        session.screen.show(view)
    if not system.asker.confirm(f"Journal {view.week} as {view.state}, as it was found?"):
        raise Declined(f"declined: {view.week} was not adopted", state="Nothing was journaled.")
