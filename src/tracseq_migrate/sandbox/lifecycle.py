"""Up, down and status: a sandbox comes whole or not at all, and goes without leaving anything."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracseq_migrate.errors import (
    InvalidSetup,
    TracseqMigrateError,
)
from tracseq_migrate.sandbox import databases, faults, leftovers, postgres, programs, proxies
from tracseq_migrate.sandbox.document import document, dsn_of
from tracseq_migrate.sandbox.ending import earlier, stop, take_down
from tracseq_migrate.sandbox.environment_file import environment_file, flag_file
from tracseq_migrate.sandbox.guards import Interruption, alone, interruptible, nothing_left_of
from tracseq_migrate.sandbox.healthy import PATIENCE, start_the_rest
from tracseq_migrate.sandbox.layout import (
    Layout,
    State,
    choose_socket_folder,
    reserved_ports,
    taken,
)
from tracseq_migrate.sandbox.supervision import Supervisor

GATEWAY_FAULTS = ("strict-env", "env-shadow", "stuck-flag", "slow-start", "unknown-flag", "one-map")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What `up` was asked for. They count for a new sandbox only; an old one goes on as it was made."""

    folder: Path
    port_base: int | None = None
    seed: int = 1
    users: int = 200
    gateway: str = "proxy"
    proxy: str = "auto"
    gateway_faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """What `down` did not remove: ``stays`` is in the sandbox's folder, ``aside`` was edited and moved within it."""

    stays: tuple[Path, ...] = ()
    aside: tuple[Path, ...] = ()


def layout_of(folder: Path) -> Layout:
    """The layout of a sandbox's folder, whether or not it exists."""
    return Layout(folder.expanduser().resolve())


def up(wishes: Wishes, *, say: Say) -> tuple[dict[str, Any], bool]:
    """Bring the sandbox up, and return its document and whether anything had to be started.

    Raises:
        TracseqMigrateError: it did not come up; what was started is stopped again, and what was made is removed.
        Interrupted: the same, for SIGINT, SIGTERM and SIGHUP.
    """
    layout = layout_of(wishes.folder)
    made_root = not layout.root.exists()
    layout.root.mkdir(parents=True, exist_ok=True)
    with alone(layout), nothing_left_of(layout.root if made_root else None):
        state = State.load(layout)
        if state is not None and state.phase == "ready" and Supervisor(state).alive():
            return document(state), False
        with interruptible() as interruption:
            if state is not None and state.phase == "ready":
                _again(state, say)
            else:
                if state is not None:
                    say("an earlier `up` did not come to its end: taking down what it left")
                    take_down(state)
                    made_root = state.made_root
                    layout.root.mkdir(parents=True, exist_ok=True)
                state = _fresh(layout, wishes, interruption, made_root=made_root, say=say)
        return document(state), True


def down(folder: Path, *, keep: bool, say: Say) -> Taken | None:
    """Stop everything, and remove what `up` made unless ``keep``; None where there was no sandbox.

    An environment file or a flag file that is no longer as `up` wrote it is moved aside and kept.

    Raises:
        InvalidSetup: the folder's ``sandbox.json`` is not one of ours; nothing was touched.
        Residue: a process cannot be ended.
    """
    layout = layout_of(folder)
    if not layout.root.is_dir():
        return None
    with alone(layout):
        state = State.load(layout)
        if state is None:
            return None
        say("stopping")
        if keep:
            stop(state)
            return Taken()
        aside = take_down(state)
        stays = sorted(layout.root.iterdir()) if layout.root.exists() else []
        return Taken(tuple(stays), tuple(aside))


def status(folder: Path) -> dict[str, Any]:
    """The document of the sandbox in this folder.

    Raises:
        TracseqMigrateError: there is none.
    """
    return document(find(folder))


def fault(
    folder: Path,
    name: str,
    *,
    on: bool,
    service: str | None = None,
    database: str | None = None,
    seconds: float = faults.SLOW,
) -> list[str]:
    """Switch a fault on or off in a running sandbox; returns those that are on. Raises as `faults.switch`."""
    state = find(folder)
    with alone(state.layout):
        return faults.switch(state, name, on=on, service=service, database=database, seconds=seconds)


def find(folder: Path) -> State:
    """The state of the sandbox in this folder. Raises `TracseqMigrateError` where there is none."""
    layout = layout_of(folder)
    state = State.load(layout)
    if state is None:
        raise TracseqMigrateError(
            f"there is no sandbox in {layout.root}",
            hint=f"Type `tracseq-migrate sandbox up --dir {folder}`.",
        )
    return state


def _fresh(layout: Layout, wishes: Wishes, interruption: Interruption, *, made_root: bool, say: Say) -> State:
    installation = postgres.find_installation(os.environ)
    proxy = None if wishes.gateway == "single" else proxies.find(wishes.proxy, os.environ)
    _refuse_foreign(layout)
    _set_aside(layout, say)
    with reserved_ports(wishes.port_base) as ports:
        state = State(
            root=str(layout.root),
            seed=wishes.seed,
            users=wishes.users,
            ports=ports,
            gateway="proxy" if proxy else "single",
            proxy=proxy[0] if proxy else "none",
            gateway_faults=list(wishes.gateway_faults),
            socket_folder=choose_socket_folder(layout),
            made_root=made_root,
            postgres_bin=str(installation.folder),
            postgres_prefix=list(installation.prefix),
        )
        try:
            state.save()
            _create(state, proxy[1] if proxy else None, say)
            state.phase = "ready"
            state.save()
        except BaseException:
            interruption.ignore()
            say("taking down what was started")
            take_down(state)
            raise
    return state


def _refuse_foreign(layout: Layout) -> None:
    ours = (layout.config, layout.gateway, layout.secrets, layout.run, layout.logs, layout.postgres)
    for path in ours:
        if path.exists():
            raise InvalidSetup(
                f"{path} is there already, and no sandbox made it",
                hint="Choose another folder with --dir; a sandbox overwrites nothing.",
            )


def _set_aside(layout: Layout, say: Say) -> None:
    """Move the journal and the log of an earlier sandbox away: what they tell of is gone."""
    old = [path for path in (layout.journal, layout.log) if path.exists()]
    if not old:
        return
    folder = earlier(layout)
    for path in old:
        path.rename(folder / path.name)
    say(f"the journal and log of an earlier sandbox are now in {folder}")


def _create(state: State, proxy_binary: Path | None, say: Say) -> None:
    layout = state.layout
    for path in (layout.gateway, layout.run, layout.faults, layout.programs, layout.logs):
        path.mkdir()
    layout.secrets.mkdir(mode=0o700)
    environ = programs.environment(state, os.environ)
    cluster = programs.cluster(state)
    say(f"PostgreSQL from {cluster.installation.folder}")
    passwords = {name: postgres.new_password() for name in databases.DATABASES}
    superuser = postgres.new_password()
    cluster.create(superuser, environ=environ)
    dsns = {
        name: cluster.dsn(_sql_name(name), user=_sql_name(name), password=password)
        for name, password in passwords.items()
    }
    superuser_dsn = cluster.dsn("postgres", user=postgres.SUPERUSER, password=superuser)
    for name, dsn in {**dsns, "superuser": superuser_dsn}.items():
        _write_private(layout.dsn_file(name), dsn + "\n")
    texts = {state.flag_file: flag_file(state), layout.config: environment_file(state).encode()}
    state.written = {path.name: hashlib.sha256(text).hexdigest() for path, text in texts.items()}
    state.save()
    for path, text in texts.items():
        path.write_bytes(text)

    supervisor = Supervisor(state)
    supervisor.configure(programs.write(state, proxy_binary))
    supervisor.start(environ)
    cluster.wait_ready(superuser_dsn, timeout=PATIENCE)
    say("databases")
    cluster.create_databases(
        superuser_dsn, {_sql_name(name): password for name, password in passwords.items()}
    )
    databases.create_all(dsns.__getitem__, seed=state.seed, users=state.users)
    start_the_rest(state, supervisor, say)


def _again(state: State, say: Say) -> None:
    """Start a sandbox that was stopped, with the data that it has."""
    leftovers.end(state)
    busy = [port for port in state.ports.values() if port in taken([port])]
    if busy:
        raise TracseqMigrateError(
            f"port {', '.join(map(str, busy))} of this sandbox was taken meanwhile",
            hint="Free it, or type `tracseq-migrate sandbox down` and `up` for new ports.",
        )
    if state.private_sockets:
        sockets = Path(state.socket_folder)
        sockets.mkdir(mode=0o700, exist_ok=True)
        if sockets.stat().st_uid != os.geteuid():
            raise InvalidSetup(f"{sockets}, where this sandbox had its sockets, is somebody else's now")
    programs.all_in_rotation(state)
    say("starting with the data that is there")
    supervisor = Supervisor(state)
    try:
        supervisor.start(programs.environment(state, os.environ))
        superuser_dsn = dsn_of(state, "superuser")
        programs.cluster(state).wait_ready(superuser_dsn, timeout=PATIENCE)
        start_the_rest(state, supervisor, say)
    except BaseException:
        stop(state)
        raise


def _sql_name(database: str) -> str:
    return databases.DATABASES[database]


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
