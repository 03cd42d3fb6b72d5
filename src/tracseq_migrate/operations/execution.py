"""One execution of a plan's steps: forward, and back. The only place that journals what steps do.

Forward: prepare, intent, apply, applied, verify, verified. Back: reverting, revert, reverted. What is not settled in the
journal is asked of reality by ``probe`` before anything is done about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Literal

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_fixed

from tracseq_migrate.errors import (
    CouldNotReach,
    Declined,
    InProgress,
    Interrupted,
    InvalidSetup,
    Residue,
    StepFailed,
    TracseqMigrateError,
)
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import StepRecord, StepStatus, WeekState
from tracseq_migrate.operations import observer as notes
from tracseq_migrate.operations.context import context
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.signing import sign
from tracseq_migrate.operations.system import System
from tracseq_migrate.plan import StepEntry, WeekPlan
from tracseq_migrate.ports import Unreachable
from tracseq_migrate.routing.stranded import summary
from tracseq_migrate.step import (
    EffectKind,
    Evidence,
    Found,
    LossRefused,
    StepContext,
    Undo,
    WaitingOn,
)

Doing = Literal["apply", "verify", "probe", "revert"]


FAILURES = (StepFailed, Unreachable, InvalidSetup, CouldNotReach)
"""What a step's verb may raise to say that it failed. Everything else that it raises ends the execution."""


class _Undisturbed:
    """Going back is not broken off: half a way back is worse than a late answer to a signal."""

    requested = 0


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


class Execution:
    """Runs the steps of one week under one run id, while the lease is held."""

    def __init__(
        self,
        system: System,
        ledger: Ledger,
        plan: WeekPlan,
        *,
        run_id: str,
        digest: str,
        assume_yes: bool = False,
        accept_loss: bool = False,
        seen_again: Mapping[str, str] | None = None,
    ) -> None:
        """``seen_again``: what was seen just now of steps that are done already, by step."""
        self._system = system
        self._ledger = ledger
        self._plan = plan
        self._run_id = run_id
        self._digest = digest
        self._assume_yes = assume_yes
        self._accept_loss = accept_loss
        self._seen_again = dict(seen_again or {})

    @property
    def _week(self) -> WeekState:
        return self._ledger.state.week(self._plan.week)

    def _context(
        self, entry: StepEntry, *, going_back: bool = False, deadline: float | None = None
    ) -> StepContext:
        made = context(
            self._system,
            self._ledger,
            week=self._plan.week,
            run_id=self._run_id,
            step_id=entry.id,
            digest=self._digest,
            timeout=entry.timeout if deadline is None else deadline - self._system.clock.monotonic(),
            writing=True,
            assume_yes=self._assume_yes,
            accept_loss=self._accept_loss,
        )
        return replace(made, interrupt=_Undisturbed()) if going_back else made

    # Forward

    def forward(self, *, until: str = "") -> Failed | Paused | None:
        """Carry every step that is not verified yet, in order, groups in parallel; None when all are.

        Raises:
            Interrupted: a signal came; what was begun was finished or undone, and journaled.
            InProgress: a step is in doubt, and reality could not be asked.
        """
        entries = self._plan.entries()
        for _, members in groupby(
            enumerate(entries), key=lambda pair: (pair[1].group, pair[1].group or pair[0])
        ):
            batch = [entry for _, entry in members]
            outcome = self._carry_batch(batch)
            if outcome is not None:
                return outcome
            self._stop_if_asked()
            if until and any(entry.id == until for entry in batch) and batch[-1] is not entries[-1]:
                command = self._system.type_this(f"run {self._plan.week}")
                self._ledger.append(
                    v.run_paused(
                        self._plan.week,
                        self._run_id,
                        after=until,
                        why=f"it was told to stop after {until}",
                        next_command=command,
                    )
                )
                return Paused(until, f"stopped after {until}, as told", "", command)
        return None

    def _carry_batch(self, batch: Sequence[StepEntry]) -> Failed | Paused | None:
        if len(batch) == 1:
            return self._carry(batch[0])
        with ThreadPoolExecutor(max_workers=len(batch), thread_name_prefix="step") as pool:
            # Every sibling comes to its end before anything goes back: nothing is torn out of a step's hands.
            futures = [pool.submit(self._carry, entry) for entry in batch]
            while wait_for(futures, timeout=0.2).not_done:
                pass  # in short waits, so that a signal is heard as it comes
            outcomes = [future.result() for future in futures]
        first: Failed | Paused | None = None
        for outcome in outcomes:
            if outcome is not None and (first is None or isinstance(outcome, Failed)):
                first = outcome
        return first

    def _carry(self, entry: StepEntry) -> Failed | Paused | None:
        record = self._week.steps.get(entry.id)
        if record and record.status is StepStatus.VERIFIED:
            when = f"done at {record.ended:%H:%M:%S} UTC" if record.ended else "done"
            text = self._seen_again.get(entry.id) or f"{when}, not asked again"
            self._emit_done(entry, [{"text": text}], 0.0, already=True)
            return None
        attempts = entry.retry.attempts if entry.retry else 1
        wait = entry.retry.wait if entry.retry else 0.0
        clock = self._system.clock
        deadline = clock.monotonic() + entry.timeout  # tries and waits together

        def no_more(state: RetryCallState) -> bool:
            late = clock.monotonic() + wait >= deadline
            return state.attempt_number >= attempts or late or bool(self._system.interrupt.requested)

        retrying = Retrying(
            stop=no_more,
            wait=wait_fixed(wait),
            retry=retry_if_exception_type(FAILURES),
            sleep=clock.sleep,
            before_sleep=lambda state: self._tell_failure(entry, state),
            reraise=True,
        )
        number = 0
        waiting: Paused | None = None
        try:
            for attempt in retrying:
                with attempt:
                    number = attempt.retry_state.attempt_number
                    waiting = self._attempt(entry, number, deadline)
        except FAILURES as error:
            return self._failed(entry, error, number)
        return waiting

    def _attempt(self, entry: StepEntry, number: int, deadline: float) -> Paused | None:
        """Once through the protocol, from wherever the journal says that the step is."""
        record = self._week.steps.get(entry.id)
        began = self._system.clock.monotonic()
        if number == 1 and record and self._in_doubt(entry, record):
            self._emit_began(entry, "probe")
            if self._settle(entry, record, began):
                return None
        self._emit_began(entry, "apply")
        ctx = self._context(entry, deadline=deadline)
        undo: Undo = record.undo if record else entry.step.prepare(ctx)
        self._ledger.append(
            v.intent(
                self._plan.week,
                self._run_id,
                entry.id,
                kind=entry.step.kind,
                title=entry.title,
                effect=str(entry.step.effect),
                undo=undo,
                attempt=number,
            )
        )
        done = entry.step.apply(ctx, undo)
        if isinstance(done, WaitingOn):
            if not self._answered(entry, done):
                return self._wait(entry, done)
            done = entry.step.apply(ctx, undo)
            if isinstance(done, WaitingOn):
                return self._wait(entry, done)
        self._ledger.append(v.applied(self._plan.week, self._run_id, entry.id))
        self._emit_began(entry, "verify")
        self._verified(entry, [*done.measured, *entry.step.verify(ctx)], began)
        return None

    @staticmethod
    def _in_doubt(entry: StepEntry, record: StepRecord) -> bool:
        looks_only = entry.step.effect.kind is EffectKind.NONE
        return not looks_only and not record.status.settled

    def _settle(self, entry: StepEntry, record: StepRecord, began: float) -> bool:
        """Ask reality about a step in doubt; true when it turned out to be done, and was verified."""
        ctx = self._context(entry)
        probed = entry.step.probe(ctx, record.undo, [c.name for c in record.checkpoints])
        self._ledger.append(
            v.probed(
                self._plan.week,
                self._run_id,
                entry.id,
                found=str(probed.found),
                detail=probed.detail,
                safe=probed.safe,
            )
        )
        if probed.found is Found.UNKNOWN:
            raise InProgress(
                f"step {entry.id} is in doubt, and reality could not tell: {probed.detail}",
                hint=f"Look yourself; then `{self._system.type_this(f'resume {self._plan.week}')}` when it can be asked, "
                f"or `{self._system.type_this(f'rollback {self._plan.week}')}` to go back.",
            )
        if probed.found is not Found.DONE:
            return False
        try:
            evidence = entry.step.verify(ctx)
        except FAILURES:
            return False  # it is there, but not whole: it is applied again under the same undo
        if record.status is not StepStatus.APPLIED:
            self._ledger.append(v.applied(self._plan.week, self._run_id, entry.id))
        found = Evidence(f"found done after an interruption: {probed.detail}", {"what": "probe"})
        self._verified(entry, [found, *evidence], began)
        return True

    def _verified(self, entry: StepEntry, evidence: Sequence[Evidence], began: float) -> None:
        if not evidence:
            raise StepFailed("it gives no evidence of its effect")
        seconds = self._system.clock.monotonic() - began
        lines = [{"text": line.text, "data": dict(line.data)} for line in evidence]
        self._ledger.append(
            v.verified(self._plan.week, self._run_id, entry.id, evidence=lines, seconds=seconds)
        )
        self._emit_done(entry, lines, seconds)

    def _answered(self, entry: StepEntry, waiting: WaitingOn) -> bool:
        """Whether a wait for a signature could be ended here and now."""
        system = self._system
        if not waiting.item:
            return False
        if waiting.yes and self._assume_yes:
            evidence = "answered by --yes"
        elif system.asker.present:
            if not system.asker.confirm(waiting.on):
                self._wait(entry, waiting)
                raise Declined(
                    f"declined at step {entry.id}: {waiting.on}",
                    state="The steps before it are done and stay done; the week is waiting.",
                    hint=f"`{system.type_this(f'run {self._plan.week}')}` asks again; "
                    f"`{system.type_this(f'rollback {self._plan.week}')}` goes back.",
                )
            evidence = "answered at the terminal"
        else:
            return False
        sign(
            system,
            self._ledger,
            self._plan.week,
            item=waiting.item,
            ask=waiting.on,
            digest=self._digest,
            claimed="",
            evidence=evidence,
            expires=None,
        )
        return True

    def _wait(self, entry: StepEntry, waiting: WaitingOn) -> Paused:
        command = self._system.type_this(waiting.next_command)
        self._ledger.append(
            v.waiting(
                self._plan.week,
                self._run_id,
                entry.id,
                on=waiting.on,
                until=waiting.until,
                next_command=command,
            )
        )
        self._system.observer.emit(
            notes.StepWaiting(
                self._system.clock.now(), entry.id, entry.title, waiting.on, waiting.until, command
            )
        )
        return Paused(entry.id, waiting.on, waiting.until, command)

    def _tell_failure(self, entry: StepEntry, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait = entry.retry.wait if entry.retry else 0.0
        self._journal_failure(entry, error, state.attempt_number)
        self._emit_failed(entry, "apply", str(error), "", 0.0, again=wait)

    def _journal_failure(self, entry: StepEntry, error: BaseException | None, number: int) -> None:
        if entry.id not in self._week.steps:
            return  # it never had an intent, so nothing was begun that could have failed halfway
        hint = self._hint_of(error)
        unknown = error.unknown if isinstance(error, StepFailed) else True
        self._ledger.append(
            v.failed(
                self._plan.week,
                self._run_id,
                entry.id,
                error=str(error),
                hint=hint,
                unknown=unknown,
                attempt=number,
            )
        )

    def _failed(self, entry: StepEntry, error: Exception, number: int) -> Failed:
        hint = self._hint_of(error)
        self._journal_failure(entry, error, number)
        text = self._system.redact(str(error))
        self._emit_failed(entry, "apply", text, hint, 0.0)
        return Failed(entry.id, entry.title, text, hint)

    def _stop_if_asked(self) -> None:
        number = self._system.interrupt.requested
        if number:
            self._ledger.append(v.run_interrupted(self._plan.week, self._run_id, signal=number))
            raise Interrupted(
                number,
                hint=f"`{self._system.type_this(f'resume {self._plan.week}')}` goes on; "
                f"`{self._system.type_this(f'rollback {self._plan.week}')}` goes back.",
            )

    def stop_if_interrupted(self, failed: Failed) -> None:
        """Where a signal asked to stop and a step failed for it: undo that step alone, journal it, and stop.

        Raises:
            Interrupted: a signal came.
            Residue: a signal came, and the step could not be undone.
        """
        if not self._system.interrupt.requested:
            return
        record = self._week.steps.get(failed.step)
        if record is not None:
            left, _ = self._revert(self._entry(record), record)
            if left:
                raise Residue(f"interrupted, and step {failed.step} could not be undone: {left}")
        self._stop_if_asked()

    # Back

    def back(self, *, keep: frozenset[str] = frozenset()) -> WentBack:
        """Take back every step that is, or may be, in force, newest first, except those in ``keep``.

        It ends at the first step that cannot go back: those before it may be what it stands on.
        """
        reverted = 0
        for record in self._week.completed_steps():
            if record.id in keep:
                continue
            left, hint = self._revert(self._entry(record), record)
            if left:
                behind = [
                    r.id for r in self._week.completed_steps() if r.id not in keep and r.id != record.id
                ]
                more = (
                    [f"not taken back, because {record.id} stands on them: {', '.join(behind)}"]
                    if behind
                    else []
                )
                return WentBack(reverted, (f"{record.id}: {left}", *more), hint)
            reverted += record.effect != EffectKind.NONE
        return WentBack(reverted)

    def _entry(self, record: StepRecord) -> StepEntry:
        for entry in self._plan.entries():
            if entry.id == record.id:
                return entry
        raise Residue(f"the journaled plan has no step {record.id}")

    def _revert(self, entry: StepEntry, record: StepRecord) -> tuple[str, str]:
        """Take one step back; what is left and what to do about it when it could not be, empty when it could."""
        system = self._system
        where = (self._plan.week, self._run_id, entry.id)
        if entry.step.effect.kind is EffectKind.NONE:
            self._ledger.append(v.reverted(*where, evidence=[], seconds=0.0))
            return "", ""
        began = system.clock.monotonic()
        self._emit_began(entry, "revert")
        self._ledger.append(v.reverting(*where))
        ctx = self._context(entry, going_back=True)
        hint = ""
        try:
            evidence = self._evidence_of_revert(entry, record, ctx)
        except LossRefused as refused:
            lines = summary(list(refused.losses))
            error = f"{len(refused.losses)} writes would be left on the new side ({'; '.join(lines)}), so it stays in force"
            hint = f"`{system.type_this(f'rollback {self._plan.week} --accept-loss')}` writes their list to a file and goes back."
        except FAILURES as failure:
            error = system.redact(str(failure))
            hint = self._hint_of(failure)
        else:
            seconds = system.clock.monotonic() - began
            lines_ = [{"text": line.text, "data": dict(line.data)} for line in evidence]
            self._ledger.append(v.reverted(*where, evidence=lines_, seconds=seconds))
            self._emit_done(entry, lines_, seconds, undone=True)
            return "", ""
        error = error or "no reason was given"
        self._ledger.append(v.revert_failed(*where, error=error, hint=hint))
        self._emit_failed(entry, "revert", error, hint, system.clock.monotonic() - began)
        return error, hint

    @staticmethod
    def _evidence_of_revert(entry: StepEntry, record: StepRecord, ctx: StepContext) -> list[Evidence]:
        evidence = entry.step.revert(ctx, record.undo, [c.name for c in record.checkpoints])
        if not evidence:
            raise StepFailed("it gives no evidence that it was taken back")
        return evidence

    def _hint_of(self, error: BaseException | None) -> str:
        """What to do about it; commands in it can be typed as they stand."""
        hint = error.hint if isinstance(error, (StepFailed, TracseqMigrateError)) else ""
        return hint.replace("`tracseq-migrate ", f"`{self._system.type_this('')}")

    # Telling

    def _emit_began(self, entry: StepEntry, doing: Doing) -> None:
        self._system.observer.emit(
            notes.StepBegan(self._system.clock.now(), entry.id, entry.title, doing, entry.timeout)
        )

    def _emit_done(
        self,
        entry: StepEntry,
        evidence: Sequence[Mapping[str, Any]],
        seconds: float,
        *,
        undone: bool = False,
        already: bool = False,
    ) -> None:
        texts = [self._system.redact(str(line["text"])) for line in evidence]
        self._system.observer.emit(
            notes.StepDone(self._system.clock.now(), entry.id, entry.title, undone, seconds, texts, already)
        )

    def _emit_failed(
        self,
        entry: StepEntry,
        doing: Doing,
        error: str,
        hint: str,
        seconds: float,
        *,
        again: float | None = None,
    ) -> None:
        self._system.observer.emit(
            notes.StepFailedNote(
                self._system.clock.now(), entry.id, entry.title, doing, error, hint, seconds, again
            )
        )


def describe(failed: Failed) -> str:
    """A failure in one line; what a program wrote last is told with the step itself."""
    first = failed.error.partition("\n")[0].removesuffix("; its last lines:").removesuffix("; it last wrote:")
    return f"step {failed.step} failed: {first}"
