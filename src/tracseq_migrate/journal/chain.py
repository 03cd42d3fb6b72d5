"""The hash chain: each event covers the one before, so that a change anywhere is found and named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from json.encoder import encode_basestring as quoted
from typing import Any

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports import Draft, Event, Record

GENESIS = "0" * 64
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, the only form in which times enter the chain.

    Raises:
        ValueError: the moment is naive.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a zone cannot be journaled")
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_stamp(text: str) -> datetime:
    """The moment that `stamp` wrote."""
    return datetime.fromisoformat(text)


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, NaN and infinities refused."""
    return _ENCODER.encode(value)


def digest_of(seq: int, at: datetime, draft: Draft, previous: str) -> str:
    """SHA-256 over everything that an event says and the hash before it."""
    text = canonical([previous, seq, stamp(at), draft.type, draft.week, draft.run_id, draft.step, draft.data])
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_body(body: bytes) -> str:
    """The name under which an attachment is kept."""
    return hashlib.sha256(body).hexdigest()


def digest_of_record(record: Record) -> str:
    """The same over the texts as they are kept, without parsing them."""
    text = (
        f"[{quoted(record.previous)},{record.seq},{quoted(record.at)},{quoted(record.type)},{quoted(record.week)},"
        f"{quoted(record.run_id)},{quoted(record.step)},{record.data}]"
    )
    return hashlib.sha256(text.encode()).hexdigest()


def seal_record(draft: Draft, seq: int, at: datetime, previous: str) -> Record:
    """Make a record of a draft, at its place in the chain. ``at`` is cut to microseconds in UTC."""
    return sealed(draft, seq, at, previous)[0]


def seal(draft: Draft, seq: int, at: datetime, previous: str) -> Event:
    """Make an event of a draft, at its place in the chain. ``at`` is cut to microseconds in UTC."""
    return sealed(draft, seq, at, previous)[1]


def sealed(draft: Draft, seq: int, at: datetime, previous: str) -> tuple[Record, Event]:
    """The record and the event of a draft, at its place in the chain."""
    moment, text = stamp(at), canonical(draft.data)
    data = json.loads(text)
    if data != draft.data:
        # Keys that are no strings are sorted before they become strings: only what was read back has the order that stays.
        text = canonical(data)
    where = (draft.type, draft.week, draft.run_id, draft.step)
    digest = digest_of_record(Record(seq, moment, *where, text, previous, ""))
    return (
        Record(seq, moment, *where, text, previous, digest),
        Event(seq, parse_stamp(moment), *where, data, previous, digest),
    )


def event_of(record: Record) -> Event:
    """The event that a record tells of. Raises `ValueError`, `TypeError` where it cannot be read."""
    seq, at, kind, week, run_id, step, data, previous, digest = record
    return Event(seq, parse_stamp(at), kind, week, run_id, step, json.loads(data), previous, digest)


def record_of(event: Event) -> Record:
    """The texts in which an event is kept."""
    return Record(
        event.seq,
        stamp(event.at),
        event.type,
        event.week,
        event.run_id,
        event.step,
        canonical(event.data),
        event.previous,
        event.hash,
    )


@frozen
class Break:
    """The first event that does not fit, and why."""

    seq: int
    why: str


@frozen
class Verdict:
    """What a walk along the chain found: how many events fit, the last good hash, and the first break."""

    events: int
    head: str
    broken: Break | None


class Walk:
    """A walk along the chain: ``events`` fit so far, ``head`` is the hash of the last of them."""

    def __init__(self, events: int = 0, head: str = GENESIS) -> None:
        self.events = events
        self.head = head

    def take(self, record: Record) -> Break | None:
        """Go one step; why the record does not fit, None where it does."""
        expected = self.events + 1
        if record.seq != expected:
            missing = record.seq > expected
            why = f"event {expected} is missing" if missing else "its number was used before"
            return Break(record.seq, why)
        if record.previous != self.head:
            return Break(record.seq, "it does not follow the event before it")
        try:
            fits = digest_of_record(record) == record.hash
        except (TypeError, ValueError):  # a column of another type, or text that is no Unicode
            fits = False
        if not fits:
            return Break(record.seq, "its content was changed after it was written")
        self.events, self.head = record.seq, record.hash
        return None


def verify_records(records: Iterable[Record]) -> Verdict:
    """Walk the chain from its beginning to the first record that does not fit."""
    walk = Walk()
    for record in records:
        broken = walk.take(record)
        if broken:
            return Verdict(walk.events, walk.head, broken)
    return Verdict(walk.events, walk.head, None)


def verify(events: Iterable[Event]) -> Verdict:
    """The same for events."""
    return verify_records(map(record_of, events))
