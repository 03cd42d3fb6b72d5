"""The forward way: every step that is not verified yet, in order, groups in parallel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from itertools import groupby

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_fixed

from tracseq_migrate.errors import Declined, InProgress, Interrupted, StepFailed
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import StepRecord, StepStatus
from tracseq_migrate.operations import observer as notes
from tracseq_migrate.operations.execution.outcome import FAILURES, Failed, Paused
from tracseq_migrate.operations.execution.scene import Scene, lines_of
from tracseq_migrate.operations.signing import sign
from tracseq_migrate.plan import StepEntry
from tracseq_migrate.step import BrokenOff, EffectKind, Evidence, Found, Undo, WaitingOn

_HEARING = 0.2
"""Seconds after which a signal is heard at the latest while nothing but time passes."""


class Forward:
    """Carries steps out; ``seen_again`` is what was seen just now of steps that are done already, by step."""

    def __init__(self, scene: Scene, *, seen_again: Mapping[str, str] | None = None) -> None:
        self._scene = scene
        self._seen_again = dict(seen_again or {})

    def forward(self, *, until: str = "") -> Failed | Paused | None:
        """Carry every step that is not verified yet, in order, groups in parallel; None when all are.

        Raises:
            Interrupted: a signal came; what was begun was finished or undone, and journaled.
            InProgress: a step is in doubt, and reality could not be asked.
        """
        entries = self._scene.plan.entries()
        for _, members in groupby(
            enumerate(entries), key=lambda pair: (pair[1].group, pair[1].group or pair[0])
        ):
            batch = [entry for _, entry in members]
            outcome = self._carry_batch(batch)
            if outcome is not None:
                return outcome
            self._scene.stop_if_asked()
            if until and any(entry.id == until for entry in batch) and batch[-1] is not entries[-1]:
                command = self._scene.command("run")
                self._scene.append(
                    v.run_paused(
                        self._scene.plan.week,
                        self._scene.run_id,
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
            while wait_for(futures, timeout=_HEARING).not_done:
                pass  # in short waits, so that a signal is heard as it comes
            outcomes = [future.result() for future in futures]
        first: Failed | Paused | None = None
        for outcome in outcomes:
            if outcome is not None and (first is None or isinstance(outcome, Failed)):
                first = outcome
        return first

    def _carry(self, entry: StepEntry) -> Failed | Paused | None:
        record = self._scene.week.steps.get(entry.id)
        if record and record.status is StepStatus.VERIFIED:
            when = f"done at {record.ended:%H:%M:%S} UTC" if record.ended else "done"
            text = self._seen_again.get(entry.id) or f"{when}, not asked again"
            self._scene.tell_done(entry, [{"text": text}], 0.0, already=True)
            return None
        attempts = entry.retry.attempts if entry.retry else 1
        wait = entry.retry.wait if entry.retry else 0.0
        clock = self._scene.system.clock
        deadline = clock.monotonic() + entry.timeout  # tries and waits together

        def no_more(state: RetryCallState) -> bool:
            late = clock.monotonic() + wait >= deadline
            return state.attempt_number >= attempts or late or bool(self._scene.system.interrupt.requested)

        failure: BaseException | None = None

        def tell(state: RetryCallState) -> None:
            nonlocal failure
            failure = state.outcome.exception() if state.outcome else None
            self._tell_failure(entry, state)

        retrying = Retrying(
            stop=no_more,
            wait=wait_fixed(wait),
            retry=retry_if_exception_type(FAILURES),
            sleep=self._wait_awake,
            before_sleep=tell,
            reraise=True,
        )
        number = 0
        waiting: Paused | None = None
        try:
            for attempt in retrying:
                with attempt:
                    if failure is not None and self._scene.system.interrupt.requested:
                        raise StepFailed(
                            f"a signal came before the next try; the last one: {failure}", unknown=True
                        )
                    number = attempt.retry_state.attempt_number
                    waiting = self._attempt(entry, number, deadline)
        except FAILURES as error:
            return self._failed(entry, error, number)
        return waiting

    def _wait_awake(self, seconds: float) -> None:
        """Wait for the next try, but hear a signal as it comes."""
        clock = self._scene.system.clock
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0 and not self._scene.system.interrupt.requested:
            clock.sleep(min(left, _HEARING))

    def _attempt(self, entry: StepEntry, number: int, deadline: float) -> Paused | None:
        """Once through the protocol, from wherever the journal says that the step is."""
        record = self._scene.week.steps.get(entry.id)
        began = self._scene.system.clock.monotonic()
        if number == 1 and record and self._in_doubt(entry, record):
            self._scene.tell_began(entry, "probe")
            if self._settle(entry, record, began):
                return None
        self._scene.tell_began(entry, "apply")
        ctx = self._scene.context(entry, deadline=deadline)
        undo: Undo = record.undo if record else entry.step.prepare(ctx)
        self._scene.append(
            v.intent(
                *self._scene.where(entry),
                kind=entry.step.kind,
                title=entry.title,
                effect=str(entry.step.effect),
                undo=undo,
                attempt=number,
            )
        )
        try:
            done = entry.step.apply(ctx, undo)
        except BrokenOff:
            self._scene.stop_if_asked()
            raise
        if isinstance(done, WaitingOn):
            if not self._answered(entry, done):
                return self._wait(entry, done)
            done = entry.step.apply(ctx, undo)
            if isinstance(done, WaitingOn):
                return self._wait(entry, done)
        self._scene.append(v.applied(*self._scene.where(entry)))
        self._scene.tell_began(entry, "verify")
        self._verified(entry, [*done.measured, *entry.step.verify(ctx)], began)
        return None

    @staticmethod
    def _in_doubt(entry: StepEntry, record: StepRecord) -> bool:
        looks_only = entry.step.effect.kind is EffectKind.NONE
        return not looks_only and not record.status.settled

    def _settle(self, entry: StepEntry, record: StepRecord, began: float) -> bool:
        """Ask reality about a step in doubt; true when it turned out to be done, and was verified."""
        ctx = self._scene.context(entry)
        probed = entry.step.probe(ctx, record.undo, [c.name for c in record.checkpoints])
        self._scene.append(
            v.probed(
                *self._scene.where(entry),
                found=str(probed.found),
                detail=probed.detail,
                safe=probed.safe,
            )
        )
        if probed.found is Found.UNKNOWN:
            raise InProgress(
                f"step {entry.id} is in doubt, and reality could not tell: {self._scene.typed(probed.detail)}",
                hint=f"Look yourself; `{self._scene.command('resume')}` asks again, "
                f"and `{self._scene.command('rollback')}` goes back.",
            )
        if probed.found is not Found.DONE:
            return False
        try:
            evidence = entry.step.verify(ctx)
        except FAILURES:
            return False  # it is there, but not whole: it is applied again under the same undo
        if record.status is not StepStatus.APPLIED:
            self._scene.append(v.applied(*self._scene.where(entry)))
        found = Evidence(f"found done after an interruption: {probed.detail}", {"what": "probe"})
        self._verified(entry, [found, *evidence], began)
        return True

    def _verified(self, entry: StepEntry, evidence: Sequence[Evidence], began: float) -> None:
        if not evidence:
            raise StepFailed("it gives no evidence of its effect")
        seconds = self._scene.system.clock.monotonic() - began
        lines = lines_of(evidence)
        self._scene.append(v.verified(*self._scene.where(entry), evidence=lines, seconds=seconds))
        self._scene.tell_done(entry, lines, seconds)

    def _answered(self, entry: StepEntry, waiting: WaitingOn) -> bool:
        """Whether a wait for a signature could be ended here and now."""
        system = self._scene.system
        if not waiting.item:
            return False
        if waiting.yes and self._scene.assume_yes:
            evidence = "answered by --yes"
        elif system.asker.present:
            try:
                answer = system.asker.confirm(waiting.on)
            except Interrupted:
                self._wait(entry, waiting)
                raise
            if not answer:
                self._wait(entry, waiting)
                raise Declined(
                    f"declined at step {entry.id}: {waiting.on}",
                    state="The steps before it are done and stay done; the week is waiting.",
                    hint=f"`{self._scene.command('run')}` asks again; "
                    f"`{self._scene.command('rollback')}` goes back.",
                )
            evidence = "answered at the terminal"
        else:
            return False
        sign(
            system,
            self._scene.ledger,
            self._scene.plan.week,
            item=waiting.item,
            ask=waiting.on,
            digest=self._scene.digest,
            claimed="",
            evidence=evidence,
            expires=None,
        )
        return True

    def _wait(self, entry: StepEntry, waiting: WaitingOn) -> Paused:
        command = self._scene.system.type_this(waiting.next_command)
        self._scene.append(
            v.waiting(
                *self._scene.where(entry),
                on=waiting.on,
                until=waiting.until,
                next_command=command,
            )
        )
        self._scene.system.observer.emit(
            notes.StepWaiting(
                self._scene.system.clock.now(), entry.id, entry.title, waiting.on, waiting.until, command
            )
        )
        return Paused(entry.id, waiting.on, waiting.until, command)

    def _tell_failure(self, entry: StepEntry, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait = entry.retry.wait if entry.retry else 0.0
        self._journal_failure(entry, error, state.attempt_number)
        self._scene.tell_failed(entry, "apply", str(error), "", 0.0, again=wait)

    def _journal_failure(self, entry: StepEntry, error: BaseException | None, number: int) -> None:
        if entry.id not in self._scene.week.steps:
            return  # it never had an intent, so nothing was begun that could have failed halfway
        hint = self._scene.hint_of(error)
        unknown = error.unknown if isinstance(error, StepFailed) else True
        self._scene.append(
            v.failed(
                *self._scene.where(entry),
                error=str(error),
                hint=hint,
                unknown=unknown,
                attempt=number,
            )
        )

    def _failed(self, entry: StepEntry, error: Exception, number: int) -> Failed:
        hint = self._scene.hint_of(error)
        self._journal_failure(entry, error, number)
        text = self._scene.system.redact(str(error))
        self._scene.tell_failed(entry, "apply", text, hint, 0.0)
        return Failed(entry.id, entry.title, text, hint)
