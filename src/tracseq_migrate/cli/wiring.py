"""The only constructor of adapters: from an environment file to a system with every port filled."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tracseq_migrate import __version__
from tracseq_migrate.adapters.clock import SystemClock
from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.dotenv import DotenvFlagStore
from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.adapters.gateway import HttpGateway
from tracseq_migrate.adapters.git import LocalGit
from tracseq_migrate.adapters.guardian import ProcessGuardian
from tracseq_migrate.adapters.http import HttpxHttp
from tracseq_migrate.adapters.identity import (
    VARIABLE,
    CommandIdentity,
    GitIdentity,
    SystemIdentity,
    VariableIdentity,
)
from tracseq_migrate.adapters.kin import end_programs_of
from tracseq_migrate.adapters.postgres.databases import PostgresDatabases
from tracseq_migrate.adapters.postgres.dumps import PostgresDumps
from tracseq_migrate.adapters.postgres.founding import PostgresFounding
from tracseq_migrate.adapters.postgres.sessions import PostgresSessions
from tracseq_migrate.adapters.prober import ThreadProber
from tracseq_migrate.adapters.processes import CommandStarter, ExternalStarter, ProcessServices, Starter
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal, SqliteLease, SqliteVault
from tracseq_migrate.adapters.sqlite_journal.machine import host_name
from tracseq_migrate.adapters.state_folder import make_private
from tracseq_migrate.config import Environment, IdentityCommand, known_of, load, locate
from tracseq_migrate.config.by_hand import hands as hands_of
from tracseq_migrate.errors import InvalidSetup, TracseqMigrateError, UsageError
from tracseq_migrate.migration_log.template import Template, find_template
from tracseq_migrate.operations.by_hand import Remains
from tracseq_migrate.operations.guarded import GuardedSessions, guarded
from tracseq_migrate.operations.system import Gate, LogSettings, System
from tracseq_migrate.operations.views import Header
from tracseq_migrate.plan import PlanShelf, Project, folders
from tracseq_migrate.ports import (
    SYNC,
    Clock,
    Commands,
    Dumps,
    Event,
    FlagStore,
    Founding,
    Gateway,
    Holder,
    Identity,
    Proxy,
    Rollout,
    Services,
    Unreachable,
)
from tracseq_migrate.redact import Redactor
from tracseq_migrate.routing.rollout.reload import ByCommand, Restart, Rolling, Signal
from tracseq_migrate.routing.rollout.swap import ProxySwap
from tracseq_migrate.step import NO_HANDS

if TYPE_CHECKING:
    from tracseq_migrate.cli.session import Session
    from tracseq_migrate.config.start import Start
    from tracseq_migrate.ports.clones import Clones

T = TypeVar("T")
JOURNAL = "journal.sqlite3"
STATE = ".tracseq-migrate"


def _without_plugins() -> None:
    """Keep pydantic from looking for plugins among all installed packages: that takes longer the more there are, and one that
    happened to be there would be shown every value of the environment file, secrets too."""
    from pydantic.plugin import _loader

    _loader._plugins = {}


def environment_of(session: Session, *, offline: bool) -> Environment:
    """The environment that the global options, variables and files choose.

    Raises:
        InvalidInput, InvalidSetup, UsageError: there is none, or it has findings.
    """
    _without_plugins()
    files = LocalFiles()
    path = locate(session.config, Path.cwd(), files)
    return load(path, files, os.environ, environment=session.environment, offline=offline)


@contextmanager
def opened(session: Session, *, offline: bool, watched: bool) -> Iterator[System]:
    """Open the environment: every port filled, the journal ready; closed at the end."""
    environment = environment_of(session, offline=offline)
    redactor = Redactor(environment.secrets)
    session.screen.hide(redactor.text)
    place = environment.state / environment.name
    if make_private(environment.state, place):
        session.screen.warn(f"{_shown(environment.state)} was open to other users; now it is yours alone")
    store = SqliteJournal(place / JOURNAL, environment=environment.name)
    lease = SqliteLease(
        place / JOURNAL,
        environment=environment.name,
        ttl=environment.lease,
        lost=SubprocessCommands.end_all,
        took=_end_programs_of,
    )
    try:
        yield _system(session, environment, redactor, store, lease, place, watched=watched)
    finally:
        lease.close()
        store.close()


def _end_programs_of(holder: Holder) -> None:
    """What it runs on this machine ends with its lock; another machine's processes nobody can end from here."""
    if holder.host == host_name():
        end_programs_of(holder.pid, holder.holder_id)


@contextmanager
def remaining(session: Session, state: Path | None) -> Iterator[Remains]:
    """The journal, read only, and as much of the environment as can be read: for what is printed when little else is left.

    ``state`` is the folder that a person named; else the environment file says it, else it is the nearest one of the usual name.

    Raises:
        InvalidSetup: no journal was found.
        UsageError: there are several, and none was chosen.
    """
    unseen: list[str] = []
    environment: Environment | None = None
    try:
        environment = environment_of(session, offline=True)
    except UsageError:
        if state is None:
            raise
    except (TracseqMigrateError, OSError) as error:
        first, *more = str(error).splitlines() or [""]
        unseen.append(f"the environment file: {first}{f' (and {len(more)} more lines)' if more else ''}")
    redactor = Redactor(environment.secrets) if environment else Redactor()
    session.screen.hide(redactor.text)
    known = environment.state / environment.name if environment and state is None else None
    place = known or _journal_folder(session, state)
    store = SqliteJournal(place / JOURNAL, environment=place.name)
    lease = SqliteLease(place / JOURNAL, environment=place.name)
    gateway = environment.gateway.shown("url") if environment else "not known"
    try:
        yield Remains(
            header=Header(place.name, gateway, _shown(place)),
            store=store,
            holder=lease.show,
            routes=environment.routes if environment else {},
            hands=_known(lambda: hands_of(environment), NO_HANDS) if environment else NO_HANDS,
            unseen=unseen,
            options=session.options,
        )
    finally:
        lease.close()
        store.close()


def _journal_folder(session: Session, state: Path | None) -> Path:
    """The folder of one environment's journal, found without the environment file."""
    start = (session.config.parent if session.config else Path.cwd()).absolute()
    usual = (each / STATE for each in (start, *start.parents))
    root = state or next((each for each in usual if each.is_dir()), None)
    if root is None:
        raise InvalidSetup(
            f"there is no folder {STATE} in {start} or above it, and the environment file cannot say where the state is",
            hint="Name the folder: --state DIR",
        )
    root = root.absolute()
    if (root / JOURNAL).exists():
        return root
    found = sorted(each.parent for each in root.glob(f"*/{JOURNAL}"))
    chosen = [each for each in found if session.environment in (None, each.name)]
    if not chosen:
        names = ", ".join(each.name for each in found) or "none"
        raise InvalidSetup(
            f"there is no journal in {root}" + (f" of environment {session.environment}" if found else ""),
            hint=f"Its environments are: {names}. Name another folder with --state DIR.",
        )
    if len(chosen) > 1:
        names = ", ".join(each.name for each in chosen)
        raise UsageError(
            f"{root} has the journals of several environments: {names}", hint="Choose one: -e NAME"
        )
    return chosen[0]


def _system(
    session: Session,
    environment: Environment,
    redactor: Redactor,
    store: SqliteJournal,
    lease: SqliteLease,
    place: Path,
    *,
    watched: bool,
) -> System:
    gate = Gate(lease)
    clock, files = SystemClock(), LocalFiles()
    programs = SubprocessCommands(
        environment.folder,
        redact=redactor.text,
        withheld=environment.withheld,
        holder=lambda: lease.holder_id,
    )
    commands = guarded(programs, Commands, gate)
    targets, dsns = _targets(environment), _dsns(environment)
    sessions = PostgresSessions(dsns)
    http = HttpxHttp(targets)
    gateway = HttpGateway(
        http,
        instances=[instance.name for instance in environment.gateway.instances],
        names={flag: route.key for flag, route in environment.routes.items()},
        program=environment.gateway.program,
    )
    # Guarded twice: a service may need several programs, one after the other. Asking for a state needs no lease.
    services = guarded(_services(environment, commands, gate), Services, gate)
    flags = guarded(
        DotenvFlagStore(
            environment.gateway.flags.file,
            names=environment.routes,
            write=environment.gateway.flags.write,
            safety=place,
        ),
        FlagStore,
        gate,
    )
    return System(
        header=Header(
            environment.name,
            environment.gateway.shown("url"),
            _shown(place),
        ),
        environment=environment.name,
        sandbox=environment.sandbox,
        store=store,
        vault=SqliteVault(place / JOURNAL, environment=environment.name),
        lease=lease,
        gate=gate,
        clock=clock,
        interrupt=session.stop,
        identity=_identity(environment, programs),
        asker=session.screen.asker(lambda: session.stop.requested),
        files=files,
        git=LocalGit(withheld=environment.withheld),
        http=http,
        gateway=gateway,
        flags=flags,
        rollout=_rollout(environment, gateway, services, commands, clock, gate),
        services=services,
        databases=PostgresDatabases(dsns),
        sessions=GuardedSessions(sessions, gate),
        free_sessions=sessions,
        founding=guarded(PostgresFounding(dsns), Founding, gate),
        dumps=guarded(PostgresDumps(dsns, environment.backups or place / "backups", programs), Dumps, gate),
        prober=ThreadProber(targets),
        commands=commands,
        observer=session.screen.observer() if watched else _Silent(),
        shelf=PlanShelf(
            files,
            folders(files, plans=environment.plans, beside=environment.folder, cwd=Path.cwd()),
            environment,
            Project(environment.folder, known_of(environment.outside), environment.secrets),
        ),
        routes=environment.routes,
        health=environment.health,
        stores=environment.stores,
        monolith=environment.monolith,
        log=LogSettings(
            environment.log.file,
            lambda: find_template(files, [environment.folder, Path.cwd()]),
            environment.log.git.commit,
            environment.log.git.author,
            _render_apart,
        ),
        losses=place / "losses",
        digest_view=environment.digest_view(),
        redact=redactor.value,
        command=redactor.text(shlex.join(["tracseq-migrate", *session.argv])),
        options=session.options,
        version=__version__,
        hands=_known(lambda: hands_of(environment), NO_HANDS),
        host=host_name(),
        pid=os.getpid(),
        guardian=ProcessGuardian(shlex.split(session.options), place),
        clones=partial(_clones, dsns, place / "rehearsals", programs),
    )


def _render_apart(events: Sequence[Event], *, environment: str, template: Template) -> str:
    from tracseq_migrate.adapters.rendering import render_apart

    return render_apart(events, environment=environment, template=template)


def _clones(dsns: Mapping[str, str], folder: Path, programs: Commands) -> Clones:
    from tracseq_migrate.adapters.postgres.clones import PostgresClones

    return PostgresClones(dsns, folder, programs)


class _Silent:
    """Nobody watches a command that only reads."""

    def emit(self, note: object) -> None:
        """Reading commands show their view at the end instead."""


def _known(value: Callable[[], T], otherwise: T) -> T:
    """A value of the environment; ``otherwise`` where it cannot be had without the network or a variable."""
    try:
        return value()
    except Unreachable:
        return otherwise


def _targets(environment: Environment) -> dict[str, str]:
    """The base URLs that are known."""
    asked: list[tuple[str, Callable[[], str]]] = [
        ("gateway", lambda: environment.gateway.url),
        *((instance.name, partial(getattr, instance, "url")) for instance in environment.gateway.instances),
        *((name, partial(getattr, service, "url")) for name, service in environment.services.items()),
    ]
    return {name: url for name, ask in asked if (url := _known(ask, ""))}


def _dsns(environment: Environment) -> dict[str, str]:
    """The connection strings that are known."""
    asked = {name: partial(getattr, each, "dsn") for name, each in environment.databases.items()}
    return {name: dsn for name, ask in asked.items() if (dsn := _known(ask, ""))}


def _services(environment: Environment, commands: Commands, gate: Gate) -> ProcessServices:
    starters: dict[str, Starter] = {}
    for name, service in environment.services.items():
        starters[name] = _starter(name, service.start, environment, commands, gate)
    for instance in environment.gateway.instances:
        starters[instance.name] = _starter(instance.name, instance.start, environment, commands, gate)
    starters.setdefault(SYNC, _starter(SYNC, environment.sync, environment, commands, gate))
    return ProcessServices(starters, tuple(environment.services))


def _starter(name: str, start: Start, environment: Environment, commands: Commands, gate: Gate) -> Starter:
    if start.external:
        return ExternalStarter(name)
    if start.command is not None:
        return CommandStarter(
            commands, name, up=start.command.up, down=start.command.down, status=start.command.status
        )
    from tracseq_migrate.adapters.supervisor import SupervisorProgram

    return SupervisorProgram(str(environment.supervisor), str(start.supervisor), allowed=gate.check)


def _identity(environment: Environment, commands: Commands) -> Identity:
    """Who signs. A variable counts in a sandbox only: anybody can set one."""
    way = environment.identity
    if isinstance(way, IdentityCommand):
        return CommandIdentity(way.command, commands)
    if way == "variable":
        if not environment.sandbox:
            raise InvalidSetup(
                "identity: variable is for sandboxes only, because anybody can set a variable",
                hint="Choose system, git or a command in the environment file.",
            )
        return VariableIdentity(os.environ) if os.environ.get(VARIABLE) else SystemIdentity()
    return GitIdentity(environment.folder) if way == "git" else SystemIdentity()


def _proxy(environment: Environment, gate: Gate) -> Proxy:
    proxy = environment.gateway.proxy
    if proxy is None:
        raise UsageError("strategy proxy needs a proxy in the environment file")
    if proxy.haproxy is not None:
        from tracseq_migrate.adapters.haproxy import HaproxyProxy

        return guarded(HaproxyProxy(str(proxy.haproxy.socket), proxy.haproxy.backend), Proxy, gate)
    from tracseq_migrate.adapters.caddy import CaddyProxy

    assert proxy.caddy is not None  # noqa: S101 - the model has exactly one of the two
    dials = {
        instance.name: instance.url.split("://", 1)[1].rstrip("/")
        for instance in environment.gateway.instances
    }
    return guarded(CaddyProxy(proxy.caddy.admin, dials, server=proxy.caddy.server), Proxy, gate)


def _rollout(
    environment: Environment,
    gateway: Gateway,
    services: Services,
    commands: Commands,
    clock: Clock,
    gate: Gate,
) -> Callable[[Mapping[str, float]], Rollout]:
    reload = environment.gateway.reload
    proxy = _proxy(environment, gate) if reload.strategy == "proxy" else None

    def make(unavailable: Mapping[str, float]) -> Rollout:
        if proxy is not None:
            return ProxySwap(gateway, proxy, services, clock, start=reload.start, drain=reload.drain)
        measured = unavailable.get(reload.strategy)
        if reload.strategy == "signal":
            return Signal(
                gateway, services, clock, signal=str(reload.signal), start=reload.start, measured=measured
            )
        if reload.strategy == "command":
            return ByCommand(
                gateway, commands, clock, argv=reload.command or (), start=reload.start, measured=measured
            )
        kind = Rolling if reload.strategy == "rolling" else Restart
        return kind(gateway, services, clock, start=reload.start, measured=measured)

    return make


def _shown(path: Path) -> str:
    """A path as short as it can be read from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
