"""What `status` names for weeks that were broken off, stand still, or have lost the file of their plan."""

from __future__ import annotations

import pytest

from tests.operations.world import PLANS, Killed, Script, World
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.operations.status import status

PLAN = PLANS / "week1-safe.yaml"


def died_at_the_flags(verb: str) -> World:
    """A world in which the tool was killed at the flag file, on the way there or back."""
    points = Script()
    world = World()
    for script in (points, None):
        world = World()
        if verb == "rollback":
            assert world.run().code == 0
        if script is not None:
            assert getattr(world, verb)(script=script).code == 0
    point = next(name for name in points.passed if "FlagStore.write" in name)
    with pytest.raises(Killed):
        getattr(world, verb)(script=Script(die_at=point))
    return world


@pytest.mark.parametrize("body", [None, b"week: week1\nstpes: []\n"])
def test_a_week_stays_in_sight_when_its_plan_cannot_be_read(body: bytes | None) -> None:
    world = World()
    assert world.run().code == 0
    if body is None:
        del world.files.bodies[PLAN]
    else:
        world.files.bodies[PLAN] = body
    (line,) = [line for line in world.status().weeks if line.week == "week1"]
    assert line.state == "proven"
    assert [step for step, _, _ in line.steps][:1] == ["start"]
    assert ("cannot be read" if body else "is gone") in line.detail


def test_a_rollback_that_was_killed_goes_on_going_back() -> None:
    world = died_at_the_flags("rollback")
    view = world.status()
    (line,) = [line for line in view.weeks if line.week == "week1"]
    assert (line.state, line.detail) == ("rolling-back", "its rollback was broken off")
    begun = next(event.at for event in world.journal.events if event.type == v.ROLLBACK_STARTED)
    assert line.since == begun
    assert view.next_command.endswith("resume week1")
    assert "goes on going back" in view.next_reason


def test_a_holder_that_stands_still_is_no_reason_to_wait() -> None:
    world = died_at_the_flags("run")
    held = world.lease.info
    system = world.process()
    world.lease.info = held  # it was not seen to be dead: it may be at work
    assert status(system).next_command.endswith("status")
    world.lease.expire()
    view = status(system)
    assert view.next_command.endswith("resume week1")
    assert "stands still" in view.next_reason
