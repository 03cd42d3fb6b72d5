"""Time, files, git and the operator's wish to stop, in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from tracseq_migrate.ports import Committed


class MemoryClock:
    """A `Clock` that moves when somebody sleeps or sets it forward; ``slept`` lists the sleeps in seconds."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, 8, 0, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        self.slept.append(max(0.0, seconds))
        self.forward(max(0.0, seconds))

    def forward(self, seconds: float) -> None:
        self._passed += seconds


class MemoryInterrupt:
    """An `Interrupt`; set ``requested`` to a signal's number."""

    def __init__(self) -> None:
        self.requested = 0


class MemoryFiles:
    """`Files` in a mapping: ``bodies`` by absolute path, and the set of those that are ``private``.

    ``failing`` maps a path to the error that the next writes to it raise.
    """

    def __init__(self) -> None:
        self.bodies: dict[Path, bytes] = {}
        self.private: set[Path] = set()
        self.failing: dict[Path, OSError] = {}

    def read(self, path: Path) -> bytes:
        try:
            return self.bodies[path.absolute()]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", str(path)) from None

    def exists(self, path: Path) -> bool:
        path = path.absolute()
        return path in self.bodies or any(path in other.parents for other in self.bodies)

    def list(self, folder: Path, suffix: str) -> list[Path]:
        folder = folder.absolute()
        return sorted(path for path in self.bodies if path.parent == folder and path.name.endswith(suffix))

    def write(self, path: Path, body: bytes, *, private: bool = False) -> None:
        path = path.absolute()
        if path in self.failing:
            raise self.failing[path]
        self.bodies[path] = bytes(body)
        if private:
            self.private.add(path)

    def keep_aside(self, path: Path) -> Path:
        body = self.read(path)
        path = path.absolute()
        free = (path.with_name(f"{path.stem}.aside-{number}{path.suffix}") for number in count(1))
        aside = next(candidate for candidate in free if candidate not in self.bodies)
        self.bodies[aside] = body
        del self.bodies[path]
        if path in self.private:
            self.private.remove(path)
            self.private.add(aside)
        return aside


@dataclass(frozen=True, slots=True)
class MemoryCommit:
    """One commit that `MemoryGit` took."""

    commit: str
    path: Path
    body: bytes
    message: str
    author: str


@dataclass
class MemoryGit:
    """`Git` over `MemoryFiles`; ``why_not``, where set, is why every commit is left alone."""

    files: MemoryFiles
    commits: list[MemoryCommit] = field(default_factory=list)
    why_not: str = ""

    def commit_file(self, path: Path, message: str, *, author: str) -> Committed:
        if self.why_not:
            return Committed(why_not=self.why_not)
        path = path.absolute()
        if path not in self.files.bodies:
            return Committed(why_not=f"{path} is not a file")
        body = self.files.read(path)
        last = next((made.body for made in reversed(self.commits) if made.path == path), None)
        if body == last:
            return Committed()
        digest = hashlib.sha1(f"{len(self.commits)} {message}".encode() + body, usedforsecurity=False)
        self.commits.append(MemoryCommit(digest.hexdigest(), path, body, message, author))
        return Committed(digest.hexdigest())
