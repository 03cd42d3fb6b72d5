"""``tracseq-migrate compare WEEK``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.session import session_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "compare", help="Compare what a week replicates on both sides, row for row, while people work."
    )(compare)


def compare(
    context: typer.Context,
    week: Annotated[str, typer.Argument(metavar="WEEK", help="The week, or a path to its plan.")],
    table: Annotated[
        list[str] | None, typer.Option("--table", metavar="TABLE", help="Only this table; several times.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, max=100_000, help="Rows to list, a table.")
    ] = 20,
    values: Annotated[
        bool, typer.Option("--values", help="Show what differs, too: it may be about persons.")
    ] = False,
    patience: Annotated[
        str,
        typer.Option("--patience", metavar="TIME", help="How long to wait for a side that does not answer."),
    ] = "60s",
) -> None:
    """Parse and call."""
    from tracseq_migrate.cli.run import seconds
    from tracseq_migrate.errors import CouldNotReach, Different
    from tracseq_migrate.operations.compare import compare as operation
    from tracseq_migrate.operations.views import CompareView

    waiting = seconds(patience, "--patience")
    view = session_of(context).show(
        lambda system: operation(
            system, week, tables=table or (), limit=limit, values=values, patience=waiting
        )
    )
    if not isinstance(view, CompareView) or view.verdict == "equal":
        return
    differing = [name.name for each in view.replications for name in each.comparison.tables if not name.equal]
    names = ", ".join(differing)
    if view.verdict == "different":
        hint = "" if values else "`--values` shows what differs, `--limit N` more of it."
        raise Different(f"{view.week}: {names} differ", state="Nothing was changed by asking.", hint=hint)
    raise CouldNotReach(
        f"{view.week}: whether {names} differ is not known",
        state="Nothing was changed by asking.",
        hint="It is exact once the week runs and its changes are carried over.",
    )
