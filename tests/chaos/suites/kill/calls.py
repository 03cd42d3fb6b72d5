"""Calls of the tool that may end early: as children of a process that has imported everything, or as whole programs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos.ledger import ROOT
from tests.chaos.victim import Call
from tests.e2e.driving import COMMAND, environment

HANGS = 30.0


@dataclass(frozen=True)
class Ended:
    """How a call ended: ``code`` is negative for a signal; ``points`` are those that it passed, in order."""

    argv: Sequence[str]
    code: int
    out: str
    err: str
    points: Sequence[str]
    seconds: float

    def __str__(self) -> str:
        return f"`{' '.join(self.argv)}` ended with {self.code}\n{self.out}{self.err}".rstrip()

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


class Callers:
    """The tool in one folder. Each call is a process of its own that is waited for."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder, self._scratch = folder, scratch
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.victim"],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def __call__(self, *argv: str, die_at: str = "", die_after: int = 0) -> Ended:
        """Type it, and wait for its end."""
        files = {name: str(self._scratch / name) for name in ("points", "out", "err")}
        for path in files.values():
            Path(path).unlink(missing_ok=True)
        call = Call(
            argv,
            str(self._folder),
            files["points"],
            files["out"],
            files["err"],
            die_at=die_at,
            die_after=die_after,
        )
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps(asdict(call)) + "\n")
        self._parent.stdin.flush()
        ended = json.loads(self._line())
        points, out, err = (_text(Path(files[name])) for name in ("points", "out", "err"))
        return Ended(argv, ended["code"], out, err, points.splitlines(), ended["seconds"])

    def program(self, *argv: str, kill_after: float) -> Ended:
        """The whole program, imports and all, which gets SIGKILL from outside after so many seconds if it still runs."""
        began = time.monotonic()
        process = subprocess.Popen(
            [*COMMAND, *argv],
            cwd=self._folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            out, err = process.communicate(timeout=kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        return Ended(argv, process.returncode, out, err, (), time.monotonic() - began)

    def close(self) -> None:
        """End the parent; none of its children runs."""
        for stream in (self._parent.stdin, self._parent.stdout):
            if stream is not None:
                stream.close()
        try:
            self._parent.wait(HANGS)
        except subprocess.TimeoutExpired:
            self._parent.kill()
            self._parent.wait()

    def _line(self) -> str:
        assert self._parent.stdout is not None
        line = self._parent.stdout.readline()
        assert line, "the process that forks the calls is gone"
        return line


@contextmanager
def callers(folder: Path, scratch: Path) -> Iterator[Callers]:
    """For a while."""
    scratch.mkdir(parents=True, exist_ok=True)
    made = Callers(folder, scratch)
    try:
        yield made
    finally:
        made.close()


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""
