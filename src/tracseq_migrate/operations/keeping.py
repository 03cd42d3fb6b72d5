"""Keeping the migration log: rendered whole from the journal after each execution, and committed where that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tracseq_migrate.errors import TracseqMigrateError
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.migration_log.file import write_log
from tracseq_migrate.migration_log.rendering import render
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.observer import Warned
from tracseq_migrate.operations.system import System


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of the log: the file that was kept aside, if any, and whether a commit was made."""

    changed: bool
    kept_aside: Path | None
    commit: str = ""


def write_rendered(system: System, ledger: Ledger) -> Kept:
    """Render the log and write it, keeping aside what is not our last render. Raises `InvalidInput`, `OSError`."""
    text = render(ledger.events, environment=system.environment, template=system.log.template())
    written = write_log(system.files, system.log.path, text, known_heads=ledger.known_head)
    return Kept(written.changed, written.kept_aside)


def keep_log(system: System, ledger: Ledger, week: str, run_id: str) -> None:
    """Write and commit the log.

    A log that cannot be kept never fails a run: the journal has it all, and it can be rendered again.
    """
    now = system.clock.now
    try:
        kept = write_rendered(system, ledger)
    except (TracseqMigrateError, OSError) as error:
        again = system.type_this("log render")
        system.observer.emit(
            Warned(now(), f"the migration log could not be written ({error}); `{again}` tries again")
        )
        return
    if kept.kept_aside:
        system.observer.emit(
            Warned(now(), f"{system.log.path} was not our last render; it was kept as {kept.kept_aside}")
        )
    if system.log.commit:
        outcome = ledger.state.week(week).status
        message = f"Migration log: {week} is {outcome}\n\nRun {run_id} in environment {system.environment}."
        committed = system.git.commit_file(system.log.path, message, author=system.log.author)
        if committed.why_not:
            system.observer.emit(Warned(now(), f"the migration log was not committed: {committed.why_not}"))
        if committed.commit or committed.why_not:
            ledger.append(
                v.log_committed(week, run_id, commit=committed.commit, why_not=committed.why_not), lease=False
            )
