"""``log``: what was done, from the journal; and whether the journal and the rendered file are whole."""

from __future__ import annotations

from tracseq_migrate.journal import chain
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.migration_log.file import recognise
from tracseq_migrate.operations.keeping import write_rendered
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import ChainView, RunLine, RunsView
from tracseq_migrate.ports import Event


def runs(system: System, week: str | None) -> RunsView:
    """Every run and rollback, oldest first; of one week where one is named."""
    ledger = Ledger(system)
    return RunsView(system.header, run_lines(ledger.events, week), str(system.log.path))


def render(system: System) -> RunsView:
    """Render the log again, from the journal alone."""
    ledger = Ledger(system)
    kept = write_rendered(system, ledger)
    aside = str(kept.kept_aside) if kept.kept_aside else ""
    return RunsView(system.header, run_lines(ledger.events, None), str(system.log.path), aside)


def verify_chain(system: System) -> ChainView:
    """Walk the chain, and hold the rendered file against it."""
    events = list(system.store.read())
    verdict = chain.verify(events)
    path = system.log.path
    if not system.files.exists(path):
        file_state = "missing" if events else "not written yet"
    else:
        footer = recognise(system.files.read(path))
        if footer is None:
            file_state = "edited by hand, or not ours"
        elif footer.head != (events[footer.seq - 1].hash if 0 < footer.seq <= len(events) else chain.GENESIS):
            file_state = "rendered from another journal"
        else:
            file_state = "whole"
    return ChainView(
        system.header,
        verdict.events,
        verdict.head,
        verdict.broken.seq if verdict.broken else None,
        verdict.broken.why if verdict.broken else "",
        str(path),
        file_state,
    )


def run_lines(events: list[Event], week: str | None) -> list[RunLine]:
    """The executions in the order in which they began."""
    found: dict[str, RunLine] = {}
    for event in events:
        if week and event.week != week:
            continue
        data = event.data
        if event.type == v.RUN_STARTED or (event.type == v.ROLLBACK_STARTED and not data["automatic"]):
            action = "run" if event.type == v.RUN_STARTED else "rollback"
            found[event.run_id] = RunLine(
                event.run_id, event.week, action, event.at, None, data["person"], "in progress"
            )
        elif event.run_id in found and event.type in (v.RUN_FINISHED, v.ROLLBACK_FINISHED):
            line = found[event.run_id]
            found[event.run_id] = RunLine(
                line.run_id, line.week, line.action, line.began, event.at, line.person, data["outcome"]
            )
    return list(found.values())
