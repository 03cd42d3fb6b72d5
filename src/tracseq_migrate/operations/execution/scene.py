"""What both directions work with: one week under one run id, while the lease is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tracseq_migrate.errors import Interrupted, StepFailed, TracseqMigrateError
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import WeekState, WeekStatus
from tracseq_migrate.operations import observer as notes
from tracseq_migrate.operations.context import context
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.system import System
from tracseq_migrate.plan import StepEntry, WeekPlan
from tracseq_migrate.ports import Draft
from tracseq_migrate.step import Evidence, StepContext

Doing = Literal["apply", "verify", "probe", "revert"]


class _Undisturbed:
    """Going back is not broken off: half a way back is worse than a late answer to a signal."""

    requested = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """One week's plan and journal, what this call allows, and the telling of what happens."""

    system: System
    ledger: Ledger
    plan: WeekPlan
    run_id: str
    digest: str
    assume_yes: bool = False
    accept_loss: bool = False

    @property
    def week(self) -> WeekState:
        return self.ledger.state.week(self.plan.week)

    def where(self, entry: StepEntry) -> tuple[str, str, str]:
        """Week, run and step, as every event of a step begins."""
        return self.plan.week, self.run_id, entry.id

    def context(
        self, entry: StepEntry, *, going_back: bool = False, deadline: float | None = None
    ) -> StepContext:
        """The context for one verb of a step; ``deadline`` is on the clock's monotonic scale."""
        made = context(
            self.system,
            self.ledger,
            week=self.plan.week,
            run_id=self.run_id,
            step_id=entry.id,
            digest=self.digest,
            timeout=entry.timeout if deadline is None else deadline - self.system.clock.monotonic(),
            writing=True,
            texts=self.plan.texts,
            assume_yes=self.assume_yes,
            accept_loss=self.accept_loss,
        )
        return replace(made, interrupt=_Undisturbed()) if going_back else made

    def append(self, draft: Draft) -> None:
        """Journal a run event, durably. Raises `Locked` where the lease was lost."""
        self.ledger.append(draft)

    def command(self, verb: str, *more: str) -> str:
        """A command about this week that can be typed as it stands."""
        return self.system.type_this(" ".join((verb, self.plan.week, *more)))

    def stop_if_asked(self) -> None:
        """Journal a signal that came. Raises `Interrupted` where one did."""
        number = self.system.interrupt.requested
        if number:
            self.append(v.run_interrupted(self.plan.week, self.run_id, signal=number))
            going_back = self.week.status is WeekStatus.ROLLING_BACK
            hint = f"`{self.command('resume')}` goes on; `{self.command('rollback')}` goes back."
            raise Interrupted(
                number, hint=f"`{self.command('resume')}` goes on going back." if going_back else hint
            )

    def hint_of(self, error: BaseException | None) -> str:
        """What to do about it; commands in it can be typed as they stand."""
        return self.typed(error.hint if isinstance(error, (StepFailed, TracseqMigrateError)) else "")

    def typed(self, text: str) -> str:
        """A text of a step, its commands with the global options of this call."""
        return text.replace("`tracseq-migrate ", f"`{self.system.type_this('')}")

    def tell_began(self, entry: StepEntry, doing: Doing) -> None:
        self.system.observer.emit(
            notes.StepBegan(self.system.clock.now(), entry.id, entry.title, doing, entry.timeout)
        )

    def tell_done(
        self,
        entry: StepEntry,
        evidence: Sequence[Mapping[str, Any]],
        seconds: float,
        *,
        undone: bool = False,
        already: bool = False,
    ) -> None:
        texts = [self.system.redact(str(line["text"])) for line in evidence]
        self.system.observer.emit(
            notes.StepDone(self.system.clock.now(), entry.id, entry.title, undone, seconds, texts, already)
        )

    def tell_failed(
        self,
        entry: StepEntry,
        doing: Doing,
        error: str,
        hint: str,
        seconds: float,
        *,
        again: float | None = None,
    ) -> None:
        """``again`` says in how many seconds it is tried again; None when it is not."""
        self.system.observer.emit(
            notes.StepFailedNote(
                self.system.clock.now(), entry.id, entry.title, doing, error, hint, seconds, again
            )
        )


def lines_of(evidence: Sequence[Evidence]) -> list[dict[str, Any]]:
    """Evidence in JSON values, as the journal keeps it."""
    return [{"text": line.text, "data": dict(line.data)} for line in evidence]
