"""The fold: from events to what is true of every week. Nothing else holds state.

`replay` is total: an event of a type that it does not know (written by a newer version) is counted in ``unknown`` and
changes nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any

from tracseq_migrate.frozen import frozen, slotted
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.chain import GENESIS
from tracseq_migrate.journal.said import DONE, UNDONE
from tracseq_migrate.ports import Event


class WeekStatus(StrEnum):
    """The states of a week, and no others."""

    NEVER_RUN = "never-run"
    RUNNING = "running"
    WAITING = "waiting"
    SOAKING = "soaking"
    PROVEN = "proven"
    COMPLETED = "completed"
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"
    IN_DOUBT = "in-doubt"
    RESIDUE = "residue"

    @property
    def applied(self) -> bool:
        """Whether something of this week is, or may be, in force."""
        return self not in (WeekStatus.NEVER_RUN, WeekStatus.ROLLED_BACK)


class StepStatus(StrEnum):
    INTENT = "intent"
    APPLIED = "applied"
    VERIFIED = "verified"
    WAITING = "waiting"
    FAILED = "failed"
    REVERTING = "reverting"
    REVERTED = "reverted"
    REVERT_FAILED = "revert-failed"

    @property
    def settled(self) -> bool:
        """Whether the journal knows the outcome; otherwise reality must be probed."""
        return self in (StepStatus.VERIFIED, StepStatus.REVERTED, StepStatus.WAITING)


@slotted
class Checkpoint:
    name: str
    data: dict[str, Any]
    direction: v.Direction


@slotted
class StepRecord:
    """One step since the last full rollback. ``undo`` is that of the first intent and is never overwritten."""

    id: str
    kind: str
    effect: str
    undo: dict[str, Any]
    status: StepStatus
    began: datetime
    ended: datetime | None = None
    checkpoints: list[Checkpoint] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    hint: str = ""
    attempts: int = 1
    completed: int = 0
    """The ``seq`` of the event that completed it: steps go back in reverse of this."""

    @property
    def direction(self) -> v.Direction:
        """Where the newest checkpoint says that recovery must go."""
        return self.checkpoints[-1].direction if self.checkpoints else "either"


@frozen
class Signature:
    """One person's word on one checklist item, for one digest of the plan."""

    item: str
    person: str
    person_from: str
    claimed: str
    evidence: str
    digest: str
    at: datetime
    expires: datetime | None


@slotted
class Obligation:
    """Something that must go on, or be ended later."""

    week: str
    step: str
    name: str
    what: str
    ends: str
    since: datetime


@slotted
class WeekState:
    """What the journal knows of a week. ``plan`` and ``digest`` are those of the run that is in force."""

    week: str
    title: str = ""
    status: WeekStatus = WeekStatus.NEVER_RUN
    run_id: str = ""
    begun: int = 0
    """The ``seq`` of the event with which the run in force began: the order of weeks, whatever the hosts' clocks say."""
    plan: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    since: datetime | None = None
    steps: dict[str, StepRecord] = field(default_factory=dict)
    signatures: list[Signature] = field(default_factory=list)
    waiting_on: str = ""
    waiting_until: str = ""
    next_command: str = ""
    interrupted: int = 0
    left: list[str] = field(default_factory=list)
    rollback_id: str = ""
    rollback_to: str = ""
    adopted: bool = False
    """Whether the run in force was not run, but rebuilt from reality after a loss of the journal."""
    rollback_leaves: bool = False
    """Whether the rollback in force may leave writes behind."""
    loss_accepted: bool = False
    """Whether any rollback of the run in force was allowed to."""
    completing: str = ""
    """The id of its completion, as long as not everything that was kept for the way back is known to be ended."""

    def completed_steps(self) -> list[StepRecord]:
        """Steps that are, or may be, in force, in reverse of the order in which they completed: the order of going back."""
        inside = [s for s in self.steps.values() if s.status is not StepStatus.REVERTED]
        return sorted(inside, key=lambda s: s.completed, reverse=True)

    def in_doubt(self) -> list[StepRecord]:
        """Steps whose intent is journaled and whose outcome is not."""
        return [s for s in self.steps.values() if not s.status.settled]


@slotted
class State:
    """Every week that the journal has heard of, open obligations, and where the chain ends."""

    weeks: dict[str, WeekState] = field(default_factory=dict)
    obligations: dict[tuple[str, str, str], Obligation] = field(default_factory=dict)
    events: int = 0
    head: str = GENESIS
    last_at: datetime | None = None
    unknown: int = 0
    unavailable: dict[str, float] = field(default_factory=dict)
    """For how many seconds clients went without an answer in the newest flip, by reload strategy: the next forecast."""

    def week(self, name: str) -> WeekState:
        """The state of a week; a week that the journal never heard of is never-run."""
        return self.weeks.get(name) or WeekState(name)


def replay(events: Iterable[Event], state: State | None = None) -> State:
    """Fold events into a state, going on from ``state`` where one is given."""
    state = state or State()
    for event in events:
        _fold(state, event)
        state.events, state.head, state.last_at = event.seq, event.hash, event.at
    return state


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _fold(state: State, event: Event) -> None:
    data = event.data
    if event.type in _QUIET:
        return
    if event.type not in _KNOWN:
        state.unknown += 1
        return
    week = state.weeks.setdefault(event.week, WeekState(event.week))
    if event.type in _OF_STEP:
        _fold_step(state, week, event)
        return
    match event.type:
        case v.RUN_STARTED:
            week.status, week.since = WeekStatus.RUNNING, event.at
            week.run_id, week.title, week.begun = event.run_id, data["title"], event.seq
            week.plan, week.digest = data["plan"], data["digest"]
            week.steps, week.left, week.interrupted = {}, [], 0
            week.rollback_id = week.rollback_to = ""
            week.adopted = "adopted" in data
            week.rollback_leaves = week.loss_accepted = False
            week.completing = ""
            _not_waiting(week)
        case v.RUN_RESUMED:
            going_back = data["direction"] == "backward"
            week.status = WeekStatus.ROLLING_BACK if going_back else WeekStatus.RUNNING
            week.interrupted = 0
            _not_waiting(week)
        case v.RUN_PAUSED:
            week.status = WeekStatus.WAITING
            week.waiting_on, week.next_command = data["why"], data["next_command"]
        case v.RUN_INTERRUPTED:
            week.interrupted = data["signal"]
        case v.RUN_FINISHED:
            week.status, week.since = WeekStatus(data["outcome"]), event.at
            _not_waiting(week)
        case v.SIGNED:
            step = data["item"].removesuffix(UNDONE).removesuffix(DONE)
            if step in week.steps:
                _take_back_word(week, step)  # the newest word on a step counts
            week.signatures.append(
                Signature(
                    item=data["item"],
                    person=data["person"],
                    person_from=data["person_from"],
                    claimed=data["claimed"],
                    evidence=data["evidence"],
                    digest=data["digest"],
                    at=event.at,
                    expires=_moment(data["expires"]),
                )
            )
        case v.ROLLBACK_STARTED:
            week.status, week.interrupted, week.since = WeekStatus.ROLLING_BACK, 0, event.at
            week.rollback_id, week.rollback_to = event.run_id, data["to"]
            week.rollback_leaves = bool(data.get("accept_loss", False))
            week.loss_accepted |= week.rollback_leaves and data["of"] == week.run_id
            _not_waiting(week)
        case v.ROLLBACK_FINISHED:
            _finish_rollback(state, week, event)
        case v.COMPLETION_STARTED:
            week.status, week.since, week.completing = WeekStatus.COMPLETED, event.at, event.run_id
            _not_waiting(week)
        case v.COMPLETION_FINISHED:
            week.completing = ""


def _finish_rollback(state: State, week: WeekState, event: Event) -> None:
    week.status, week.since = WeekStatus(event.data["outcome"]), event.at
    week.left = list(event.data["left"])
    week.rollback_id = ""
    if week.status is WeekStatus.ROLLED_BACK:
        week.steps, week.signatures, week.plan, week.digest = {}, [], {}, ""
        for key in [key for key in state.obligations if key[0] == week.week]:
            del state.obligations[key]
    elif week.status is WeekStatus.WAITING:
        week.steps = {k: s for k, s in week.steps.items() if s.status is not StepStatus.REVERTED}
        week.waiting_on = "the steps that were taken back"
        week.next_command = f"tracseq-migrate run {week.week}"


def _take_back_word(week: WeekState, step: str) -> None:
    """What people said of a step does not hold any more: it was begun once more since, or they say something else."""
    items = {item["id"] for item in week.plan.get("checklist", ())}
    said = {f"{step}{DONE}", f"{step}{UNDONE}"} - items
    week.signatures = [signature for signature in week.signatures if signature.item not in said]


def _not_waiting(week: WeekState) -> None:
    week.waiting_on = week.waiting_until = week.next_command = ""


def _fold_step(state: State, week: WeekState, event: Event) -> None:
    data = event.data
    if event.type == v.OBLIGATION_OPENED:
        state.obligations[event.week, event.step, data["name"]] = Obligation(
            event.week, event.step, data["name"], data["what"], data["ends"], event.at
        )
        return
    if event.type == v.OBLIGATION_CLOSED:
        state.obligations.pop((event.week, event.step, data["name"]), None)
        return
    if event.type == v.INTENT:
        _fold_intent(week, event)
        return
    step = week.steps.get(event.step)
    if step is None:  # a part of the story that this version does not know
        state.unknown += 1
        return
    if event.type in (v.VERIFIED, v.REVERTED):
        _measure(state, data["evidence"])
    match event.type:
        case v.CHECKPOINT:
            step.checkpoints.append(Checkpoint(data["name"], data["data"], data["direction"]))
        case v.APPLIED:
            step.status, step.completed = StepStatus.APPLIED, event.seq
        case v.VERIFIED:
            step.status, step.ended, step.completed = StepStatus.VERIFIED, event.at, event.seq
            step.evidence, step.error = data["evidence"], ""
        case v.WAITING:
            step.status = StepStatus.WAITING
            week.status = WeekStatus.WAITING
            week.waiting_on, week.waiting_until = data["on"], data["until"]
            week.next_command = data["next_command"]
        case v.FAILED:
            step.status, step.error, step.completed = StepStatus.FAILED, data["error"], event.seq
        case v.REVERTING:
            step.status = StepStatus.REVERTING
        case v.REVERTED:
            step.status, step.ended, step.evidence = StepStatus.REVERTED, event.at, data["evidence"]
            step.error = ""
        case v.REVERT_FAILED:
            step.status, step.error = StepStatus.REVERT_FAILED, data["error"]
            step.hint = data["hint"]


def _measure(state: State, evidence: Iterable[dict[str, Any]]) -> None:
    for line in evidence:
        data = line.get("data", {})
        if data.get("what") == "flip":
            state.unavailable[str(data["strategy"])] = float(data["unavailable_seconds"])


def _fold_intent(week: WeekState, event: Event) -> None:
    known = week.steps.get(event.step)
    if known is None:
        week.steps[event.step] = StepRecord(
            id=event.step,
            kind=event.data["kind"],
            effect=event.data["effect"],
            undo=event.data["undo"],
            status=StepStatus.INTENT,
            began=event.at,
            completed=event.seq,
        )
        return
    known.status, known.attempts, known.completed = StepStatus.INTENT, known.attempts + 1, event.seq
    _take_back_word(week, event.step)


_QUIET = frozenset(
    {v.CHECKED, v.LOSS_ACCEPTED, v.LOG_COMMITTED, v.LOCK_RELEASED, v.BACKUP_RESTORING, v.BACKUP_RESTORED}
)
_OF_STEP = frozenset(
    {
        v.INTENT,
        v.CHECKPOINT,
        v.APPLIED,
        v.VERIFIED,
        v.WAITING,
        v.FAILED,
        v.PROBED,
        v.REVERTING,
        v.REVERTED,
        v.REVERT_FAILED,
        v.OBLIGATION_OPENED,
        v.OBLIGATION_CLOSED,
    }
)
_KNOWN = _OF_STEP | {
    v.RUN_STARTED,
    v.RUN_RESUMED,
    v.RUN_PAUSED,
    v.RUN_INTERRUPTED,
    v.RUN_FINISHED,
    v.SIGNED,
    v.ROLLBACK_STARTED,
    v.ROLLBACK_FINISHED,
    v.COMPLETION_STARTED,
    v.COMPLETION_FINISHED,
}
