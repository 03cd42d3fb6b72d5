"""The events and attachments of the journal."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from tracseq_migrate.adapters.sqlite_journal.beside import Head
from tracseq_migrate.adapters.sqlite_journal.file import JournalFile
from tracseq_migrate.adapters.sqlite_journal.lease_row import refuse_fenced
from tracseq_migrate.adapters.sqlite_journal.making import ATTACH, INSERT, writing
from tracseq_migrate.errors import Residue
from tracseq_migrate.journal import chain
from tracseq_migrate.ports import Draft, Event, Record

_COLUMNS = "seq, at, type, week, run_id, step, data, previous, hash"
_HEAD = "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"
_LAST = f"SELECT {_COLUMNS} FROM events ORDER BY seq DESC LIMIT 1"  # noqa: S608 - a constant
_AFTER = f"SELECT {_COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - a constant
_HELD = "SELECT epoch FROM lease WHERE id = 1 AND held = 1"
_HASHES = (
    "SELECT count(*), CAST(group_concat(hash, '') AS BLOB) FROM"
    " (SELECT hash FROM events WHERE seq > ? AND seq <= ? ORDER BY seq)"
)
_PAGE = 2048
_HASHES_AT_ONCE = 16_384


class SqliteJournal:
    """A `JournalStore` in an SQLite file. Threads of one process and any number of processes may share it.

    Nothing is made before the first append; reading where there is no file finds no events.
    """

    def __init__(self, path: Path, *, environment: str, busy: float = 10.0) -> None:
        self._file = JournalFile(path, environment=environment, busy=busy)
        self._guard = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._known: Head | None = None

    @property
    def location(self) -> str:
        return str(self._file.path)

    def append(self, drafts: Sequence[Draft], *, epoch: int | None, at: datetime) -> list[Event]:
        with self._guard, self._file.translating("write"):
            connection = self._connection()
            with writing(connection):
                if epoch is not None and connection.execute(_HELD).fetchone() != (epoch,):
                    refuse_fenced(connection, epoch, "nothing was appended to the journal")
                seq, previous = self._head(connection)
                events = []
                for draft in drafts:
                    record, event = chain.sealed(draft, seq + 1, at, previous)
                    seq, previous = record.seq, record.hash
                    connection.execute(INSERT, record)
                    events.append(event)
            self._still_there()
            if events:
                self._known = Head(seq, previous)
                self._file.head.write(self._known)
        return events

    def read(self, after: int = 0) -> Iterator[Event]:
        return map(self._event, self.records(after))

    def records(self, after: int = 0) -> Iterator[Record]:
        # A page at a time, each a query of its own: a reader that pauses between two events holds no snapshot open,
        # and a long journal is never in memory as a whole. What was appended stays, so that the pages fit.
        connection = self._file.for_reading()
        if connection is None:
            return
        size = _PAGE // 32
        try:
            while True:
                with self._file.translating("read"):
                    rows = connection.execute(_AFTER, (after, size)).fetchall()
                yield from map(Record._make, rows)
                if len(rows) < size:
                    return
                after, size = rows[-1][0], _PAGE
        finally:
            connection.close()

    def hashes(self, last: int) -> Iterator[bytes]:
        # Put together by SQLite: as rows, those of a long journal would take longer than all else that a look does.
        connection = self._file.for_reading()
        if connection is None:
            return
        try:
            for after in range(0, last, _HASHES_AT_ONCE):
                upto = min(after + _HASHES_AT_ONCE, last)
                with self._file.translating("read"):
                    count, text = connection.execute(_HASHES, (after, upto)).fetchone()
                if count != upto - after:
                    return
                yield text
        finally:
            connection.close()

    def lost(self) -> str:
        return self._file.lost()

    def remembered(self) -> tuple[int, str] | None:
        return self._file.head.read()

    def kept_fold(self) -> bytes | None:
        return self._file.fold.read()

    def keep_fold(self, body: bytes) -> None:
        self._file.fold.write(body)

    def attach(self, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()
        with self._guard, self._file.translating("write"):
            connection = self._connection()
            with writing(connection):
                if (
                    connection.execute("SELECT 1 FROM attachments WHERE digest = ?", (digest,)).fetchone()
                    is None
                ):
                    connection.execute(ATTACH, (digest, body))
            self._still_there()
        return digest

    def attachment(self, digest: str) -> bytes:
        connection = self._file.for_reading()
        if connection is None:
            raise KeyError(digest)
        try:
            with self._file.translating("read"):
                row = connection.execute(
                    "SELECT body FROM attachments WHERE digest = ?", (digest,)
                ).fetchone()
        finally:
            connection.close()
        if row is None:
            raise KeyError(digest)
        body = row[0]
        if not isinstance(body, bytes) or hashlib.sha256(body).hexdigest() != digest:
            raise Residue(
                f"attachment {digest[:12]} of the journal {self._file.path} was changed after it was written",
                state="The file was left as it is.",
                hint="Put back the last good copy of the journal.",
            )
        return body

    def attached(self) -> list[str]:
        connection = self._file.for_reading()
        if connection is None:
            return []
        try:
            with self._file.translating("read"):
                rows = connection.execute("SELECT digest FROM attachments ORDER BY digest").fetchall()
        finally:
            connection.close()
        return [digest for (digest,) in rows]

    def close(self) -> None:
        """Let the file go; the next call opens it again."""
        with self._guard:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._file.head.close()

    def _connection(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = self._file.for_writing()
            self._identity = self._file.identity()
        return self._writer

    def _still_there(self) -> None:
        # An open file that was removed or replaced takes every write and keeps none of them.
        if self._identity is None or self._file.identity() != self._identity:
            raise Residue(
                f"the journal {self._file.path} was removed or replaced while it was in use",
                hint="Put the file back, then `tracseq-migrate status`.",
            )

    def _head(self, connection: sqlite3.Connection) -> Head:
        """Where the chain ends. What others wrote since is checked; nothing is ever built on an event that does not fit."""
        row = connection.execute(_HEAD).fetchone()
        head = Head(0, chain.GENESIS) if row is None else Head(*row)
        if row is not None and head != self._known:
            record = Record._make(connection.execute(_LAST).fetchone())
            if chain.Walk(record.seq - 1, record.previous).take(record):
                raise self._broken(record.seq, "it was changed after it was written")
        return head

    def _event(self, record: Record) -> Event:
        try:
            return chain.event_of(record)
        except (ValueError, TypeError) as error:
            raise self._broken(record.seq, "it cannot be read") from error

    def _broken(self, seq: int, why: str) -> Residue:
        return Residue(
            f"event {seq} of the journal {self._file.path} does not fit: {why}",
            state="Nothing was appended; the file was left as it is.",
            hint="`tracseq-migrate log verify` names the first such event; put back the last good copy.",
        )
