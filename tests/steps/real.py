"""A step on real databases, under the lease, by the protocol; everything else of the world is in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.operations.world import World
from tests.steps.bench import Bench
from tracseq_migrate.adapters.clock import SystemClock
from tracseq_migrate.adapters.postgres.dumps import PostgresDumps
from tracseq_migrate.adapters.postgres.founding import PostgresFounding
from tracseq_migrate.adapters.postgres.sessions import PostgresSessions
from tracseq_migrate.step import Concern, StepContext


class RealBench(Bench):
    """`Bench` whose sessions, founding and dumps are PostgreSQL's; ``texts`` are the files that the plan reads."""

    def __init__(
        self,
        step: dict[str, Any],
        dsns: Mapping[str, str],
        *,
        texts: Mapping[str, str] | None = None,
        dumps: Callable[[Mapping[str, str]], PostgresDumps] | None = None,
    ) -> None:
        world = World()
        world.sessions = PostgresSessions(dsns)  # type: ignore[assignment]  # the world's own is in memory
        world.founding = PostgresFounding(dsns)  # type: ignore[assignment]  # as above
        if dumps is not None:
            world.dumps = dumps(dsns)  # type: ignore[assignment]  # as above
        world.clock = SystemClock()  # type: ignore[assignment]  # real servers take real time
        self.texts = dict(texts or {})
        super().__init__(world, step)

    def ctx(self, *, writing: bool = True, **more: Any) -> StepContext:
        return super().ctx(writing=writing, texts=self.texts, **more)

    def concerns(self) -> list[Concern]:
        return self.step.concerns(self.ctx(writing=False))
