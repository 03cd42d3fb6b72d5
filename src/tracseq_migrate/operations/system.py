"""Everything that an operation works with: the ports, the facts of the environment, and how the tool was called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Protocol

from tracseq_migrate.errors import Interrupted, NotAllowed
from tracseq_migrate.frozen import frozen, slotted
from tracseq_migrate.migration_log.template import Template
from tracseq_migrate.operations.observer import Observer
from tracseq_migrate.operations.views import Header
from tracseq_migrate.plan import WeekPlan, digest, normal
from tracseq_migrate.ports import (
    Asker,
    Clock,
    Commands,
    Databases,
    Event,
    Files,
    FlagStore,
    Gateway,
    Git,
    Http,
    Identity,
    Interrupt,
    JournalStore,
    JournalVault,
    Lease,
    Prober,
    Rollout,
    Route,
    Services,
)
from tracseq_migrate.ports.clones import Clones
from tracseq_migrate.ports.dumps import Dumps
from tracseq_migrate.ports.founding import Founding
from tracseq_migrate.ports.guardian import Guardian, NoGuardian
from tracseq_migrate.ports.sql import Sessions
from tracseq_migrate.step import NO_HANDS, Hands

PROGRAM = "tracseq-migrate"


class Shelf(Protocol):
    """Where week plans come from, checked against the environment."""

    def find(self, week: str) -> WeekPlan:
        """The plan of a week's name or a path. Raises `InvalidInput`, `InvalidSetup`, `UsageError` where there is none."""
        ...

    def names(self) -> Sequence[str]:
        """The names of all weeks that there are plans of, in order."""
        ...


def _no_clones() -> Clones:
    raise NotAllowed("databases cannot be cloned here, so nothing can be rehearsed")


class RenderApart(Protocol):
    """As `migration_log.rendering.render`, for a template that nobody vouches for."""

    def __call__(self, events: Sequence[Event], *, environment: str, template: Template) -> str: ...


@frozen
class LogSettings:
    """The migration log: its file, the template (found when it is needed), and whether git keeps it."""

    path: Path
    template: Callable[[], Template]
    commit: bool
    author: str
    render_apart: RenderApart | None = None
    """For templates of the operator's own: rendering where they can do no harm. None renders them like ours."""


@slotted
class Gate:
    """The fence before each effect: holds the epoch under which effects are allowed, once there is one."""

    lease: Lease
    epoch: int | None = None

    def check(self) -> None:
        """Raise `Locked` where the lease is no longer ours. Without an epoch nothing may be changed at all."""
        if self.epoch is None:
            raise AssertionError("an effect was tried without the lease")
        self.lease.check(self.epoch)


@slotted
class LastWords:
    """What is journaled and told where a signal leaves no more time; ``speak`` is None while nothing is at work.

    ``speak`` is called with the signal's number, from a thread of its own; the process ends right after.
    """

    speak: Callable[[int], Interrupted] | None = None


@frozen
class System:
    """One environment, opened. The changing ports are guarded by ``gate``."""

    header: Header
    environment: str
    sandbox: bool
    store: JournalStore
    vault: JournalVault
    lease: Lease
    gate: Gate
    clock: Clock
    interrupt: Interrupt
    identity: Identity
    asker: Asker
    files: Files
    git: Git
    http: Http
    gateway: Gateway
    flags: FlagStore
    rollout: Callable[[Mapping[str, float]], Rollout]
    """Made from what the last reload of each strategy was measured to cost, in seconds: the next is forecast from it."""
    services: Services
    databases: Databases
    sessions: Sessions
    founding: Founding
    dumps: Dumps
    free_sessions: Sessions
    """The same without the gate: for what runs beside the lease, and answers for itself by claims and leads of its own."""
    prober: Prober
    commands: Commands
    observer: Observer
    shelf: Shelf
    routes: Mapping[str, Route]
    health: Mapping[str, str]
    stores: Mapping[str, str]
    monolith: str
    log: LogSettings
    losses: Path
    """The folder for lists of writes that a rollback leaves behind."""
    digest_view: Mapping[str, Any]
    redact: Callable[[Any], Any]
    """Takes secrets out of any JSON value."""
    command: str
    """As it was typed, without secrets."""
    options: str = ""
    """The global options that were given, so that a printed command can be typed as it stands."""
    version: str = ""
    host: str = ""
    pid: int = 0
    hands: Hands = NO_HANDS
    """What a person types here in place of the tool."""
    guardian: Guardian = field(default_factory=NoGuardian)
    clones: Callable[[], Clones] = _no_clones
    """For rehearsals; beside the lease: nothing that people use is changed through it."""
    last_words: LastWords = field(default_factory=LastWords)

    def digest_of(self, plan: WeekPlan) -> str:
        """The digest that runs of a plan in this environment, and signatures for them, are bound to."""
        return digest(plan, normal(plan.texts), self.digest_view)

    def type_this(self, rest: str) -> str:
        """A command that can be typed as it stands, with the global options of this call."""
        rest = rest.removeprefix(f"{PROGRAM} ")
        if self.options:
            rest = rest.removeprefix(f"{self.options} ")
        return f"{PROGRAM} {self.options} {rest}" if self.options else f"{PROGRAM} {rest}"
