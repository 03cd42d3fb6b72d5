"""Moving a whole journal in. What was there is kept under a name with the time, and never deleted."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from tracseq_migrate.adapters.durable import sync_folder
from tracseq_migrate.adapters.sqlite_journal.beside import Head
from tracseq_migrate.adapters.sqlite_journal.file import JournalFile
from tracseq_migrate.adapters.sqlite_journal.lease_row import refuse_fenced
from tracseq_migrate.adapters.sqlite_journal.making import ATTACH, INSERT, build, make_folder, writing
from tracseq_migrate.errors import Locked, Residue
from tracseq_migrate.journal import chain
from tracseq_migrate.ports import Record


class SqliteVault:
    """A `JournalVault` of the journal at a path."""

    def __init__(self, path: Path, *, environment: str, busy: float = 10.0) -> None:
        self._file = JournalFile(path, environment=environment, busy=busy)

    def extend(self, records: Sequence[Record], bodies: Sequence[bytes], *, epoch: int) -> None:
        connection = self._file.for_writing()
        try:
            with self._file.translating("write"), writing(connection):
                refuse_fenced(connection, epoch, "nothing was taken in")
                row = connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
                head = Head(*row) if row else Head(0, chain.GENESIS)
                if records and (records[0].seq, records[0].previous) != (head.seq + 1, head.hash):
                    raise Residue(
                        f"event {records[0].seq} does not follow event {head.seq} of the journal {self._file.path}",
                        state="Nothing was taken in.",
                    )
                connection.executemany(INSERT, records)
                connection.executemany(ATTACH, ((chain.digest_of_body(body), body) for body in bodies))
        finally:
            connection.close()
        self._remember(records)

    def install(
        self,
        records: Sequence[Record],
        bodies: Sequence[bytes],
        *,
        at: datetime,
        still: Callable[[], object] = lambda: None,
    ) -> tuple[str, ...]:
        file = self._file
        with file.translating("replace"):
            make_folder(file.path.parent)
            with self._nobody_at_work():
                new = file.path.with_name(f".{file.path.name}.{secrets.token_hex(6)}.new")
                try:
                    build(new, file.environment, records, bodies)
                    self._refuse_foreign()
                    still()
                    kept = self._keep(at)
                    with self._telling(kept):
                        # From here on the old one is not whole any more, and known to be so: a head that is gone can only
                        # hide it once the new one is in place.
                        file.path.with_name(f"{file.path.name}-wal").unlink(missing_ok=True)
                        file.path.with_name(f"{file.path.name}-shm").unlink(missing_ok=True)
                        new.rename(file.path)
                        sync_folder(file.path.parent)
                        file.head.path.unlink(missing_ok=True)
                finally:
                    new.unlink(missing_ok=True)
                self._remember(records)
        return kept

    def _remember(self, records: Sequence[Record]) -> None:
        if records:
            self._file.head.write(Head(records[-1].seq, records[-1].hash))
            self._file.head.close()

    @contextlib.contextmanager
    def _telling(self, kept: Sequence[str]) -> Iterator[None]:
        """What fails in the middle of the move says where to find what was there."""
        try:
            yield
        except OSError as error:
            told = self._file.translated(error, "replace")
            state = f"What was there is kept: {', '.join(kept)}." if kept else ""
            raise type(told)(told.message, state=state, hint=told.hint) from error

    def _refuse_foreign(self) -> None:
        """Raise `InvalidSetup` where what is there belongs to something else; a damaged journal is ours."""
        with contextlib.suppress(Residue):
            connection = self._file.for_reading()
            if connection is not None:
                connection.close()

    def _keep(self, at: datetime) -> tuple[str, ...]:
        """Give what is there a second name, and leave it where it is."""
        file = self._file
        there = {
            "": file.path,
            "-wal": file.path.with_name(f"{file.path.name}-wal"),
            ".head": file.head.path,
        }
        left = {suffix: path for suffix, path in there.items() if path.exists()}
        moment = f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        for number in count(1):
            name = f"{file.path.name}.kept-{moment}" + (f"-{number}" if number > 1 else "")
            names = {suffix: file.path.with_name(name + suffix) for suffix in left}
            if not any(each.exists() for each in names.values()):
                break
        for suffix, path in left.items():
            try:
                os.link(path, names[suffix])
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                    raise
                shutil.copy2(path, names[suffix])
        sync_folder(file.path.parent)
        return tuple(str(each) for each in names.values())

    @contextlib.contextmanager
    def _nobody_at_work(self) -> Iterator[None]:
        """Hold the file that every living holder of the lease has locked: its row may not be readable any more."""
        descriptor = os.open(self._file.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Locked(
                    f"a run is at work on the journal {self._file.path}",
                    hint="`tracseq-migrate lock show` names it; wait until it ends, or end it.",
                ) from error
            os.fchmod(descriptor, 0o600)
            yield
        finally:
            os.close(descriptor)
