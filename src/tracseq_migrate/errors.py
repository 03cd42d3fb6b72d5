"""Every error that a user may meet: one hierarchy, one exit code each, one section of the runbook each.

The message of an error says what failed and where; ``state`` says what the system is like now; ``hint`` says what to type
next. The command line prints the three and nothing else; a traceback is for bugs of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from signal import SIGHUP, SIGTERM, Signals
from typing import ClassVar


class Exit(IntEnum):
    """The exit codes that scripts may rely on; fields are only ever added."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    INVALID = 3
    NOT_ALLOWED = 4
    ROLLED_BACK = 5
    RESIDUE = 6
    IN_PROGRESS = 7
    LOCKED = 8
    WAITING = 9
    CHANGES = 10
    DIFFERENT = 11
    DECLINED = 12
    SIGHUP = 129
    SIGINT = 130
    SIGTERM = 143


class TracseqMigrateError(Exception):
    """An error with a promise: ``exit_code``, what state things are in, and what to do next."""

    exit_code: ClassVar[int] = Exit.ERROR
    default_state: ClassVar[str] = "Nothing was changed."

    def __init__(self, message: str, *, state: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.state = state or self.default_state
        self.hint = hint

    @property
    def page(self) -> str:
        """The section of the runbook that has more."""
        return f"docs/runbook.md#exit-{int(self.exit_code)}"


class CouldNotReach(TracseqMigrateError):
    """Something outside did not answer. Nothing was changed."""


class UsageError(TracseqMigrateError):
    """The command line makes no sense."""

    exit_code = Exit.USAGE


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong in a file, at a place, with its remedy. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.message}"
        return f"{text} ({self.remedy})" if self.remedy else text


class InvalidInput(TracseqMigrateError):
    """A plan or the environment file is wrong; carries every finding at once."""

    exit_code = Exit.INVALID

    def __init__(self, findings: Sequence[Finding], *, hint: str = "") -> None:
        self.findings = tuple(sorted(findings))
        super().__init__("\n".join(map(str, self.findings)), hint=hint)


class InvalidSetup(TracseqMigrateError):
    """The environment is wrong in a way that no line of a file shows (a missing file, an unset variable)."""

    exit_code = Exit.INVALID


class NotAllowed(TracseqMigrateError):
    """Not allowed yet: preflight, checklist, approval, order of weeks, edited plan. Nothing was changed."""

    exit_code = Exit.NOT_ALLOWED


class RolledBack(TracseqMigrateError):
    """A step or gate failed; everything was put back, and that was proven."""

    exit_code = Exit.ROLLED_BACK
    default_state = "Everything was rolled back."


class Residue(TracseqMigrateError):
    """A rollback failed, or the journal is broken: a person must act. ``state`` lists what is left."""

    exit_code = Exit.RESIDUE
    default_state = "Something is left half done; a person must look."


class InProgress(TracseqMigrateError):
    """In progress or in doubt: resume."""

    exit_code = Exit.IN_PROGRESS
    default_state = "The journal says how far it came; `resume` finds out the rest."


class Locked(TracseqMigrateError):
    """Another run holds the lease."""

    exit_code = Exit.LOCKED


class Waiting(TracseqMigrateError):
    """Waiting for a person or for time, with steps behind it."""

    exit_code = Exit.WAITING
    default_state = "The steps before it are done and stay done."


class Different(TracseqMigrateError):
    """Drift, or compared things differ."""

    exit_code = Exit.DIFFERENT


class Declined(TracseqMigrateError):
    """A person said no."""

    exit_code = Exit.DECLINED


PRESSING = frozenset({SIGTERM, SIGHUP})
"""The signals that machines send, and that SIGKILL follows: who sends them does not wait."""


def signal_name(number: int) -> str:
    """A signal as people know it."""
    try:
        name = Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name}, Ctrl-C" if name == "SIGINT" else name


class Interrupted(TracseqMigrateError):
    """SIGINT, SIGTERM or SIGHUP; journaled; resume. The exit code is 128 plus the signal's number."""

    default_state = "The current step was finished or undone, and journaled."

    def __init__(self, signal_number: int, *, state: str = "", hint: str = "") -> None:
        super().__init__(f"interrupted ({signal_name(signal_number)})", state=state, hint=hint)
        self.signal_number = signal_number

    @property
    def code(self) -> int:
        return 128 + self.signal_number

    @property
    def page(self) -> str:
        return f"docs/runbook.md#exit-{self.code}"


class StepFailed(Exception):
    """A step says that its effect did not come about. The runner decides what follows; users never see it raw.

    ``unknown`` marks the failures in which the effect may or may not have come about.
    """

    def __init__(self, message: str, *, hint: str = "", unknown: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.unknown = unknown
