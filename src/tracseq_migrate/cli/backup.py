"""``tracseq-migrate backup list|verify|restore``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.session import session_of

app = typer.Typer(
    help="Backups that plans have made: which there are, whether they hold, and putting one back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_(context: typer.Context) -> None:
    """Every backup, oldest first."""
    from tracseq_migrate.operations.backup import backups

    session_of(context).show(backups)


@app.command()
def verify(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this one.")] = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="Also restore it into a new database, count, and drop that.")
    ] = False,
    through: Annotated[
        str,
        typer.Option(
            "--through", metavar="DB", help="By whose connection that database is made; else its own."
        ),
    ] = "",
) -> None:
    """Read backups back: as they were written, and readable. Exit 11 where one is not."""
    from tracseq_migrate.errors import CouldNotReach, Different
    from tracseq_migrate.operations.backup import verify as operation
    from tracseq_migrate.operations.views import BackupsView

    view = session_of(context).show(
        lambda system: operation(system, name, restore=restore, through=through), watched=True
    )
    if not isinstance(view, BackupsView):
        return
    failed = sum(line.verdict == "fail" for line in view.backups)
    unknown = sum(line.verdict == "unknown" for line in view.backups)
    if failed:
        raise Different(f"{failed} of {len(view.backups)} backups do not hold what they should")
    if unknown:
        raise CouldNotReach(f"{unknown} of {len(view.backups)} backups could not be tried out")


@app.command()
def restore(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `backup list` prints it.")],
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Lose what was written since; without it, say what that is.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put a backup back into its database, in place of what is there now, which is backed up first."""
    from tracseq_migrate.operations.backup import restore as operation

    session_of(context).show(
        lambda system: operation(system, name, assume_yes=yes, accept_loss=accept_loss), watched=True
    )
