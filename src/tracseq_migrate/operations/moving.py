"""``state export`` and ``state import``: the whole journal as lines of JSON, out of here and in elsewhere.

A file has a header, one line an event, one line an attachment, and a trailer with the digest of everything above it. It is ASCII
throughout, so that no terminal, editor or mail gateway changes it, and it holds what the journal holds: treat it alike.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tracseq_migrate.errors import InvalidSetup, NotAllowed, Residue, TracseqMigrateError
from tracseq_migrate.journal import chain
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.migration_log.file import recognise
from tracseq_migrate.operations.driving import holding_lease
from tracseq_migrate.operations.keeping import write_rendered
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import StateExportedView, StateImportedView
from tracseq_migrate.ports import Record

FORMAT = 1
_HEADER, _TRAILER = "tracseq-migrate state", "end"


# Out


def export(system: System, *, as_is: bool = False) -> Iterator[str]:
    """The lines of an export. The events are those that there are when it begins: a run may append meanwhile.

    Args:
        system: whose journal.
        as_is: export a chain that is broken, or has lost events, as evidence; it cannot be imported where it does not fit.

    Raises:
        NotAllowed: there is nothing to export.
        Residue: the chain is broken, or events are lost.
    """
    walk, count, broken = chain.Walk(), 0, None
    for record in system.store.records():
        count = record.seq
        broken = broken or walk.take(record)
    if not as_is:
        _refuse_export(system, count, broken)
    digest, lines = hashlib.sha256(), 0
    for text in _lines(system, count, walk.head if broken is None else "", as_is=as_is):
        line = f"{text}\n"
        digest.update(line.encode("ascii"))
        lines += 1
        yield line
    yield json.dumps({"type": _TRAILER, "lines": lines, "sha256": digest.hexdigest()}) + "\n"


def _refuse_export(system: System, count: int, broken: chain.Break | None) -> None:
    as_is = f"`{system.type_this('state export FILE --as-is')}` keeps what is there as evidence."
    if broken is not None:
        raise Residue(
            f"the journal is broken at event {broken.seq}: {broken.why}",
            state="Nothing was written; the journal was left as it is.",
            hint=as_is,
        )
    known = system.store.lost()
    if known:
        raise Residue(known, state="Nothing was written; the journal was left as it is.", hint=as_is)
    if not count:
        raise NotAllowed(
            f"the journal {system.store.location} has no events: there is nothing to export",
            hint="Is the environment in the first line the one that you mean? `-e NAME` chooses another.",
        )


def _lines(system: System, count: int, head: str, *, as_is: bool) -> Iterator[str]:
    bodies = system.store.attached()
    header = {
        "type": _HEADER,
        "format": FORMAT,
        "environment": system.environment,
        "version": system.version,
        "exported": chain.stamp(system.clock.now()),
        "events": count,
        "head": head,
        "attachments": len(bodies),
    }
    yield json.dumps(header)
    for record in system.store.records():
        if record.seq > count:
            break
        yield json.dumps(_event_line(record))
    for name in bodies:
        try:
            body = system.store.attachment(name)
        except Residue:
            if not as_is:
                raise
            continue
        yield json.dumps({"type": "attachment", "digest": name, "body": base64.b64encode(body).decode()})


def _event_line(record: Record) -> dict[str, Any]:
    """An event as people and programs read it best, where that loses nothing; else with its text as it is."""
    line = {**record._asdict(), "event": record.type, "type": "event"}
    text = record.data
    try:
        data = json.loads(text)
        whole = chain.canonical(data) == text
    except (ValueError, TypeError):
        whole = False
    if whole:
        line["data"] = data
    else:
        line["text"] = line.pop("data")
    return line


def export_to(system: System, path: Path, *, as_is: bool) -> StateExportedView:
    """Export into a new file, for the owner alone.

    Raises:
        NotAllowed, Residue: as `export`; or the file is there already.
        TracseqMigrateError: it could not be written.
    """
    if system.files.exists(path):
        raise NotAllowed(f"{path} is there already, and is not overwritten", hint="Choose another name.")
    lines = list(export(system, as_is=as_is))
    try:
        system.files.write(path, "".join(lines).encode("ascii"), private=True)
    except OSError as error:
        raise TracseqMigrateError(
            f"the export could not be written to {path}: {error.strerror or error}",
            hint="Make room there, or choose another place.",
        ) from error
    header, trailer = json.loads(lines[0]), json.loads(lines[-1])
    return StateExportedView(
        system.header, str(path), header["events"], header["head"], header["attachments"], trailer["sha256"]
    )


# In


@dataclass(frozen=True, slots=True)
class Moved:
    """A file that was read whole, and holds together."""

    records: Sequence[Record]
    bodies: Sequence[bytes]

    @property
    def head(self) -> str:
        return self.records[-1].hash

    def has(self, seq: int, digest: str) -> bool:
        """Whether its chain has this event."""
        return 0 < seq <= len(self.records) and self.records[seq - 1].hash == digest


def parse(name: str, body: bytes, *, environment: str) -> Moved:
    """Read an export, and check everything that can be checked: digest, counts, chain, attachments, environment.

    Raises:
        InvalidSetup: it is none, is damaged, or is of another environment or a newer version.
    """

    def refuse(why: str, hint: str = "") -> NoReturn:
        raise InvalidSetup(f"{name}: {why}", hint=hint or "Export it again, or take another copy of it.")

    above, _, last = body.removesuffix(b"\n").rpartition(b"\n")
    lines = above.split(b"\n")
    header, trailer = _object(lines[0]), _object(last)
    if header.get("type") != _HEADER:
        refuse("it is no export of a state", "`tracseq-migrate state export FILE` makes one.")
    if header.get("format") != FORMAT:
        refuse(f"it has format {header.get('format')}", "Use the version that wrote it, or a later one.")
    if trailer.get("type") != _TRAILER:
        refuse("its end is missing: it was cut off")
    digest = hashlib.sha256(above + b"\n").hexdigest()
    if trailer.get("sha256") != digest or trailer.get("lines") != len(lines):
        refuse("it was changed after it was written: its digest does not fit")
    if header.get("environment") != environment:
        refuse(
            f"it is of the environment {header.get('environment')!r}, not of {environment!r}",
            "Name the environment that it belongs to with -e.",
        )
    records, bodies = _contents(lines[1:], refuse)
    verdict = chain.verify_records(records)
    if verdict.broken is not None:
        refuse(f"its chain is broken at event {verdict.broken.seq}: {verdict.broken.why}")
    if not records or header.get("head") != verdict.head or header.get("events") != verdict.events:
        refuse("its events are not those that its header names")
    missing = _needed(records) - {chain.digest_of_body(body) for body in bodies}
    if missing:
        refuse(f"{len(missing)} attachments that its events refer to are missing")
    return Moved(records, bodies)


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _contents(lines: Sequence[bytes], refuse: Any) -> tuple[list[Record], list[bytes]]:
    records, bodies = [], []
    for number, line in enumerate(lines, start=2):
        found = _object(line)
        try:
            if found["type"] == "event":
                text = chain.canonical(found["data"]) if "data" in found else found["text"]
                at, kind, week, run_id, step, previous, digest = (
                    str(found[key]) for key in ("at", "event", "week", "run_id", "step", "previous", "hash")
                )
                records.append(
                    Record(int(found["seq"]), at, kind, week, run_id, step, text, previous, digest)
                )
            elif found["type"] == "attachment":
                body = base64.b64decode(found["body"], validate=True)
                if chain.digest_of_body(body) != found["digest"]:
                    refuse(f"line {number}: the attachment does not fit its digest")
                bodies.append(body)
            else:
                refuse(f"line {number}: {found['type']!r} is nothing that this version knows")
        except (KeyError, TypeError, ValueError, binascii.Error):
            refuse(f"line {number}: it cannot be read")
    return records, bodies


def _needed(records: Sequence[Record]) -> set[str]:
    """The attachments that going back, or a person, would look for."""
    needed: set[str] = set()
    for record in records:
        if record.type == v.INTENT:
            needed.update(chain.event_of(record).data.get("undo", {}).get("manifests", {}).values())
        elif record.type == v.LOSS_ACCEPTED:
            needed.add(chain.event_of(record).data["digest"])
    return needed - {""}


@dataclass(frozen=True, slots=True)
class _Present:
    """What is here: how much of the chain fits, and what is wrong, if anything."""

    events: int
    head: str
    damage: str
    remembered: tuple[int, str] | None = None


def _present(system: System) -> _Present:
    walk, damage = chain.Walk(), ""
    remembered = system.store.remembered()
    try:
        for record in system.store.records():
            broken = walk.take(record)
            if broken is not None:
                damage = f"event {broken.seq} does not fit: {broken.why}"
                break
        damage = damage or system.store.lost()
    except Residue as error:
        damage = error.message
    return _Present(walk.events, walk.head, damage, remembered)


def import_state(
    system: System, name: str, body: bytes, *, accept_loss: bool = False, lock_timeout: float = 0.0
) -> StateImportedView:
    """Take an export in: where there is no journal, in the place of a damaged one, or on top of one that it continues.

    All or nothing, killed at any point. A damaged journal is kept aside, and so is a log that was rendered from another.

    Raises:
        InvalidSetup: the file cannot be used; or what is here belongs to something else.
        NotAllowed: the journal here is not the beginning of the file's; or events are known here that the file does not have,
            and nobody accepted that.
        Locked: a run is at work.
    """
    moved = parse(name, body, environment=system.environment)
    here = _present(system)
    if not here.damage:
        _refuse_other(system, name, moved, here)
    _refuse_older(system, name, moved, here, accept_loss=accept_loss)
    kept: Sequence[str] = ()
    added = len(moved.records)
    if here.damage:
        kept = system.vault.install(
            moved.records,
            moved.bodies,
            at=system.clock.now(),
            still=lambda: _refuse_changed(system, name, here),
        )
        log_aside = _render(system)
    else:
        with holding_lease(system, timeout=lock_timeout):
            here = _present(system)
            _refuse_other(system, name, moved, here)
            added -= here.events
            epoch = system.gate.epoch
            assert epoch is not None  # noqa: S101 - held
            system.vault.extend(moved.records[here.events :], moved.bodies, epoch=epoch)
            log_aside = _render(system)
    return StateImportedView(
        system.header,
        name,
        len(moved.records),
        moved.head,
        added,
        len(moved.bodies),
        here.damage,
        kept,
        log_aside,
        system.type_this("status"),
    )


def _refuse_changed(system: System, name: str, here: _Present) -> None:
    """Raise `NotAllowed` where what would be replaced is not what was found to be damaged: another may have mended it."""
    if _present(system) != here:
        raise NotAllowed(
            f"the journal {system.store.location} is not the one that was looked at: it was changed meanwhile",
            state="Nothing was taken in; the journal was left as it is.",
            hint=f"`{system.type_this('status')}` shows what is there now; `{system.type_this(f'state import {name}')}` looks "
            "again.",
        )


def _refuse_other(system: System, name: str, moved: Moved, here: _Present) -> None:
    """Raise `NotAllowed` unless the file's chain goes on from the one that is here."""
    if not here.events or moved.has(here.events, here.head):
        return
    state = f"The journal {system.store.location} was left as it is."
    known = {record.seq: record.hash for record in system.store.records()}
    if known.get(len(moved.records)) == moved.head:
        raise NotAllowed(
            f"the journal here has {here.events} events, and {name} only the first {len(moved.records)} of them",
            state=state,
            hint="There is nothing to take in. If you mean to go back to it, move the state folder away first.",
        )
    first = next(r.seq for r in moved.records if known.get(r.seq) != r.hash)
    raise NotAllowed(
        f"{name} does not continue the journal here: event {first} is another one in each",
        state=state,
        hint="They were written apart, and cannot be joined. Find out which one tells what was done; move the state folder "
        "of the other away before you import.",
    )


def _refuse_older(system: System, name: str, moved: Moved, here: _Present, *, accept_loss: bool) -> None:
    """Raise `NotAllowed` where something here remembers events that the file does not have."""
    if accept_loss:
        return
    known = [("the journal here", here.events, here.head)]
    remembered = system.store.remembered()
    if remembered is not None:
        known.append(("the journal here once", *remembered))
    try:
        footer = recognise(system.files.read(system.log.path))
    except OSError:
        footer = None
    if footer is not None and footer.environment in ("", system.environment):
        known.append((str(system.log.path), footer.seq, footer.head))
    for who, seq, head in known:
        if seq and not moved.has(seq, head):
            raise NotAllowed(
                f"{name} has {len(moved.records)} events, and {who} knew of event {seq}, which is not among them",
                state="Nothing was taken in, and nothing was changed.",
                hint=f"A later export would have them. `{system.type_this(f'state import {name} --accept-loss')}` goes on "
                "without what is missing; then `verify` whether reality is as the older journal says.",
            )


def _render(system: System) -> str:
    """Render the log of what is here now; where the one that was there is kept, if it is."""
    try:
        kept = write_rendered(system, Ledger(system))
    except (TracseqMigrateError, OSError) as error:
        return f"not rendered ({error})"
    return str(kept.kept_aside) if kept.kept_aside else ""
