"""What an operation tells the one who watches, as it happens. Nothing depends on anybody listening."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol

from tracseq_migrate.frozen import frozen
from tracseq_migrate.journal.chain import stamp

Verdict = Literal["pass", "fail", "unknown"]


@frozen
class Note:
    """One transition. ``at`` is when it happened."""

    type: ClassVar[str] = ""
    at: datetime

    def as_json(self) -> dict[str, Any]:
        """The line of the event stream: ``type``, ``at`` and the fields."""
        body = asdict(self)
        return {"type": self.type, **body, "at": stamp(self.at)}


@frozen
class Began(Note):
    """An operation begins: ``steps`` are (id, title) in order, with the group of parallel steps (0: none)."""

    type: ClassVar[str] = "began"
    operation: Literal["run", "resume", "rollback"]
    week: str
    title: str
    run_id: str
    steps: Sequence[tuple[str, str, int]] = field(default_factory=tuple)


@frozen
class CheckDone(Note):
    """One preflight check or checklist item: only ``pass`` passes."""

    type: ClassVar[str] = "check"
    id: str
    title: str
    verdict: Verdict
    detail: str
    remedy: str = ""


@frozen
class StepBegan(Note):
    """``doing`` is ``apply``, ``verify``, ``probe`` or ``revert``. ``allowed`` is its time limit in seconds."""

    type: ClassVar[str] = "step.began"
    step: str
    title: str
    doing: Literal["apply", "verify", "probe", "revert"]
    allowed: float


@frozen
class StepSaid(Note):
    """Progress in words."""

    type: ClassVar[str] = "step.said"
    step: str
    text: str


@frozen
class StepDone(Note):
    """It came about and was seen; ``undone`` when it was reverted."""

    type: ClassVar[str] = "step.done"
    step: str
    title: str
    undone: bool
    seconds: float
    evidence: Sequence[str]
    already: bool = False


@frozen
class StepFailedNote(Note):
    """``again`` says in how many seconds it is tried again; None when it is not."""

    type: ClassVar[str] = "step.failed"
    step: str
    title: str
    doing: Literal["apply", "verify", "probe", "revert"]
    error: str
    hint: str
    seconds: float
    again: float | None = None


@frozen
class StepWaiting(Note):
    type: ClassVar[str] = "step.waiting"
    step: str
    title: str
    on: str
    until: str
    next_command: str


@frozen
class TurnedBack(Note):
    """A failure: from here on the steps go back in reverse order."""

    type: ClassVar[str] = "rollback.began"
    week: str
    reason: str
    steps: Sequence[tuple[str, str, int]] = field(default_factory=tuple)


@frozen
class LockAwaited(Note):
    """Another holds the lock; ``text`` says who. It is waited for, for so many seconds more."""

    type: ClassVar[str] = "lock.awaited"
    text: str
    remaining: float


@frozen
class SyncSaid(Note):
    """How a follower is: ``state`` is leads, stands by, in trouble, stopped or gone; ``applied`` counts since the last."""

    type: ClassVar[str] = "sync"
    replication: str
    state: str
    text: str
    changed: bool
    """Whether this is another state than before; else it is a sign of life."""
    applied: int = 0
    behind_rows: int = 0
    behind_seconds: float = 0.0


@frozen
class Warned(Note):
    type: ClassVar[str] = "warning"
    text: str


@frozen
class Finished(Note):
    """The last note of an operation: the state of the week, the exit code, and what to type next."""

    type: ClassVar[str] = "finished"
    week: str
    run_id: str
    state: str
    exit_code: int
    summary: str
    next_command: str
    seconds: float
    data: Mapping[str, Any] = field(default_factory=dict)


class Observer(Protocol):
    """Whoever watches. Called from several threads when steps run in parallel; must never raise."""

    def emit(self, note: Note) -> None: ...
