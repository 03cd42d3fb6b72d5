"""One step at a time, by the protocol, in the fake world."""

from __future__ import annotations

from typing import Any

from tests.operations.world import MONOLITH, ROUTES, World
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.operations.context import context
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.plan import StepEntry, WeekPlan
from tracseq_migrate.ports import Holder, Routes
from tracseq_migrate.step import Evidence, Loss, Preview, Probed, StepContext, Undo, WaitingOn


class Bench:
    """A step in a world, under the lease; ``undo`` is what its last `there` prepared."""

    def __init__(self, world: World, step: dict[str, Any]) -> None:
        self.world = world
        system = world.process()
        self._system = system
        system.gate.epoch = system.lease.acquire(Holder("b", "ada", "bench", 1, "test"), timeout=0).epoch
        self._ledger = Ledger(system)
        plan = WeekPlan.from_document(
            {"week": "week9", "title": "t", "risk": "low", "steps": [{"id": "s", **step}]}
        )
        self.entry: StepEntry = plan.entries()[0]
        self.step = self.entry.step
        self.undo: Undo = {}
        person = system.identity.whoami()
        self._ledger.append(
            v.run_started(
                "week9",
                "r1",
                title="t",
                plan=plan.document(),
                digest="d",
                person=person,
                command="test",
                environment="lab",
                version="0",
            )
        )

    def ctx(self, *, writing: bool = True, **more: Any) -> StepContext:
        return context(
            self._system,
            self._ledger,
            week="week9",
            run_id="r1",
            step_id="s",
            digest="d",
            timeout=self.entry.timeout,
            writing=writing,
            **{"texts": {}, **more},
        )

    def prepare(self) -> Undo:
        """What going back needs, journaled with the intent."""
        self.undo = self.step.prepare(self.ctx())
        effect = str(self.step.effect)
        self._ledger.append(
            v.intent(
                "week9", "r1", "s", title="s", kind=self.step.kind, effect=effect, undo=self.undo, attempt=1
            )
        )
        return self.undo

    def apply(self) -> WaitingOn | None:
        done = self.step.apply(self.ctx(), self.undo)
        return done if isinstance(done, WaitingOn) else None

    def there(self) -> list[Evidence]:
        """Prepare, apply, and see it."""
        self.prepare()
        assert self.apply() is None
        return self.verify()

    def verify(self, *, settled: bool = False) -> list[Evidence]:
        return self.step.verify(self.ctx(writing=False, settled=settled))

    def probe(self) -> Probed:
        return self.step.probe(self.ctx(), self.undo, self.checkpoints)

    def losses(self) -> list[Loss]:
        return self.step.losses(self.ctx(writing=False), self.undo)

    def back(self, **more: Any) -> list[Evidence]:
        return self.step.revert(self.ctx(**more), self.undo, self.checkpoints)

    def preview(self, *, offline: bool = False) -> Preview:
        return self.step.preview(self.ctx(writing=False), offline=offline)

    def fits(self) -> list[str]:
        return self.step.fits(Routes(ROUTES), MONOLITH)

    @property
    def checkpoints(self) -> list[str]:
        record = self._ledger.state.week("week9").steps.get("s")
        return [checkpoint.name for checkpoint in record.checkpoints] if record else []

    @property
    def owed(self) -> list[str]:
        return [name for _, _, name in self._ledger.state.obligations]
