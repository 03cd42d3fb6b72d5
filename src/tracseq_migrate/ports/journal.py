"""Where events are kept, and who may append to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.mark import changes


@frozen
class Draft:
    """An event before it is appended. ``data`` holds JSON values only."""

    type: str
    week: str = ""
    run_id: str = ""
    step: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@frozen
class Event:
    """One entry of the journal: ``hash`` covers everything else, ``previous`` is the hash of the entry before."""

    seq: int
    at: datetime
    type: str
    week: str
    run_id: str
    step: str
    data: dict[str, Any]
    previous: str
    hash: str


class Record(NamedTuple):
    """An event as it is kept: ``at`` and ``data`` are the very texts that the hash covers."""

    seq: int
    at: str
    type: str
    week: str
    run_id: str
    step: str
    data: str
    previous: str
    hash: str


class JournalStore(Protocol):
    """Durable, append-only, hash-chained."""

    @property
    def location(self) -> str:
        """Where it is kept, in words for a person."""
        ...

    @changes
    def append(self, drafts: Sequence[Draft], *, epoch: int | None, at: datetime) -> list[Event]:
        """Append all or nothing, durable when it returns.

        Args:
            epoch: of the lease under which a run event is written; None for events that need no lease.
            at: the time to record.

        Raises:
            Locked: the lease of this epoch is no longer the newest: its holder was fenced, and nothing was appended.
        """
        ...

    def read(self, after: int = 0) -> Iterator[Event]:
        """The events with a greater ``seq`` than ``after``, in order."""
        ...

    def records(self, after: int = 0) -> Iterator[Record]:
        """The same as they are kept, neither parsed nor believed."""
        ...

    def hashes(self, last: int) -> Iterator[bytes]:
        """The hashes of the events 1 to ``last``, in order, many in one piece; it ends early where one of them is missing."""
        ...

    def lost(self) -> str:
        """What shows, beside the events, that there were more of them here than there are; empty where nothing does."""
        ...

    def remembered(self) -> tuple[int, str] | None:
        """The last event that was acknowledged here, by number and hash, as it is remembered beside the events."""
        ...

    def kept_fold(self) -> bytes | None:
        """What `keep_fold` kept last; None where there is nothing. It may be old, or damaged: whoever asks must check."""
        ...

    def keep_fold(self, body: bytes) -> None:
        """Keep a fold for later readers, in the place of the last. Losing it costs time and nothing else, so that this never
        fails, waits for nobody, and is no change of anything."""
        ...

    @changes
    def attach(self, body: bytes) -> str:
        """Keep a body that is too large for an event; returns its SHA-256 in hex. Durable when it returns."""
        ...

    def attachment(self, digest: str) -> bytes:
        """The body kept under a digest. Raises `KeyError` where there is none, `Residue` where it does not fit its digest."""
        ...

    def attached(self) -> list[str]:
        """The digests of all bodies that are kept, sorted."""
        ...


def _anyhow() -> None:
    """Nothing was judged before."""


class JournalVault(Protocol):
    """Moving a whole journal in from elsewhere. What was there is kept; nothing is ever deleted."""

    @changes
    def extend(self, records: Sequence[Record], bodies: Sequence[bytes], *, epoch: int) -> None:
        """Append events as they were written elsewhere, and attachments: all or nothing, durable when it returns.

        Raises:
            Locked: the lease of this epoch is no longer the newest.
            Residue: the first of the events does not follow the last one here.
        """
        ...

    @changes
    def install(
        self,
        records: Sequence[Record],
        bodies: Sequence[bytes],
        *,
        at: datetime,
        still: Callable[[], object] = _anyhow,
    ) -> tuple[str, ...]:
        """Put a whole journal where there is none, or only what is left of one: all or nothing, durable when it returns.

        Args:
            records: its events.
            bodies: its attachments.
            at: the time in the names under which what was there is kept.
            still: called in the last moment before anything is moved, while no other can install and no run is at work: what
                was judged long before is judged again there. What it raises leaves everything as it was.

        Returns:
            Where what was there is kept now.

        Raises:
            Locked: a run holds the lease.
            InvalidSetup: what is there belongs to something else.
        """
        ...


@frozen
class Holder:
    """Who holds, or wants to hold, the lease."""

    holder_id: str
    person: str
    host: str
    pid: int
    command: str


@frozen
class LeaseInfo:
    """The lease as everybody sees it."""

    holder: Holder
    epoch: int
    since: datetime
    expires: datetime


Life = Literal["alive", "silent", "believed", "gone"]
"""Whether the holder of a lease lives: seen to live; silent for longer than the lease holds, so that whoever asks next gets it;
believed, because nobody can see it from here and its time is not over; gone, so that the lease is free."""


@frozen
class Sighting:
    """The lease as it was taken, and what can be seen of its holder; ``how`` says in words how that is known."""

    info: LeaseInfo
    life: Life
    how: str
    stopped: bool = False
    """Its process is seen to be stopped, as by SIGSTOP: it hears SIGCONT and SIGKILL, and nothing else."""


class Lease(Protocol):
    """The right to append run events: one holder at a time, fenced by an epoch."""

    @changes
    def acquire(self, holder: Holder, *, timeout: float) -> LeaseInfo:
        """Take the lease, raising the epoch.

        Raises:
            Locked: another holds it; the message names holder, host, pid, command and since when.
        """
        ...

    def check(self, epoch: int) -> None:
        """Raise `Locked` unless ``epoch`` is the newest; called immediately before each effect."""
        ...

    @changes
    def release(self, epoch: int) -> None:
        """Give it back; harmless where it was lost."""
        ...

    @changes
    def take_away(self, holder_id: str, by: Holder) -> LeaseInfo:
        """End the lease of another, raising the epoch: from then on that holder is fenced. Returns the lease as it was.

        Raises:
            NotAllowed: this holder does not hold it (any more).
        """
        ...

    def show(self) -> LeaseInfo | None:
        """Who holds it now; None where nobody does."""
        ...

    def look(self) -> Sighting | None:
        """The newest lease that was not given back, and what can be seen of its holder; None where there is none."""
        ...
