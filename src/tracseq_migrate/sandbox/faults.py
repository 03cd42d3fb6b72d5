"""Faults that can be switched on and off in a running sandbox. Each is the real thing, made on purpose."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tracseq_migrate.errors import CouldNotReach, InvalidSetup, TracseqMigrateError, UsageError
from tracseq_migrate.sandbox import databases, programs
from tracseq_migrate.sandbox.layout import SERVICES, State
from tracseq_migrate.sandbox.supervision import Supervisor

SLOW = 2.0
_FILLER = ".full"

NAMES = ("service-500", "service-slow", "service-dead", "gateway-no-start", "database-down", "disk-full")


def switch(
    state: State,
    name: str,
    *,
    on: bool,
    service: str | None = None,
    database: str | None = None,
    seconds: float = SLOW,
) -> list[str]:
    """Switch a fault on or off, and return the faults that are on now. Twice on is once on; off restores everything.

    Args:
        service: for the faults of services; None for all of them. The monolith may be named too.
        database: for ``database-down``; None for the whole server.
        seconds: how slow ``service-slow`` is.

    Raises:
        UsageError: no such fault, service or database.
        InvalidSetup: this machine cannot have this fault; says why.
        CouldNotReach: the sandbox does not run.
    """
    if name not in NAMES:
        raise UsageError(f"there is no fault {name!r}", hint=f"There are: {', '.join(NAMES)}.")
    if service is not None and (not name.startswith("service-") or service not in ("monolith", *SERVICES)):
        raise UsageError(
            f"--service {service} does not fit the fault {name}", hint=f"Services: {', '.join(SERVICES)}."
        )
    if database is not None and (name != "database-down" or database not in databases.DATABASES):
        raise UsageError(
            f"--database {database} does not fit the fault {name}",
            hint=f"Databases: {', '.join(databases.DATABASES)}.",
        )
    if not Supervisor(state).alive():
        raise CouldNotReach(
            f"the sandbox in {state.root} does not run",
            hint=f"Type `tracseq-migrate sandbox up --dir {state.root}`.",
        )
    whom = _whom(state, name, service=service, database=database)
    for one in whom:
        key = f"{name}:{one}" if one else name
        if on and key not in state.faults:
            state.faults[key] = _switch_on(state, name, one, seconds)
        elif on and name == "service-slow":
            state.faults[key] = {"delay": seconds}
        elif not on and key in state.faults:
            _switch_off(state, name, one, state.faults.pop(key))
        state.save()
    _write_orders(state)
    return sorted(state.faults)


def all_off(state: State) -> None:
    """Switch every fault off."""
    for key in list(state.faults):
        name, _, one = key.partition(":")
        _switch_off(state, name, one, state.faults.pop(key))
        state.save()
    _write_orders(state)


def _whom(state: State, name: str, *, service: str | None, database: str | None) -> tuple[str, ...]:
    if name.startswith("service-"):
        return (service,) if service else SERVICES
    if name == "gateway-no-start":
        return state.instances
    return (database,) if database else ("",)


def _switch_on(state: State, name: str, one: str, seconds: float) -> dict[str, Any]:
    match name:
        case "service-500":
            return {"status": 500}
        case "service-slow":
            return {"delay": seconds}
        case "service-dead":
            return _keep_from_starting(state, one, name, kill=True)
        case "gateway-no-start":
            return _keep_from_starting(state, one, name, kill=False)
        case "database-down":
            return _database_down(state, one)
    _fill_disk(state)
    return {}


def _switch_off(state: State, name: str, one: str, found: dict[str, Any]) -> None:
    match name:
        case "service-dead" | "gateway-no-start":
            _let_start(state, one, was_running=bool(found["running"]))
        case "database-down":
            _database_up(state, one)
        case "disk-full":
            unmount(state)


def _write_orders(state: State) -> None:
    """Tell the applications, which look at their file before each answer."""
    for application in ("monolith", *SERVICES):
        orders: dict[str, Any] = {}
        for name in ("service-500", "service-slow"):
            orders |= state.faults.get(f"{name}:{application}", {})
        path = state.layout.fault_file(application)
        if orders:
            new = path.with_suffix(".new")
            new.write_text(json.dumps(orders), "utf-8")
            new.replace(path)
        else:
            path.unlink(missing_ok=True)


def _kept(script: Path) -> Path:
    return script.with_name(f"{script.name}.kept")


def _keep_from_starting(state: State, program: str, fault: str, *, kill: bool) -> dict[str, Any]:
    supervisor = Supervisor(state)
    running = supervisor.processes()[program].state == "running"
    script = state.layout.programs / program
    if not _kept(script).exists():
        script.rename(_kept(script))
    script.write_text(
        f"#!/bin/sh\necho '{program}: the fault {fault} keeps it from starting' >&2\nexit 1\n", "utf-8"
    )
    if kill and running:
        supervisor.kill_program(program)
        # The supervisor starts it again, in vain; until it has given up, it looks as if it were starting.
        _wait(lambda: supervisor.processes()[program].state == "fatal", 20.0, f"{program} to be given up")
    return {"running": running}


def _let_start(state: State, program: str, *, was_running: bool) -> None:
    supervisor = Supervisor(state)
    script = state.layout.programs / program
    if _kept(script).exists():
        _kept(script).replace(script)
    if was_running and supervisor.processes()[program].state not in ("running", "starting"):
        supervisor.start_program(program)


def _superuser(state: State) -> str:
    return state.layout.dsn_file("superuser").read_text("utf-8").strip()


def _database_down(state: State, name: str) -> dict[str, Any]:
    if not name:
        Supervisor(state).stop_program("postgres")
        return {}
    import psycopg
    from psycopg import sql

    database = databases.DATABASES[name]
    with psycopg.connect(_superuser(state), autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(sql.Identifier(database))
        )
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,)
        )
    return {}


def _database_up(state: State, name: str) -> None:
    if not name:
        Supervisor(state).start_program("postgres")
        programs.cluster(state).wait_ready(_superuser(state), timeout=30)
        return
    import psycopg
    from psycopg import sql

    with psycopg.connect(_superuser(state), autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true").format(
                sql.Identifier(databases.DATABASES[name])
            )
        )


def _fill_disk(state: State) -> None:
    """Put a file system without a free byte where the flag file is."""
    folder = state.layout.gateway
    impossible = "A full disk needs root and the right to mount; the other faults do not."
    if os.geteuid() != 0:
        raise InvalidSetup("a full disk cannot be had here: this is not root", hint=impossible)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    modes = {name: (folder / name).stat().st_mode & 0o7777 for name in before}
    size = 4096 * (8 + sum(len(body) // 4096 + 1 for body in before.values()))
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tracseq-sandbox-full", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    if done.returncode != 0:
        raise InvalidSetup(f"a full disk cannot be had here: {done.stderr.strip()}", hint=impossible)
    for name, body in before.items():
        (folder / name).write_bytes(body)
        (folder / name).chmod(modes[name])
    try:
        with (folder / _FILLER).open("wb", buffering=0) as filler:
            while True:
                filler.write(b"\0" * 4096)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            unmount(state)
            raise


def unmount(state: State) -> None:
    """Take the full file system away, and keep what was changed on it; harmless where there is none."""
    folder = state.layout.gateway
    if not folder.is_mount():
        return
    after = {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != _FILLER
    }
    # Lazily: a gateway that was started meanwhile works in there.
    done = subprocess.run(
        ["umount", "-l", str(folder)], capture_output=True, text=True, check=False, timeout=10
    )
    if done.returncode != 0:
        raise TracseqMigrateError(f"{folder} cannot be unmounted: {done.stderr.strip()}")
    for name, body in after.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != body:
            path.write_bytes(body)
    for path in _gone_since(folder, after):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _gone_since(folder: Path, after: Iterable[str]) -> list[Path]:
    names = set(after)
    return [path for path in folder.iterdir() if path.is_file() and path.name not in names]


def _wait(done: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() >= deadline:
            raise TracseqMigrateError(f"waited {seconds:g} s for {what}, in vain")
        time.sleep(0.05)
