"""The step protocol: what every kind of step can be asked, and the context in which it answers.

A step is a frozen model that carries its own verbs; the context holds ports only. When each verb runs:

========== ================================================ ==========================================================
verb       runs                                             may change something
========== ================================================ ==========================================================
uses       when a plan is validated                         no
preview    for ``plan``, and before a run asks for consent  no
concerns   in the preflight of a run                        no
prepare    before anything happens; its answer is journaled no
apply      after the intent is durable                      yes; must be repeatable under the same undo
verify     after apply, and whenever ``verify`` is typed    no
probe      when the outcome is not known                    no
losses     before going back, and after                     no
revert     going back; must be repeatable                   yes; and must prove what it put back
adopt      after a loss of the journal                      no
========== ================================================ ==========================================================

A new kind is one module under ``steps/`` with one subclass of `Step`: it is found there, and nowhere else listed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from tracseq_migrate.errors import StepFailed
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
    Routes,
    Services,
    Unreachable,
)

Direction = Literal["forward", "backward", "either"]
UNDONE = "-undone"
"""What a person signs behind a step's id, to say that it is undone where the step itself cannot tell."""

Undo = dict[str, Any]
"""What is needed to go back, in JSON values; journaled inside the intent."""


class EffectKind(StrEnum):
    NONE = "none"
    REVERSIBLE = "reversible"
    IRREVERSIBLE = "irreversible"


@frozen
class Effect:
    """What a step does to the world; ``reason`` says why an irreversible one has no way back."""

    kind: EffectKind
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.kind} ({self.reason})" if self.reason else str(self.kind)


NO_EFFECT = Effect(EffectKind.NONE)
REVERSIBLE = Effect(EffectKind.REVERSIBLE)


@frozen
class Uses:
    """The names that a step takes from the environment, so that a plan can be checked against it before anything runs."""

    services: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    databases: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()


class NamedPath(NamedTuple):
    """A path that a plan names: where in the step it stands, as written, and the folder of the project that it counts from."""

    way: tuple[str | int, ...]
    path: str
    base: str = ""


class Certainty(StrEnum):
    """How a line of a preview is known."""

    KNOWN = "known"
    ASSUMED = "assumed"
    UNKNOWABLE = "cannot be known before"


@frozen
class PreviewLine:
    certainty: Certainty
    text: str


@frozen
class Preview:
    """What a step would change: ``changes`` is false where it would change nothing; ``diff`` is of a file, where one changes."""

    lines: tuple[PreviewLine, ...]
    changes: bool
    diff: str = ""


def known(text: str) -> PreviewLine:
    return PreviewLine(Certainty.KNOWN, text)


def assumed(text: str) -> PreviewLine:
    return PreviewLine(Certainty.ASSUMED, text)


def unknowable(text: str) -> PreviewLine:
    return PreviewLine(Certainty.UNKNOWABLE, text)


@frozen
class Evidence:
    """One thing that was seen: a sentence for a person, and the measured values behind it (JSON)."""

    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


@frozen
class Done:
    """The effect came about, as far as apply can tell; verify looks. ``measured`` is what only apply could see."""

    measured: tuple[Evidence, ...] = ()


@frozen
class WaitingOn:
    """The step waits: ``on`` whom or what, ``until`` when (RFC 3339, or empty), and the command that goes on."""

    on: str
    next_command: str
    until: str = ""
    item: str = ""
    """What a person would sign to let it go on; empty where no signature does."""
    yes: bool = False
    """Whether ``--yes`` may answer."""


class Found(StrEnum):
    NOT_DONE = "not done"
    DONE = "done"
    PARTLY = "partly"
    UNKNOWN = "unknown"


@frozen
class Probed:
    """What reality says of a step in doubt, and which direction is safe from there."""

    found: Found
    detail: str
    safe: Direction = "either"


@frozen
class Adopted:
    """What reality says of a step that no journal knows of: whether it is in force, with evidence, and how it would go back.

    Only ``done`` is taken for done, and needs evidence. ``assumed`` says, in sentences, what of the undo cannot be known any
    more. ``checkpoints`` are those that an apply would have left.
    """

    found: Found
    detail: str
    undo: Undo = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    checkpoints: tuple[str, ...] = ()


@frozen
class Loss:
    """Something written on the new side that going back would leave behind there.

    ``what`` is inserted, updated or deleted; ``row`` is the row as it is now (None where it is gone).
    """

    where: str
    what: Literal["inserted", "updated", "deleted"]
    key: str
    row: Mapping[str, Any] | None = None


class LossRefused(Exception):
    """Going back would leave writes behind on the new side, and nobody accepted that. What was in force stays in force."""

    def __init__(self, losses: Sequence[Loss]) -> None:
        super().__init__(f"{len(losses)} writes would be left behind")
        self.losses = tuple(losses)


@frozen
class Concern:
    """A question that a step wants answered before anything changes; only ``pass`` passes."""

    question: str
    verdict: Literal["pass", "fail", "unknown"]
    detail: str
    remedy: str = ""


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
    assume_yes: bool = False
    accept_loss: bool = False
    keep_running: bool = False
    """For `adopt`: services that a plan starts are taken for ones that ran before, so that going back leaves them alone."""
    settled: bool = False
    """False while something is expected to change: a step that looks may then wait for it, up to its deadline."""

    def remaining(self, at_most: float = float("inf")) -> float:
        """Seconds left for this step, at least 0.05 and at most ``at_most``: a timeout for the next call."""
        return max(0.05, min(at_most, self.deadline - self.clock.monotonic()))

    @property
    def late(self) -> bool:
        """Whether the step's time is over."""
        return self.clock.monotonic() >= self.deadline


@frozen
class ServiceHands:
    """The commands that start and stop a service; empty where somebody else does it."""

    start: str = ""
    stop: str = ""


@frozen
class Hands:
    """What a person types, in bash, where the tool cannot be used: by what is to be done.

    ``folder`` is where relative paths begin; ``reload`` makes every instance of the gateway read the flag file anew.
    """

    folder: str = ""
    flag_file: str = ""
    services: Mapping[str, ServiceHands] = field(default_factory=dict)
    reload: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    """What the gateway calls each flag in its answers."""

    def service(self, name: str, verb: Literal["start", "stop"], why: str) -> str:
        """One line: the command where it is known, else a comment."""
        known = getattr(self.services.get(name, ServiceHands()), verb)
        return f"{known}  # {verb} {name} ({why})" if known else f"# {verb} {name} ({why})"

    def document(self) -> dict[str, Any]:
        """In JSON values."""
        return {
            "folder": self.folder,
            "flag_file": self.flag_file,
            "services": {
                name: {"start": each.start, "stop": each.stop} for name, each in self.services.items()
            },
            "reload": list(self.reload),
            "keys": dict(self.keys),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Hands:
        """What `document` made; what an older journal does not have is empty."""
        return cls(
            str(document.get("folder", "")),
            str(document.get("flag_file", "")),
            {
                str(name): ServiceHands(str(each.get("start", "")), str(each.get("stop", "")))
                for name, each in document.get("services", {}).items()
            },
            tuple(map(str, document.get("reload", ()))),
            {str(flag): str(key) for flag, key in document.get("keys", {}).items()},
        )


NO_HANDS = Hands()


class Step(BaseModel, ABC):
    """One kind of step. Subclasses are frozen models whose fields are what a plan writes under the kind's key."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: ClassVar[str]
    summary: ClassVar[str]
    """One sentence for people who write plans."""
    default_timeout: ClassVar[float] = 300.0
    """Seconds that it may take where the plan does not say."""

    @property
    def effect(self) -> Effect:
        return REVERSIBLE

    @property
    def is_check(self) -> bool:
        """Whether it may stand under ``preflight``: it has no effect and asks a question."""
        return self.effect.kind is EffectKind.NONE and self.checks

    checks: ClassVar[bool] = False

    @property
    @abstractmethod
    def title(self) -> str:
        """What it does, in a few words, where the plan gives no title."""

    def uses(self) -> Uses:
        return Uses()

    def named_paths(self) -> Sequence[NamedPath]:
        """Every file, folder and program that it names by a path; the plan is refused where one lies out of bounds."""
        return ()

    def findings(self) -> list[str]:
        """What is wrong with it that the types of its fields do not say; empty where nothing is."""
        return []

    def fits(self, routes: Routes, monolith: str) -> list[str]:
        """What is wrong with it in this environment, beyond names that the environment does not have."""
        return []

    def concerns(self, ctx: StepContext) -> list[Concern]:
        """What can be found out before anything changes that would make this step fail, or change nothing."""
        return []

    def touches(self) -> frozenset[str]:
        """The resources that it changes; steps of one parallel group must be disjoint."""
        return frozenset()

    @abstractmethod
    def preview(self, ctx: StepContext, *, offline: bool) -> Preview:
        """What would change. ``offline``: no network at all. Raises `Unreachable` never: what cannot be asked is a line."""

    def prepare(self, ctx: StepContext) -> Undo:
        """What going back needs. Raises `StepFailed` where the step cannot begin; nothing was changed then."""
        return {}

    @abstractmethod
    def apply(self, ctx: StepContext, undo: Undo) -> Done | WaitingOn:
        """Bring the effect about. Raises `StepFailed`, `Unreachable`."""

    @abstractmethod
    def verify(self, ctx: StepContext) -> list[Evidence]:
        """See the effect. Raises `StepFailed` where it is not there, `Unreachable` where it could not be asked."""

    @abstractmethod
    def probe(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> Probed:
        """What state reality is in. Never raises for what it could not ask: that is `Found.UNKNOWN`."""

    def adopt(self, ctx: StepContext) -> Adopted:
        """Look whether the effect is there, though no journal says so, and find out or assume the way back. Changes nothing.

        Never raises for what it could not ask: that is `Found.UNKNOWN`.
        """
        if self.effect.kind is not EffectKind.NONE:
            return Adopted(
                Found.UNKNOWN, f"a step of kind {self.kind} cannot be adopted: it cannot tell what it did"
            )
        try:
            evidence = tuple(self.verify(ctx))
        except (StepFailed, Unreachable) as error:
            return Adopted(Found.NOT_DONE, str(error))
        if not evidence:
            return Adopted(Found.NOT_DONE, "nothing is there to be seen of it")
        return Adopted(Found.DONE, evidence[0].text, evidence=evidence)

    def losses(self, ctx: StepContext, undo: Undo) -> list[Loss]:
        """What going back now would leave behind. Raises `Unreachable` where it could not be counted."""
        return []

    def revert(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> list[Evidence]:
        """Go back to what was before the first apply, and see it.

        Raises:
            StepFailed, Unreachable: it is not, or not seen to be, as before.
            LossRefused: writes would be left behind; the step is in force as it was.
        """
        return []

    def manual(self, undo: Undo, routes: Mapping[str, Route], hands: Hands = NO_HANDS) -> list[str]:
        """What a person would type to go back by hand: lines for bash, in order; what no command does is a comment (``# ...``).

        Args:
            undo: of the step, from the journal.
            routes: by flag; empty where they are not known any more.
            hands: the commands of the environment; what they do not have is said in words.
        """
        return []
