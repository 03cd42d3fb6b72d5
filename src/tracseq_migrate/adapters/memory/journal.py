"""The journal and its lease in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from tracseq_migrate.errors import Locked, NotAllowed, Residue
from tracseq_migrate.journal import chain
from tracseq_migrate.ports import Draft, Event, Holder, LeaseInfo, Life, Record, Sighting


class MemoryLease:
    """A `Lease` of one process. ``info`` is what everybody sees; `abandon` and `expire` end a holder."""

    def __init__(self, *, ttl: float = 30.0) -> None:
        self.info: LeaseInfo | None = None
        self.epoch = 0
        self._ttl = ttl
        self._expired = False
        self._taken_by: Holder | None = None
        self.life: Life = "alive"
        self.stopped = False
        self._guard = threading.RLock()

    def acquire(self, holder: Holder, *, timeout: float) -> LeaseInfo:
        deadline = time.monotonic() + timeout
        while True:
            with self._guard:
                if self.info is None or self._expired:
                    now = datetime.now(UTC)
                    self.epoch += 1
                    self._expired = False
                    self._taken_by = None
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
            by = self._taken_by
            why = (
                f"it was taken over by {_who(self.info)}"
                if self.info
                else f"it was taken away by {by.person} on {by.host}, pid {by.pid}, `{by.command}`"
                if by and self.epoch != epoch
                else "it was given back"
            )
        raise Locked(f"this run no longer holds the lock: {why}; {outcome}")

    def release(self, epoch: int) -> None:
        with self._guard:
            if self.epoch == epoch:
                self.info = None

    def take_away(self, holder_id: str, by: Holder) -> LeaseInfo:
        with self._guard:
            info = self.info
            if info is None or info.holder.holder_id != holder_id:
                now = f"{_who(info)} does ({info.holder.holder_id})" if info else "nobody does"
                raise NotAllowed(f"holder {holder_id} does not hold the lock any more: {now}")
            self.epoch += 1
            self.info, self._expired, self._taken_by = None, False, by
            return info

    def show(self) -> LeaseInfo | None:
        return self.info

    def look(self) -> Sighting | None:
        """``life`` and ``stopped`` are what a test says that is seen of the holder."""
        if self.info is None:
            return None
        return Sighting(
            self.info, "silent" if self._expired else self.life, "as it is in memory", self.stopped
        )

    def abandon(self) -> None:
        """The holder dies: the lease is free at once."""
        self.info = None

    def expire(self) -> None:
        """The holder stands still for longer than the ttl: another may take over."""
        self._expired = True


class MemoryJournal:
    """A `JournalStore` and `JournalVault` in lists: ``events`` and ``attachments`` are there to be looked at.

    ``lease`` is the lease that fences it; a journal that is given none makes its own. ``acknowledged`` is the last event that
    it remembers beside the events: take events away, and it knows that they are lost.
    """

    location = "memory"

    def __init__(self, lease: MemoryLease | None = None) -> None:
        self.lease = lease or MemoryLease()
        self.events: list[Event] = []
        self.attachments: dict[str, bytes] = {}
        self.acknowledged = (0, chain.GENESIS)
        self.fold: bytes | None = None
        self.kept: list[list[Event]] = []
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
            self._take(appended)
            return appended

    def read(self, after: int = 0) -> Iterator[Event]:
        return iter([event for event in self.events if event.seq > after])

    def records(self, after: int = 0) -> Iterator[Record]:
        return map(chain.record_of, self.read(after))

    def hashes(self, last: int) -> Iterator[bytes]:
        events = self.events[:last]
        if [event.seq for event in events] == list(range(1, last + 1)):
            yield "".join(event.hash for event in events).encode()

    def lost(self) -> str:
        seq, digest = self.acknowledged
        if not seq or (seq <= len(self.events) and self.events[seq - 1].hash == digest):
            return ""
        return (
            f"the journal in memory ends with event {len(self.events)}, but event {seq} was acknowledged here"
        )

    def remembered(self) -> tuple[int, str] | None:
        return self.acknowledged if self.acknowledged[0] else None

    def kept_fold(self) -> bytes | None:
        return self.fold

    def keep_fold(self, body: bytes) -> None:
        self.fold = body

    def attach(self, body: bytes) -> str:
        digest = chain.digest_of_body(body)
        self.attachments[digest] = bytes(body)
        return digest

    def attachment(self, digest: str) -> bytes:
        return self.attachments[digest]

    def attached(self) -> list[str]:
        return sorted(self.attachments)

    def extend(self, records: Sequence[Record], bodies: Sequence[bytes], *, epoch: int) -> None:
        with self._guard:
            self.lease.refuse_fenced(epoch, "nothing was taken in")
            previous = self.events[-1].hash if self.events else chain.GENESIS
            if records and (records[0].seq, records[0].previous) != (len(self.events) + 1, previous):
                raise Residue(f"event {records[0].seq} does not follow event {len(self.events)}")
            self._take([chain.event_of(record) for record in records])
        for body in bodies:
            self.attach(body)

    def install(
        self,
        records: Sequence[Record],
        bodies: Sequence[bytes],
        *,
        at: datetime,
        still: Callable[[], object] = lambda: None,
    ) -> tuple[str, ...]:
        if self.lease.info is not None:
            raise Locked(f"a run is at work on the journal: {_who(self.lease.info)}")
        still()
        self.kept.append(self.events)
        self.events, self.acknowledged = [], (0, chain.GENESIS)
        self._take([chain.event_of(record) for record in records])
        for body in bodies:
            self.attach(body)
        return (f"memory kept {chain.stamp(at)}",)

    def _take(self, events: Sequence[Event]) -> None:
        self.events.extend(events)
        if events:
            self.acknowledged = (events[-1].seq, events[-1].hash)


def _who(info: LeaseInfo) -> str:
    holder = info.holder
    since = chain.stamp(info.since)[:19]
    return f"{holder.person} on {holder.host}, pid {holder.pid}, `{holder.command}`, since {since}Z"
