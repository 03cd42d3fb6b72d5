"""The process's surroundings: time, files, git, and the wish of the operator to stop."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Protocol

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.mark import changes


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow; for durations and deadlines."""
        ...

    def sleep(self, seconds: float) -> None: ...


class Interrupt(Protocol):
    @property
    def requested(self) -> int:
        """The number of the signal that asked to stop; 0 when none did."""
        ...


class Files(Protocol):
    """Files of the operator: plans, the log, lists of what would be lost."""

    def read(self, path: Path) -> bytes:
        """Raises `FileNotFoundError`, `OSError`."""
        ...

    def exists(self, path: Path) -> bool: ...

    def list(self, folder: Path, suffix: str) -> list[Path]:
        """Files of a folder with this suffix, sorted by name; empty where there is no such folder."""
        ...

    @changes
    def write(self, path: Path, body: bytes, *, private: bool = False) -> None:
        """Atomically and durably; ``private`` makes it readable by the owner alone. Raises `OSError`, leaving the old."""
        ...

    @changes
    def keep_aside(self, path: Path) -> Path:
        """Rename it to a free name beside it, never over another file; returns that name."""
        ...


@frozen
class Committed:
    """``commit`` is empty where there was nothing to commit, or where ``why_not`` says why it was left alone."""

    commit: str = ""
    why_not: str = ""


class Git(Protocol):
    @changes
    def commit_file(self, path: Path, message: str, *, author: str) -> Committed:
        """Commit this one file and nothing else, whatever else is dirty or staged; never during a rebase or merge."""
        ...
