"""A sandbox as it was at some moment, and the quickest way back to it: only what differs is put right.

A snapshot holds the flag file, the state folder with its journal, the migration log, which services run, what each gateway
instance answers and the rotation of the proxy. Rows in the databases are no part of it: runs of weeks 1 and 2 write none.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.driving import World, states, world
from tests.sandbox_fixture import Sandbox

STATE = ".tracseq-migrate"
LOG = "MIGRATION_LOG.md"
PATIENCE = 30.0
_TOKEN = re.compile(r"[0-9a-f]{6,}")
_OF_SQLITE = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class Snapshot:
    """See the module; ``kept`` is a folder of its own with copies of the state folder and the log."""

    name: str
    kept: Path
    world: World
    files: frozenset[str]


def take(sandbox: Sandbox, name: str, folder: Path) -> Snapshot:
    """Remember the sandbox as it is now."""
    kept = folder / name
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    if (sandbox.folder / STATE).exists():
        shutil.copytree(sandbox.folder / STATE, kept / STATE)
    if (sandbox.folder / LOG).exists():
        shutil.copy2(sandbox.folder / LOG, kept / LOG)
    return Snapshot(name, kept, calm(sandbox), frozenset(files(sandbox)))


def files(sandbox: Sandbox) -> set[str]:
    """What lies in the folders in which the tool writes, by path; a name's random part is a star."""
    folder = sandbox.folder
    found = [*folder.iterdir(), *sandbox.flag_file.parent.iterdir()]
    if (folder / STATE).exists():
        found += (folder / STATE).rglob("*")
    names = {str(path.relative_to(folder)) for path in found}
    return {_TOKEN.sub("*", name) for name in names if not name.endswith(_OF_SQLITE)}


def calm(sandbox: Sandbox) -> World:
    """The world once two looks in a row see the same: a health check of the proxy may still have to come by."""
    deadline = time.monotonic() + PATIENCE
    before: World | None = None
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            now = world(sandbox)
            if now == before:
                return now
            before = now
        time.sleep(0.05)
    raise AssertionError(f"the sandbox does not come to rest: {before}")


def restore(sandbox: Sandbox, snapshot: Snapshot) -> None:
    """Bring a sandbox back to a snapshot of itself, whatever a killed process has left."""
    _restore_files(sandbox, snapshot)
    deadline = time.monotonic() + PATIENCE
    while True:
        _restore_processes(sandbox, snapshot)
        _restore_rotation(sandbox)
        now = calm(sandbox)
        if now == snapshot.world:
            return
        assert time.monotonic() < deadline, "; ".join(differences(now, snapshot.world))
        time.sleep(0.2)


def differences(have: World, wanted: World) -> list[str]:
    """What differs, in words."""
    found = []
    for name in ("flag_bytes", "flag_mode", "effective", "rotation", "services"):
        here, there = getattr(have, name), getattr(wanted, name)
        if isinstance(here, dict) and isinstance(there, dict):
            keys = [key for key in sorted({*here, *there}) if here.get(key) != there.get(key)]
            found += [f"{name} of {key}: {here.get(key)!r}, not {there.get(key)!r}" for key in keys]
        elif here != there:
            found.append(f"{name}: {here!r}, not {there!r}")
    return found


def _restore_files(sandbox: Sandbox, snapshot: Snapshot) -> None:
    flag_file, wanted = sandbox.flag_file, snapshot.world
    if wanted.flag_bytes is not None and (
        not flag_file.exists()
        or flag_file.read_bytes() != wanted.flag_bytes
        or flag_file.stat().st_mode != wanted.flag_mode
    ):
        flag_file.write_bytes(wanted.flag_bytes)
        flag_file.chmod(wanted.flag_mode & 0o7777)
    for path in _strays(sandbox, snapshot):
        path.unlink(missing_ok=True)
    shutil.rmtree(sandbox.folder / STATE, ignore_errors=True)
    (sandbox.folder / LOG).unlink(missing_ok=True)
    if (snapshot.kept / STATE).exists():
        shutil.copytree(snapshot.kept / STATE, sandbox.folder / STATE)
    if (snapshot.kept / LOG).exists():
        shutil.copy2(snapshot.kept / LOG, sandbox.folder / LOG)


def _strays(sandbox: Sandbox, snapshot: Snapshot) -> Iterator[Path]:
    for folder in (sandbox.folder, sandbox.flag_file.parent):
        for path in folder.iterdir():
            name = _TOKEN.sub("*", str(path.relative_to(sandbox.folder)))
            if path.is_file() and name not in snapshot.files:
                yield path


def _restore_processes(sandbox: Sandbox, snapshot: Snapshot) -> None:
    now = states(sandbox)
    jobs: list[tuple[Any, str]] = []
    for name, wanted in snapshot.world.services.items():
        if wanted == "running" and now[name] != "running":
            jobs.append((sandbox.start, name))
        elif wanted != "running" and now[name] != "stopped":
            jobs.append((sandbox.stop, name))
    jobs += [
        (sandbox.restart, name)
        for name in sandbox.instances
        if now[name] != "running" or not _answers(sandbox, name, snapshot.world.effective[name])
    ]
    if jobs:
        # Side by side: the supervisor takes a second for each that it starts.
        with ThreadPoolExecutor(len(jobs)) as pool:
            list(pool.map(lambda job: job[0](job[1]), jobs))


def _answers(sandbox: Sandbox, instance: str, wanted: Any) -> bool:
    try:
        return bool(sandbox.routing(instance) == wanted)
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _restore_rotation(sandbox: Sandbox) -> None:
    for name in sandbox.instances:
        sandbox.haproxy(f"set server gateway/{name} state ready; set server gateway/{name} health up")
