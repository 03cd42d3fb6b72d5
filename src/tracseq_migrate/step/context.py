"""The context in which a step answers: ports, the facts of the environment, and what this execution allows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports import (
    Asker,
    Clock,
    Commands,
    Databases,
    FlagStore,
    Gateway,
    Http,
    Interrupt,
    Prober,
    Rollout,
    Route,
    Services,
)
from tracseq_migrate.ports.dumps import Dumps
from tracseq_migrate.ports.founding import Founding
from tracseq_migrate.ports.guardian import Guardian, NoGuardian
from tracseq_migrate.ports.sql import Sessions
from tracseq_migrate.step.answers import Direction


@frozen
class Approval:
    """A signature that holds now."""

    person: str
    evidence: str


class Journaling(ABC):
    """What a step may write into the journal while it applies or reverts. Durable when a call returns."""

    @abstractmethod
    def checkpoint(self, name: str, data: Mapping[str, Any], direction: Direction = "either") -> None:
        """A sub-step inside a long apply is done."""

    @abstractmethod
    def owe(self, name: str, what: str, ends: str) -> None:
        """Open an obligation: ``what`` must still happen; ``ends`` says what ends it."""

    @abstractmethod
    def settle(self, name: str) -> None:
        """Close it."""

    @abstractmethod
    def owes(self, name: str) -> bool:
        """Whether this step's obligation of this name is open: whatever it was opened for was not seen to end."""

    @abstractmethod
    def attach(self, body: bytes) -> str:
        """Keep a body too large for an event; returns its digest, which may stand in an undo."""

    @abstractmethod
    def attachment(self, digest: str) -> bytes:
        """A body that was kept. Raises `Residue` where it is gone or does not fit its digest."""


@frozen
class StepContext:
    """Ports, the facts of the environment that steps need, and what this one execution allows."""

    week: str
    run_id: str
    step_id: str
    sandbox: bool
    clock: Clock
    interrupt: Interrupt
    http: Http
    gateway: Gateway
    flags: FlagStore
    rollout: Rollout
    services: Services
    databases: Databases
    sessions: Sessions
    founding: Founding
    dumps: Dumps
    prober: Prober
    commands: Commands
    asker: Asker
    routes: Mapping[str, Route]
    """By flag."""
    health: Mapping[str, str]
    """The health path of each service."""
    stores: Mapping[str, str]
    """The database that each service keeps its data in; services without one are missing."""
    monolith: str
    journal: Journaling
    deadline: float
    """When this step's time is over, on the clock's monotonic scale."""
    say: Callable[[str], None]
    """A line about progress, for the one who watches; nothing depends on it."""
    approvals: Callable[[str], Sequence[Approval]]
    """The signatures on an item that hold now."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """The files that the plan's steps read, by the names that `Step.reads` gives them, as they were when the run began."""
    guardian: Guardian = field(default_factory=NoGuardian)
    """What goes on with a step where this process dies in the middle of it."""
    completed: bool = False
    """Whether the week's way back was given up, for ever."""
    assume_yes: bool = False
    accept_loss: bool = False
    keep_running: bool = False
    """For `adopt`: services that a plan starts are taken for ones that ran before, so that going back leaves them alone."""
    deep: bool = False
    """For `preview`: look at the rows that would move as well, however long that takes."""
    settled: bool = False
    """False while something is expected to change: a step that looks may then wait for it, up to its deadline."""

    def remaining(self, at_most: float = float("inf")) -> float:
        """Seconds left for this step, at least 0.05 and at most ``at_most``: a timeout for the next call."""
        return max(0.05, min(at_most, self.deadline - self.clock.monotonic()))

    @property
    def late(self) -> bool:
        """Whether the step's time is over."""
        return self.clock.monotonic() >= self.deadline
