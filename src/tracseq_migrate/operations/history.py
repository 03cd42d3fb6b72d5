"""``log``: what was done, from the journal; and whether the journal and the rendered file are whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tracseq_migrate.errors import Residue
from tracseq_migrate.journal import chain
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.migration_log.file import recognise
from tracseq_migrate.operations.keeping import write_rendered
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import ChainView, RunLine, RunsView
from tracseq_migrate.operations.witness import lost, refuse_lost
from tracseq_migrate.ports import Event, Record


def runs(system: System, week: str | None) -> RunsView:
    """Every run and rollback, oldest first; of one week where one is named."""
    ledger = Ledger(system, glance=True)
    lines = run_lines(ledger.history(), week)
    if system.lease.show() is None:
        lines = [replace(x, outcome="broken off") if x.outcome == "in progress" else x for x in lines]
    return RunsView(system.header, lines, str(system.log.path), lost=lost(system, ledger))


def render(system: System) -> RunsView:
    """Render the log again, from the journal alone."""
    ledger = Ledger(system)
    refuse_lost(system, ledger)
    kept = write_rendered(system, ledger)
    aside = str(kept.kept_aside) if kept.kept_aside else ""
    return RunsView(system.header, run_lines(ledger.history(), None), str(system.log.path), aside)


def verify_chain(system: System) -> ChainView:
    """Walk the chain, and hold the rendered file, and all that remembers the journal, against it."""
    path = system.log.path
    footer = recognise(system.files.read(path)) if system.files.exists(path) else None
    walk, broken, at_footer = chain.Walk(), None, chain.GENESIS
    for record in system.store.records():
        broken = walk.take(record) or _lost_attachment(system, record)
        if broken is not None:
            break
        if footer is not None and record.seq == footer.seq:
            at_footer = record.hash
    if not system.files.exists(path):
        file_state = "missing" if walk.events else "not written yet"
    elif footer is None:
        file_state = "edited by hand, or not ours"
    elif footer.environment not in ("", system.environment):
        file_state = f"the log of environment {footer.environment}"
    elif broken is None and footer.head != at_footer:
        file_state = "rendered from another journal"
    else:
        file_state = "whole"
    return ChainView(
        system.header,
        walk.events,
        walk.head,
        broken.seq if broken else None,
        broken.why if broken else "",
        str(path),
        file_state,
        "" if broken else lost(system, Ledger(system, glance=True)),
    )


def _lost_attachment(system: System, record: Record) -> chain.Break | None:
    """Whether an attachment of an event is gone or does not fit its digest: going back, or a person, would need it."""
    if record.type == v.INTENT:
        manifests = chain.event_of(record).data.get("undo", {}).get("manifests", {})
        wanted = {f"what it keeps of {service} for the way back": name for service, name in manifests.items()}
    elif record.type == v.LOSS_ACCEPTED:
        wanted = {"its list of the writes that were left behind": chain.event_of(record).data["digest"]}
    else:
        return None
    for what, digest in wanted.items():
        try:
            if digest:
                system.store.attachment(digest)
        except (KeyError, Residue):
            return chain.Break(record.seq, f"{what} is gone or was changed")
    return None


_UNFINISHED = {
    v.RUN_INTERRUPTED: "interrupted",
    v.RUN_PAUSED: "waiting",
    v.WAITING: "waiting",
    v.RUN_RESUMED: "in progress",
}


def run_lines(events: Iterable[Event], week: str | None) -> list[RunLine]:
    """The executions in the order in which they began."""
    found: dict[str, RunLine] = {}
    for event in events:
        if week and event.week != week:
            continue
        data = event.data
        if event.type == v.RUN_STARTED or (event.type == v.ROLLBACK_STARTED and not data["automatic"]):
            action = "run" if event.type == v.RUN_STARTED else "rollback"
            if "adopted" in data:
                action = "adopt"
            found[event.run_id] = RunLine(
                event.run_id, event.week, action, event.at, None, data["person"], "in progress"
            )
            if event.type == v.ROLLBACK_STARTED and data["of"] in found and found[data["of"]].ended is None:
                found[data["of"]] = replace(
                    found[data["of"]], outcome="broken off, then taken back", ended=event.at
                )
        elif event.type == v.COMPLETION_STARTED:
            found[event.run_id] = RunLine(
                event.run_id, event.week, "complete", event.at, None, data["person"], "in progress"
            )
        elif event.run_id in found and event.type == v.COMPLETION_FINISHED:
            found[event.run_id] = replace(found[event.run_id], ended=event.at, outcome="completed")
        elif event.run_id in found and event.type in (v.RUN_FINISHED, v.ROLLBACK_FINISHED):
            found[event.run_id] = replace(found[event.run_id], ended=event.at, outcome=data["outcome"])
        elif event.run_id in found and event.type in _UNFINISHED:
            found[event.run_id] = replace(found[event.run_id], outcome=_UNFINISHED[event.type])
    return list(found.values())
