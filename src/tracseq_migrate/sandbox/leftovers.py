"""Finding and ending whatever still runs of a sandbox, also after its supervisor or its database was killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tracseq_migrate.errors import Residue
from tracseq_migrate.sandbox.layout import State
from tracseq_migrate.sandbox.postgres import Cluster, Installation, remove_shared_memory

MARK = "TRACSEQ_SANDBOX_ID"
"""In the environment of every process of a sandbox, so that none is ever taken for another by its number."""


def _belongs(process: psutil.Process, state: State, data: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False  # it is dead, and its number is for its parent to give back
        if process.environ().get(MARK) == state.id:
            return True
        # PostgreSQL writes its titles over its environment; all its processes work in the data folder.
        return process.name() == "postgres" and process.cwd() == data
    except (psutil.Error, OSError):
        return False


def running(state: State) -> list[psutil.Process]:
    """The processes of this sandbox, the supervisor first."""
    data = str(state.layout.data)
    mine = os.getpid()
    found = [p for p in psutil.process_iter() if p.pid != mine and _belongs(p, state, data)]
    return sorted(found, key=lambda p: not _is_supervisor(p))


def _is_supervisor(process: psutil.Process) -> bool:
    try:
        return "supervisor.supervisord" in process.cmdline()
    except psutil.Error:
        return False


def end(state: State, *, patience: float = 8.0) -> None:
    """End every process of the sandbox: asked first, killed when it does not go; remove its shared memory.

    Raises:
        Residue: something cannot be ended.
    """
    cluster = Cluster(Installation(Path(state.postgres_bin)), state.layout.data, state.ports["postgres"])
    segment = cluster.shared_memory()
    for attempt in _attempts(patience):
        found = running(state)
        if not found:
            break
        # Without the supervisor first, what is ended below would be started again.
        for process in [p for p in found if _is_supervisor(p)]:
            _send(process, signal.SIGKILL)
        for process in found:
            _send(process, attempt if _name(process) != "postgres" else _for_postgres(attempt))
        psutil.wait_procs(found, timeout=patience if attempt != signal.SIGKILL else 5.0)
    left = running(state)
    if left:
        names = ", ".join(f"{p.pid} ({_name(p)})" for p in left)
        raise Residue(f"processes of the sandbox cannot be ended: {names}", hint="End them by hand.")
    if segment is not None:
        remove_shared_memory(segment)


def _attempts(patience: float) -> Iterator[signal.Signals]:
    yield signal.SIGTERM
    # More than once: a process that was just being born when its parent was killed shows up only now.
    started = time.monotonic()
    while time.monotonic() - started < patience:
        yield signal.SIGKILL


def _for_postgres(wanted: signal.Signals) -> signal.Signals:
    # Its SIGTERM waits for every client to leave; SIGINT does not.
    return signal.SIGINT if wanted == signal.SIGTERM else wanted


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return "gone"
