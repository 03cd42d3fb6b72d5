"""Where events are kept, and who may append to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from tracseq_migrate.ports.mark import changes


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it is appended. ``data`` holds JSON values only."""

    type: str
    week: str = ""
    run_id: str = ""
    step: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
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

    @changes
    def attach(self, body: bytes) -> str:
        """Keep a body that is too large for an event; returns its SHA-256 in hex. Durable when it returns."""
        ...

    def attachment(self, digest: str) -> bytes:
        """The body kept under a digest. Raises `KeyError` where there is none, `Residue` where it does not fit its digest."""
        ...


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds, or wants to hold, the lease."""

    holder_id: str
    person: str
    host: str
    pid: int
    command: str


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    """The lease as everybody sees it."""

    holder: Holder
    epoch: int
    since: datetime
    expires: datetime


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

    def show(self) -> LeaseInfo | None:
        """Who holds it now; None where nobody does."""
        ...
