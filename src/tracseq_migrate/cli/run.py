"""``tracseq-migrate run WEEK``."""

from __future__ import annotations

from typing import Annotated

import typer

from tracseq_migrate.cli.session import session_of

Week = Annotated[str, typer.Argument(metavar="WEEK", help="A week's name (week1), or the path of a plan.")]
Confirm = Annotated[
    list[str] | None,
    typer.Option(
        "--confirm", metavar="ITEM[=EVIDENCE]", help="Sign a checklist item as yourself; repeatable."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer yes where the plan lets it.")]
LockTimeout = Annotated[
    str,
    typer.Option(
        "--lock-timeout", metavar="TIME", help="How long to wait for another run's lock, as 30s or 5m."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run", help="Run a week: check, ask, do, prove; go back by itself if a step fails.")(run)


def seconds(text: str, option: str) -> float:
    """A duration option in seconds. Raises `UsageError` where it is none."""
    from tracseq_migrate import duration
    from tracseq_migrate.errors import UsageError

    try:
        return duration.parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def confirmations(given: list[str] | None) -> dict[str, str]:
    """``ITEM=EVIDENCE`` options as a mapping; without evidence it is empty."""
    pairs = (text.partition("=") for text in given or [])
    return {item: evidence for item, _, evidence in pairs}


def run(
    context: typer.Context,
    week: Week,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change, as `plan` does.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="With --dry-run: no network at all.")] = False,
    until: Annotated[
        str, typer.Option("--until", metavar="STEP", help="Stop after this step; the week waits then.")
    ] = "",
    confirm: Confirm = None,
    yes: Yes = False,
    lock_timeout: LockTimeout = "0s",
) -> None:
    """Parse and call."""
    session = session_of(context)
    if dry_run:
        from tracseq_migrate.operations.preview import preview

        session.show(lambda system: preview(system, week, offline=offline), offline=offline)
        return
    from tracseq_migrate.errors import UsageError
    from tracseq_migrate.operations.run import RunOptions
    from tracseq_migrate.operations.run import run as operation

    if offline:
        raise UsageError("--offline goes with --dry-run: a run needs the network")
    options = RunOptions(
        confirm=confirmations(confirm),
        assume_yes=yes,
        until=until,
        lock_timeout=seconds(lock_timeout, "--lock-timeout"),
    )
    session.operate(lambda system: operation(system, week, options))
