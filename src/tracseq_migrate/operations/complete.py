"""``complete``: a proven week becomes final. Its way back is given up, signed by name, and what was kept for it is ended."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate.errors import Declined, InProgress, Locked, NotAllowed, StepFailed, UsageError
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import StepRecord, WeekState, WeekStatus
from tracseq_migrate.operations.context import context
from tracseq_migrate.operations.driving import holding_lease, new_run_id
from tracseq_migrate.operations.keeping import keep_log
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.order import shown
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.verify import ask_again
from tracseq_migrate.operations.views import CompletedView
from tracseq_migrate.operations.witness import refuse_lost
from tracseq_migrate.plan import StepEntry, WeekPlan
from tracseq_migrate.ports import SqlFailed, Unreachable
from tracseq_migrate.step import EffectKind, Evidence, Step, StepContext


def complete(system: System, week: str, *, confirm: str, lock_timeout: float = 0.0) -> CompletedView:
    """Make a proven week final, or go on with what an earlier call did not end.

    Args:
        system: where.
        week: its name, or the path of its plan.
        confirm: the week's name, typed once more: the signature. Where it is empty, a person at the terminal is asked for it.
        lock_timeout: seconds to wait for another's lease.

    Raises:
        NotAllowed: it is not proven, a week that it needs can still go back, something that was done is so no more, a step
            owes something that it cannot end, or nobody signed. Nothing was changed.
        UsageError: what was typed to sign is another name.
        Declined: a person typed something else.
        InProgress: it is completed, and not all that was kept for the way back could be ended: the same command again.
        Locked: a run is at work.
    """
    ledger = Ledger(system)
    refuse_lost(system, ledger)
    known = week in ledger.state.weeks or week in system.shelf.names()
    name = week if known else system.shelf.find(week).week
    if confirm and confirm != name:
        raise UsageError(
            f"--confirm {confirm} signs for another week than {name}", hint=f"`{_command(system, name)}`"
        )
    refuse(system, ledger, ledger.state.week(name))
    with holding_lease(system, timeout=lock_timeout):
        ledger.refresh()
        state = ledger.state.week(name)
        refuse(system, ledger, state)
        signer = ""
        gives_up = given_up(ledger, state)
        if state.status is not WeekStatus.COMPLETED:
            _refuse_open(system, ledger, state)
            _refuse_drift(system, ledger, state)
            _have_signed(system, name, gives_up, confirm)
            person = system.identity.whoami()
            signer = person.name
            ledger.append(
                v.completion_started(
                    name,
                    new_run_id(system),
                    given_up=gives_up,
                    person=person,
                    command=system.command,
                    version=system.version,
                )
            )
        elif not state.completing:
            gives_up = []
        evidence = _conclude(system, ledger, name) if ledger.state.week(name).completing else []
        keep_log(system, ledger, name, ledger.state.week(name).run_id)
    return CompletedView(
        system.header,
        name,
        state.title,
        str(WeekStatus.COMPLETED),
        signer,
        gives_up,
        [str(system.redact(line.text)) for line in evidence],
        system.type_this("status"),
    )


def given_up(ledger: Ledger, state: WeekState) -> list[str]:
    """What completing a week gives up: every way back, and every obligation, each in a sentence."""
    titles = {entry.id: entry.title for entry in WeekPlan.from_document(state.plan).entries()}
    ways = [
        f"the way back of {record.id} ({titles.get(record.id, record.kind)})"
        for record in state.completed_steps()
        if record.effect == EffectKind.REVERSIBLE
    ]
    owed = [
        f"{owes.what}, which {owes.step} goes on with until now"
        for owes in ledger.state.obligations.values()
        if owes.week == state.week
    ]
    return ways + owed


def refuse(system: System, ledger: Ledger, state: WeekState) -> None:
    """Raise `NotAllowed` where a week cannot be completed as things are; the journal alone is asked."""
    if state.status is WeekStatus.COMPLETED:
        return
    week, status = state.week, shown(state, system.lease.show())
    if status is not WeekStatus.PROVEN:
        if status is WeekStatus.RUNNING or (
            status is WeekStatus.ROLLING_BACK
            and system.gate.epoch is None
            and system.lease.show() is not None
        ):
            raise Locked(
                f"{week} is {status}: a run is at work",
                hint=f"`{system.type_this('status')}` shows how far it is.",
            )
        follow = {
            WeekStatus.IN_DOUBT: "resume",
            WeekStatus.ROLLING_BACK: "resume",
            WeekStatus.RESIDUE: "rollback",
            WeekStatus.SOAKING: "status",
        }.get(status, "run")
        raise NotAllowed(
            f"{week} is {status}: only a week that is proven can be completed",
            state=f"{week} is {status}, as it was; nothing was changed.",
            hint=f"`{system.type_this(f'{follow} {week}')}`",
        )
    before = [
        other
        for other in ledger.state.weeks.values()
        if other.status.applied and 0 < other.begun < state.begun and other.status is not WeekStatus.COMPLETED
    ]
    if before:
        first = min(before, key=lambda other: other.begun)
        raise NotAllowed(
            f"{first.week} is {first.status} and was begun before {week}: with {week} completed it could not go back any more",
            hint=f"First `{_command(system, first.week)}`.",
        )
    for entry, _ in _steps(state):
        owes = [o.what for o in ledger.state.obligations.values() if (o.week, o.step) == (week, entry.id)]
        if owes and type(entry.step).conclude is Step.conclude:
            raise NotAllowed(
                f"step {entry.id} of {week} goes on with what no command but a rollback ends: {'; '.join(owes)}",
                hint=f"`{system.type_this(f'status {week}')}` lists it.",
            )


def _steps(state: WeekState) -> list[tuple[StepEntry, StepRecord]]:
    """The steps in force, the last first: who stands on another ends before it."""
    entries = {entry.id: entry for entry in WeekPlan.from_document(state.plan).entries()}
    return [(entries[record.id], record) for record in state.completed_steps() if record.id in entries]


def _refuse_open(system: System, ledger: Ledger, state: WeekState) -> None:
    """Raise `NotAllowed` where a step could not end what it keeps for the way back."""
    plan = WeekPlan.from_document(state.plan)
    wrong = []
    for entry, record in _steps(state):
        ctx = _context(system, ledger, state, plan, entry, run_id=state.run_id, writing=False)
        try:
            why = entry.step.cannot_conclude(ctx, record.undo)
        except (StepFailed, Unreachable) as error:
            why = str(error)
        wrong += [f"{entry.id}: {system.redact(why)}"] if why else []
    if wrong:
        raise NotAllowed(
            f"{state.week} cannot be completed: {'; '.join(wrong)}",
            state=f"{state.week} is proven, as it was, and can still go back.",
            hint=f"`{system.type_this(f'status {state.week}')}` shows who owns what.",
        )


def _context(
    system: System,
    ledger: Ledger,
    state: WeekState,
    plan: WeekPlan,
    entry: StepEntry,
    *,
    run_id: str,
    writing: bool,
) -> StepContext:
    return context(
        system,
        ledger,
        week=state.week,
        run_id=run_id,
        step_id=entry.id,
        digest=state.digest,
        timeout=entry.timeout,
        writing=writing,
        texts=plan.texts,
    )


def _refuse_drift(system: System, ledger: Ledger, state: WeekState) -> None:
    wrong = [line for line in ask_again(system, ledger, state) if line.verdict != "pass"]
    if wrong:
        text = "; ".join(f"{line.step}: {line.detail}" for line in wrong)
        raise NotAllowed(
            f"{state.week} is proven, but not all of it is seen to hold now: {text}",
            state=f"{state.week} is proven, as it was, and can still go back.",
            hint=f"Mend it; `{system.type_this(f'verify {state.week}')}` looks again.",
        )


def _have_signed(system: System, week: str, gives_up: Sequence[str], confirm: str) -> None:
    if confirm:
        return
    lines = "\n".join(f"  {text}" for text in gives_up)
    if not system.asker.present:
        raise NotAllowed(
            f"completing {week} gives up, for ever:\n{lines}",
            state=f"{week} is proven, as it was; nothing was changed.",
            hint=f"Where that is meant: `{_command(system, week)}`",
        )
    answer = system.asker.text(f"Completing {week} gives up, for ever:\n{lines}\nType {week} to sign:")
    if answer.strip() != week:
        raise Declined(
            f"declined: {week} stays proven, and can go back", hint=f"`{system.type_this('status')}`"
        )


def _conclude(system: System, ledger: Ledger, week: str) -> list[Evidence]:
    """Let each step end what it kept for the way back, and journal that all did. Raises `InProgress`."""
    state = ledger.state.week(week)
    plan = WeekPlan.from_document(state.plan)
    seen: list[Evidence] = []
    for entry, record in _steps(state):
        ctx = _context(system, ledger, state, plan, entry, run_id=state.completing, writing=True)
        try:
            seen += entry.step.conclude(ctx, record.undo)
        except (StepFailed, Unreachable, SqlFailed) as error:
            raise _unfinished(system, week, f"{entry.id}: {error}", getattr(error, "hint", "")) from error
    owed = [f"{o.step}: {o.what}" for o in ledger.state.obligations.values() if o.week == week]
    if owed:
        raise _unfinished(system, week, f"still owed: {'; '.join(owed)}", "")
    evidence = [{"text": line.text, "data": dict(line.data)} for line in seen]
    ledger.append(v.completion_finished(week, state.completing, evidence=evidence))
    return seen


def _unfinished(system: System, week: str, why: str, hint: str) -> InProgress:
    again = f"`{_command(system, week)}` goes on."
    return InProgress(
        f"{week} is completed, but not all that was kept for its way back is ended: {system.redact(why)}",
        state=f"{week} is completed: it cannot go back. What is still kept for that does no harm.",
        hint=f"{hint} {again}".lstrip(),
    )


def _command(system: System, week: str) -> str:
    return system.type_this(f"complete {week} --confirm {week}")
