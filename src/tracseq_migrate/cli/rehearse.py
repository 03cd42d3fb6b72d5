"""``tracseq-migrate rehearse WEEK``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.session import session_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "rehearse",
        help="Carry a week's data out on clones of the databases: there, back, and there again, while made-up people write.",
    )(rehearse)


def rehearse(
    context: typer.Context,
    week: Annotated[str, typer.Argument(metavar="[WEEK]", help="The week, or a path to its plan.")] = "",
    clean: Annotated[
        bool, typer.Option("--clean", help="Only drop the clones that a rehearsal which was killed has left.")
    ] = False,
    writers: Annotated[
        int, typer.Option("--writers", metavar="N", min=1, max=64, help="How many people are made up.")
    ] = 4,
    through: Annotated[
        str,
        typer.Option(
            "--through",
            metavar="DATABASE",
            help="By whose connection clones are made: one that may create databases.",
        ),
    ] = "",
) -> None:
    """Parse and call."""
    from tracseq_migrate.errors import NotAllowed, UsageError
    from tracseq_migrate.operations.rehearse import clean as cleaned
    from tracseq_migrate.operations.rehearse import rehearse as operation
    from tracseq_migrate.operations.views import RehearsalView

    session = session_of(context)
    if clean:
        session.show(cleaned, watched=True)
        return
    if not week:
        raise UsageError("which week?", hint="`tracseq-migrate rehearse WEEK`")
    view = session.show(
        lambda system: operation(system, week, writers=writers, through=through),
        watched=True,
        tidied=True,
    )
    if isinstance(view, RehearsalView) and view.verdict != "pass":
        raise NotAllowed(
            f"the rehearsal of {view.week} failed: {view.found[0] if view.found else 'see above'}",
            state="Only clones were touched.",
            hint="Mend that, and rehearse again before it is run.",
        )
