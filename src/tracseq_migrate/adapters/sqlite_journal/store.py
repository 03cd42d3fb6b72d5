"""The events and attachments of the journal."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from tracseq_migrate.adapters.sqlite_journal.file import JournalFile, writing
from tracseq_migrate.adapters.sqlite_journal.lease import refuse_fenced
from tracseq_migrate.errors import Residue
from tracseq_migrate.journal import chain
from tracseq_migrate.ports import Draft, Event

_HEAD = "SELECT seq, at, type, week, run_id, step, data, previous, hash FROM events ORDER BY seq DESC LIMIT 1"
_AFTER = (
    "SELECT seq, at, type, week, run_id, step, data, previous, hash FROM events WHERE seq > ? ORDER BY seq"
)
_INSERT = (
    "INSERT INTO events (seq, at, type, week, run_id, step, data, previous, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class SqliteJournal:
    """A `JournalStore` in an SQLite file. Threads of one process and any number of processes may share it.

    Nothing is made before the first append; reading where there is no file finds no events.
    """

    def __init__(self, path: Path, *, environment: str, busy: float = 10.0) -> None:
        self._file = JournalFile(path, environment=environment, busy=busy)
        self._guard = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    @property
    def location(self) -> str:
        return str(self._file.path)

    def append(self, drafts: Sequence[Draft], *, epoch: int | None, at: datetime) -> list[Event]:
        with self._guard, self._file.translating("write"):
            connection = self._connection()
            with writing(connection):
                if epoch is not None:
                    refuse_fenced(connection, epoch, "nothing was appended to the journal")
                row = connection.execute(_HEAD).fetchone()
                seq, previous = 0, chain.GENESIS
                if row is not None:
                    head = self._event(row)
                    self._fits(head)
                    seq, previous = head.seq, head.hash
                events = []
                for draft in drafts:
                    event = chain.seal(draft, seq + 1, at, previous)
                    seq, previous = event.seq, event.hash
                    connection.execute(
                        _INSERT,
                        (
                            event.seq,
                            chain.stamp(event.at),
                            event.type,
                            event.week,
                            event.run_id,
                            event.step,
                            chain.canonical(event.data),
                            event.previous,
                            event.hash,
                        ),
                    )
                    events.append(event)
            self._still_there()
        return events

    def read(self, after: int = 0) -> Iterator[Event]:
        # All rows at once: a reader that pauses between two events holds no snapshot open, and leaves no
        # connection behind when it stops early.
        connection = self._file.for_reading()
        if connection is None:
            return iter(())
        try:
            with self._file.translating("read"):
                rows = connection.execute(_AFTER, (after,)).fetchall()
        finally:
            connection.close()
        return map(self._event, rows)

    def attach(self, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()
        with self._guard, self._file.translating("write"):
            connection = self._connection()
            with writing(connection):
                if (
                    connection.execute("SELECT 1 FROM attachments WHERE digest = ?", (digest,)).fetchone()
                    is None
                ):
                    connection.execute("INSERT INTO attachments VALUES (?, ?)", (digest, body))
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

    def close(self) -> None:
        """Let the file go; the next call opens it again."""
        with self._guard:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _connection(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = self._file.for_writing()
            self._identity = self._file.identity()
        else:
            self._still_there()
        return self._writer

    def _still_there(self) -> None:
        # An open file that was removed or replaced takes every write and keeps none of them.
        if self._identity is None or self._file.identity() != self._identity:
            raise Residue(
                f"the journal {self._file.path} was removed or replaced while it was in use",
                hint="Put the file back, then `tracseq-migrate status`.",
            )

    def _event(self, row: tuple[int, str, str, str, str, str, str, str, str]) -> Event:
        seq, at, kind, week, run_id, step, data, previous, digest = row
        try:
            return Event(
                seq=seq,
                at=chain.parse_stamp(at),
                type=kind,
                week=week,
                run_id=run_id,
                step=step,
                data=json.loads(data),
                previous=previous,
                hash=digest,
            )
        except (ValueError, TypeError) as error:
            raise self._broken(seq, "it cannot be read") from error

    def _fits(self, event: Event) -> None:
        draft = Draft(event.type, event.week, event.run_id, event.step, event.data)
        if event.hash != chain.digest_of(event.seq, event.at, draft, event.previous):
            raise self._broken(event.seq, "it was changed after it was written")

    def _broken(self, seq: int, why: str) -> Residue:
        return Residue(
            f"event {seq} of the journal {self._file.path} does not fit: {why}",
            state="Nothing was appended; the file was left as it is.",
            hint="`tracseq-migrate log verify` names the first such event; put back the last good copy.",
        )
