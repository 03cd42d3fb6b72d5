"""Stopping a sandbox, and taking it away without losing what somebody wrote."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import time
import xmlrpc.client
from pathlib import Path

from tracseq_migrate.errors import CouldNotReach
from tracseq_migrate.sandbox import faults, leftovers
from tracseq_migrate.sandbox.layout import Layout, State
from tracseq_migrate.sandbox.supervision import Supervisor


def stop(state: State, *, discard: bool = False) -> None:
    """End every process of the sandbox, in good order where its supervisor can still be asked.

    With ``discard`` the database does not write out what is about to be deleted.
    """
    supervisor = Supervisor(state)
    if supervisor.alive():
        with contextlib.suppress(CouldNotReach, xmlrpc.client.Fault):
            # All at once: the supervisor itself would stop one after the other.
            for name in state.programs:
                if name != "postgres":
                    with contextlib.suppress(xmlrpc.client.Fault):
                        supervisor.call("stopProcess", name, False)  # noqa: FBT003  # positional in XML-RPC
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and any(
                info.state in ("stopping", "running", "starting")
                for name, info in supervisor.processes().items()
                if name != "postgres"
            ):
                time.sleep(0.05)
            database = supervisor.processes()["postgres"].pid
            if not discard:
                supervisor.stop_program("postgres")
            supervisor.call("shutdown")
            if discard and database:
                # After the call, so that the supervisor does not start it again.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(database, signal.SIGQUIT)
            while time.monotonic() < deadline + 5 and supervisor.alive():
                time.sleep(0.02)
    leftovers.end(state)


def take_down(state: State) -> list[Path]:
    """Stop, and remove every file that `up` made; others stay. Returns where edited ones are now."""
    faults.unmount(state)
    stop(state, discard=True)
    layout = state.layout
    if state.private_sockets:
        shutil.rmtree(state.socket_folder, ignore_errors=True)
    for folder in (layout.postgres, layout.run, layout.logs, layout.secrets):
        if folder.exists():
            shutil.rmtree(folder)
    aside = []
    if edited := _edited(state):
        folder = earlier(layout)
        aside = [path.rename(folder / path.name) for path in edited]
    for file in (state.flag_file, layout.config):
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something of somebody else is in it
        layout.gateway.rmdir()
    layout.state.unlink(missing_ok=True)
    if state.made_root:
        with contextlib.suppress(OSError):
            layout.root.rmdir()
    return aside


def earlier(layout: Layout) -> Path:
    """A new folder for what must not be lost."""
    folder = layout.root / "earlier" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    while folder.exists():
        folder = folder.with_name(folder.name + "+")
    folder.mkdir(parents=True)
    return folder


def _edited(state: State) -> list[Path]:
    """The operator's files that are no longer as `up` wrote them."""

    def as_written(path: Path) -> bool:
        return hashlib.sha256(path.read_bytes()).hexdigest() == state.written.get(path.name)

    return [
        path for path in (state.layout.config, state.flag_file) if path.is_file() and not as_written(path)
    ]
