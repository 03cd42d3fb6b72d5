"""``approve``: a person signs a checklist item or a pause. Needs no lease, and works during a run."""

from __future__ import annotations

from tracseq_migrate.errors import NotAllowed, UsageError
from tracseq_migrate.journal.replay import StepStatus, WeekStatus
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.signing import item_line, sign, sign_item
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import ApprovedView, ItemLine
from tracseq_migrate.plan import WeekPlan


def approve(system: System, week: str, item: str, *, evidence: str, claimed: str) -> ApprovedView:
    """Sign an item for the plan as it is now (or, for a pause, for the run that waits).

    Raises:
        UsageError: the week has no such item.
        NotAllowed: evidence is required and missing, or the week is past the point where it matters.
    """
    plan = system.shelf.find(week)
    ledger = Ledger(system)
    state = ledger.state.week(plan.week)
    if state.status is WeekStatus.COMPLETED:
        raise NotAllowed(f"{plan.week} is completed: there is nothing left to sign")
    waiting = state.steps.get(item)
    if waiting is not None and waiting.status is StepStatus.WAITING and state.status is WeekStatus.WAITING:
        ask = state.waiting_on
        person = sign(
            system,
            ledger,
            plan.week,
            item=item,
            ask=ask,
            digest=state.digest,
            claimed=claimed,
            evidence=evidence,
            expires=None,
        )
        follow = system.type_this(f"run {plan.week}")
        return ApprovedView(
            system.header, plan.week, item, ask, person.name, claimed, evidence, None, (), follow
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


def open_items(system: System, ledger: Ledger, plan: WeekPlan, *, digest: str) -> list[ItemLine]:
    """The checklist items that are not signed by enough people now."""
    lines = [item_line(system, ledger, plan, item, digest=digest) for item in plan.checklist]
    return [line for line in lines if line.state != "signed"]
