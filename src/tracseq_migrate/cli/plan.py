"""``tracseq-migrate plan WEEK``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.run import Week
from tracseq_migrate.cli.session import session_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan", help="What a run would change: known, assumed, or not to be known before.")(plan)


def plan(
    context: typer.Context,
    week: Week,
    offline: Annotated[bool, typer.Option("--offline", help="No network at all.")] = False,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Scan the tables that would move as well, for rows that would not fit."),
    ] = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 10 where a run would change something.")
    ] = False,
) -> None:
    """Parse and call."""
    from tracseq_migrate.errors import Exit, UsageError
    from tracseq_migrate.operations.preview import preview
    from tracseq_migrate.operations.views import PlanView

    if deep and offline:
        raise UsageError("--deep reads the databases, and --offline asks nobody: choose one")
    view = session_of(context).show(
        lambda system: preview(system, week, offline=offline, deep=deep), offline=offline
    )
    if detailed_exitcode and isinstance(view, PlanView) and view.changes:
        raise typer.Exit(Exit.CHANGES)
