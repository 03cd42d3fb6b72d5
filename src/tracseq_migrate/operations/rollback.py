"""``rollback``: go back by the journaled plan, in reverse order, and leave nothing behind that nobody accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tracseq_migrate.errors import Exit, Locked, NotAllowed, TracseqMigrateError, UsageError
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import StepRecord, StepStatus, WeekState, WeekStatus
from tracseq_migrate.operations.context import context
from tracseq_migrate.operations.driving import Drive, holding_lease, new_run_id
from tracseq_migrate.operations.hindrances import hindrances, refuse_hindered
from tracseq_migrate.operations.keeping import catch_up
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.locking import awaits_another
from tracseq_migrate.operations.observer import Warned
from tracseq_migrate.operations.order import shown, standing_on
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.telling import began, finished
from tracseq_migrate.operations.views import ManualStep, RollbackView
from tracseq_migrate.operations.witness import lost, refuse_lost
from tracseq_migrate.plan import StepEntry, WeekPlan
from tracseq_migrate.ports import Draft, Unreachable
from tracseq_migrate.routing.stranded import listing, summary
from tracseq_migrate.step import EffectKind, Loss

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class RollbackOptions:
    """How a rollback was asked for; ``to`` names the last step that stays."""

    accept_loss: bool = False
    to: str = ""
    reason: str = ""
    lock_timeout: float = 0.0


@dataclass(frozen=True, slots=True)
class Price:
    """What going back would leave behind, a step; ``unknown`` says what could not be counted."""

    losses: Sequence[tuple[str, Loss]]
    unknown: Sequence[str]

    @property
    def rows(self) -> list[Loss]:
        return [loss for _, loss in self.losses]


def steps_kept(plan: WeekPlan, to: str) -> frozenset[str]:
    """The steps up to and with ``to``, in the plan's order; none where ``to`` is empty."""
    if not to:
        return frozenset()
    ids = [entry.id for entry in plan.entries()]
    return frozenset(ids[: ids.index(to) + 1])


def rollback(system: System, week: str, options: RollbackOptions) -> int:
    """Take a week back.

    Raises:
        NotAllowed: it was never run, a later week stands on it, it is completed, a step has no way back, or writes would
            be left behind and nobody accepted that. Nothing was changed.
        Residue: going back failed; what is left is listed.
    """
    ledger = Ledger(system)
    refuse_lost(system, ledger)
    state = _state_of(system, ledger, week)
    if state.status is WeekStatus.ROLLED_BACK:
        return _back_already(system, ledger, state)
    if not awaits_another(system, options.lock_timeout):
        _refuse(system, ledger, state, options.to)
    with holding_lease(system, timeout=options.lock_timeout):
        ledger.refresh()
        state = ledger.state.week(state.week)
        if state.status is WeekStatus.ROLLED_BACK:  # somebody else was faster
            return _back_already(system, ledger, state)
        _refuse(system, ledger, state, options.to)
        plan = WeekPlan.from_document(state.plan)
        keep = steps_kept(plan, options.to)
        run_id = new_run_id(system)
        if not options.accept_loss and _accepted_before(state):
            options = replace(
                options, accept_loss=True
            )  # what the rollback that was broken off was allowed, it still is
        refuse_hindered(system, ledger, plan, state, keep)
        price = count(system, ledger, plan, state, keep)
        _refuse_losses(system, state, price, options)
        began(system, "rollback", plan, run_id)
        # The list is there before the journal says that it was accepted; and that it says in one breath with the beginning.
        accepted = _listed(system, state.week, run_id, price) if options.accept_loss else []
        ledger.append(
            v.rollback_started(
                state.week,
                run_id,
                of=state.run_id,
                reason=options.reason or "asked for by command",
                automatic=False,
                to=options.to,
                person=system.identity.whoami(),
                command=system.command,
                version=system.version,
                accept_loss=options.accept_loss,
            ),
            *accepted,
        )
        _warn(system, accepted)
        return _back(system, ledger, plan, run_id=run_id, keep=keep, accept_loss=options.accept_loss)


def _accepted_before(state: WeekState) -> bool:
    """Whether an earlier try to take this very run back was allowed to leave writes behind."""
    return state.loss_accepted and state.status in (WeekStatus.ROLLING_BACK, WeekStatus.RESIDUE)


def go_on(system: System, ledger: Ledger, state: WeekState) -> int:
    """A rollback that was broken off goes on, automatic or by command, under the lease; what it was allowed, it still is."""
    plan = WeekPlan.from_document(state.plan)
    run_id = state.rollback_id or state.run_id
    began(system, "rollback", plan, run_id)
    ledger.append(
        v.run_resumed(
            plan.week,
            run_id,
            person=system.identity.whoami(),
            command=system.command,
            direction="backward",
        )
    )
    keep = steps_kept(plan, state.rollback_to)
    return _back(system, ledger, plan, run_id=run_id, keep=keep, accept_loss=state.rollback_leaves)


def _back(
    system: System,
    ledger: Ledger,
    plan: WeekPlan,
    *,
    run_id: str,
    keep: frozenset[str],
    accept_loss: bool,
) -> int:
    digest = ledger.state.week(plan.week).digest
    drive = Drive(system, ledger, plan, run_id=run_id, digest=digest, accept_loss=accept_loss)
    recount = (lambda: _accept_late(system, ledger, plan, run_id)) if accept_loss else None
    return drive.back(keep=keep, before_end=recount)


def _back_already(system: System, ledger: Ledger, state: WeekState) -> int:
    catch_up(system, ledger, state)
    finished(
        system,
        state.week,
        state.run_id,
        state=state.status,
        code=Exit.DONE,
        summary=f"{state.week} is rolled back already",
        next_command="status",
        since=system.clock.monotonic(),
    )
    return Exit.DONE


def preview(system: System, week: str, options: RollbackOptions, *, ask: bool) -> RollbackView:
    """``--dry-run`` and ``--print-manual``: the way back as it would be gone; ``ask`` is false where nothing may be asked."""
    ledger = Ledger(system, glance=True)
    state = _state_of(system, ledger, week)
    refused = ""
    if state.status is WeekStatus.ROLLED_BACK:
        refused = f"{state.week} is rolled back already"
    else:
        try:
            _refuse(system, ledger, state, options.to)
        except NotAllowed as error:
            refused = error.message
    refused = lost(system, ledger) or refused
    steps: list[ManualStep] = []
    price = Price((), ())
    if state.plan:
        plan = WeekPlan.from_document(state.plan)
        keep = steps_kept(plan, options.to)
        entries = {entry.id: entry for entry in plan.entries()}
        for record in state.completed_steps():
            entry = entries.get(record.id)
            if entry is None or record.id in keep or entry.step.effect.kind is EffectKind.NONE:
                continue
            steps.append(ManualStep(entry.id, entry.title, entry.step.manual(record.undo, system.routes)))
        if ask:
            hindered = hindrances(system, ledger, plan, state, keep)
            refused = refused or system.redact("; ".join(f"{c.detail} ({c.remedy})" for c in hindered))
            price = count(system, ledger, plan, state, keep)
    accept = " --accept-loss" if price.losses else ""
    later = standing_on(ledger.state, state.week)
    follow = f"rollback {state.week}{accept}"
    if state.status in (WeekStatus.ROLLED_BACK, WeekStatus.COMPLETED):
        follow = "status"
    elif later:
        follow = f"rollback {later[0].week}"
    return RollbackView(
        system.header,
        state.week,
        state.title,
        str(shown(state, system.lease.show())),
        steps,
        [{"where": loss.where, "what": loss.what, "key": loss.key, "row": loss.row} for loss in price.rows],
        list(price.unknown),
        refused,
        system.type_this(follow),
    )


def count(system: System, ledger: Ledger, plan: WeekPlan, state: WeekState, keep: frozenset[str]) -> Price:
    """Ask every step that would go back what it would leave behind."""
    losses: list[tuple[str, Loss]] = []
    unknown: list[str] = []
    entries = {entry.id: entry for entry in plan.entries()}
    for record in state.completed_steps():
        entry = entries.get(record.id)
        if entry is None or record.id in keep:
            continue
        found, problem = _losses_of(system, ledger, plan, state, entry, record)
        losses.extend((entry.id, loss) for loss in found)
        if problem:
            unknown.append(problem)
    return Price(losses, unknown)


def count_reverted(system: System, ledger: Ledger, plan: WeekPlan, state: WeekState) -> Price:
    """What the steps that went back did leave behind."""
    losses: list[tuple[str, Loss]] = []
    unknown: list[str] = []
    entries = {entry.id: entry for entry in plan.entries()}
    gone = [s for s in state.steps.values() if s.status is StepStatus.REVERTED]
    for record in sorted(gone, key=lambda s: s.completed, reverse=True):
        found, problem = _losses_of(system, ledger, plan, state, entries[record.id], record)
        losses.extend((record.id, loss) for loss in found)
        if problem:
            unknown.append(problem)
    return Price(losses, unknown)


def _losses_of(
    system: System, ledger: Ledger, plan: WeekPlan, state: WeekState, entry: StepEntry, record: StepRecord
) -> tuple[list[Loss], str]:
    ctx = context(
        system,
        ledger,
        week=state.week,
        run_id="",
        step_id=entry.id,
        digest=state.digest,
        timeout=entry.timeout,
        writing=False,
        texts=plan.texts,
    )
    try:
        return entry.step.losses(ctx, record.undo), ""
    except Unreachable as error:
        return [], f"{entry.id}: what it would leave behind cannot be counted: {system.redact(str(error))}"


def _state_of(system: System, ledger: Ledger, week: str) -> WeekState:
    """A week by its name in the journal, or by its plan."""
    known = week in ledger.state.weeks or week in system.shelf.names()
    state = ledger.state.week(week if known else system.shelf.find(week).week)
    if state.status is WeekStatus.NEVER_RUN:
        raise NotAllowed(
            f"{state.week} was never run in environment {system.environment}: there is nothing to go back from",
            hint=f"`{system.type_this('status')}` shows what was; `-e NAME` chooses another environment.",
        )
    return state


def refuse_later(system: System, week: str, later: Sequence[WeekState]) -> None:
    """Raise `NotAllowed` where later weeks stand on this one, with the commands in the order to type them."""
    if not later:
        return
    info = system.lease.show() if system.gate.epoch is None else None
    at_work = [w for w in later if w.status in (WeekStatus.RUNNING, WeekStatus.ROLLING_BACK)]
    if info is not None and at_work:
        who = (
            f"{info.holder.person} on {info.holder.host} (pid {info.holder.pid}) with `{info.holder.command}`"
        )
        raise Locked(
            f"{week} cannot move while {at_work[0].week} is at work: {who}",
            hint=f"Wait for it; `{system.type_this('status')}` shows how far it is.",
        )
    names = ", ".join(f"{w.week} ({w.status})" for w in later)
    commands = "; then ".join(f"`{system.type_this(f'rollback {w.week}')}`" for w in later)
    raise NotAllowed(f"{week} cannot move while later weeks stand on it: {names}", hint=f"First {commands}.")


def _refuse(system: System, ledger: Ledger, state: WeekState, to: str) -> None:
    if state.status is WeekStatus.COMPLETED:
        raise NotAllowed(f"{state.week} is completed: its way back was given up, for ever")
    refuse_later(system, state.week, standing_on(ledger.state, state.week))
    plan = WeekPlan.from_document(state.plan)
    if to and to not in {entry.id for entry in plan.entries()}:
        names = ", ".join(entry.id for entry in plan.entries())
        raise UsageError(f"{state.week} has no step {to}; its steps are: {names}")
    keep = steps_kept(plan, to)
    entries = {entry.id: entry for entry in plan.entries()}
    for record in state.completed_steps():
        entry = entries.get(record.id)
        if entry and record.id not in keep and entry.step.effect.kind is EffectKind.IRREVERSIBLE:
            raise NotAllowed(
                f"step {entry.id} of {state.week} is a point of no return: {entry.step.effect.reason}",
                hint=f"`{system.type_this(f'rollback {state.week} --to {entry.id}')}` goes back as far as that.",
            )


def _refuse_losses(system: System, state: WeekState, price: Price, options: RollbackOptions) -> None:
    week = state.week
    if options.accept_loss or not (price.losses or price.unknown):
        return
    lines = [f"  {line}" for line in summary(price.rows)]
    lines += [f"    {loss.what} {loss.where} {loss.key}{_why(loss)}" for loss in price.rows[:_SHOWN]]
    if len(price.rows) > _SHOWN:
        lines.append(f"    ... and {len(price.rows) - _SHOWN} more")
    lines += [f"  {text}" for text in price.unknown]
    counted = (
        f"{len(price.rows)} writes would be left on the new side"
        if price.rows
        else "not all could be counted"
    )
    raise NotAllowed(
        f"{week}: going back now is refused, because {counted}:\n" + "\n".join(lines),
        state=f"{week} is {state.status}, as it was, and nothing was changed.",
        hint=_less_far(system, state, price, options) + _way_out(system, week, price),
    )


def _less_far(system: System, state: WeekState, price: Price, options: RollbackOptions) -> str:
    """A way back that leaves nothing behind, where what would be left is only so because of the first steps."""
    plan = WeekPlan.from_document(state.plan)
    costly = {step for step, _ in price.losses}
    ids = [entry.id for entry in plan.entries()]
    last = max((ids.index(step) for step in costly), default=-1)
    further = {record.id for record in state.completed_steps() if record.effect != "none"} & {
        *ids[last + 1 :]
    }
    if not costly or price.unknown or not further or ids[last] == options.to:
        return ""
    return f"`{system.type_this(f'rollback {state.week} --to {ids[last]}')}` goes back as far as that and leaves nothing behind. "


def _way_out(system: System, week: str, price: Price) -> str:
    accepting = f"`{system.type_this(f'rollback {week} --accept-loss')}`"
    if not price.rows:
        again = f"`{system.type_this(f'rollback {week}')}`"
        return (
            f"Have it answer, then {again} counts again. {accepting} goes back without knowing what is left."
        )
    return (
        f"{accepting} writes the whole list to a file first, "
        "and then goes back without them. Flags leave them in the service's database; a replication "
        "takes them away with the rows that it brought, and that file is the only copy then."
    )


def _listed(system: System, week: str, run_id: str, price: Price) -> list[Draft]:
    """Write the list of what is left behind, and return the events that say so.

    Raises:
        TracseqMigrateError: it could not be written.
    """
    drafts = []
    if price.losses:
        path = system.losses / f"{week}-{run_id}.jsonl"
        body = listing(price.rows)
        try:
            system.files.write(path, body, private=True)
        except OSError as error:
            raise TracseqMigrateError(
                f"the list of the writes that would be left behind could not be written to {path}: {error}",
                hint="Make room there, or make it writable; then again.",
            ) from error
        digest = system.store.attach(body)
        by_step: dict[str, list[Loss]] = {}
        for step, loss in price.losses:
            by_step.setdefault(step, []).append(loss)
        drafts = [
            v.loss_accepted(
                week, run_id, step, file=str(path), digest=digest, count=len(losses), summary=summary(losses)
            )
            for step, losses in by_step.items()
        ]
    return drafts + [
        v.loss_accepted(week, run_id, "", file="", digest="", count=0, summary=[text])
        for text in price.unknown
    ]


def _warn(system: System, accepted: Sequence[Draft]) -> None:
    total = sum(draft.data["count"] for draft in accepted)
    files = {draft.data["file"]: None for draft in accepted if draft.data["file"]}
    texts = [f"{total} writes are left behind; their list is {path}" for path in files]
    texts += [text for draft in accepted if not draft.data["file"] for text in draft.data["summary"]]
    for text in texts:
        system.observer.emit(Warned(system.clock.now(), text))


def _why(loss: Loss) -> str:
    return f": {loss.row['why']}" if loss.row and loss.row.get("why") else ""


def _accept_late(system: System, ledger: Ledger, plan: WeekPlan, run_id: str) -> None:
    """Writes that came in between the last count and the switch are added to the list."""
    again = count_reverted(system, ledger, plan, ledger.state.week(plan.week))
    digests = [e.data["digest"] for e in ledger.history() if e.type == v.LOSS_ACCEPTED and e.run_id == run_id]
    known = next((system.store.attachment(digest) for digest in reversed(digests) if digest), listing([]))
    if again.losses and listing(again.rows) != known:
        accepted = _listed(system, plan.week, run_id, again)
        ledger.append(*accepted)
        _warn(system, accepted)
