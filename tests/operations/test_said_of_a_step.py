"""A command in doubt that nothing but a person can tell: what is signed beforehand answers for it, once."""

from __future__ import annotations

import pytest

from tests.operations.world import Killed, Script, World, program
from tracseq_migrate.errors import NotAllowed, UsageError
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.ports import Holder

RAN = "after Commands.run(program, p, do) #1"


def in_doubt(*, probe: list[str] | None = None) -> World:
    """A run that was killed right after its only program had run; without a ``probe`` to ask where none is given."""
    world = World()
    world.plan("week9", program("p", probe=probe))
    with pytest.raises(Killed):
        world.run("week9", script=Script(die_at=RAN))
    return world


def times_run(world: World) -> int:
    return world.types(step="p").count(v.INTENT)


def test_without_a_terminal_the_exact_commands_are_printed() -> None:
    world = in_doubt()
    ended = world.resume("week9")
    assert ended.code == 7
    for word in ("done", "undone"):
        assert f'`tracseq-migrate approve week9 p-{word} --evidence "..."`' in ended.text


def test_signed_as_done_it_is_not_run_again() -> None:
    world = in_doubt()
    view = world.approve("week9", "p-done", evidence="saw the row")
    assert view.next_command == "tracseq-migrate resume week9"
    assert view.ask == "step p of week9 is done"
    assert world.resume("week9").code == 0
    assert times_run(world) == 1
    probed = next(event for event in world.journal.events if event.type == v.PROBED)
    assert probed.data["found"] == "done"
    assert "says that it is done: saw the row" in probed.data["detail"]
    assert world.week("week9").status is WeekStatus.PROVEN


def test_signed_as_undone_it_is_run_once_more_and_the_word_does_not_outlive_that() -> None:
    world = in_doubt()
    world.approve("week9", "p-undone", evidence="no row there")
    with pytest.raises(Killed):
        world.resume("week9", script=Script(die_at=RAN))
    assert times_run(world) == 2
    ended = world.resume("week9")  # in doubt anew: the old word was about the try before
    assert ended.code == 7
    world.approve("week9", "p-undone", evidence="still none")
    assert world.resume("week9").code == 0
    assert times_run(world) == 3


def test_the_newest_word_counts() -> None:
    world = in_doubt()
    world.approve("week9", "p-undone", evidence="looked in the wrong place")
    world.approve("week9", "p-done", evidence="saw the row")
    assert world.resume("week9").code == 0
    assert times_run(world) == 1


def test_it_needs_evidence_and_a_step_in_doubt_that_nobody_is_at() -> None:
    world = in_doubt()
    with pytest.raises(NotAllowed, match="how do you know that it is done"):
        world.approve("week9", "p-done")
    with pytest.raises(UsageError):
        world.approve("week9", "q-done", evidence="x")
    world.lease.acquire(Holder("x", "grace", "other", 1, "resume week9"), timeout=0)
    with pytest.raises(NotAllowed, match="at work, and is not in doubt"):
        world.approve("week9", "p-done", evidence="x")
    world.lease.abandon()
    world.approve("week9", "p-done", evidence="saw the row")
    assert world.resume("week9").code == 0
    with pytest.raises(UsageError):
        world.approve("week9", "p-done", evidence="too late")


def test_a_step_with_a_probe_tells_for_itself() -> None:
    world = in_doubt(probe=["program", "p", "probe"])
    with pytest.raises(UsageError):
        world.approve("week9", "p-done", evidence="x")


def test_a_checklist_item_that_is_called_like_one_is_none() -> None:
    world = World()
    item = {"id": "p-done", "ask": "It was tried", "approvals": 2}
    world.plan("week9", program("p", probe=None), checklist=[item])
    world.approve("week9", "p-done")
    world.identity.name = "grace"
    assert not world.approve("week9", "p-done").still_open
    assert world.run("week9").code == 0
    assert len(world.week("week9").signatures) == 2
