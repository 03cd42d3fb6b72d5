"""How the forward way and the way back may end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tracseq_migrate.errors import CouldNotReach, InvalidSetup, StepFailed
from tracseq_migrate.ports import SqlFailed, Unreachable

FAILURES = (StepFailed, Unreachable, SqlFailed, InvalidSetup, CouldNotReach)
"""What a step's verb may raise to say that it failed. Everything else that it raises ends the execution."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The forward way ended at a step."""

    step: str
    title: str
    error: str
    hint: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The forward way waits: for a person, for time, or because it was told to stop after a step."""

    step: str
    on: str
    until: str
    next_command: str


@dataclass(frozen=True, slots=True)
class WentBack:
    """How far the way back came: ``left`` is empty when all that was to go back did."""

    reverted: int
    left: Sequence[str] = field(default_factory=tuple)
    hint: str = ""


def describe(failed: Failed) -> str:
    """A failure in one line; what a program wrote last is told with the step itself."""
    first = failed.error.partition("\n")[0].removesuffix("; its last lines:").removesuffix("; it last wrote:")
    return f"step {failed.step} failed: {first}"
