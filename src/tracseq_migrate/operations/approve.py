"""``approve``: a person signs a checklist item or a pause. Needs no lease, and works during a run."""

from __future__ import annotations

from tracseq_migrate.errors import NotAllowed, UsageError
from tracseq_migrate.journal.replay import StepStatus, WeekState, WeekStatus
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.signing import item_line, sign, sign_item
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import ApprovedView, ItemLine
from tracseq_migrate.operations.witness import refuse_lost
from tracseq_migrate.plan import WeekPlan
from tracseq_migrate.step import DONE, UNDONE


def approve(system: System, week: str, item: str, *, evidence: str, claimed: str) -> ApprovedView:
    """Sign an item for the plan as it is now (or, for a pause, for the run that waits).

    Raises:
        UsageError: the week has no such item.
        NotAllowed: evidence is required and missing, or the week is past the point where it matters.
    """
    plan = system.shelf.find(week)
    ledger = Ledger(system)
    refuse_lost(system, ledger)
    state = ledger.state.week(plan.week)
    if state.status is WeekStatus.COMPLETED:
        raise NotAllowed(f"{plan.week} is completed: there is nothing left to sign")
    waiting = state.steps.get(item)
    if waiting is not None and waiting.status is StepStatus.WAITING and state.status is WeekStatus.WAITING:
        if system.digest_of(plan) != state.digest:
            raise NotAllowed(
                f"{plan.week} waits for {item}, but its plan was edited since: a signature would be for another plan",
                state=f"{plan.week} is waiting, as it was.",
                hint=f"Put the plan back as it was, or `{system.type_this(f'rollback {plan.week}')}`.",
            )
        follow = f"run {plan.week}"
        return _sign_step(
            system, ledger, state, item, state.waiting_on, evidence=evidence, claimed=claimed, follow=follow
        )
    if item not in {candidate.id for candidate in plan.checklist}:
        follow = _says_of_a_step(system, state, item)
        if follow:
            return _say(system, ledger, state, item, evidence=evidence, claimed=claimed, follow=follow)
    if any(entry.id == item and entry.step.kind == "pause" for entry in plan.entries()):
        raise NotAllowed(
            f"{item} is a pause of {plan.week}: it is signed when the run waits there, and the week is {state.status}",
            hint=f"`{system.type_this(f'run {plan.week}')}` goes as far as that.",
        )
    digest = system.digest_of(plan)
    for candidate in plan.checklist:
        if candidate.id == item:
            person = sign_item(
                system, ledger, plan, candidate, digest=digest, evidence=evidence, claimed=claimed
            )
            newest = ledger.state.week(plan.week).signatures[-1]
            still = open_items(system, ledger, plan, digest=digest)
            follow = still[0].command if still else system.type_this(f"run {plan.week}")
            return ApprovedView(
                system.header,
                plan.week,
                item,
                candidate.ask,
                person.name,
                claimed,
                evidence,
                newest.expires,
                still,
                follow,
            )
    names = ", ".join(candidate.id for candidate in plan.checklist) or "none"
    raise UsageError(f"{plan.week} has no checklist item {item}; its items are: {names}")


def _says_of_a_step(system: System, state: WeekState, item: str) -> str:
    """What goes on after this word on a step that cannot tell by itself; empty where nobody has to say it."""
    step = item.removesuffix(UNDONE).removesuffix(DONE)
    record = state.steps.get(step) if step != item else None
    if record is None:
        return ""
    if record.status is StepStatus.REVERT_FAILED:
        return f"rollback {state.week}" if item.endswith(UNDONE) else ""
    in_doubt = state.status is WeekStatus.RUNNING and not record.status.settled
    entries = WeekPlan.from_document(state.plan).entries() if in_doubt else []
    if not any(entry.id == step and entry.step.asks_a_person for entry in entries):
        return ""
    info = system.lease.show()
    if info is not None:  # it is no doubt yet, and would be no answer to a later one
        raise NotAllowed(
            f"{state.week} is running: step {step} is at work, and is not in doubt",
            hint=f"`{system.type_this('status')}` shows how far it is.",
        )
    return f"resume {state.week}"


def _say(
    system: System, ledger: Ledger, state: WeekState, item: str, *, evidence: str, claimed: str, follow: str
) -> ApprovedView:
    """A person says how a step is which cannot tell by itself; what was in force then goes on over it."""
    how = (UNDONE if item.endswith(UNDONE) else DONE)[1:]
    if not evidence.strip():
        raise NotAllowed(
            f"{item} must be signed with evidence: how do you know that it is {how}?",
            hint=f'`{system.type_this(f"approve {state.week} {item}")} --evidence "..."`',
        )
    ask = f"step {item.removesuffix(f'-{how}')} of {state.week} is {how}"
    return _sign_step(system, ledger, state, item, ask, evidence=evidence, claimed=claimed, follow=follow)


def _sign_step(
    system: System,
    ledger: Ledger,
    state: WeekState,
    item: str,
    ask: str,
    *,
    evidence: str,
    claimed: str,
    follow: str,
) -> ApprovedView:
    """Sign what a step of the run in force asks for; it holds for that run, and does not expire."""
    person = sign(
        system,
        ledger,
        state.week,
        item=item,
        ask=ask,
        digest=state.digest,
        claimed=claimed,
        evidence=evidence,
        expires=None,
    )
    command = system.type_this(follow)
    return ApprovedView(
        system.header, state.week, item, ask, person.name, claimed, evidence, None, (), command
    )


def open_items(system: System, ledger: Ledger, plan: WeekPlan, *, digest: str) -> list[ItemLine]:
    """The checklist items that are not signed by enough people now."""
    lines = [item_line(system, ledger, plan, item, digest=digest) for item in plan.checklist]
    return [line for line in lines if line.state != "signed"]
