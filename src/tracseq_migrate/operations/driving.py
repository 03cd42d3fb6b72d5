"""Driving an execution: under the lease, forward to an end or a wait, or into a failure and back."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC

from tracseq_migrate.errors import (
    Declined,
    Different,
    Exit,
    InProgress,
    Interrupted,
    Locked,
    Residue,
    RolledBack,
    TracseqMigrateError,
    Waiting,
)
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.operations import observer as notes
from tracseq_migrate.operations.execution import Back, Failed, Forward, Paused, Scene, describe
from tracseq_migrate.operations.keeping import keep_log
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.locking import await_lease, holder_of
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.telling import finished
from tracseq_migrate.operations.verify import ask_again
from tracseq_migrate.plan import WeekPlan


def new_run_id(system: System) -> str:
    """Sortable by time, and unique: ``20261123T153000.123456Z-1f0c``."""
    moment = system.clock.now().astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(2)}"


@contextmanager
def holding_lease(system: System, *, timeout: float) -> Iterator[None]:
    """Hold the lease; effects and run events are possible inside only.

    Raises:
        Locked: another holds it, ``timeout`` seconds from now still.
        Interrupted: a signal came while it was waited for.
    """
    info = await_lease(system, holder_of(system), timeout=timeout)
    system.gate.epoch = info.epoch
    try:
        yield
    finally:
        system.gate.epoch = None
        system.lease.release(info.epoch)


class Drive:
    """One execution on its way, and what is told of it."""

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
        self._system = system
        self._ledger = ledger
        self._plan = plan
        self._run_id = run_id
        self._resumed = seen_again is not None
        self._since = system.clock.monotonic()
        system.last_words.speak = self._last_words
        self._person = (
            system.identity.whoami()
        )  # asked now: a failure later must find its way back without asking
        scene = Scene(
            system,
            ledger,
            plan,
            run_id=run_id,
            digest=digest,
            assume_yes=assume_yes,
            accept_loss=accept_loss,
        )
        self._forward = Forward(scene, seen_again=seen_again)
        self._back = Back(scene)

    def forward(self, *, until: str) -> int:
        """To the end of the plan, to a wait, or into a failure and all the way back.

        Raises:
            Waiting, RolledBack, Residue, InProgress, Interrupted, Declined, Locked: as it ended.
        """
        with self._telling_errors():
            outcome = self._forward.forward(until=until)
            if isinstance(outcome, Failed):
                self._back.undo_and_stop(outcome)
        if isinstance(outcome, Failed):
            return self._turn_back(outcome)
        if isinstance(outcome, Paused):
            summary = f"waiting at {outcome.step}: {outcome.on}"
            self._end(WeekStatus.WAITING, Exit.WAITING, summary, outcome.next_command)
            raise Waiting(f"{self._plan.week} is {summary}", hint=f"`{outcome.next_command}`")
        if self._resumed:
            with self._telling_errors():
                self._see_all_again()
        with self._telling_errors():
            self._ledger.append(v.run_finished(self._plan.week, self._run_id, outcome=WeekStatus.PROVEN))
        count = len(self._plan.entries())
        self._end(WeekStatus.PROVEN, Exit.DONE, f"{count} steps done, each seen to be so", "status")
        return Exit.DONE

    def _see_all_again(self) -> None:
        """A run that was broken off or waited did not see all of its steps at the end: so it looks once more.

        Raises:
            Different: something is not as it was done.
        """
        state = self._ledger.state.week(self._plan.week)
        wrong = [line for line in ask_again(self._system, self._ledger, state) if line.verdict != "pass"]
        if wrong:
            text = "; ".join(f"{line.step}: {line.detail}" for line in wrong)
            raise Different(
                f"every step of {self._plan.week} was done, but not all of them still hold: {text}",
                state=f"{self._plan.week} is in doubt.",
                hint=f"Mend it and `{self._system.type_this(f'resume {self._plan.week}')}`, or roll back.",
            )

    def back(
        self,
        *,
        keep: frozenset[str] = frozenset(),
        failure: Failed | None = None,
        before_end: Callable[[], None] | None = None,
    ) -> int:
        """Take back what is in force, except ``keep``.

        Args:
            keep: steps that stay.
            failure: why, where nobody asked for it.
            before_end: called when all is back, before the end is journaled.

        Raises:
            RolledBack: everything is back, after a failure.
            Residue: something is left.
        """
        system, week = self._system, self._plan.week
        with self._telling_errors():
            went = self._back.back(keep=keep)
            if before_end and not went.left:
                before_end()
            outcome = (
                WeekStatus.RESIDUE if went.left else WeekStatus.WAITING if keep else WeekStatus.ROLLED_BACK
            )
            self._ledger.append(
                v.rollback_finished(week, self._run_id, outcome=outcome, left=list(went.left))
            )
        reason = describe(failure) if failure else ""
        if went.left:
            left = "; ".join(went.left)
            text = f"{reason}; and going back failed: {left}" if reason else f"going back failed: {left}"
            self._end(outcome, Exit.RESIDUE, text, f"rollback {week}")
            raise Residue(
                text,
                state=f"{went.reverted} steps were taken back. {week} has a residue until a rollback succeeds.",
                hint=went.hint
                or f"Mend it, then `{system.type_this(f'rollback {week}')}` tries again; "
                f"`{system.type_this(f'rollback {week} --print-manual')}` says what to do by hand.",
            )
        if failure:
            self._end(outcome, Exit.ROLLED_BACK, reason, f"run {week}")
            raise RolledBack(
                f"step {failure.step} failed: {failure.error}",
                state=f"{went.reverted} steps were taken back, and seen to be as before.",
                hint=failure.hint or f"Mend the cause, then `{system.type_this(f'run {week}')}`.",
            )
        again = f"run {week}" if keep else "status"
        self._end(outcome, Exit.DONE, f"{went.reverted} steps taken back, each seen to be as before", again)
        return Exit.DONE

    def _turn_back(self, failed: Failed) -> int:
        system = self._system
        with self._telling_errors():
            self._ledger.append(
                v.rollback_started(
                    self._plan.week,
                    self._run_id,
                    of=self._run_id,
                    reason=describe(failed),
                    automatic=True,
                    to="",
                    person=self._person,
                    command=system.command,
                    version=system.version,
                )
            )
        titles = {entry.id: entry.title for entry in self._plan.entries()}
        steps = tuple(
            (record.id, titles.get(record.id, record.id), 0)
            for record in self._ledger.state.week(self._plan.week).completed_steps()
            if record.effect != "none"
        )
        system.observer.emit(
            notes.TurnedBack(system.clock.now(), self._plan.week, system.redact(describe(failed)), steps)
        )
        return self.back(failure=failed)

    def _end(self, state: WeekStatus, code: int, summary: str, next_command: str) -> None:
        keep_log(self._system, self._ledger, self._plan.week, self._run_id)
        finished(
            self._system,
            self._plan.week,
            self._run_id,
            state=state,
            code=code,
            summary=summary,
            next_command=next_command,
            since=self._since,
        )

    @contextmanager
    def _telling_errors(self) -> Iterator[None]:
        """An error in the middle: the log and the last note still tell how far it came."""
        try:
            yield
        except TracseqMigrateError as raised:
            error = self._in_the_middle(raised)
            if (
                isinstance(error, Interrupted) and self._at_work
            ):  # by a question, say; it was not journaled yet
                try:
                    self._ledger.append(
                        v.run_interrupted(self._plan.week, self._run_id, signal=error.signal_number)
                    )
                except TracseqMigrateError as unsaid:
                    error = self._in_the_middle(unsaid)
            fenced = isinstance(error, Locked)
            if fenced:
                with suppress(TracseqMigrateError):
                    self._ledger.refresh()  # whoever took over went on: what is told is what is so now
            else:
                keep_log(self._system, self._ledger, self._plan.week, self._run_id)
            state = self._ledger.state.week(self._plan.week).status
            at_work = fenced and self._system.lease.show() is not None
            shown = WeekStatus.IN_DOUBT if state is WeekStatus.RUNNING and not at_work else state
            code = error.code if isinstance(error, Interrupted) else error.exit_code
            finished(
                self._system,
                self._plan.week,
                self._run_id,
                state=shown,
                code=int(code),
                summary=error.message,
                next_command="status" if fenced else f"resume {self._plan.week}",
                since=self._since,
            )
            if error is raised:
                raise
            raise error from raised

    @property
    def _at_work(self) -> bool:
        """Whether the journal says that it goes on, and not that a signal stopped it."""
        state = self._ledger.state.week(self._plan.week)
        return state.status in (WeekStatus.RUNNING, WeekStatus.ROLLING_BACK) and not state.interrupted

    def _last_words(self, number: int) -> Interrupted:
        """Journal and tell how far it came, for a process that ends now, whatever its main thread is doing."""
        week = self._plan.week
        if self._at_work:
            self._ledger.append_last(v.run_interrupted(week, self._run_id, signal=number))
        state = self._ledger.state.week(week)
        doubtful = ", ".join(step.id for step in state.in_doubt())
        going_on = state.status in (WeekStatus.RUNNING, WeekStatus.ROLLING_BACK)
        shown = WeekStatus.IN_DOUBT if state.status is WeekStatus.RUNNING else state.status
        words = Interrupted(
            number,
            state=f"{week} is {shown}, and that is journaled"
            + (f"; not known how it ended: {doubtful}." if doubtful else "; no step is in doubt."),
            hint=f"`{self._system.type_this(f'resume {week}')}` finds out and goes on going back."
            if state.status is WeekStatus.ROLLING_BACK
            else f"`{self._system.type_this(f'resume {week}')}` {'finds out and goes on' if doubtful else 'goes on'}; "
            f"`{self._system.type_this(f'rollback {week}')}` goes back."
            if going_on
            else f"`{self._system.type_this('status')}` shows the rest.",
        )
        finished(
            self._system,
            week,
            self._run_id,
            state=shown,
            code=words.code,
            summary=words.message,
            next_command=f"resume {week}" if going_on else "status",
            since=self._since,
        )
        return words

    def _in_the_middle(self, error: TracseqMigrateError) -> TracseqMigrateError:
        """An error that says that nothing was changed is not true any more once steps are at work."""
        if isinstance(error, (Declined, InProgress, Interrupted, Locked, Residue, RolledBack, Waiting)):
            return error
        week = self._plan.week
        return InProgress(
            error.message,
            hint=f"{error.hint} Then `{self._system.type_this(f'resume {week}')}` goes on, "
            f"or `{self._system.type_this(f'rollback {week}')}` goes back.".lstrip(),
        )
