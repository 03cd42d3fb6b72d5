"""The hash chain: each event covers the one before, so that a change anywhere is found and named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tracseq_migrate.ports import Draft, Event

GENESIS = "0" * 64


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
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(seq: int, at: datetime, draft: Draft, previous: str) -> str:
    """SHA-256 over everything that an event says and the hash before it."""
    text = canonical([previous, seq, stamp(at), draft.type, draft.week, draft.run_id, draft.step, draft.data])
    return hashlib.sha256(text.encode()).hexdigest()


def seal(draft: Draft, seq: int, at: datetime, previous: str) -> Event:
    """Make an event of a draft, at its place in the chain. ``at`` is cut to microseconds in UTC."""
    moment = parse_stamp(stamp(at))
    return Event(
        seq=seq,
        at=moment,
        type=draft.type,
        week=draft.week,
        run_id=draft.run_id,
        step=draft.step,
        data=json.loads(canonical(draft.data)),
        previous=previous,
        hash=digest_of(seq, moment, draft, previous),
    )


@dataclass(frozen=True, slots=True)
class Break:
    """The first event that does not fit, and why."""

    seq: int
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk along the chain found: how many events fit, the last good hash, and the first break."""

    events: int
    head: str
    broken: Break | None


def verify(events: Iterable[Event]) -> Verdict:
    """Walk the chain from its beginning to the first event that does not fit."""
    previous, count = GENESIS, 0
    for event in events:
        draft = Draft(event.type, event.week, event.run_id, event.step, event.data)
        if event.seq != count + 1:
            why = f"event {count + 1} is missing" if event.seq > count + 1 else "its number was used before"
            return Verdict(count, previous, Break(event.seq, why))
        if event.previous != previous:
            return Verdict(count, previous, Break(event.seq, "it does not follow the event before it"))
        if event.hash != digest_of(event.seq, event.at, draft, previous):
            return Verdict(count, previous, Break(event.seq, "its content was changed after it was written"))
        previous, count = event.hash, count + 1
    return Verdict(count, previous, None)
