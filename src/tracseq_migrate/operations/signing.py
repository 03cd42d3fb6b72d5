"""Signatures: who says yes to a checklist item or a pause, with what evidence, and until when."""

from __future__ import annotations

from datetime import timedelta

from tracseq_migrate.errors import NotAllowed
from tracseq_migrate.journal import vocabulary
from tracseq_migrate.journal.chain import stamp
from tracseq_migrate.operations.context import holding
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import ItemLine
from tracseq_migrate.plan import ChecklistItem, WeekPlan
from tracseq_migrate.ports import Person


def sign(
    system: System,
    ledger: Ledger,
    week: str,
    *,
    item: str,
    ask: str,
    digest: str,
    claimed: str,
    evidence: str,
    expires: float | None,
) -> Person:
    """Journal the signature of whoever is here now; ``expires`` in seconds from now. Needs no lease."""
    if system.gate.epoch is not None:
        system.gate.check()  # signatures need no lease, but a run that has lost its own signs nothing any more
    person = system.identity.whoami()
    until = stamp(system.clock.now() + timedelta(seconds=expires)) if expires is not None else ""
    ledger.append(
        vocabulary.signed(
            week,
            item=item,
            ask=ask,
            digest=digest,
            person=person,
            claimed=claimed,
            evidence=evidence,
            expires=until,
        ),
        lease=False,
    )
    return person


def sign_item(
    system: System,
    ledger: Ledger,
    plan: WeekPlan,
    item: ChecklistItem,
    *,
    digest: str,
    evidence: str,
    claimed: str = "",
) -> Person:
    """Sign a checklist item.

    Raises:
        NotAllowed: the item requires evidence and none was given.
    """
    if item.evidence == "required" and not evidence.strip():
        raise NotAllowed(
            f"{plan.week}: {item.id} must be signed with evidence ({item.ask})",
            hint=f"`{command_for(system, plan.week, item)}`",
        )
    held = holding(ledger.state.week(plan.week).signatures, item.id, digest, system.clock.now())
    if len(held) < item.approvals and system.identity.whoami().name in {s.person for s in held}:
        raise NotAllowed(
            f"{plan.week}: you have signed {item.id} already; {item.approvals} different people must",
            hint=f"Another person types `{command_for(system, plan.week, item)}`.",
        )
    return sign(
        system,
        ledger,
        plan.week,
        item=item.id,
        ask=item.ask,
        digest=digest,
        claimed=claimed,
        evidence=evidence,
        expires=item.expires,
    )


def command_for(system: System, week: str, item: ChecklistItem) -> str:
    """The exact command that would sign an item."""
    evidence = ' --evidence "..."' if item.evidence == "required" else ""
    return system.type_this(f"approve {week} {item.id}{evidence}")


def item_line(
    system: System, ledger: Ledger, plan: WeekPlan, item: ChecklistItem, *, digest: str
) -> ItemLine:
    """Where an item stands now."""
    signatures = ledger.state.week(plan.week).signatures
    now = system.clock.now()
    held = holding(signatures, item.id, digest, now)
    command = command_for(system, plan.week, item)
    names = ", ".join(s.claimed or s.person for s in held)
    if len(held) >= item.approvals:
        ends = min((s.expires for s in held if s.expires), default=None)
        until = f", until {ends:%Y-%m-%d %H:%M} UTC" if ends else ""
        return ItemLine(item.id, item.ask, "signed", f"by {names}{until}", command)
    if held:
        missing = item.approvals - len(held)
        text = f"signed by {names}; {missing} more must sign, and not the same person"
        return ItemLine(item.id, item.ask, "open", text, command)
    earlier = [s for s in signatures if s.item == item.id]
    if any(s.digest == digest for s in earlier):
        return ItemLine(item.id, item.ask, "expired", "the signature has expired", command)
    if earlier:
        text = "the plan was edited after it was signed, so the signature is void"
        return ItemLine(item.id, item.ask, "voided", text, command)
    needs = f"{item.approvals} different people must sign" if item.approvals > 1 else "nobody has signed"
    return ItemLine(item.id, item.ask, "open", needs, command)
