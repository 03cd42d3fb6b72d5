"""Two small files beside the journal: the head that was acknowledged last, and a fold for later readers.

SQLite drops the end of a write-ahead log that does not fit its checksums, and says nothing; so does whoever copies the file
without its log. The head tells: it is written after each commit, never before, so that it claims no event that was not durable.
It is not synced, which would double the price of an event. After a loss of power it may be older than the journal, and then
witnesses less; after a kill of the process it is never more than one append behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple

_HEAD = re.compile(rb"tracseq-migrate head (\d{15}) ([0-9a-f]{64}) ([0-9a-f]{16})\n")
_LENGTH = 119


class Head(NamedTuple):
    """The last event that was acknowledged."""

    seq: int
    hash: str


class HeadFile:
    """``journal.head`` beside ``journal.sqlite3``: one line, always of the same length, so that it needs no room to change."""

    def __init__(self, journal: Path) -> None:
        self.path = journal.with_name(f"{journal.stem}.head")
        self._descriptor: int | None = None

    def read(self) -> Head | None:
        """None where there is none, or where it cannot be read; then it witnesses nothing."""
        try:
            return _parsed(self.path.read_bytes())
        except OSError:
            return None

    def write(self, head: Head) -> None:
        """Remember the newest head. Never fails: the event is durable already, and an older head only witnesses less.

        Where two processes commit one after the other and come here in the other order, it is behind by one until the next.
        """
        with contextlib.suppress(OSError):
            if self._descriptor is None:
                self._descriptor = os.open(
                    self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
                )
                os.fchmod(self._descriptor, 0o600)
                os.ftruncate(self._descriptor, _LENGTH)
            os.pwrite(self._descriptor, _line(head), 0)

    def close(self) -> None:
        """Let the file go; the next `write` opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _line(head: Head) -> bytes:
    text = f"tracseq-migrate head {head.seq:015d} {head.hash}"
    return f"{text} {hashlib.sha256(text.encode()).hexdigest()[:16]}\n".encode()


def _parsed(line: bytes) -> Head | None:
    match = _HEAD.fullmatch(line)
    if match is None:
        return None
    head = Head(int(match[1]), match[2].decode())
    return head if _line(head) == line else None


class FoldFile:
    """``journal.fold`` beside the journal: replaced in one move, and worth nothing but time."""

    def __init__(self, journal: Path) -> None:
        self.path = journal.with_name(f"{journal.stem}.fold")

    def read(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except OSError:
            return None

    def write(self, body: bytes) -> None:
        """Never fails: where it cannot be written, the next reader folds for itself."""
        temporary = self.path.with_name(f".{self.path.name}.new")
        with contextlib.suppress(OSError):
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had it until now may have moved it into place: then it is not ours to write any more.
                mine, there = os.fstat(descriptor), temporary.stat()
                if (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino):
                    return
                os.fchmod(descriptor, 0o600)
                file.truncate(0)
                file.write(body)
                file.flush()
                temporary.rename(self.path)
