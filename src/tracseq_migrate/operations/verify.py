"""``verify``: ask reality again about everything that the journal says is in force."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate.errors import NotAllowed, StepFailed
from tracseq_migrate.journal.replay import StepRecord, StepStatus, WeekState, WeekStatus
from tracseq_migrate.operations.context import context
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.order import shown
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import VerifyLine, VerifyView
from tracseq_migrate.operations.witness import refuse_lost
from tracseq_migrate.plan import WeekPlan
from tracseq_migrate.ports import Unreachable


def ask_again(system: System, ledger: Ledger, state: WeekState) -> list[VerifyLine]:
    """Each verified step of a week, seen again now; changes nothing."""
    plan = WeekPlan.from_document(state.plan)
    lines = []
    for entry in plan.entries():
        record = state.steps.get(entry.id)
        if record is None or record.status in (StepStatus.WAITING, StepStatus.REVERTED):
            continue
        if record.status is not StepStatus.VERIFIED:
            lines.append(VerifyLine(state.week, entry.id, entry.title, "unknown", _doubt(record)))
            continue
        ctx = context(
            system,
            ledger,
            week=state.week,
            run_id=state.run_id,
            step_id=entry.id,
            digest=state.digest,
            timeout=min(entry.timeout, 60.0),
            writing=False,
            texts=plan.texts,
            settled=True,
        )
        try:
            evidence = entry.step.verify(ctx)
        except StepFailed as error:
            verdict, detail = ("unknown" if error.unknown else "fail"), str(error)
        except Unreachable as error:
            verdict, detail = "unknown", str(error)
        else:
            verdict, detail = "pass", "; ".join(line.text for line in evidence) or "nothing to see"
        lines.append(
            VerifyLine(
                state.week,
                entry.id,
                entry.title,
                "pass" if verdict == "pass" else "fail" if verdict == "fail" else "unknown",
                str(system.redact(detail)),
            )
        )
    return lines


def _doubt(record: StepRecord) -> str:
    """Why a step that was never seen to be done, or failed to go back, cannot be verified."""
    if record.status is StepStatus.REVERT_FAILED:
        return f"it could not go back: {record.error}"
    if record.status is StepStatus.FAILED:
        return f"it failed: {record.error}"
    return "it was broken off, and its outcome is not known"


def verify(system: System, week: str | None) -> VerifyView:
    """Verify one week, or all that are in force.

    Raises:
        NotAllowed: the named week is not in force.
        Residue: the journal is broken or has lost events, so that it does not say what is in force.
    """
    ledger = Ledger(system)
    refuse_lost(system, ledger)
    if week is None:
        states: Sequence[WeekState] = sorted(
            (w for w in ledger.state.weeks.values() if w.status.applied and w.steps), key=lambda w: w.begun
        )
    else:
        name = week if week in ledger.state.weeks else system.shelf.find(week).week
        state = ledger.state.week(name)
        if not state.status.applied:
            raise NotAllowed(
                f"{name} is {state.status} in environment {system.environment}: there is nothing to verify",
                hint=f"`{system.type_this(f'plan {name}')}` shows what it would do.",
            )
        states = [state]
    lines = [line for state in states for line in ask_again(system, ledger, state)]
    drift = [f"{line.week} {line.step}: {line.detail}" for line in lines if line.verdict != "pass"]
    follow = ""
    if drift:
        newest = max(states, key=lambda w: w.begun)
        broken_off = shown(newest, system.lease.show()) in (WeekStatus.IN_DOUBT, WeekStatus.ROLLING_BACK)
        follow = system.type_this(f"{'resume' if broken_off else 'rollback'} {newest.week}")
    now = [(state.week, str(shown(state, system.lease.show()))) for state in states]
    return VerifyView(system.header, lines, drift, follow, now)
