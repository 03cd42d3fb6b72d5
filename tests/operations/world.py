"""A fake little TracSeq over the fakes of every port, in which everything hangs together, and processes of the tool in it.

Flag file, gateway instances, proxy, services and databases are the world: they outlive a process of the tool. An instance that
is started anew reads the flag file; the public address is answered by those in rotation; a service answers when it is up, and
counts. `World.process` is the tool, started once: it shares the world and the journal with the processes before it, and
nothing else. A `Script` decides where one of them dies.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from tracseq_migrate.adapters.memory.commands import Call, MemoryCommands
from tracseq_migrate.adapters.memory.databases import MemoryDatabases
from tracseq_migrate.adapters.memory.dumps import MemoryDumps
from tracseq_migrate.adapters.memory.flags import MemoryFlagStore
from tracseq_migrate.adapters.memory.founding import MemoryFounding
from tracseq_migrate.adapters.memory.gateway import MemoryGateway, MemoryProxy
from tracseq_migrate.adapters.memory.http import MemoryHttp, MemoryProber, Request
from tracseq_migrate.adapters.memory.journal import MemoryJournal, MemoryLease
from tracseq_migrate.adapters.memory.people import MemoryAsker, MemoryIdentity
from tracseq_migrate.adapters.memory.services import MemoryServices
from tracseq_migrate.adapters.memory.sessions import MemorySessions
from tracseq_migrate.adapters.memory.surroundings import MemoryClock, MemoryFiles, MemoryGit, MemoryInterrupt
from tracseq_migrate.errors import Interrupted, TracseqMigrateError
from tracseq_migrate.journal.replay import State, WeekState, WeekStatus, replay
from tracseq_migrate.migration_log.template import Template
from tracseq_migrate.operations.approve import approve
from tracseq_migrate.operations.guarded import GuardedSessions, changing_methods, guarded
from tracseq_migrate.operations.observer import Note, StepBegan
from tracseq_migrate.operations.rollback import RollbackOptions, rollback
from tracseq_migrate.operations.run import RunOptions, resume, run
from tracseq_migrate.operations.status import status
from tracseq_migrate.operations.system import Gate, LogSettings, System
from tracseq_migrate.operations.verify import verify
from tracseq_migrate.operations.views import ApprovedView, Header, StatusView, VerifyView
from tracseq_migrate.plan import PlanShelf
from tracseq_migrate.ports import (
    Answer,
    CommandResult,
    Commands,
    Draft,
    Dumps,
    Files,
    FlagStore,
    Founding,
    Git,
    Holder,
    JournalStore,
    JournalVault,
    Lease,
    LeaseInfo,
    Proxy,
    Record,
    Rollout,
    Route,
    Services,
    ServiceState,
    Unreachable,
)
from tracseq_migrate.routing.rollout.reload import Restart
from tracseq_migrate.routing.rollout.swap import ProxySwap
from tracseq_migrate.step import Uses

T = TypeVar("T")

WEEKS = Path(__file__).parents[2] / "weeks"
PLANS = Path("/project/weeks")
# The weeks that this world has services for.
SHIPPED = {PLANS / path.name: path.read_bytes() for path in sorted(WEEKS.glob("week[12]-*.yaml"))}
TEMPLATE = Template("log.md.j2", "# Log\n")
LOG = Path("/project/MIGRATION_LOG.md")
LOSSES = Path("/project/losses")
MONOLITH = "monolith"
INSTANCES = ("gateway-1", "gateway-2")
ROUTES = {
    route.flag: route
    for route in (
        Route("USE_STORAGE_SERVICE", "storage", "/api/storage", "storage"),
        Route("USE_NOTIFICATION_SERVICE", "notifications", "/api/notifications", "notifications"),
        Route("USE_RAG_SERVICE", "rag", "/api/rag", "rag"),
        Route("USE_TEMPLATE_SERVICE", "templates", "/api/templates", "templates"),
    )
}
SERVICES = (MONOLITH, *(route.service for route in ROUTES.values()))
FLAG_FILE = """\
# the gateway's flags
USE_STORAGE_SERVICE=false  # the freezers
USE_NOTIFICATION_SERVICE=no
USE_RAG_SERVICE="false"

USE_TEMPLATE_SERVICE=0
OTHER=kept
"""
SIGNED = {"backup-confirmed": "dump of today", "templates-loaded": "compared, 12 of 12"}


class Killed(BaseException):
    """The process of the tool is gone, as by kill -9: nothing of it runs any more."""


@dataclass
class Script:
    """Where a process dies: at the point of this name, or nowhere. ``passed`` lists the points that it came by."""

    die_at: str = ""
    dead: bool = False
    passed: list[str] = field(default_factory=list)
    _seen: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def point(self, label: str) -> None:
        """Come by a place at which a crash matters. Raises `Killed` where the process dies here, or is dead already."""
        with self._lock:
            self.alive()
            self._seen[label] += 1
            name = f"{label} #{self._seen[label]}"
            self.passed.append(name)
            self.dead = name == self.die_at
            self.alive()

    def alive(self) -> None:
        if self.dead:
            raise Killed(self.die_at)


class _Mortal:
    """A port as a process that can die has it: before and after each call that changes something is a point."""

    def __init__(self, inner: object, port: type, script: Script) -> None:
        self._inner, self._port, self._script = inner, port, script
        self._changing = changing_methods(port)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if not callable(member):
            return member

        def call(*args: Any, **kwargs: Any) -> Any:
            self._script.alive()
            if name not in self._changing:
                return member(*args, **kwargs)
            label = f"{self._port.__name__}.{name}{_about(args)}"
            self._script.point(f"before {label}")
            result = member(*args, **kwargs)
            self._script.point(f"after {label}")
            return result

        return call


def _about(args: Sequence[Any]) -> str:
    """What a call is about, in words that are the same in every process: never a digest or an id of a run."""
    first = args[0] if args else ""
    if isinstance(first, str):
        return f"({first})"
    if not isinstance(first, (list, tuple)):
        return ""
    words = [
        f"{each.type} {each.step}".strip() if isinstance(each, (Draft, Record)) else str(each)
        for each in first
    ]
    return f"({', '.join(words)})"


def mortal(inner: T, port: type, script: Script) -> T:
    """The same port, with a point before and after everything that it changes."""
    return cast(T, _Mortal(inner, port, script))


class ContendedLease(MemoryLease):
    """A lease that somebody else may get first: ``meanwhile`` happens, once, while one waits for it."""

    meanwhile: Callable[[], object] | None = None

    def acquire(self, holder: Holder, *, timeout: float) -> LeaseInfo:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().acquire(holder, timeout=timeout)


@dataclass(frozen=True)
class Outcome:
    """How an operation ended: its exit code, and the error that a person would see, where there was one."""

    code: int
    error: TracseqMigrateError | None = None

    @property
    def text(self) -> str:
        """All that a person would read of the error."""
        return f"{self.error.message}\n{self.error.state}\n{self.error.hint}" if self.error else ""


def outcome(call: Callable[[], int]) -> Outcome:
    """Carry an operation out as the command line does."""
    try:
        return Outcome(int(call()))
    except Interrupted as error:
        return Outcome(error.code, error)
    except TracseqMigrateError as error:
        return Outcome(int(error.exit_code), error)


@dataclass(frozen=True)
class _Surroundings:
    offers: Uses
    routes: Mapping[str, Route]
    monolith: str


class World:
    """See the module. Everything that it has may be looked at and bent."""

    def __init__(self, *, strategy: str = "proxy") -> None:
        self.strategy = strategy
        self.clock = MemoryClock()
        self.files = MemoryFiles()
        self.git = MemoryGit(self.files)
        self.identity = MemoryIdentity()
        self.asker = MemoryAsker()
        self.interrupt = MemoryInterrupt()
        self.lease = ContendedLease()
        self.journal = MemoryJournal(self.lease)
        self.flags = MemoryFlagStore(FLAG_FILE, names=ROUTES, location="flags.env")
        self.proxy = MemoryProxy(INSTANCES)
        self.gateway = MemoryGateway(
            INSTANCES,
            {flag: route.key for flag, route in ROUTES.items()},
            lambda: self.flags.read().values,
            proxy=self.proxy,
        )
        self.services = MemoryServices(SERVICES, INSTANCES, on_up=self._up, on_down=self._down)
        for name in (MONOLITH, *INSTANCES):
            self.services.states[name] = ServiceState.RUNNING
        self.sessions = MemorySessions()
        self.founding = MemoryFounding()
        self.dumps = MemoryDumps()
        self.databases = MemoryDatabases(
            {
                "main": {"public.locations": [{"id": 1, "name": "freezer"}]},
                "storage": {"public.locations": [{"id": 7, "name": "shelf"}]},
                "notifications": {"public.messages": []},
                "templates": {"public.templates": [{"id": 1, "name": "plate"}]},
                "rag": {"public.documents": []},
            }
        )
        self.stores = {"storage": "storage", "notifications": "notifications", "templates": "templates"}
        self.http = MemoryHttp(
            {name: f"http://{name}.invalid" for name in ("gateway", *INSTANCES, *SERVICES)}
        )
        self._counting = threading.RLock()
        self._turn = 0
        self.counted: Counter[tuple[str, str]] = Counter()
        self.deaf: set[str] = set()
        """Sides without /metrics."""
        self.broken: dict[str, int] = {}
        """Services that answer this status to everything but /health and /metrics."""
        self.sick: dict[str, int] = {}
        """Services whose /health answers this status."""
        self.stuck: set[str] = set()
        """Flags that the gateway does not take up, because its own environment shadows them."""
        self.on_request: Callable[[Request], None] = lambda request: None
        """Called for each request that arrives anywhere; may change the world, as users do."""
        for name in SERVICES:
            self.http.otherwise[name] = self._service
        for name in ("gateway", *INSTANCES):
            self.http.otherwise[name] = self._through
        self.prober = MemoryProber(self.http)
        self.programs: dict[str, bool] = {}
        """The effect of the operator's programs, by name: there or not."""
        self.commands = MemoryCommands({"program": self._program})
        self.notes: list[Note] = []
        self.on_note: Callable[[Note], None] = lambda note: None
        """Called with each note; may change the world at that moment."""
        self.environment: dict[str, Any] = {"name": "lab"}
        self.commit = False
        self.script = Script()
        self.secrets: Callable[[Any], Any] = lambda value: value
        self.files.bodies |= SHIPPED

    # What people do

    def process(self, script: Script | None = None) -> System:
        """The tool, started: dead processes before it have lost the lease, as processes do when they die."""
        if self.script.dead:
            self.lease.abandon()
        self.script = script or Script()
        script = self.script
        lease: Lease = mortal(self.lease, Lease, script)
        gate = Gate(lease)
        commands: Commands = guarded(mortal(self.commands, Commands, script), Commands, gate)
        services: Services = guarded(mortal(self.services, Services, script), Services, gate)
        flags: FlagStore = guarded(mortal(self.flags, FlagStore, script), FlagStore, gate)
        proxy: Proxy = guarded(mortal(self.proxy, Proxy, script), Proxy, gate)

        def rollout(unavailable: Mapping[str, float]) -> Rollout:
            if self.strategy == "proxy":
                made: Rollout = ProxySwap(self.gateway, proxy, services, self.clock, start=10.0, drain=1.0)
            else:
                measured = unavailable.get("supervisor")
                made = Restart(self.gateway, services, self.clock, start=10.0, measured=measured)
            return guarded(mortal(made, Rollout, script), Rollout, gate)

        files: Files = mortal(self.files, Files, script)
        return System(
            header=Header("lab", "http://gateway.invalid", "memory"),
            environment="lab",
            sandbox=False,
            store=mortal(self.journal, JournalStore, script),
            vault=mortal(self.journal, JournalVault, script),
            lease=lease,
            gate=gate,
            clock=self.clock,
            interrupt=self.interrupt,
            identity=self.identity,
            asker=self.asker,
            files=files,
            git=mortal(self.git, Git, script),
            http=self.http,
            gateway=self.gateway,
            flags=flags,
            rollout=rollout,
            services=services,
            databases=self.databases,
            sessions=GuardedSessions(self.sessions, gate),
            free_sessions=self.sessions,
            founding=guarded(mortal(self.founding, Founding, script), Founding, gate),
            dumps=guarded(mortal(self.dumps, Dumps, script), Dumps, gate),
            prober=self.prober,
            commands=commands,
            observer=self,
            shelf=PlanShelf(files, (PLANS,), _surroundings()),
            routes=ROUTES,
            health=dict.fromkeys(SERVICES, "/health"),
            stores=self.stores,
            monolith=MONOLITH,
            log=LogSettings(LOG, lambda: TEMPLATE, self.commit, "Log <log@example.org>"),
            losses=LOSSES,
            digest_view=self.environment,
            redact=self.secrets,
            command="tracseq-migrate test",
            version="0",
            host="bench",
            pid=1,
        )

    def emit(self, note: Note) -> None:
        self.notes.append(note)
        self.on_note(note)

    def run(self, week: str = "week1", *, script: Script | None = None, **options: Any) -> Outcome:
        """``run WEEK --yes`` with everything signed that the shipped plans ask for."""
        signed = {
            item: text for item, text in SIGNED.items() if (item == "backup-confirmed") == (week == "week1")
        }
        known = {"confirm": signed if week in ("week1", "week2") else {}, "assume_yes": True, **options}
        system = self.process(script)
        return outcome(lambda: run(system, week, RunOptions(**known)))

    def resume(self, week: str | None = None, *, script: Script | None = None, **options: Any) -> Outcome:
        system = self.process(script)
        return outcome(lambda: resume(system, week, RunOptions(**options)))

    def rollback(self, week: str = "week1", *, script: Script | None = None, **options: Any) -> Outcome:
        system = self.process(script)
        return outcome(lambda: rollback(system, week, RollbackOptions(**options)))

    def approve(self, week: str, item: str, *, evidence: str = "", by: str = "") -> ApprovedView:
        return approve(self.process(), week, item, evidence=evidence, claimed=by)

    def status(self) -> StatusView:
        return status(self.process())

    def verify(self, week: str | None = None) -> VerifyView:
        return verify(self.process(), week)

    def plan(self, week: str, *steps: Mapping[str, Any], **head: Any) -> str:
        """Put a plan on the shelf, in the place of an earlier one of this week; returns its name."""
        document = {"week": week, "title": f"Title of {week}", "risk": "low", **head, "steps": list(steps)}
        self.files.bodies[PLANS / f"{week}.yaml"] = json.dumps(document, indent=1).encode()
        return week

    def when(self, doing: str, step: str, act: Callable[[], object]) -> None:
        """At the moment at which a step begins to ``apply``, ``verify``, ``probe`` or ``revert``, let something happen, once."""
        left = [act]

        def on_note(note: Note) -> None:
            if isinstance(note, StepBegan) and (note.doing, note.step) == (doing, step) and left:
                left.pop()()

        self.on_note = on_note

    def users_write(self, database: str, table: str, **row: object) -> None:
        """Users write a row."""
        self.databases.tables[database][table].append(dict(row))

    # What is true

    @property
    def state(self) -> State:
        return replay(self.journal.events)

    def week(self, name: str = "week1") -> WeekState:
        return self.state.week(name)

    def types(self, *, step: str | None = None) -> list[str]:
        """The types of the events, in order; of one step where one is named."""
        return [event.type for event in self.journal.events if step is None or event.step == step]

    def effective(self, flag: str) -> list[bool]:
        return [self.gateway.effective[name][flag] for name in INSTANCES]

    def snapshot(self) -> dict[str, Any]:
        """All of the world that a run touches, to be compared."""
        return {
            "flag file": self.flags.text,
            "effective": {name: dict(flags) for name, flags in self.gateway.effective.items()},
            "silent": dict(self.gateway.down),
            "rotation": self.proxy.rotation,
            "services": dict(self.services.states),
            "rows": {
                name: {t: list(r) for t, r in inside.items()}
                for name, inside in self.databases.tables.items()
            },
            "programs": {name: there for name, there in self.programs.items() if there},
            "owed": sorted(self.state.obligations),
        }

    def statuses(self) -> dict[str, WeekStatus]:
        return {name: week.status for name, week in self.state.weeks.items()}

    # How it works

    def _up(self, name: str) -> None:
        if name not in INSTANCES:
            return
        before = dict(self.gateway.effective[name])
        self.gateway.reload(name)
        for flag in self.stuck:
            self.gateway.effective[name][flag] = before[flag]

    def _down(self, name: str) -> None:
        if name in INSTANCES:
            self.gateway.down[name] = "connection refused"
        # A restart is two things, and a process of the tool may die between them.
        self.script.point(f"while {name} is down")

    def _program(self, call: Call) -> CommandResult:
        """``program NAME do|undo|there|probe``."""
        _, name, verb = call.argv
        if verb in ("do", "undo"):
            self.programs[name] = verb == "do"
            return CommandResult(0, "", "", 0.0)
        return CommandResult(0 if self.programs.get(name) else 1, "it is there\n", "", 0.0)

    def _service(self, request: Request) -> Answer:
        name = request.target
        self.on_request(request)
        if self.services.states[name] is not ServiceState.RUNNING:
            raise Unreachable(f"GET {request.path} ({name})", "connection refused", refused=True)
        with self._counting:
            return self._answer(name, request.path)

    def _answer(self, name: str, path: str) -> Answer:
        if path == "/health":
            return _json(self.sick.get(name, 200), {"status": "healthy", "service": name})
        if path == "/metrics":
            if name in self.deaf:
                return _json(404, {})
            lines = [
                f'http_requests_total{{prefix="{prefix}",method="GET",status="200"}} {count}'
                for (side, prefix), count in sorted(self.counted.items())
                if side == name
            ]
            return Answer(
                200, (), "\n".join([*lines, 'http_requests_total{prefix="other"} 0\n']).encode(), 0.0
            )
        public = path if path.startswith("/api") else f"/api{path}"
        first = re.match(r"/api/[^/]+", public)
        self.counted[name, first.group() if first else "other"] += 1
        if name in self.broken:
            return _json(self.broken[name], {"detail": "out of order"})
        deep = public.count("/") > 2
        if name == MONOLITH:
            return (
                _json(404, {"error": "Not found", "message": public}) if deep else _json(200, {"items": []})
            )
        return _json(404, {"detail": "Not Found"}) if deep else _json(200, {"data": [], "total": 0})

    def _through(self, request: Request) -> Answer:
        """A request that arrives at the gateway: its public address, or one instance."""
        self.on_request(request)
        with self._counting:
            instance = request.target if request.target in INSTANCES else self._next()
            if self.services.states[instance] is not ServiceState.RUNNING:
                raise Unreachable(f"GET {request.path} ({instance})", "connection refused", refused=True)
            if request.path == "/health":
                return _json(200, {"status": "healthy", "service": "TracSeq API Gateway"})
            flags = self.gateway.effective[instance]
            for flag, route in ROUTES.items():
                if request.path.startswith(route.prefix) and flags[flag]:
                    return self._forward(route.service, request.path.removeprefix("/api"), "microservice")
            return self._forward(MONOLITH, request.path, "monolith")

    def _next(self) -> str:
        serving = [
            name
            for name in INSTANCES
            if name in self.proxy.rotation and self.services.states[name] is ServiceState.RUNNING
        ]
        if not serving:
            raise Unreachable("gateway", "no instance answers")
        self._turn += 1
        return serving[self._turn % len(serving)]

    def _forward(self, name: str, path: str, side: str) -> Answer:
        if self.services.states[name] is not ServiceState.RUNNING:
            return _json(503, {"detail": f"Service unavailable: {side}"})
        return self._answer(name, path)


def _json(status: int, body: object) -> Answer:
    return Answer(status, (("Content-Type", "application/json"),), json.dumps(body).encode(), 0.0)


def _surroundings() -> _Surroundings:
    offers = Uses(
        services=frozenset(SERVICES),
        flags=frozenset(ROUTES),
        databases=frozenset(),
        targets=frozenset({"gateway", *INSTANCES, *SERVICES}),
    )
    return _Surroundings(offers, ROUTES, MONOLITH)


def program(name: str, **more: Any) -> dict[str, Any]:
    """A ``command`` step over the world's programs, with all of its verbs."""
    verbs = {"run": "do", "verify": "there", "probe": "probe", "revert": "undo"}
    body: dict[str, Any] = {key: ["program", name, verb] for key, verb in verbs.items()}
    body.update(more)
    return {"id": name, "command": {key: value for key, value in body.items() if value is not None}}
