"""``run`` and ``resume``: do it, or go on with it in the journaled direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracseq_migrate.errors import (
    Different,
    Exit,
    InProgress,
    Locked,
    NotAllowed,
    Residue,
    TracseqMigrateError,
    UsageError,
    signal_name,
)
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import WeekState, WeekStatus
from tracseq_migrate.operations.driving import Drive, holding_lease, new_run_id
from tracseq_migrate.operations.keeping import catch_up
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.locking import awaits_another
from tracseq_migrate.operations.order import difference, standing_on
from tracseq_migrate.operations.preflight import (
    check_confirmations,
    checklist_checks,
    collect_signatures,
    order_checks,
    preflight,
    refuse,
    stopped,
)
from tracseq_migrate.operations.rollback import go_on as go_on_back
from tracseq_migrate.operations.rollback import refuse_later
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.telling import began, finished
from tracseq_migrate.operations.verify import ask_again
from tracseq_migrate.operations.witness import refuse_lost
from tracseq_migrate.plan import WeekPlan


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run was asked for: ``confirm`` maps checklist items to evidence; ``until`` names the last step to do.

    ``as_guardian``: for a process that died, and only where nobody went on with ``until`` since.
    """

    confirm: Mapping[str, str] = field(default_factory=dict)
    assume_yes: bool = False
    until: str = ""
    as_guardian: bool = False
    lock_timeout: float = 0.0


def run(system: System, week: str, options: RunOptions) -> int:
    """Run a week; the exit code, by the table of states and commands.

    Raises:
        TracseqMigrateError: with the exit code that the contract gives it.
    """
    plan = system.shelf.find(week)
    check_confirmations(plan, options.confirm)
    if options.until and options.until not in {entry.id for entry in plan.entries()}:
        raise UsageError(
            f"{plan.week} has no step {options.until}; its steps are: {', '.join(e.id for e in plan.entries())}"
        )
    digest = system.digest_of(plan)
    before = Ledger(system)
    refuse_lost(system, before)
    if not _to_begin(before, plan) and not awaits_another(system, options.lock_timeout):
        return _not_to_begin(system, before, plan, digest)
    if system.asker.present and before.state.week(plan.week).status is not WeekStatus.WAITING:
        # Questions come before the lock is taken: an unanswered one must not keep others out.
        refuse(system, plan.week, list(order_checks(system, before, plan)))
        with holding_lease(system, timeout=options.lock_timeout):
            pass  # whoever is at work now is known before anybody is asked anything
        before.refresh()
        if not _to_begin(before, plan):
            return _not_to_begin(system, before, plan, digest)
        sign_now(system, before, plan, digest, options)
    with holding_lease(system, timeout=options.lock_timeout):
        ledger = before
        ledger.refresh()
        state = ledger.state.week(plan.week)
        if state.status is WeekStatus.WAITING:
            _same_plan(system, plan, state, digest)
            return _go_on(system, ledger, plan, state, options)
        if _to_begin(ledger, plan):
            return _start(system, ledger, plan, digest, options)
    # Somebody else was faster. Said after the lock is given back, so that it says who holds it now.
    return _not_to_begin(system, ledger, plan, digest)


def _to_begin(ledger: Ledger, plan: WeekPlan) -> bool:
    """Whether a run has something to begin, or to go on with after a wait."""
    return ledger.state.week(plan.week).status in (
        WeekStatus.NEVER_RUN,
        WeekStatus.ROLLED_BACK,
        WeekStatus.WAITING,
    )


def _not_to_begin(system: System, ledger: Ledger, plan: WeekPlan, digest: str) -> int:
    """The week stands already, or is in the middle of something. Raises as `run`."""
    state = ledger.state.week(plan.week)
    match state.status:
        case WeekStatus.PROVEN | WeekStatus.SOAKING | WeekStatus.COMPLETED:
            return _already(system, ledger, plan, digest)
        case WeekStatus.RESIDUE:
            raise _residue(system, state)
    raise _in_progress(system, state)


def resume(system: System, week: str | None, options: RunOptions) -> int:
    """Go on after a crash, an interruption or a wait, in the journaled direction."""
    ledger = Ledger(system)
    refuse_lost(system, ledger)
    name = week or _to_resume(ledger)
    if name is None:
        return _nothing_to_do(system, ledger, WeekState(""), "nothing is in progress, in doubt or waiting")
    name = ledger.state.week(name).week if name in ledger.state.weeks else system.shelf.find(name).week
    if not _resumable(system, ledger.state.week(name)):
        return _nothing_to_do(system, ledger, ledger.state.week(name), "it came to its end already")
    with holding_lease(system, timeout=options.lock_timeout):
        ledger.refresh()
        state = ledger.state.week(name)
        if not _resumable(system, state):  # somebody else was faster
            return _nothing_to_do(system, ledger, state, "it came to its end already")
        if options.as_guardian and options.until not in {step.id for step in state.in_doubt()}:
            return _nothing_to_do(system, ledger, state, f"somebody went on with {options.until} already")
        if state.status is WeekStatus.ROLLING_BACK:
            return go_on_back(system, ledger, state)
        present = system.shelf.find(name)
        _same_plan(system, present, state, system.digest_of(present))
        return _go_on(system, ledger, WeekPlan.from_document(state.plan), state, options)


def _resumable(system: System, state: WeekState) -> bool:
    """Whether something of a week is there to go on with; false where it came to its end.

    Raises:
        NotAllowed: it was never begun, or is rolled back.
        Residue: only a rollback goes on from there.
    """
    if state.status in (WeekStatus.NEVER_RUN, WeekStatus.ROLLED_BACK):
        raise NotAllowed(
            f"{state.week} is {state.status}: there is nothing to resume",
            hint=f"`{system.type_this(f'run {state.week}')}` begins.",
        )
    if state.status is WeekStatus.RESIDUE:
        raise _residue(system, state)
    return state.status not in (WeekStatus.PROVEN, WeekStatus.SOAKING, WeekStatus.COMPLETED)


def _to_resume(ledger: Ledger) -> str | None:
    unfinished = (WeekStatus.RUNNING, WeekStatus.IN_DOUBT, WeekStatus.ROLLING_BACK, WeekStatus.WAITING)
    found = [w for w in ledger.state.weeks.values() if w.status in unfinished]
    return max(found, key=lambda w: w.begun).week if found else None


def _same_plan(system: System, plan: WeekPlan, state: WeekState, digest: str) -> None:
    """Raise `NotAllowed`, with what changed, where the run in force was made of another plan or environment."""
    if state.digest == digest:
        return
    changed = difference(state.plan, plan.document())
    what = changed or "the plan is the same, but the environment (gateway, services, databases) is not"
    raise NotAllowed(
        f"{plan.week} was run with another plan than the present one, and is {state.status}:\n{what}",
        state=f"{plan.week} is {state.status}, as it was; nothing was changed.",
        hint=f"Put the plan back as it was, or `{system.type_this(f'rollback {plan.week}')}` "
        "(it goes by the journaled plan) and run the new one.",
    )


def _already(system: System, ledger: Ledger, plan: WeekPlan, digest: str) -> int:
    """The week stands: verify it again instead of doing it again."""
    state = ledger.state.week(plan.week)
    if state.status is WeekStatus.COMPLETED:
        return _nothing_to_do(system, ledger, state, "it is completed")
    _same_plan(system, plan, state, digest)
    since = system.clock.monotonic()
    lines = ask_again(system, ledger, state)
    wrong = [line for line in lines if line.verdict != "pass"]
    text = "; ".join(f"{line.step}: {line.detail}" for line in wrong)
    catch_up(system, ledger, state)
    finished(
        system,
        plan.week,
        state.run_id,
        state=state.status,
        code=Exit.DIFFERENT if wrong else Exit.DONE,
        summary=text or f"{plan.week} is {state.status} already; {len(lines)} steps were verified again",
        next_command=f"verify {plan.week}" if wrong else "status",
        since=since,
    )
    if wrong:
        raise Different(
            f"{plan.week} is {state.status}, but reality has drifted from it: {text}",
            state="Nothing was changed.",
            hint=f"`{system.type_this(f'rollback {plan.week}')}` goes back; `{system.type_this('status')}` shows the rest.",
        )
    return Exit.DONE


def _start(system: System, ledger: Ledger, plan: WeekPlan, digest: str, options: RunOptions) -> int:
    run_id = new_run_id(system)
    began(system, "run", plan, run_id)
    refuse(system, plan.week, list(order_checks(system, ledger, plan)))
    sign_now(system, ledger, plan, digest, options)
    checks = preflight(system, ledger, plan, digest=digest)
    if system.interrupt.requested:
        raise stopped(system, plan.week)
    person = system.identity.whoami()
    ledger.append(
        v.run_started(
            plan.week,
            run_id,
            title=plan.title,
            plan=plan.document(),
            digest=digest,
            person=person,
            command=system.command,
            environment=system.environment,
            version=system.version,
            by_hand=system.redact(system.hands.document()),
        ),
        v.checked(
            plan.week,
            run_id,
            results=[
                {"id": c.id, "title": c.title, "verdict": c.verdict, "detail": c.detail} for c in checks
            ],
        ),
    )
    drive = Drive(system, ledger, plan, run_id=run_id, digest=digest, assume_yes=options.assume_yes)
    return drive.forward(until=options.until)


def sign_now(system: System, ledger: Ledger, plan: WeekPlan, digest: str, options: RunOptions) -> None:
    """Sign what this call may sign."""
    collect_signatures(
        system, ledger, plan, digest=digest, confirm=options.confirm, assume_yes=options.assume_yes
    )


def _go_on(system: System, ledger: Ledger, plan: WeekPlan, state: WeekState, options: RunOptions) -> int:
    later = standing_on(ledger.state, plan.week)
    if later:
        refuse_later(system, plan.week, later)
    began(system, "resume", plan, state.run_id)
    fresh = _seen_again(system, ledger, state)
    collect_signatures(
        system, ledger, plan, digest=state.digest, confirm=options.confirm, assume_yes=options.assume_yes
    )
    if state.adopted and ledger.state.week(plan.week).status is WeekStatus.WAITING:
        # Nobody signed for this run: it was found in force, and what is left of it is done for the first time.
        refuse(system, plan.week, list(checklist_checks(system, ledger, plan, digest=state.digest)))
    person = system.identity.whoami()
    ledger.append(
        v.run_resumed(plan.week, state.run_id, person=person, command=system.command, direction="forward")
    )
    drive = Drive(
        system,
        ledger,
        plan,
        run_id=state.run_id,
        digest=state.digest,
        assume_yes=options.assume_yes,
        seen_again=fresh,
    )
    return drive.forward(until=options.until)


def _seen_again(system: System, ledger: Ledger, state: WeekState) -> dict[str, str]:
    """What is seen now of the steps that were done before a wait, by step.

    Where a step is in doubt it is settled first, since the others may stand on it; then nothing is asked here.

    Raises:
        Different: something that was done is so no more.
    """
    if state.in_doubt():
        return {}
    lines = ask_again(system, ledger, state)
    wrong = [line for line in lines if line.verdict != "pass"]
    if wrong:
        system.gate.check()  # where another took over meanwhile, the drift is of that one's doing
        text = "; ".join(f"{line.step}: {line.detail}" for line in wrong)
        raise Different(
            f"{state.week} cannot go on, because reality has drifted from what was done: {text}",
            state=f"{state.week} is as it was; nothing was changed.",
            hint=f"Mend it and go on, or `{system.type_this(f'rollback {state.week}')}`.",
        )
    return {line.step: line.detail for line in lines}


def _in_progress(system: System, state: WeekState) -> TracseqMigrateError:
    """Another run is at it, or one was broken off."""
    info = system.lease.show()
    if info is not None:
        who = f"{info.holder.person} on {info.holder.host} (pid {info.holder.pid}) since {info.since:%H:%M:%S} UTC"
        return Locked(
            f"{state.week} is {state.status}: {who} holds the lock with `{info.holder.command}`",
            hint=f"Wait for it; `{system.type_this('status')}` shows how far it is.",
        )
    doubtful = ", ".join(step.id for step in state.in_doubt())
    name = state.status if state.status is WeekStatus.ROLLING_BACK else WeekStatus.IN_DOUBT
    how = (
        f"a run was interrupted ({signal_name(state.interrupted)})"
        if state.interrupted
        else "a run was broken off"
    )
    return InProgress(
        f"{state.week} is {name}: {how}"
        + (f"; steps in doubt: {doubtful}" if doubtful else " between two steps, and no step is in doubt"),
        state=f"{state.week} is as the run left it.",
        hint=f"`{system.type_this(f'resume {state.week}')}` {'finds out and goes on' if doubtful else 'goes on'}; "
        f"`{system.type_this(f'rollback {state.week}')}` goes back.",
    )


def _residue(system: System, state: WeekState) -> Residue:
    left = "; ".join(state.left)
    return Residue(
        f"{state.week} has a residue of a rollback that failed: {left}",
        state=f"Left: {left}",
        hint=f"Mend it, then `{system.type_this(f'rollback {state.week}')}` tries again; "
        f"`{system.type_this(f'rollback {state.week} --print-manual')}` says what to do by hand.",
    )


def _nothing_to_do(system: System, ledger: Ledger, state: WeekState, summary: str) -> int:
    catch_up(system, ledger, state)
    finished(
        system,
        state.week,
        state.run_id,
        state=state.status if state.week else "",
        code=Exit.DONE,
        summary=summary,
        next_command="status",
        since=system.clock.monotonic(),
    )
    return Exit.DONE
