"""What the reading commands found, ready to be shown or printed as one JSON document. Fields are only ever added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from tracseq_migrate.journal.chain import stamp

FORMAT = "1.0"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class View:
    """One document."""

    type: ClassVar[str] = ""

    def as_json(self) -> dict[str, Any]:
        return {"type": self.type, "format": FORMAT, **_plain(asdict(self))}


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of every output: which environment, gateway and state this is about."""

    environment: str
    gateway: str
    state: str


@dataclass(frozen=True, slots=True)
class WeekLine:
    """One week; ``since`` is when it came into its state; ``detail`` says what it waits for, or what is left."""

    week: str
    title: str
    risk: str
    state: str
    since: datetime | None
    progress: int
    needs: Sequence[str]
    steps: Sequence[tuple[str, str, str]] = ()
    """(id, title, status) of the run in force."""
    run_id: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """``health`` is pass, fail or unknown; ``flags`` are those that send traffic to it, with what is effective."""

    name: str
    state: str
    health: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FlagLine:
    """``effective`` is true, false, or None where instances disagree or could not be asked; ``drift`` says what is off."""

    flag: str
    prefix: str
    declared: str | None
    effective: bool | None
    instances: dict[str, bool | None]
    owner: str
    drift: str = ""


@dataclass(frozen=True, slots=True)
class ObligationLine:
    week: str
    step: str
    what: str
    ends: str
    since: datetime


@dataclass(frozen=True, slots=True)
class LockLine:
    person: str
    host: str
    pid: int
    command: str
    since: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class LockView(View):
    """``lock show``: who holds the lock. ``life`` is alive, silent or believed, and ``how`` says how that is known."""

    type: ClassVar[str] = "lock"
    header: Header
    held: bool
    how: str
    next_command: str
    holder_id: str = ""
    person: str = ""
    host: str = ""
    pid: int = 0
    command: str = ""
    since: datetime | None = None
    expires: datetime | None = None
    epoch: int = 0
    life: str = ""


@dataclass(frozen=True, slots=True)
class LockReleasedView(View):
    """``lock release``: whose lock was taken away, ``by`` whom, and the week whose run that broke off, if any."""

    type: ClassVar[str] = "lock-released"
    header: Header
    holder_id: str
    person: str
    host: str
    pid: int
    command: str
    since: datetime
    life: str
    by: str
    reason: str
    week: str
    state: str
    next_command: str


@dataclass(frozen=True, slots=True)
class StatusView(View):
    """``status``: the whole migration at a glance, and the one command to type next."""

    type: ClassVar[str] = "status"
    header: Header
    weeks: Sequence[WeekLine]
    services: Sequence[ServiceLine]
    flags: Sequence[FlagLine]
    obligations: Sequence[ObligationLine]
    lock: LockLine | None
    progress: int
    next_command: str
    next_reason: str
    events: int
    warnings: Sequence[str] = ()
    """What could not be asked."""
    fallen: Sequence[str] = ()
    """What weeks in force stand on, and is no more: a service that is down, an instance out of rotation."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """``lines`` are (certainty, text); ``group`` numbers parallel groups, 0 stands alone."""

    id: str
    title: str
    kind: str
    effect: str
    group: int
    changes: bool
    lines: Sequence[tuple[str, str]]
    diff: str = ""


@dataclass(frozen=True, slots=True)
class ItemLine:
    """A checklist item: ``state`` is signed, open, expired or voided; ``command`` would sign it."""

    id: str
    ask: str
    state: str
    detail: str
    command: str


@dataclass(frozen=True, slots=True)
class PlanView(View):
    """``plan``: what a run would change, what must be signed, and how it would go back."""

    type: ClassVar[str] = "plan"
    header: Header
    week: str
    title: str
    risk: str
    about: str
    state: str
    digest: str
    offline: bool
    allowed: Sequence[str]
    """What stands in the way of running it now; empty when nothing does."""
    checklist: Sequence[ItemLine]
    preflight: Sequence[PlannedStep]
    steps: Sequence[PlannedStep]
    changes: bool
    next_command: str


@dataclass(frozen=True, slots=True)
class VerifyLine:
    """One thing asked again: ``verdict`` is pass, fail or unknown."""

    week: str
    step: str
    title: str
    verdict: Literal["pass", "fail", "unknown"]
    detail: str


@dataclass(frozen=True, slots=True)
class VerifyView(View):
    type: ClassVar[str] = "verify"
    header: Header
    lines: Sequence[VerifyLine]
    drift: Sequence[str]
    next_command: str = ""
    states: Sequence[tuple[str, str]] = ()
    """(week, state) of the weeks that were asked about."""


@dataclass(frozen=True, slots=True)
class ManualStep:
    step: str
    title: str
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class RollbackView(View):
    """``rollback --dry-run`` and ``--print-manual``: the way back, in its order, and what it would leave behind."""

    type: ClassVar[str] = "rollback-plan"
    header: Header
    week: str
    title: str
    state: str
    steps: Sequence[ManualStep]
    losses: Sequence[dict[str, Any]]
    unknown: Sequence[str]
    refused: str
    next_command: str


@dataclass(frozen=True, slots=True)
class RunLine:
    run_id: str
    week: str
    action: str
    began: datetime
    ended: datetime | None
    person: str
    outcome: str


@dataclass(frozen=True, slots=True)
class RunsView(View):
    """``log show``: every run and rollback that the journal knows."""

    type: ClassVar[str] = "log"
    header: Header
    runs: Sequence[RunLine]
    file: str
    kept_aside: str = ""


@dataclass(frozen=True, slots=True)
class ChainView(View):
    """``log verify``: how much of the chain fits, and the first event that does not."""

    type: ClassVar[str] = "log-verify"
    header: Header
    events: int
    head: str
    broken_at: int | None
    why: str
    file: str
    file_state: str


@dataclass(frozen=True, slots=True)
class FindingLine:
    file: str
    line: int
    column: int
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ValidateView(View):
    type: ClassVar[str] = "validate"
    files: Sequence[str]
    findings: Sequence[FindingLine]
    unknown: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class ApprovedView(View):
    """``approve``: what was signed, by whom, until when, and what is still open for the week."""

    type: ClassVar[str] = "approve"
    header: Header
    week: str
    item: str
    ask: str
    person: str
    claimed: str
    evidence: str
    expires: datetime | None
    still_open: Sequence[ItemLine]
    next_command: str
