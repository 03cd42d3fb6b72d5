"""The preflight: every question that can be asked before anything changes, all answered, only ``pass`` passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tracseq_migrate.errors import Declined, Interrupted, NotAllowed, StepFailed, UsageError
from tracseq_migrate.frozen import frozen
from tracseq_migrate.operations.context import context, holding
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.observer import CheckDone, Verdict
from tracseq_migrate.operations.order import missing_needs, standing_on
from tracseq_migrate.operations.signing import item_line, sign_item
from tracseq_migrate.operations.system import System
from tracseq_migrate.plan import WeekPlan
from tracseq_migrate.ports import Unreachable


@frozen
class Check:
    """A question and its answer; ``remedy`` is what to do, or to type, where it did not pass."""

    id: str
    title: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def order_checks(system: System, ledger: Ledger, plan: WeekPlan) -> Iterator[Check]:
    """Whether the weeks before it stand, and no later week stands in the way."""
    for week, status in missing_needs(ledger.state, plan):
        yield Check(
            f"needs-{week}",
            f"{week} stands",
            "fail",
            f"{plan.week} needs {week}, which is {status}",
            f"`{system.type_this(f'run {week}')}` first",
        )
    for other in standing_on(ledger.state, plan.week):
        yield Check(
            f"after-{other.week}",
            f"{other.week} does not stand on {plan.week}",
            "fail",
            f"{other.week} is {other.status} already, and comes after {plan.week}",
            f"`{system.type_this(f'rollback {other.week}')}` first",
        )


def check_confirmations(plan: WeekPlan, confirm: Mapping[str, str]) -> None:
    """Raise `UsageError` where ``--confirm`` names an item that the plan does not have."""
    unknown = sorted(confirm.keys() - {item.id for item in plan.checklist})
    if unknown:
        names = ", ".join(item.id for item in plan.checklist) or "none"
        raise UsageError(f"{plan.week} has no checklist item {', '.join(unknown)}; its items are: {names}")


def collect_signatures(
    system: System,
    ledger: Ledger,
    plan: WeekPlan,
    *,
    digest: str,
    confirm: Mapping[str, str],
    assume_yes: bool,
) -> None:
    """Sign what this call may sign: ``--confirm``, ``--yes`` where the item lets it, and a person at a terminal.

    Raises:
        Declined: a person said no.
        Interrupted: a signal came instead of an answer.
        NotAllowed: an item that requires evidence was confirmed without.
    """
    signed = len(ledger.state.week(plan.week).signatures)
    for item in plan.checklist:
        if item_line(system, ledger, plan, item, digest=digest).state == "signed":
            continue
        if item.id in confirm:
            sign_item(system, ledger, plan, item, digest=digest, evidence=confirm[item.id])
        elif assume_yes and item.yes and item.evidence != "required":
            sign_item(system, ledger, plan, item, digest=digest, evidence="answered by --yes")
        elif system.asker.present and not _signed_by_me(system, ledger, plan.week, item.id, digest):
            again = f"`{system.type_this(f'run {plan.week}')}` asks again."
            try:
                if not system.asker.confirm(f"{item.id}: {item.ask}?"):
                    raise Declined(f"declined: {item.ask} ({item.id})", hint=again)
                evidence = ""
                if item.evidence != "none":
                    evidence = _evidence(system, required=item.evidence == "required")
            except Interrupted as error:
                more = len(ledger.state.week(plan.week).signatures) - signed
                kept = f"; what you signed before ({more}) stays signed." if more else "."
                raise Interrupted(
                    error.signal_number,
                    state=f"{item.id} is not signed. Nothing was changed{kept}",
                    hint=again,
                ) from error
            sign_item(system, ledger, plan, item, digest=digest, evidence=evidence)


def _evidence(system: System, *, required: bool) -> str:
    """What the person at the terminal says shows it; asked again where it must not be empty."""
    while True:
        said = system.asker.text("evidence (required): " if required else "evidence (may be empty): ").strip()
        if said or not required or system.interrupt.requested:
            return said


def _signed_by_me(system: System, ledger: Ledger, week: str, item: str, digest: str) -> bool:
    held = holding(ledger.state.week(week).signatures, item, digest, system.clock.now())
    return system.identity.whoami().name in {s.person for s in held}


def checklist_checks(system: System, ledger: Ledger, plan: WeekPlan, *, digest: str) -> Iterator[Check]:
    """Whether every item is signed, by enough people, for this plan, and not expired."""
    for item in plan.checklist:
        line = item_line(system, ledger, plan, item, digest=digest)
        yield Check(
            item.id,
            item.ask,
            "pass" if line.state == "signed" else "fail",
            line.detail,
            "" if line.state == "signed" else f"`{line.command}`",
        )


def question_checks(system: System, ledger: Ledger, plan: WeekPlan, *, digest: str) -> Iterator[Check]:
    """The plan's own checks, and what each step wants to know before anything changes."""
    for entry in plan.preflight:
        ctx = context(
            system,
            ledger,
            week=plan.week,
            run_id="",
            step_id=entry.id,
            digest=digest,
            timeout=entry.timeout,
            writing=False,
            texts=plan.texts,
        )
        try:
            evidence = entry.step.verify(ctx)
        except StepFailed as error:
            yield Check(entry.id, entry.title, "unknown" if error.unknown else "fail", str(error), error.hint)
        except Unreachable as error:
            yield Check(entry.id, entry.title, "unknown", str(error))
        else:
            yield Check(entry.id, entry.title, "pass", "; ".join(line.text for line in evidence))
    for entry in plan.entries():
        ctx = context(
            system,
            ledger,
            week=plan.week,
            run_id="",
            step_id=entry.id,
            digest=digest,
            timeout=entry.timeout,
            writing=False,
            texts=plan.texts,
        )
        for concern in entry.step.concerns(ctx):
            yield Check(entry.id, concern.question, concern.verdict, concern.detail, concern.remedy)


def preflight(system: System, ledger: Ledger, plan: WeekPlan, *, digest: str) -> list[Check]:
    """Ask everything, tell each answer as it comes, and return them all.

    Raises:
        NotAllowed: something did not pass. The message names all that did not, with what to do about each.
        Interrupted: a signal came.
    """
    results: list[Check] = []
    for source in (
        order_checks(system, ledger, plan),
        checklist_checks(system, ledger, plan, digest=digest),
        question_checks(system, ledger, plan, digest=digest),
    ):
        for check in source:
            if system.interrupt.requested:
                raise stopped(system, plan.week)
            clean = Check(check.id, check.title, check.verdict, system.redact(check.detail), check.remedy)
            results.append(clean)
            system.observer.emit(
                CheckDone(
                    system.clock.now(), clean.id, clean.title, clean.verdict, clean.detail, clean.remedy
                )
            )
    if system.gate.epoch is not None:
        system.gate.check()  # where another took over meanwhile, what was seen is of that one's doing
    refuse(system, plan.week, results)
    return results


def refuse(system: System, week: str, results: Sequence[Check]) -> None:
    """Raise `NotAllowed` unless every check passed."""
    bad = [check for check in results if check.verdict != "pass"]
    if not bad:
        return
    lines = [
        f"  {check.id}: {check.detail or check.title}" + (f"\n    do: {check.remedy}" if check.remedy else "")
        for check in bad
    ]
    raise NotAllowed(
        f"{week} may not run yet: {len(bad)} of {len(results)} checks did not pass\n" + "\n".join(lines),
        hint=f"Then again: `{system.type_this(f'run {week}')}`.",
    )


def stopped(system: System, week: str) -> Interrupted:
    """A signal came before anything was changed."""
    again = f"`{system.type_this(f'run {week}')}` begins again."
    return Interrupted(system.interrupt.requested, state="Nothing was changed.", hint=again)
