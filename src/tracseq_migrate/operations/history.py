"""``log``: what was done, from the journal; and whether the journal and the rendered file are whole."""

from __future__ import annotations

from dataclasses import replace

from tracseq_migrate.errors import Residue
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
    lines = run_lines(ledger.events, week)
    if system.lease.show() is None:
        lines = [replace(x, outcome="broken off") if x.outcome == "in progress" else x for x in lines]
    return RunsView(system.header, lines, str(system.log.path))


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
    lost = None if verdict.broken else _lost_attachment(system, events)
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
        verdict.broken.seq if verdict.broken else lost[0] if lost else None,
        verdict.broken.why if verdict.broken else lost[1] if lost else "",
        str(path),
        file_state,
    )


def _lost_attachment(system: System, events: list[Event]) -> tuple[int, str] | None:
    """The first event whose attachment is gone or does not fit its digest: going back would need it."""
    for event in events:
        manifests = event.data.get("undo", {}).get("manifests", {}) if event.type == v.INTENT else {}
        for service, digest in manifests.items():
            try:
                system.store.attachment(digest)
            except (KeyError, Residue):
                return event.seq, f"what it keeps of {service} for the way back is gone or was changed"
    return None


_UNFINISHED = {
    v.RUN_INTERRUPTED: "interrupted",
    v.RUN_PAUSED: "waiting",
    v.WAITING: "waiting",
    v.RUN_RESUMED: "in progress",
}


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
            if event.type == v.ROLLBACK_STARTED and data["of"] in found and found[data["of"]].ended is None:
                found[data["of"]] = replace(
                    found[data["of"]], outcome="broken off, then taken back", ended=event.at
                )
        elif event.run_id in found and event.type in (v.RUN_FINISHED, v.ROLLBACK_FINISHED):
            found[event.run_id] = replace(found[event.run_id], ended=event.at, outcome=data["outcome"])
        elif event.run_id in found and event.type in _UNFINISHED:
            found[event.run_id] = replace(found[event.run_id], outcome=_UNFINISHED[event.type])
    return list(found.values())
