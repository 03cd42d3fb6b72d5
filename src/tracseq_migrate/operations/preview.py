"""``plan``: what a run would change. Reads only: files, and unless offline, GET requests and catalogs."""

from __future__ import annotations

from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.operations.context import context
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.order import STANDING
from tracseq_migrate.operations.preflight import order_checks
from tracseq_migrate.operations.signing import item_line
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import PlannedStep, PlanView
from tracseq_migrate.operations.witness import lost
from tracseq_migrate.plan import StepEntry, WeekPlan

_PATIENCE = 20.0


def preview(system: System, week: str, *, offline: bool, deep: bool = False) -> PlanView:
    """The preview of every step, the checklist as it stands, and what would refuse the run now.

    ``deep``: rows that would move are looked at as well, however long that takes.
    """
    plan = system.shelf.find(week)
    digest = system.digest_of(plan)
    ledger = Ledger(system, glance=True)
    state = ledger.state.week(plan.week)
    stands = state.status in STANDING
    gone = lost(system, ledger)
    in_the_way = [gone] if gone else []
    in_the_way += [f"{check.detail}: {check.remedy}" for check in order_checks(system, ledger, plan)]
    items = [item_line(system, ledger, plan, item, digest=digest) for item in plan.checklist]
    steps = [
        _planned(system, ledger, plan, entry, digest, offline=offline, deep=deep) for entry in plan.entries()
    ]
    if stands and state.digest == digest:
        follow = f"verify {plan.week}"
    elif stands:
        in_the_way.append(
            f"{plan.week} is {state.status} by another plan: `{system.type_this(f'rollback {plan.week}')}` first"
        )
        follow = f"rollback {plan.week}"
    elif state.status in (WeekStatus.NEVER_RUN, WeekStatus.ROLLED_BACK, WeekStatus.WAITING):
        # Who must sign first cannot run yet.
        unsigned = [item.command for item in items if item.state != "signed"]
        begins = state.status is not WeekStatus.WAITING and not in_the_way
        follow = unsigned[0] if begins and unsigned else f"run {plan.week}"
    else:
        in_the_way.append(f"{plan.week} is {state.status}: `{system.type_this(f'resume {plan.week}')}` first")
        follow = f"resume {plan.week}"
    return PlanView(
        system.header,
        plan.week,
        plan.title,
        plan.risk,
        plan.about,
        str(state.status),
        digest,
        offline,
        in_the_way,
        items,
        [
            _planned(system, ledger, plan, entry, digest, offline=offline, deep=deep)
            for entry in plan.preflight
        ],
        steps,
        any(step.changes for step in steps),
        system.type_this(follow),
    )


def _planned(
    system: System,
    ledger: Ledger,
    plan: WeekPlan,
    entry: StepEntry,
    digest: str,
    *,
    offline: bool,
    deep: bool,
) -> PlannedStep:
    ctx = context(
        system,
        ledger,
        week=plan.week,
        run_id="",
        step_id=entry.id,
        digest=digest,
        timeout=entry.timeout if deep else min(entry.timeout, _PATIENCE),
        writing=False,
        texts=plan.texts,
        deep=deep,
    )
    shown = entry.step.preview(ctx, offline=offline)
    return PlannedStep(
        entry.id,
        entry.title,
        entry.step.kind,
        str(entry.step.effect),
        entry.group,
        shown.changes,
        [(str(line.certainty), str(system.redact(line.text))) for line in shown.lines],
        str(system.redact(shown.diff)),
    )
