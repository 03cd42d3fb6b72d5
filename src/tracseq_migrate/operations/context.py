"""The context in which a step answers, made for one step of one execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tracseq_migrate.errors import Residue
from tracseq_migrate.journal import vocabulary
from tracseq_migrate.journal.replay import Signature, WeekStatus
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.observer import StepSaid
from tracseq_migrate.operations.system import System
from tracseq_migrate.step import Approval, Direction, Journaling, StepContext


class _NoJournal(Journaling):
    """For verbs that only look: whatever tries to write here is a bug."""

    def __init__(self, system: System, ledger: Ledger, week: str, step: str) -> None:
        self._system = system
        self._ledger = ledger
        self._week = week
        self._step = step

    def checkpoint(self, name: str, data: Mapping[str, Any], direction: Direction = "either") -> None:
        raise AssertionError("a step that looks must not journal")

    def owe(self, name: str, what: str, ends: str) -> None:
        raise AssertionError("a step that looks must not journal")

    def settle(self, name: str) -> None:
        raise AssertionError("a step that looks must not journal")

    def owes(self, name: str) -> bool:
        return (self._week, self._step, name) in self._ledger.state.obligations

    def attach(self, body: bytes) -> str:
        raise AssertionError("a step that looks must not journal")

    def attachment(self, digest: str) -> bytes:
        try:
            return self._system.store.attachment(digest)
        except KeyError as error:
            raise Residue(f"the journal has lost the attachment {digest[:12]}") from error


class _StepJournal(_NoJournal):
    """Writes a step's checkpoints, obligations and attachments."""

    def __init__(self, system: System, ledger: Ledger, week: str, run_id: str, step: str) -> None:
        super().__init__(system, ledger, week, step)
        self._where = (week, run_id, step)

    def checkpoint(self, name: str, data: Mapping[str, Any], direction: Direction = "either") -> None:
        self._ledger.append(vocabulary.checkpoint(*self._where, name=name, data=data, direction=direction))

    def owe(self, name: str, what: str, ends: str) -> None:
        if not self.owes(name):
            self._ledger.append(vocabulary.obligation_opened(*self._where, name=name, what=what, ends=ends))

    def settle(self, name: str) -> None:
        if self.owes(name):
            self._ledger.append(vocabulary.obligation_closed(*self._where, name=name))

    def attach(self, body: bytes) -> str:
        return self._system.store.attach(body)


def holding(signatures: Sequence[Signature], item: str, digest: str, now: datetime) -> list[Signature]:
    """The signatures on an item that hold now: for this digest of the plan, not expired; one a person, the newest."""
    newest: dict[str, Signature] = {}
    for signature in signatures:
        expired = signature.expires is not None and signature.expires <= now
        if signature.item == item and signature.digest == digest and not expired:
            newest[signature.person] = signature
    return list(newest.values())


def context(
    system: System,
    ledger: Ledger,
    *,
    week: str,
    run_id: str,
    step_id: str,
    digest: str,
    timeout: float,
    writing: bool,
    texts: Mapping[str, str],
    assume_yes: bool = False,
    accept_loss: bool = False,
    settled: bool = False,
    deep: bool = False,
) -> StepContext:
    """A context for one step; ``writing`` is false for verbs that only look."""

    def say(text: str) -> None:
        system.observer.emit(StepSaid(system.clock.now(), step_id, system.redact(text)))

    def approvals(item: str) -> list[Approval]:
        now = system.clock.now()
        held = holding(ledger.state.week(week).signatures, item, digest, now)
        return [Approval(s.claimed or s.person, s.evidence) for s in held]

    return StepContext(
        week=week,
        run_id=run_id,
        step_id=step_id,
        sandbox=system.sandbox,
        clock=system.clock,
        interrupt=system.interrupt,
        http=system.http,
        gateway=system.gateway,
        flags=system.flags,
        rollout=system.rollout(ledger.state.unavailable),
        services=system.services,
        databases=system.databases,
        # Who only looks has no lease, and needs none: catalogs, a scan, and a comparison, for which what waits is carried over
        # by the one that leads.
        sessions=system.sessions if writing else system.free_sessions,
        founding=system.founding,
        dumps=system.dumps,
        prober=system.prober,
        commands=system.commands,
        asker=system.asker,
        routes=system.routes,
        health=system.health,
        stores=system.stores,
        monolith=system.monolith,
        journal=_StepJournal(system, ledger, week, run_id, step_id)
        if writing
        else _NoJournal(system, ledger, week, step_id),
        deadline=system.clock.monotonic() + timeout,
        say=say,
        approvals=approvals,
        texts=texts,
        guardian=system.guardian,
        completed=ledger.state.week(week).status is WeekStatus.COMPLETED,
        assume_yes=assume_yes,
        accept_loss=accept_loss,
        settled=settled,
        deep=deep,
    )
