"""What a step answers: its effect, what it would change, what it saw, what going back would leave behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from tracseq_migrate.frozen import frozen
from tracseq_migrate.journal.said import DONE as DONE
from tracseq_migrate.journal.said import UNDONE as UNDONE

Direction = Literal["forward", "backward", "either"]

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


class NamedText(NamedTuple):
    """A file whose text a run depends on, or every file of a folder that ends in ``suffix``.

    ``name`` is a path without ``..``, looked for in the folder of the plan, and then beside that folder; ``way`` is where in the
    step it is named.
    """

    way: tuple[str | int, ...]
    name: str
    suffix: str = ""


@frozen
class Text:
    """A file that a plan names: its path, for messages, and what stands in it."""

    file: str
    body: str


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


class BrokenOff(Exception):
    """A signal asked to stop, and the step stopped where it can go on from: `resume` takes it up there."""


@frozen
class Concern:
    """A question that a step wants answered before anything changes; only ``pass`` passes."""

    question: str
    verdict: Literal["pass", "fail", "unknown"]
    detail: str
    remedy: str = ""
