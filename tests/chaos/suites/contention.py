"""Two and more at once: crowds that want one lock, whole processes that race for week 1, and holders that were stopped.

Cases: ``crowd SEED ROUND`` are 20 rounds of 20 workers over a journal of their own; ``race SEED NUMBER`` are 20 processes in a
sandbox; ``stop SEED NUMBER`` stops a run of week 1 at a place that the seed chooses, lets another take over, and continues it.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.chaos.crowd import Crowd, crowd
from tests.chaos.suite import Tally, Wrong
from tests.e2e.driving import COMMAND, Outcome, environment, tool_of, world
from tests.e2e.standing_still import SHORT, journal_of, set_lease, stop_and_overtake
from tests.sandbox_fixture import Sandbox, bring_up, take_down
from tracseq_migrate.journal import chain
from tracseq_migrate.journal import vocabulary as v

SIZE = 20
ROUNDS = 20
CROWDS = 10
RACES = 10
STOPS = 30
MOST = 12.0
"""Seconds: a run of week 1 in the sandbox takes about half of that."""


class _Bench:
    def __init__(self, folder: Path, open_here: ExitStack) -> None:
        self._folder, self._open = folder, open_here
        self._crowd: Crowd | None = None
        self._sandbox: Sandbox | None = None

    def carry_out(self, case: str) -> Tally:
        kind, seed, number = case.split()
        if kind == "crowd":
            return self._crowded(f"{seed}-{number}")
        if kind == "race":
            return self._race()
        return self._stop(random.Random(case))

    def _crowded(self, name: str) -> Tally:
        if self._crowd is None:
            self._crowd = self._open.enter_context(crowd(self._folder / "crowd", SIZE))
        self._crowd.fresh(name)
        winners, refused = [], 0
        for _ in range(ROUNDS):
            winner, others = self._crowd.round()
            winners.append(winner.person)
            refused += len(others)
        events = self._crowd.judge(winners)
        if len(set(winners)) < 3:
            raise Wrong(f"the lock went to the same few all the time: {winners}")
        counts = {
            "rounds": ROUNDS,
            "held": len(winners),
            "refused by name": refused,
            "events in one chain": events,
        }
        return Tally(ROUNDS * SIZE, {**counts, "different holders": len(set(winners))})

    def _fresh_sandbox(self) -> Sandbox:
        if self._sandbox is None:
            folder = self._folder / "sandbox"
            self._open.callback(take_down, folder)
            self._sandbox = bring_up(folder, users=20)
        self._sandbox.reset()
        return self._sandbox

    def _race(self) -> Tally:
        sandbox = self._fresh_sandbox()
        before = world(sandbox)
        with ThreadPoolExecutor(SIZE) as pool:
            ended = list(pool.map(lambda number: _typed(sandbox, f"person-{number:02}"), range(SIZE)))
        events = journal_of(sandbox)
        runs = [e for e in events if e.type == v.RUN_STARTED]
        if len(runs) != 1 or chain.verify(events).broken:
            raise Wrong(f"{len(runs)} runs were begun; broken: {chain.verify(events).broken}")
        winner = runs[0].data["person"]
        counts = {"races": 1, "proved week 1": 0, "refused by name": 0, "came when it stood": 0}
        for person, outcome in ended:
            if person == winner:
                outcome.expect(0, "week1 is proven")
                counts["proved week 1"] += 1
            elif outcome.code == 8:
                outcome.expect(8, winner)
                counts["refused by name"] += 1
            else:
                outcome.expect(0, "verified again")
                counts["came when it stood"] += 1
        tool = tool_of(sandbox)
        tool("verify").expect(0)
        tool("rollback", "week1").expect(0)
        if world(sandbox) != before:
            raise Wrong(f"after the rollback the system is {world(sandbox)}, and it was {before}")
        return Tally(SIZE, counts)

    def _stop(self, chance: random.Random) -> Tally:
        sandbox = self._fresh_sandbox()
        before = world(sandbox)
        set_lease(sandbox, SHORT)
        seen = stop_and_overtake(sandbox, "begin", delay=chance.uniform(0.0, MOST * 0.6))
        tool_of(sandbox)("rollback", "week1").expect(0)
        if world(sandbox) != before:
            raise Wrong(f"after the rollback the system is {world(sandbox)}, and it was {before}")
        return Tally(1, {"stops": 1, seen: 1})


def _typed(sandbox: Sandbox, person: str) -> tuple[str, Outcome]:
    argv = ["run", "week1", "--yes"]
    process = subprocess.Popen(
        [*COMMAND, *argv],
        cwd=sandbox.folder,
        env=environment(TRACSEQ_MIGRATE_IDENTITY=person),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(timeout=600)
    return person, Outcome(argv, process.returncode, out, err)


class Contention:
    """The suite."""

    name = "contention"

    def cases(self, seed: int) -> Iterator[str]:
        yield from (f"crowd {seed} {number}" for number in range(CROWDS))
        yield from (f"race {seed} {number}" for number in range(RACES))
        yield from (f"stop {seed} {number}" for number in range(STOPS))

    @contextmanager
    def bench(self, folder: Path) -> Iterator[_Bench]:
        with ExitStack() as open_here:
            yield _Bench(folder, open_here)


SUITE = Contention()
