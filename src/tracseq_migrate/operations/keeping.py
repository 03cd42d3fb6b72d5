"""Keeping the migration log: rendered whole from the journal after each execution, and committed where that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tracseq_migrate.errors import TracseqMigrateError
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import WeekState
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
    template = system.log.template()
    way = render if template.ours or system.log.render_apart is None else system.log.render_apart
    text = way(list(ledger.history()), environment=system.environment, template=template)
    written = write_log(system.files, system.log.path, text, known_heads=ledger.known_head)
    return Kept(written.changed, written.kept_aside)


def keep_log(system: System, ledger: Ledger, week: str, run_id: str, *, behind: bool = False) -> None:
    """Write and commit the log; with ``behind`` only where the file is not what it should be.

    A log that cannot be kept never fails a run: the journal has it all, and it can be rendered again.
    """
    ledger.keep()
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
    if system.log.commit and (kept.changed or not behind):
        outcome = ledger.state.week(week).status
        message = f"Migration log: {week} is {outcome}\n\nRun {run_id} in environment {system.environment}."
        committed = system.git.commit_file(system.log.path, message, author=system.log.author)
        if committed.why_not:
            system.observer.emit(Warned(now(), f"the migration log was not committed: {committed.why_not}"))
        if committed.commit or committed.why_not:
            said = v.log_committed(week, run_id, commit=committed.commit, why_not=committed.why_not)
            try:
                ledger.append(said, lease=False)
            except TracseqMigrateError as error:
                # The run itself has ended, and its end is journaled: what it ended in stands.
                text = f"that the migration log was committed could not be journaled: {error}"
                system.observer.emit(Warned(now(), text))


def catch_up(system: System, ledger: Ledger, week: WeekState) -> None:
    """Keep the log for an execution that came to its end and died before it had kept it; where it had, nothing changes."""
    if week.run_id:
        keep_log(system, ledger, week.week, week.run_id, behind=True)
