"""``backup list``, ``verify`` and ``restore``: what they say, what they refuse, and what they leave in the journal."""

from __future__ import annotations

import pytest

from tests.operations.world import World
from tracseq_migrate.adapters.memory.dumps import MemoryDumps
from tracseq_migrate.errors import CouldNotReach, Locked, NotAllowed, UsageError
from tracseq_migrate.operations.backup import backups, restore, verify
from tracseq_migrate.ports import Dump, Holder


def _world() -> tuple[World, Dump]:
    world = World()
    world.dumps = MemoryDumps({"storage": {"public.samples": 3}})
    return world, world.dumps.dump(
        "storage", by="week1 r1 backup", counted=True, timeout=1, told=lambda _: None
    )


def test_listing_needs_no_lease() -> None:
    world, dump = _world()
    world.lease.acquire(Holder("x", "grace", "other", 2, "run week1"), timeout=0)
    (line,) = backups(world.process()).backups
    assert (line.name, line.database, line.rows, line.by) == (dump.name, "storage", 3, "week1 r1 backup")


def test_a_damaged_one_fails() -> None:
    world, dump = _world()
    other = world.dumps.dump("storage", by="x", counted=True, timeout=1, told=lambda _: None)
    world.dumps.damaged.add(other.name)
    view = verify(world.process(), None, restore=False, through="")
    assert [line.verdict for line in view.backups] == ["pass", "fail"]
    (line,) = verify(world.process(), dump.name, restore=True, through="").backups
    assert line.verdict == "pass"
    assert "3 rows, as many as were backed up" in line.detail


def test_trying_one_out_waits_for_no_run() -> None:
    world, dump = _world()
    world.lease.acquire(Holder("x", "grace", "other", 2, "run week1"), timeout=0)
    with pytest.raises(Locked, match="grace"):
        verify(world.process(), dump.name, restore=True, through="")


def test_an_unknown_name_is_a_usage_error() -> None:
    world, _ = _world()
    with pytest.raises(UsageError, match="no backup nothing"):
        restore(world.process(), "nothing", assume_yes=True, accept_loss=True)


def test_a_damaged_one_is_not_restored() -> None:
    world, dump = _world()
    world.dumps.damaged.add(dump.name)
    with pytest.raises(NotAllowed, match="cannot be read"):
        restore(world.process(), dump.name, assume_yes=True, accept_loss=True)


def test_where_the_loss_cannot_be_counted_nothing_is_restored() -> None:
    world, dump = _world()
    with pytest.raises(CouldNotReach, match="storage"):
        restore(world.process(), dump.name, assume_yes=True, accept_loss=True)
    assert world.journal.events == []
