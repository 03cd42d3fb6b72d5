"""The SQLite file of one environment: how it is opened and recognised, and what its failures mean."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tracseq_migrate.adapters.sqlite_journal import making
from tracseq_migrate.adapters.sqlite_journal.beside import FoldFile, Head, HeadFile
from tracseq_migrate.adapters.sqlite_journal.unshared import in_memory
from tracseq_migrate.errors import InvalidSetup, Residue, TracseqMigrateError

# Opening is serialised in a process: closing any descriptor of a file drops the POSIX locks that SQLite holds
# on it, so making the file must never overlap with another thread that opens it.
_opening = threading.Lock()

_LOG_PAGES = 100
"""Pages after which SQLite takes the write-ahead log into the file and begins it anew. What is written over a log that has its
length already is synced in half the time of what makes it longer, and is as durable; SQLite's own 1,000 pages come too late for
most runs to have anything of it."""

WAYS_OUT = (
    "Put the last good copy of its folder back, or `tracseq-migrate state import FILE`; without either, "
    "`tracseq-migrate state adopt WEEK` looks at what is so."
)


class JournalFile:
    """One SQLite file by its path. ``busy`` bounds, in seconds, how long a writer waits for another."""

    def __init__(self, path: Path, *, environment: str, busy: float = 10.0) -> None:
        self.path = path.absolute()
        self.environment = environment
        self.busy = busy
        self.lock_path = self.path.with_name(f"{self.path.stem}.lease.lock")
        self.head = HeadFile(self.path)
        self.fold = FoldFile(self.path)

    def for_writing(self) -> sqlite3.Connection:
        """A connection that may write; makes the file (0600) and its folder (0700) where they are missing.

        Raises:
            InvalidSetup: the file belongs to something else, to another environment, or to a newer version of
                this tool.
            Residue: the file is damaged, or there was more in it, or there was one.
            TracseqMigrateError: the file cannot be made, opened or written.
        """
        self._refuse_irregular()
        # Looked at first by one who only reads: closing a file that was opened for writing folds its log into it, and what a
        # torn log held would be gone.
        lost = self.lost()
        if lost:
            raise Residue(lost, state="What is there was left as it is.", hint=WAYS_OUT)
        with _opening, self.translating("open"):
            if not self.path.exists():
                making.make(self.path, self.environment)
            elif self.path.stat().st_mode & 0o077:
                self.path.chmod(0o600)
            making.clear_up(self.path)
            connection = self._connect("mode=rw")
        try:
            with self.translating("open"):
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA fullfsync = ON")
                connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
                self._recognise(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def for_reading(self) -> sqlite3.Connection | None:
        """A connection that only reads and never waits for a writer; None where there is no file.

        Works in a folder that may not be written. Raises as `for_writing` does.
        """
        self._refuse_irregular()
        with _opening:
            with self.translating("read"):
                if not self.path.exists():
                    return None
                connection = self._connect("mode=ro")
            try:
                self._recognise(connection)
            except sqlite3.Error as error:
                connection.close()
                if not _no_shared_memory(error):
                    raise self.translated(error, "read") from error
                return self._unshared()
            except BaseException:
                connection.close()
                raise
            return connection

    def _refuse_irregular(self) -> None:
        """Raise `Residue` where there is something that is no file: a pipe would keep whoever opens it for ever."""
        with self.translating("read"):
            irregular = self.path.exists() and not self.path.is_file()
        if irregular:
            raise Residue(
                f"{self.path} is not a regular file, so it is no journal",
                state="It was left as it is.",
                hint=WAYS_OUT,
            )

    def _unshared(self) -> sqlite3.Connection:
        """A connection that reads where the shared memory of the write-ahead log cannot be made.

        So in a folder that may not be written, and on a full disk. Nobody writes then, who would have made it: without a log the
        file itself is the whole truth, and with one the two together.
        """
        with self.translating("read"):
            connection = in_memory(self.path) if self._has_log() else self._connect("mode=ro&immutable=1")
            try:
                self._recognise(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def lost(self) -> str:
        """What shows, beside the events, that there were more of them here than there are; empty where nothing does.

        Raises as `for_reading` does.
        """
        head = self.head.read()  # before the events are looked at: it never claims more than is durable
        connection = self.for_reading()
        if connection is None:
            with self.translating("read"):
                left = [path.name for path in self.traces() if path.exists()]
                made_meanwhile = self.path.exists()  # by another; a journal is there before its traces are
            if not left or made_meanwhile:
                return ""
            return f"the journal {self.path} is gone: {', '.join(left)} beside it shows that there was one"
        try:
            with self.translating("read"):
                return "" if head is None else self._shortened(connection, head)
        finally:
            connection.close()

    def traces(self) -> tuple[Path, ...]:
        """What a journal leaves beside itself."""
        return (self.head.path, self.fold.path, self.path.with_name(f"{self.path.name}-wal"), self.lock_path)

    def _shortened(self, connection: sqlite3.Connection, head: Head) -> str:
        row = connection.execute("SELECT hash FROM events WHERE seq = ?", (head.seq,)).fetchone()
        if row is not None and row[0] == head.hash:
            return ""
        if row is not None:
            return (
                f"event {head.seq} of the journal {self.path} is not the one that was acknowledged here "
                f"({self.head.path.name} remembers it): the file was replaced"
            )
        (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        return (
            f"the journal {self.path} ends with event {last}, but event {head.seq} was acknowledged here "
            f"({self.head.path.name} remembers it): {head.seq - last} events are lost"
        )

    def identity(self) -> tuple[int, int] | None:
        """Which file is at the path now (device and inode); None where there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    @contextlib.contextmanager
    def translating(self, doing: str) -> Iterator[None]:
        """Errors of SQLite and of the operating system become this tool's own, cause kept."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self.translated(error, doing) from error

    def translated(self, error: sqlite3.Error | OSError, doing: str) -> TracseqMigrateError:
        where = f"the journal {self.path}"
        if isinstance(error, OSError):
            return TracseqMigrateError(
                f"could not {doing} {where}: {error.strerror or error}",
                hint=f"Make {self.path.parent} a folder that this user can write, with free space.",
            )
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE:
            return TracseqMigrateError(
                f"could not {doing} {where}: the disk is full, or has no room for its shared memory",
                hint="Make room on its disk.",
            )
        # An error that Python's module raises itself (a closed connection, a wrong type) carries no code.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT):
            return Residue(
                f"{where} is damaged: {error}",
                state="The file was left as it is.",
                hint=WAYS_OUT,
            )
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) and self._on_a_read_only_disk():
            return TracseqMigrateError(
                f"could not {doing} {where}: its file system is read-only",
                hint="Look at the system's log for why, and mount it writable.",
            )
        reasons = {
            sqlite3.SQLITE_FULL: (
                "the disk is full",
                "Make room on its disk.",
            ),
            sqlite3.SQLITE_BUSY: (
                f"another process has kept it busy for more than {self.busy:g} s",
                "`tracseq-migrate lock show` names the other run, and says whether its process is stopped: then continue it "
                "(`kill -CONT PID`) or end it (`kill -KILL PID`; a plain `kill` waits until it goes on). Try again then.",
            ),
            sqlite3.SQLITE_READONLY: ("it is read-only", f"Let this user write {self.path} and its folder."),
            sqlite3.SQLITE_PERM: ("this user may not", f"Let this user write {self.path} and its folder."),
            sqlite3.SQLITE_CANTOPEN: (
                "it cannot be opened",
                f"Let this user read and write {self.path.parent}.",
            ),
            sqlite3.SQLITE_IOERR: (
                "the disk reports an error",
                "Look at the system's log for what the disk says.",
            ),
        }
        why, hint = reasons.get(code, (str(error), ""))
        return TracseqMigrateError(f"could not {doing} {where}: {why}", hint=hint)

    def _connect(self, query: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(self.path))}?{query}",
            uri=True,
            timeout=self.busy,
            isolation_level=None,
            check_same_thread=False,
        )

    def _on_a_read_only_disk(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(os.statvfs(self.path.parent).f_flag & os.ST_RDONLY)
        return False

    def _has_log(self) -> bool:
        log = self.path.with_name(self.path.name + "-wal")
        return log.exists() and log.stat().st_size > 0

    def _recognise(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != making.APPLICATION_ID:
            if not tables:
                raise Residue(
                    f"the journal {self.path} is empty: it was cut off or replaced",
                    state="The file was left as it is.",
                    hint=WAYS_OUT,
                )
            raise InvalidSetup(
                f"{self.path} is an SQLite file of another program; it was left as it is",
                hint="Set `state` to another folder.",
            )
        if version > making.SCHEMA_VERSION:
            raise InvalidSetup(
                f"the journal {self.path} was written by a newer tracseq-migrate (format {version})",
                hint="Use that version, or a later one.",
            )
        found = connection.execute("SELECT value FROM meta WHERE name = 'environment'").fetchone()
        if found is None or found[0] != self.environment:
            named = "no environment" if found is None else f"the environment {found[0]!r}"
            raise InvalidSetup(
                f"the journal {self.path} is of {named}, not of {self.environment!r}",
                hint="Name the environment that it belongs to with -e, or set `state` to another folder.",
            )


def _no_shared_memory(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
    shared = (sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMMAP)
    return code in shared or code & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
