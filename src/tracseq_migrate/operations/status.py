"""``status``: the whole migration at a glance. Needs no lease, and never disturbs a run."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tracseq_migrate.errors import Exit, InvalidInput, InvalidSetup, StepFailed, signal_name
from tracseq_migrate.journal.replay import State, StepStatus, WeekState, WeekStatus
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.order import STANDING, missing_needs, shown
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import (
    FlagLine,
    LockLine,
    ObligationLine,
    ReplicationLine,
    ServiceLine,
    StatusView,
    WeekLine,
)
from tracseq_migrate.operations.witness import lost
from tracseq_migrate.plan import WeekPlan
from tracseq_migrate.ports import SYNC, FlagFile, GatewayFlags, LeaseInfo, Route, ServiceState, Unreachable
from tracseq_migrate.routing import values
from tracseq_migrate.step import Evidence
from tracseq_migrate.step.health import see_health

_PATIENCE = 3.0
_ASKERS = 32


def status(system: System, week: str | None = None) -> StatusView:
    """Journal, services, flags, obligations and lock as they are now; what cannot be asked is said to be unknown."""
    ledger = Ledger(system, glance=True)
    gone = lost(system, ledger)
    every, broken = _plans(system)
    plans = every if week is None else [system.shelf.find(week)]
    lock = system.lease.show()
    weeks = [_week_line(plan, ledger.state.week(plan.week), lock) for plan in plans]
    if week is None:
        known, readable = {*system.shelf.names()}, {plan.week for plan in every}
        for state in ledger.state.weeks.values():
            if state.week not in readable and state.status.applied:
                why = "its plan file cannot be read" if state.week in known else "its plan file is gone"
                weeks.append(_orphan_line(state, lock, why))
    with ThreadPoolExecutor(max_workers=_ASKERS, thread_name_prefix="ask") as pool:
        asked = pool.map(lambda name: _reading(system, name), system.gateway.instances)
        states = list(pool.map(lambda name: _state(system, name), system.services.names))
        services = _service_lines(system, states)
        readings = list(asked)
    flags = _flag_lines(system, dict(zip(system.gateway.instances, readings, strict=True)), ledger.state)
    obligations = [
        ObligationLine(o.week, o.step, o.what, o.ends, o.since) for o in ledger.state.obligations.values()
    ]
    replications = _replications(system, ledger)
    warnings, fallen = _proxy_and_services(system, ledger, services)
    drift = bool(fallen) or any(line.drift for line in flags)
    if week is None:
        command, reason = _next(system, ledger.state, every, lock, drift=drift)
    else:
        (plan,) = plans
        uses = [entry.step.uses() for entry in plan.entries()]
        flags = [line for line in flags if any(line.flag in use.flags for use in uses)]
        services = [line for line in services if any(line.name in use.services for use in uses)]
        obligations = [line for line in obligations if line.week == plan.week]
        drift = bool(fallen) or any(line.drift for line in flags)
        command, reason = _next_of_week(system, ledger.state, plan, lock, drift=drift)
    if gone:
        command, reason = (
            system.type_this("log verify"),
            "the journal has lost events; nothing is begun on it",
        )
    standing = [plan for plan in every if ledger.state.week(plan.week).status in STANDING]
    return StatusView(
        system.header,
        weeks,
        services,
        flags,
        obligations,
        _lock_line(lock),
        max((plan.progress for plan in standing), default=0),
        command,
        reason,
        ledger.state.events,
        [*broken, *_warnings(readings), *warnings],
        fallen,
        gone,
        ledger.state.unknown,
        replications if week is None else [line for line in replications if line.week == week],
    )


def _replications(system: System, ledger: Ledger) -> Sequence[ReplicationLine]:
    """What is carried over between databases. Nothing of that is imported, or asked, where nothing is owed."""
    if not any(name == SYNC for _, _, name in ledger.state.obligations):
        return ()
    from tracseq_migrate.operations.sync import standing

    return standing(system, ledger)


def _plans(system: System) -> tuple[list[WeekPlan], list[str]]:
    """The plans that can be read, and a warning for each that cannot: one broken file must not hide the others."""
    plans, broken = [], []
    for name in system.shelf.names():
        try:
            plans.append(system.shelf.find(name))
        except InvalidInput as error:
            command, count = system.type_this(f"validate {name}"), len(error.findings)
            told = f"{error.findings[0].file} has {count} finding{'' if count == 1 else 's'}"
            broken.append(f"{told}: `{command}` lists them")
    return plans, broken


def exit_code(view: StatusView) -> Exit:
    """What ``status --exit-code`` says: the most urgent thing first."""
    states = {line.state for line in view.weeks}
    if view.lost:
        return Exit.RESIDUE
    for state, code in (
        (WeekStatus.RESIDUE, Exit.RESIDUE),
        (WeekStatus.IN_DOUBT, Exit.IN_PROGRESS),
        (WeekStatus.ROLLING_BACK, Exit.IN_PROGRESS),
        (WeekStatus.RUNNING, Exit.IN_PROGRESS),
    ):
        if state in states:
            return code
    if view.fallen or any(line.drift for line in view.flags) or any(r.alarm for r in view.replications):
        return Exit.DIFFERENT
    if view.warnings or any(line.health == "unknown" for line in view.services):
        return Exit.ERROR  # what could not be asked is not well
    return Exit.WAITING if WeekStatus.WAITING in states else Exit.DONE


def _week_line(plan: WeekPlan, state: WeekState, lock: LeaseInfo | None) -> WeekLine:
    status = shown(state, lock)
    steps = [
        (entry.id, entry.title, str(state.steps[entry.id].status) if entry.id in state.steps else "")
        for entry in plan.entries()
    ]
    return WeekLine(
        plan.week,
        plan.title,
        plan.risk,
        str(status),
        state.since,
        plan.progress,
        [need.week for need in plan.needs],
        steps if state.status.applied else (),
        state.run_id if state.status.applied else "",
        _detail(state, status, lock),
    )


def _orphan_line(state: WeekState, lock: LeaseInfo | None, why: str) -> WeekLine:
    """A week that only the journal knows: it has the plan by which the week was run."""
    line = _week_line(WeekPlan.from_document(state.plan), state, lock)
    told = f"{why}; rollback still knows the plan from the journal"
    return replace(line, detail=f"{line.detail}; {told}" if line.detail else told)


def _detail(state: WeekState, status: WeekStatus, lock: LeaseInfo | None) -> str:
    if status is WeekStatus.WAITING:
        return f"for {state.waiting_on}"
    if status is WeekStatus.RESIDUE:
        return "; ".join(state.left)
    if status is WeekStatus.IN_DOUBT:
        steps = ", ".join(step.id for step in state.in_doubt())
        how = (
            f"interrupted ({signal_name(state.interrupted)})" if state.interrupted else "a run was broken off"
        )
        return f"{how}; steps in doubt: {steps}" if steps else f"{how} between two steps: no step is in doubt"
    if status is WeekStatus.ROLLING_BACK and lock is None:
        how = f"interrupted ({signal_name(state.interrupted)})" if state.interrupted else "broken off"
        return f"its rollback was {how}"
    return ""


def _state(system: System, name: str) -> ServiceLine:
    """What the one who runs it says; a line without a word on its health where it is to be asked."""
    try:
        return ServiceLine(name, str(system.services.state(name, timeout=_PATIENCE)), "", "")
    except Unreachable as error:
        return ServiceLine(name, "unknown", "unknown", str(system.redact(error.why)))


def _service_lines(system: System, states: Sequence[ServiceLine]) -> list[ServiceLine]:
    """The lines with their health, all asked at once; one that is stopped has none."""
    silent = (ServiceState.STOPPED, ServiceState.FAILED, "unknown")
    names = [line.name for line in states if line.state not in silent]
    seen = see_health(system.http, system.health, names, monolith=system.monolith, patience=lambda: _PATIENCE)
    return [_with_health(system, line, seen.get(line.name)) for line in states]


def _with_health(
    system: System, line: ServiceLine, seen: Evidence | StepFailed | Unreachable | None
) -> ServiceLine:
    if seen is None:
        return line
    if isinstance(seen, Evidence):
        return ServiceLine(line.name, line.state, "pass", "")
    if isinstance(seen, Unreachable):
        return ServiceLine(line.name, line.state, "unknown", str(system.redact(seen.why)))
    return ServiceLine(line.name, line.state, "fail", str(system.redact(seen.message)))


def _proxy_and_services(
    system: System, ledger: Ledger, lines: Sequence[ServiceLine]
) -> tuple[list[str], list[str]]:
    """What could not be asked, and what the weeks in force stand on and is no more."""
    warnings, fallen = [], []
    try:
        unfinished = system.rollout(ledger.state.unavailable).unfinished()
    except Unreachable as error:
        warnings.append(str(system.redact(str(error))))
    else:
        if unfinished:
            fallen.append(unfinished)
    by_name = {line.name: line for line in lines}
    for week in ledger.state.weeks.values():
        if week.status not in STANDING or not week.plan:
            continue
        for entry in WeekPlan.from_document(week.plan).entries():
            for name in getattr(entry.step, "up", ()):
                line = by_name.get(name)
                if line is not None and line.health != "pass":
                    why = f": {line.detail}" if line.detail else ""
                    fallen.append(f"{week.week} stands on {name}, which is {line.state}{why}")
    return warnings, fallen


def _reading(system: System, instance: str) -> GatewayFlags | Unreachable:
    try:
        return system.gateway.flags(instance, timeout=_PATIENCE)
    except Unreachable as error:
        return error


def _warnings(readings: Sequence[GatewayFlags | Unreachable]) -> list[str]:
    return [str(reading) for reading in readings if isinstance(reading, Unreachable)]


def _flag_lines(
    system: System, readings: dict[str, GatewayFlags | Unreachable], state: State
) -> list[FlagLine]:
    try:
        store: FlagFile | None = system.flags.read()
        problem = ""
    except InvalidSetup as error:
        store, problem = None, error.message
    journaled = _journaled_flags(state)
    return [
        _flag_line(route, store, problem, readings, journaled.get(flag), system.monolith)
        for flag, route in system.routes.items()
    ]


def _flag_line(
    route: Route,
    store: FlagFile | None,
    problem: str,
    readings: dict[str, GatewayFlags | Unreachable],
    journaled: tuple[str, bool] | None,
    monolith: str,
) -> FlagLine:
    instances: dict[str, bool | None] = {}
    silent = unknown = 0
    for name, reading in readings.items():
        if isinstance(reading, Unreachable):
            instances[name] = None
            silent += 1
            continue
        entry = reading.readings.get(route.flag)
        instances[name] = entry.effective if entry else None
        unknown += entry is None or (entry.feature is None and entry.enabled is None)
    seen = set(instances.values())
    effective = seen.pop() if len(seen) == 1 else None
    declared = store.values.get(route.flag) if store else None
    drift = problem
    if not drift and unknown:
        # A flag that this gateway has never heard of is no drift as long as nobody declares it on.
        drift = "the gateway does not know it" if values.read(declared) else ""
    elif not drift and silent < len(instances):
        if effective is None and not silent:
            drift = "the instances disagree"
        elif effective is not None and values.read(declared) is not effective:
            drift = f"declared {declared or 'nowhere'}, effective {'on' if effective else 'off'}"
    if not drift and journaled and effective is not None and effective is not journaled[1]:
        drift = f"{journaled[0]} set it {'on' if journaled[1] else 'off'}"
    owner = route.service if effective else monolith if effective is False else "unknown"
    return FlagLine(route.flag, route.prefix, declared, effective, instances, owner, drift)


def _journaled_flags(state: State) -> dict[str, tuple[str, bool]]:
    """What the weeks in force have set, by flag: (week, value), the newest last."""
    found: dict[str, tuple[str, bool]] = {}
    for week in sorted(state.weeks.values(), key=lambda w: w.begun):
        if week.status not in (*STANDING, WeekStatus.WAITING) or not week.plan:
            continue
        for entry in WeekPlan.from_document(week.plan).entries():
            wanted = getattr(entry.step, "set_", None)
            record = week.steps.get(entry.id)
            if isinstance(wanted, dict) and record and record.status is StepStatus.VERIFIED:
                found.update({flag: (week.week, value) for flag, value in wanted.items()})
    return found


def _lock_line(lock: LeaseInfo | None) -> LockLine | None:
    if lock is None:
        return None
    holder = lock.holder
    return LockLine(holder.person, holder.host, holder.pid, holder.command, lock.since, lock.expires)


def _next(
    system: System, state: State, plans: Sequence[WeekPlan], lock: LeaseInfo | None, *, drift: bool
) -> tuple[str, str]:
    """The one command to type next, and why."""
    weeks = sorted(state.weeks.values(), key=lambda w: w.begun, reverse=True)
    for week in weeks:
        urgent = _urgent(system, week, lock)
        if urgent:
            return urgent
    if drift:
        return system.type_this("verify"), "flags have drifted; this names what and where"
    for plan in plans:
        if state.week(plan.week).status in STANDING:
            continue
        if not missing_needs(state, plan):
            return _begin(system, plan)
    return system.type_this("verify"), "every week that has a plan stands; this asks reality again"


def _next_of_week(
    system: System, state: State, plan: WeekPlan, lock: LeaseInfo | None, *, drift: bool
) -> tuple[str, str]:
    """As `_next`, where only this week is looked at."""
    week = state.week(plan.week)
    urgent = _urgent(system, week, lock)
    if urgent:
        return urgent
    if week.status in STANDING:
        told = "it has drifted; this names what and where" if drift else "it stands; this asks reality again"
        return system.type_this(f"verify {plan.week}"), told
    for need, status in missing_needs(state, plan):
        return system.type_this(f"status {need}"), f"{plan.week} needs {need}, which is {status}"
    return _begin(system, plan)


def _begin(system: System, plan: WeekPlan) -> tuple[str, str]:
    return system.type_this(f"plan {plan.week}"), f"{plan.week} is next; this shows what it would change"


def _urgent(system: System, week: WeekState, lock: LeaseInfo | None) -> tuple[str, str] | None:
    """What a week that is neither untouched nor at rest calls for."""
    match shown(week, lock):
        case WeekStatus.RESIDUE:
            return system.type_this(f"rollback {week.week}"), f"{week.week} has a residue; this tries again"
        case WeekStatus.IN_DOUBT:
            reason = (
                f"{week.week} was broken off; this finds out and goes on"
                if week.in_doubt()
                else f"{week.week} stopped between two steps; this goes on"
            )
            return system.type_this(f"resume {week.week}"), reason
        case WeekStatus.ROLLING_BACK if lock is None:
            reason = f"the rollback of {week.week} was broken off; this goes on going back"
            return system.type_this(f"resume {week.week}"), reason
        case WeekStatus.RUNNING | WeekStatus.ROLLING_BACK:
            seen = system.lease.look()
            if seen is not None and seen.life == "silent":
                reason = f"whoever is at work on {week.week} stands still; this takes over and goes on"
                return system.type_this(f"resume {week.week}"), reason
            return system.type_this("status"), f"{week.week} is at work; look again"
        case WeekStatus.WAITING:
            return week.next_command, f"{week.week} waits for {week.waiting_on}"
    return None
