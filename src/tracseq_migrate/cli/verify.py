"""``tracseq-migrate verify [WEEK]``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.session import session_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify", help="Ask reality again about everything that is in force; names drift.")(verify)


def verify(
    context: typer.Context,
    week: Annotated[str | None, typer.Argument(metavar="[WEEK]", help="Only this week.")] = None,
) -> None:
    """Parse and call."""
    from tracseq_migrate.errors import CouldNotReach, Different
    from tracseq_migrate.operations.verify import verify as operation
    from tracseq_migrate.operations.views import VerifyView

    session = session_of(context)
    view = session.show(lambda system: operation(system, week))
    if not isinstance(view, VerifyView) or not view.drift:
        return
    failed = [line for line in view.lines if line.verdict == "fail"]
    hint = f"`{view.next_command}` goes back; or mend it, and verify again."
    if failed:
        raise Different(f"{len(failed)} of {len(view.lines)} steps are not as they were left", hint=hint)
    raise CouldNotReach(f"{len(view.drift)} of {len(view.lines)} steps could not be asked", hint=hint)
