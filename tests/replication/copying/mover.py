"""A whole process that brings the people over, or takes them back: to be killed. ``python -m … bring|back DSN_A DSN_B BYTES``.

It says ``ready`` when it begins, a line for each stage, and ``done`` at the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.replication.copying import people
from tracseq_migrate.adapters.clock import SystemClock
from tracseq_migrate.adapters.postgres.sessions import PostgresSessions
from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication import bringing, copying

ROOT = Path(__file__).parents[3]


class _Databases:
    def __init__(self, sessions: PostgresSessions) -> None:
        self._sessions = sessions

    @contextmanager
    def open(self, side: str) -> Iterator[Session]:
        with self._sessions.open(side, purpose="look", timeout=10) as session:
            yield session


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(what: str, dsn_a: str, dsn_b: str, chunk_bytes: str) -> None:
    """Do it."""
    sessions = PostgresSessions({"a": dsn_a, "b": dsn_b})
    moved = people.replication(_Databases(sessions))
    by = f"mover {os.getpid()}"
    _say("ready")
    if what == "back":
        bringing.take_back(sessions, moved, by=by, before={}, told=_say)
    else:
        # A real copy has chunks of many megabytes; here a few hundred rows must make many.
        bringing.copy = partial(copying.copy, chunk_bytes=int(chunk_bytes))  # type: ignore[attr-defined]
        bringing.bring(
            sessions,
            moved,
            jobs=2,
            lag=1.0,
            by=by,
            clock=SystemClock(),
            check=lambda: None,
            told=lambda text: None,
            reached=lambda stage: _say(stage.name),
        )
    _say("done")


def started(what: str, dsns: dict[str, str], chunk_bytes: int) -> subprocess.Popen[str]:
    """Such a process, whose lines can be read."""
    return subprocess.Popen(
        [sys.executable, "-m", __spec__.name, what, dsns["a"], dsns["b"], str(chunk_bytes)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
