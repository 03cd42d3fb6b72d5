"""The lease: a row that is the truth, and a locked file that shows whether the holder still lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tracseq_migrate import duration
from tracseq_migrate.adapters.sqlite_journal.file import JournalFile
from tracseq_migrate.adapters.sqlite_journal.lease_row import (
    LOST,
    RENEW,
    TAKE,
    LeaseRow,
    read_row,
    refuse_fenced,
    who,
)
from tracseq_migrate.adapters.sqlite_journal.machine import boot_name, host_name, is_stopped, uptime
from tracseq_migrate.adapters.sqlite_journal.making import writing
from tracseq_migrate.errors import Locked, NotAllowed, TracseqMigrateError
from tracseq_migrate.journal.chain import stamp
from tracseq_migrate.ports import Holder, LeaseInfo, Sighting

_POLL = 0.05


class SqliteLease:
    """A `Lease` beside a `SqliteJournal` of the same path.

    It dies with its holder (the lock file is free then), and expires ``ttl`` seconds after the last sign of
    life of one that stands still; while held, a thread gives a sign of life three times a ``ttl``. Whoever
    takes over raises the epoch, and the old holder is refused by `check` and by the journal from then on.

    Args:
        path: the journal's.
        lost: called from that thread when it finds the lease lost, for what was begun under it.
        took: called with a holder that may live still, after its lease was taken from it and before anything else is done.
    """

    def __init__(
        self,
        path: Path,
        *,
        environment: str,
        ttl: float = 30.0,
        busy: float = 10.0,
        lost: Callable[[], None] = lambda: None,
        took: Callable[[Holder], None] = lambda holder: None,
    ) -> None:
        self._file = JournalFile(path, environment=environment, busy=busy)
        self._lock_path = self._file.lock_path
        self._ttl = ttl
        self._lost = lost
        self._took = took
        self._holder_id = ""
        self._guard = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._mine: int | None = None
        self._signed = 0.0
        self._stood: float | None = None
        self._beating: threading.Thread | None = None
        self._stop = threading.Event()

    @property
    def holder_id(self) -> str:
        """The id under which it was last acquired here; empty before that."""
        return self._holder_id

    def acquire(self, holder: Holder, *, timeout: float) -> LeaseInfo:
        deadline = time.monotonic() + timeout
        self._end_beating()
        while True:
            with self._guard, self._file.translating("write"):
                info = self._try(holder)
            if info is not None:
                return info
            if time.monotonic() >= deadline:
                raise self._refusal()
            time.sleep(min(_POLL, max(0.0, deadline - time.monotonic())))

    def check(self, epoch: int) -> None:
        with self._guard, self._file.translating("read"):
            try:
                refuse_fenced(self._opened(), epoch, "this run stops here")
            except Locked as error:
                stood = self._stood if self._stood is not None else uptime() - self._signed
                if epoch != self._mine or stood < self._ttl:
                    raise
                # Between two signs of life more time went by than the lease holds: the machine or this process stood still.
                told = f"this run lost the lock while it stood still ({duration.show(stood)})"
                text = error.message.replace(LOST, told, 1)
                raise Locked(text, state=error.state, hint=error.hint) from error

    def release(self, epoch: int) -> None:
        own = epoch == self._mine
        if own:
            self._end_beating()
        if self._file.identity() is None:
            self.close()
            return
        with self._guard:
            try:
                with self._file.translating("write"):
                    connection = self._opened()
                    with writing(connection):
                        connection.execute("UPDATE lease SET held = 0, witness = 0 WHERE epoch = ?", (epoch,))
            except TracseqMigrateError:
                # Letting the lock file go, below, says the same; only the lease of another needs the row.
                if not own:
                    raise
            finally:
                if own:
                    self._mine = None
                    self.close()

    def take_away(self, holder_id: str, by: Holder) -> LeaseInfo:
        with self._guard, self._file.translating("write"):
            connection = self._opened()
            with writing(connection):
                row = read_row(connection)
                if not row.held or row.holder_id != holder_id:
                    now = f"{who(row)} does ({row.holder_id})" if row.held else "nobody does"
                    raise NotAllowed(
                        f"holder {holder_id} does not hold the lock any more: {now}",
                        hint="`tracseq-migrate lock show` shows the lock as it is now.",
                    )
                # Without a holder's id: whoever is fenced by it reads that a person did it, and who.
                freed = row._replace(
                    epoch=row.epoch + 1,
                    held=0,
                    witness=0,
                    holder_id="",
                    person=by.person,
                    host=by.host,
                    pid=by.pid,
                    command=by.command,
                    since=stamp(datetime.now(UTC)),
                )
                connection.execute(TAKE, freed)
        self._took(row.info().holder)
        return row.info()

    def show(self) -> LeaseInfo | None:
        row = self._seen()
        return None if row is None or not row.held or self._dead(row) else row.info()

    def look(self) -> Sighting | None:
        row = self._seen()
        if row is None or not row.held:
            return None
        host = host_name()
        if self._dead(row):
            return Sighting(row.info(), "gone", f"process {row.pid} has ended: its lock file is free")
        stopped = row.host == host and is_stopped(row.pid)
        also = f"; process {row.pid} is stopped (`kill -CONT {row.pid}` lets it go on)" if stopped else ""
        if row.expired():
            return Sighting(
                row.info(),
                "silent",
                f"no sign of life came in time{also}; the next command that wants the lock gets it",
                stopped,
            )
        if row.can_be_witnessed(host):
            return Sighting(row.info(), "alive", f"process {row.pid} has its lock file locked{also}", stopped)
        why = (
            "an earlier holder that stands still has the lock file"
            if row.host == host
            else f"processes of {row.host} cannot be seen from here"
        )
        return Sighting(
            row.info(), "believed", f"{why}; it is believed until its lease expires{also}", stopped
        )

    def _seen(self) -> LeaseRow | None:
        connection = self._file.for_reading()
        if connection is None:
            return None
        try:
            with self._file.translating("read"):
                return read_row(connection)
        finally:
            connection.close()

    def close(self) -> None:
        """Let everything go without giving the lease back, as if the holder had died."""
        self._end_beating()
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._file.for_writing()
        return self._connection

    def _try(self, holder: Holder) -> LeaseInfo | None:
        connection = self._opened()
        # The lock file is tried inside the transaction: only one contender at a time does so, and none
        # mistakes the try of another for a living holder.
        with self._unlocking_on_failure(), writing(connection):
            row = read_row(connection)
            locked = self._lock_file()
            dead = locked and row.can_be_witnessed(holder.host)
            if row.held and not dead and not row.expired():
                self._unlock_file()
                return None
            now = datetime.now(UTC)
            taken = LeaseRow(
                epoch=row.epoch + 1,
                held=1,
                witness=int(locked),
                holder_id=holder.holder_id,
                person=holder.person,
                host=holder.host,
                pid=holder.pid,
                command=holder.command,
                since=stamp(now),
                expires=stamp(now + timedelta(seconds=self._ttl)),
                boot=boot_name(),
                expires_uptime=uptime() + self._ttl,
            )
            connection.execute(TAKE, taken)
        self._mine, self._signed, self._stood = taken.epoch, uptime(), None
        self._holder_id = holder.holder_id
        self._stop = threading.Event()
        self._beating = threading.Thread(
            target=self._beat, args=(taken.epoch, self._stop), name="lease", daemon=True
        )
        self._beating.start()
        if row.held and not dead:
            self._took(row.info().holder)
        return taken.info()

    def _beat(self, epoch: int, stop: threading.Event) -> None:
        while not stop.wait(self._ttl / 3):
            # What could not be given now is given a third of the ttl later; the epoch guards meanwhile.
            with contextlib.suppress(TracseqMigrateError):
                if not self._sign_of_life(epoch):
                    if self._stood is not None:
                        self._lost()
                    return

    def _sign_of_life(self, epoch: int) -> bool:
        with self._guard, self._file.translating("write"):
            if self._connection is None:
                return False
            with writing(self._connection):
                # One that took over from a holder who stands still gets the lock file when that one is gone.
                locked = self._lock is not None or self._lock_file()
                renewed = self._connection.execute(
                    RENEW,
                    (
                        int(locked),
                        stamp(datetime.now(UTC) + timedelta(seconds=self._ttl)),
                        boot_name(),
                        uptime() + self._ttl,
                        epoch,
                    ),
                )
                if renewed.rowcount == 0:
                    self._unlock_file()
                    self._stood = uptime() - self._signed
                    return False
            self._signed = uptime()
            return True

    def _end_beating(self) -> None:
        beating, self._beating = self._beating, None
        if beating is not None:
            self._stop.set()
            beating.join()

    def _lock_file(self) -> bool:
        """Try to lock the file; keeps the lock where it succeeds."""
        if self._lock is not None:
            return True
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # `show` holds the lock for an instant to see whether it is free; a living holder has it all the time.
        for _ in range(5):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.002)
            else:
                os.fchmod(descriptor, 0o600)
                self._lock = descriptor
                return True
        os.close(descriptor)
        return False

    @contextlib.contextmanager
    def _unlocking_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._unlock_file()
            raise

    def _unlock_file(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _dead(self, row: LeaseRow) -> bool:
        if not row.can_be_witnessed(host_name()):
            return False
        try:
            descriptor = os.open(self._lock_path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            os.close(descriptor)

    def _refusal(self) -> Locked:
        with self._guard, self._file.translating("read"):
            row = read_row(self._opened())
        if not row.held:
            return Locked("another run held the lock until just now", hint="Type the same command again.")
        return Locked(
            f"another run holds the lock: {who(row)}",
            hint="`tracseq-migrate status` shows how far it is; wait until it ends, then type the same "
            "command again. The lock dies with its process: nothing needs to be removed by hand.",
        )
