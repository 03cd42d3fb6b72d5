"""What `status` names for weeks that were broken off, stand still, or have lost the file of their plan."""

from __future__ import annotations

from signal import SIGTERM

import pytest

from tests.operations.world import PLANS, Killed, Script, World, program
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


def test_a_run_that_stopped_between_two_steps_has_no_step_in_doubt() -> None:
    world = World()
    world.plan("week9", program("one"), program("two"))
    world.when("apply", "one", lambda: setattr(world.interrupt, "requested", SIGTERM))
    ended = world.run("week9")
    world.interrupt.requested = 0
    assert ended.code == 143
    assert not world.week("week9").in_doubt()
    view = world.status()
    (line,) = [line for line in view.weeks if line.week == "week9"]
    assert (line.state, line.detail) == (
        "in-doubt",
        "interrupted (SIGTERM) between two steps: no step is in doubt",
    )
    assert (view.next_command, view.next_reason) == (
        "tracseq-migrate resume week9",
        "week9 stopped between two steps; this goes on",
    )
    refused = world.run("week9")
    assert refused.code == 7
    assert "no step is in doubt" in refused.text
    assert "finds out" not in refused.text
    assert world.resume("week9").code == 0


def test_the_status_of_one_week_is_of_that_week() -> None:
    world = World()
    assert world.run().code == 0
    world.flags.text = (world.flags.text or "").replace("USE_TEMPLATE_SERVICE=0", "USE_TEMPLATE_SERVICE=1")
    one = status(world.process(), "week1")
    assert [line.week for line in one.weeks] == ["week1"]
    assert {line.flag for line in one.flags} == {
        "USE_STORAGE_SERVICE",
        "USE_NOTIFICATION_SERVICE",
        "USE_RAG_SERVICE",
    }
    assert {line.name for line in one.services} == {"storage", "notifications", "rag"}
    assert one.next_command == "tracseq-migrate verify week1"
    other = status(world.process(), "week2")
    assert [line.flag for line in other.flags] == ["USE_TEMPLATE_SERVICE"]
    assert other.flags[0].drift
    assert other.next_command == "tracseq-migrate plan week2"
    needy = status(World().process(), "week2")
    assert needy.next_command == "tracseq-migrate status week1"
    assert "needs week1, which is never-run" in needy.next_reason
