"""What the model says about an operator that stands still while another recovers, played on two real databases.

The tool is stopped at a point of the protocol, a second operator recovers, and the tool goes on as if nothing had been. The same
order of steps is taken in the model, and both must come to the same owner, with requests routed there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Literal

import pytest

from tests.replication.cutover.lab import Door, moved, opened, writing, wrong
from tests.replication.databases import PairOfDatabases
from tests.replication.model import protocol
from tests.replication.model.exploring import broken
from tests.replication.model.guards import Guards
from tests.replication.model.world import BACK, FORWARD, Scenario, World
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Unreachable
from tracseq_migrate.ports.sql import Session, Sessions, SqlFailed
from tracseq_migrate.replication.control.ownership import Displaced
from tracseq_migrate.replication.cutover import cut_over, recover

POINTS = {
    "not leading": "claimed",
    "claimed": "leading",
    "predrained": "leading",
    "held": "held",
    "destination locked": "locked destination",
    "origin locked": "locked",
    "ready": "drained",
    "fencing": "drained",
    "fenced lab": "fenced",
    "opened lab": "open",
    "switched": "switched",
    "released": "released",
}
"""A point of the real protocol -> where the model's operator is then."""
Direction = Literal["forward", "back"]


class _Stopping:
    """Sessions of an operator that is stopped once, between its claim and the sessions that it works with."""

    def __init__(self, sessions: Sessions, meanwhile: Callable[[str], None]) -> None:
        self._sessions = sessions
        self._meanwhile = meanwhile
        self._stopped = False

    @property
    def names(self) -> Sequence[str]:
        return self._sessions.names

    def open(
        self, database: str, *, purpose: str, timeout: float, patience: float | None = None
    ) -> AbstractContextManager[Session]:
        if purpose == "apply" and not self._stopped:
            self._stopped = True
            self._meanwhile("not leading")
        return self._sessions.open(database, purpose=purpose, timeout=timeout, patience=patience)


class _Swapping(Door):
    """A front that compares: a switch of an epoch that is past is refused."""

    def switch(self, epoch: int) -> None:
        self._compare(epoch)
        super().switch(epoch)

    def turn_back(self, epoch: int) -> None:
        self._compare(epoch)
        super().turn_back(epoch)

    def _compare(self, epoch: int) -> None:
        if epoch < self.epoch:
            raise Displaced(f"epoch {self.epoch} has switched; {epoch} is past", hint="Look at `status`.")


def _run(world: World, index: int, until: str) -> World:
    """This operator alone, to where it is at a point or gone, by the first of what it can do; who recovers goes forward."""
    guards = Guards()
    while world.operators[index].at not in (until, "gone"):
        _, world = next(protocol.moves(world, index, guards))
        assert not broken(world)
    return world


def in_the_model(point: str, way: int) -> tuple[str, str]:
    """The side that owns in the end, and the one that requests go to."""
    world = _run(Scenario(way=way, writes=0, second=1).first(), 0, POINTS[point])
    world = _run(world, 1, "gone")
    world = _run(world, 0, "gone")
    (owner,) = [name for name, side in zip("ab", world.sides, strict=True) if not side.closed]
    return owner, "ab"[world.front.route]


def _stopped(point: str, meanwhile: Callable[[], None]) -> Callable[[str], None]:
    def at(name: str) -> None:
        if name == point:
            meanwhile()

    return at


@pytest.mark.long
@pytest.mark.parametrize("direction", ["forward", "back"])
def test_one_that_wakes_up_after_another_recovered_changes_nothing(
    pair_of_databases: PairOfDatabases, direction: Direction
) -> None:
    moved(pair_of_databases)
    sessions = pair_of_databases.sessions
    door = _Swapping()
    old, new = ("a", "b") if direction == "forward" else ("b", "a")
    other: Direction = "back" if direction == "forward" else "forward"

    def over(to: Direction, at: Callable[[str], None] = lambda _: None) -> None:
        door.over = "b" if to == "forward" else "a"
        cut_over(_Stopping(sessions, at), [opened(sessions)], to, door, by="the tool", at=at)

    with writing(pair_of_databases, door) as writers:
        if direction == "back":
            over("forward")
        for point in POINTS:
            recovered: list[str] = []

            def second(into: list[str] = recovered) -> None:
                done = recover(sessions, [opened(sessions)], direction, door, by="the second")
                into.append(done.outcome)

            try:
                over(direction, _stopped(point, second))
            except (Displaced, SqlFailed, StepFailed, Unreachable):
                # Which of these it is depends on where its sessions were ended; what it must not do is seen below.
                assert recovered, f"{point}: the second operator could not recover"
            assert recovered, point
            owner, route = in_the_model(point, FORWARD if direction == "forward" else BACK)
            assert recovered == ["done" if owner == new else "aborted"], point
            assert door.side == route, point
            # Acknowledged by the owner: the writers go through the front, and have nowhere else to go.
            writers.until(20)
            if owner == new:
                over(other)
        assert door.side == old
    assert wrong(pair_of_databases, writers, old) == []
