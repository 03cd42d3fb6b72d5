"""The journal and its lease in memory."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from tracseq_migrate.errors import Locked
from tracseq_migrate.journal import chain
from tracseq_migrate.ports import Draft, Event, Holder, LeaseInfo


class MemoryLease:
    """A `Lease` of one process. ``info`` is what everybody sees; `abandon` and `expire` end a holder."""

    def __init__(self, *, ttl: float = 30.0) -> None:
        self.info: LeaseInfo | None = None
        self.epoch = 0
        self._ttl = ttl
        self._expired = False
        self._guard = threading.RLock()

    def acquire(self, holder: Holder, *, timeout: float) -> LeaseInfo:
        deadline = time.monotonic() + timeout
        while True:
            with self._guard:
                if self.info is None or self._expired:
                    now = datetime.now(UTC)
                    self.epoch += 1
                    self._expired = False
                    self.info = LeaseInfo(holder, self.epoch, now, now + timedelta(seconds=self._ttl))
                    return self.info
                if time.monotonic() >= deadline:
                    raise Locked(f"another run holds the lock: {_who(self.info)}")
            time.sleep(0.005)

    def check(self, epoch: int) -> None:
        self.refuse_fenced(epoch, "this run stops here")

    def refuse_fenced(self, epoch: int, outcome: str) -> None:
        """Raise `Locked` unless the lease of this epoch is the newest, and held."""
        with self._guard:
            if self.epoch == epoch and self.info is not None:
                return
            why = f"it was taken over by {_who(self.info)}" if self.info else "it was given back"
        raise Locked(f"this run no longer holds the lock: {why}; {outcome}")

    def release(self, epoch: int) -> None:
        with self._guard:
            if self.epoch == epoch:
                self.info = None

    def show(self) -> LeaseInfo | None:
        return self.info

    def abandon(self) -> None:
        """The holder dies: the lease is free at once."""
        self.info = None

    def expire(self) -> None:
        """The holder stands still for longer than the ttl: another may take over."""
        self._expired = True


class MemoryJournal:
    """A `JournalStore` in lists: ``events`` and ``attachments`` are there to be looked at.

    ``lease`` is the lease that fences it; a journal that is given none makes its own.
    """

    location = "memory"

    def __init__(self, lease: MemoryLease | None = None) -> None:
        self.lease = lease or MemoryLease()
        self.events: list[Event] = []
        self.attachments: dict[str, bytes] = {}
        self._guard = threading.Lock()

    def append(self, drafts: Sequence[Draft], *, epoch: int | None, at: datetime) -> list[Event]:
        with self._guard:
            if epoch is not None:
                self.lease.refuse_fenced(epoch, "nothing was appended to the journal")
            previous = self.events[-1].hash if self.events else chain.GENESIS
            appended: list[Event] = []
            for draft in drafts:
                event = chain.seal(draft, len(self.events) + len(appended) + 1, at, previous)
                previous = event.hash
                appended.append(event)
            self.events.extend(appended)
            return appended

    def read(self, after: int = 0) -> Iterator[Event]:
        return iter([event for event in self.events if event.seq > after])

    def attach(self, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()
        self.attachments[digest] = bytes(body)
        return digest

    def attachment(self, digest: str) -> bytes:
        return self.attachments[digest]


def _who(info: LeaseInfo) -> str:
    holder = info.holder
    since = chain.stamp(info.since)[:19]
    return f"{holder.person} on {holder.host}, pid {holder.pid}, `{holder.command}`, since {since}Z"
