"""What is in the SQLite file of a journal, and how one is made: whole, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tracseq_migrate.adapters.durable import sync_folder
from tracseq_migrate.errors import InvalidSetup
from tracseq_migrate.ports import Record

# "TSQM": tells our files from every other SQLite file, also for the program `file`.
APPLICATION_ID = 0x5453514D
SCHEMA_VERSION = 1

INSERT = (
    "INSERT INTO events (seq, at, type, week, run_id, step, data, previous, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
ATTACH = "INSERT INTO attachments VALUES (?, ?) ON CONFLICT DO NOTHING"

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    type TEXT NOT NULL,
    week TEXT NOT NULL,
    run_id TEXT NOT NULL,
    step TEXT NOT NULL,
    data TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE TRIGGER events_in_order BEFORE INSERT ON events
    WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM events)
    BEGIN SELECT raise(ABORT, 'the journal only grows at its end'); END;
CREATE TRIGGER events_stay BEFORE UPDATE ON events
    BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events
    BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
CREATE TABLE attachments (digest TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TRIGGER attachments_stay BEFORE UPDATE ON attachments
    BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER attachments_remain BEFORE DELETE ON attachments
    BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
CREATE TABLE lease (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    held INTEGER NOT NULL,
    witness INTEGER NOT NULL,
    holder_id TEXT NOT NULL,
    person TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    command TEXT NOT NULL,
    since TEXT NOT NULL,
    expires TEXT NOT NULL,
    boot TEXT NOT NULL,
    expires_uptime REAL NOT NULL
);
INSERT INTO lease VALUES (1, 0, 0, 0, '', '', '', 0, '', '', '', '', 0);
"""

_MAKING = 3600.0
"""Seconds after which a journal that is being made is not being made any more."""


def make(path: Path, environment: str) -> None:
    """An empty journal of an environment at a path, which takes nobody's place; its folder, too, where it is missing.

    Made whole under another name and then linked into place: whoever looks sees no file or a finished one, two who
    make it at once agree on one, and an empty file at this path is always damage.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    try:
        build(temporary, environment, (), ())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def build(path: Path, environment: str, records: Iterable[Record], bodies: Iterable[bytes]) -> None:
    """A new journal file (0600) with these events and attachments, whole and synced when it returns.

    Raises:
        InvalidSetup: the file system cannot hold a journal.
        FileExistsError, OSError, sqlite3.Error: it could not be made; a part of it may be left.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.executescript("BEGIN;" + _SCHEMA + "COMMIT;")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("INSERT INTO meta VALUES ('environment', ?)", (environment,))
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        with writing(connection):
            connection.executemany(INSERT, records)
            connection.executemany(ATTACH, ((hashlib.sha256(body).hexdigest(), body) for body in bodies))
    finally:
        connection.close()
    if mode != "wal":
        raise InvalidSetup(
            f"{path.parent} is on a file system that cannot hold the journal (no shared memory)",
            hint="Set `state` to a folder on a local disk.",
        )


def clear_up(path: Path) -> None:
    """Remove what a death in the making of this journal has left beside it; no making takes so long that it could be meant."""
    with contextlib.suppress(OSError):
        for left in path.parent.glob(f".{path.name}.*.new*"):
            if time.time() - left.stat().st_mtime > _MAKING:
                left.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """A folder that its owner alone may enter (0700), durable when this returns; one that is there stays as it is."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        # mkdir obeys the umask, which may take away even the owner's rights.
        folder.chmod(0o700)
    sync_folder(folder.parent)


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction, begun with the write lock in hand so that what is read in it is the newest."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has ended the transaction itself after some errors (a full disk among them).
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
