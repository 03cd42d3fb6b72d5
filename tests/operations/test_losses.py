"""Writes on the new side: counted before one goes back, listed before they are left behind, and never left there in silence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.operations.world import LOSSES, Killed, Script, World
from tracseq_migrate.adapters.memory.http import Request
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.operations.rollback import RollbackOptions, preview
from tracseq_migrate.ports import ServiceState

FLAGS = {"id": "on", "flags": {"set": {"USE_STORAGE_SERVICE": True}, "writes": "stranded"}}
UP = {"id": "up", "services": {"up": ["storage"]}}


def _ran(**how: Any) -> World:
    world = World(**how)
    world.plan("week9", UP, FLAGS)
    assert world.run("week9").code == 0
    return world


def _written(world: World) -> None:
    """One row of each kind."""
    rows = world.databases.tables["storage"]["public.locations"]
    rows.append({"id": 8, "name": "new"})
    rows[0]["name"] = "shelf, renamed"


def _lists(world: World) -> list[list[dict[str, Any]]]:
    found = [body for path, body in world.files.bodies.items() if path.parent == LOSSES]
    return [[json.loads(line) for line in body.decode().splitlines()] for body in found]


def _accepted(world: World) -> list[dict[str, Any]]:
    return [event.data for event in world.journal.events if event.type == v.LOSS_ACCEPTED]


def test_going_back_is_refused_with_the_list() -> None:
    world = _ran()
    _written(world)
    before, events = world.snapshot(), len(world.journal.events)
    ended = world.rollback("week9")
    assert ended.code == 4
    assert "2 writes would be left on the new side" in ended.text
    assert "storage.public.locations: 1 inserted, 1 updated" in ended.text
    assert "inserted storage.public.locations [8]" in ended.text
    assert "rollback week9 --accept-loss" in ended.text
    assert world.snapshot() == before
    assert len(world.journal.events) == events
    assert not _lists(world)


def test_a_deleted_row_counts_too() -> None:
    world = _ran()
    world.databases.tables["storage"]["public.locations"].clear()
    ended = world.rollback("week9")
    assert ended.code == 4
    assert "1 deleted" in ended.text


def test_accepted_the_list_is_written_first_and_journaled() -> None:
    world = _ran()
    _written(world)
    seen: list[list[list[dict[str, Any]]]] = []
    world.when("revert", "on", lambda: seen.append(_lists(world)))
    assert world.rollback("week9", accept_loss=True).code == 0
    assert seen == [_lists(world)]  # it was there before anything went back
    (rows,) = _lists(world)
    assert rows == [
        {
            "key": "[7]",
            "row": {"id": 7, "name": "shelf, renamed"},
            "what": "updated",
            "where": "storage.public.locations",
        },
        {
            "key": "[8]",
            "row": {"id": 8, "name": "new"},
            "what": "inserted",
            "where": "storage.public.locations",
        },
    ]
    path = next(path for path in world.files.bodies if path.parent == LOSSES)
    assert path in world.files.private
    (accepted,) = _accepted(world)
    assert (accepted["count"], accepted["file"]) == (2, str(path))
    assert world.journal.attachment(accepted["digest"]) == world.files.bodies[path]
    assert world.effective("USE_STORAGE_SERVICE") == [False, False]
    assert (
        len(world.databases.tables["storage"]["public.locations"]) == 2
    )  # what was written stays where it is


def test_accepted_without_any_writes_no_list_is_made() -> None:
    world = _ran()
    assert world.rollback("week9", accept_loss=True).code == 0
    assert not _lists(world)
    assert not _accepted(world)


def test_a_list_that_cannot_be_written_stops_it_before_anything() -> None:
    world = _ran()
    _written(world)
    before, events = world.snapshot(), len(world.journal.events)

    class Full(dict[Any, OSError]):
        def __contains__(self, path: object) -> bool:
            return LOSSES in getattr(path, "parents", ())

        def __getitem__(self, path: object) -> OSError:
            return OSError(28, "No space left on device")

    world.files.failing = Full()
    ended = world.rollback("week9", accept_loss=True)
    assert ended.code == 1
    assert "No space left on device" in ended.text
    assert world.snapshot() == before
    assert len(world.journal.events) == events


def _late(world: World, *, moment: str) -> None:
    """Users write once, when a request arrives at this target after the way back has begun."""
    armed: list[bool] = []

    def on_request(request: Request) -> None:
        if armed and request.target == moment:
            armed.clear()
            world.users_write("storage", "public.locations", id=9, name="late")

    world.on_request = on_request
    world.when("revert", "on", lambda: armed.append(True))


def test_writes_between_count_and_switch_put_the_new_side_in_force_again() -> None:
    world = _ran()
    before = world.snapshot()
    _late(world, moment="gateway")
    ended = world.rollback("week9")
    assert ended.code == 6
    assert "1 writes would be left on the new side" in ended.text
    assert "--accept-loss" in ended.text
    assert world.week("week9").status is WeekStatus.RESIDUE
    after = world.snapshot()
    assert after.pop("rows") != before.pop("rows")
    assert after == before  # flags, instances, rotation and services are in force as they were
    assert world.services.states["storage"] is ServiceState.RUNNING
    again = world.rollback("week9")
    assert again.code == 4
    assert world.rollback("week9", accept_loss=True).code == 0
    assert [row["row"]["id"] for row in _lists(world)[0]] == [9]


def test_writes_that_come_in_late_are_added_to_the_list_that_was_accepted() -> None:
    world = _ran()
    world.users_write("storage", "public.locations", id=8, name="new")
    _late(world, moment="gateway")
    assert world.rollback("week9", accept_loss=True).code == 0
    (rows,) = _lists(world)
    assert [row["row"]["id"] for row in rows] == [8, 9]
    assert [accepted["count"] for accepted in _accepted(world)] == [1, 2]


def test_late_writes_after_none_were_counted_are_listed_too() -> None:
    world = _ran()
    _late(world, moment="gateway")
    assert world.rollback("week9", accept_loss=True).code == 0
    (rows,) = _lists(world)
    assert [row["row"]["id"] for row in rows] == [9]


def test_without_a_proxy_late_writes_are_noticed_too() -> None:
    world = _ran(strategy="supervisor")
    _late(world, moment="gateway")
    assert world.rollback("week9").code == 6
    assert world.effective("USE_STORAGE_SERVICE") == [True, True]


def test_a_failed_proof_does_not_strand_writes_in_silence() -> None:
    """The flags are on and users write; then a later step fails, and everything would go back by itself."""
    world = World()
    world.plan(
        "week9", UP, FLAGS, {"id": "proof", "route": {"prefix": "/api/storage", "answered_by": "storage"}}
    )

    def fail() -> None:
        world.users_write("storage", "public.locations", id=8, name="new")
        world.broken["storage"] = 500

    world.when("apply", "proof", fail)
    ended = world.run("week9")
    assert ended.code == 6
    assert "step proof failed" in ended.text
    assert "1 writes would be left on the new side (storage.public.locations: 1 inserted)" in ended.text
    assert "rollback week9 --accept-loss" in ended.text
    assert world.effective("USE_STORAGE_SERVICE") == [True, True]
    assert world.services.states["storage"] is ServiceState.RUNNING
    assert world.rollback("week9", accept_loss=True).code == 0
    assert [row["row"]["id"] for row in _lists(world)[0]] == [8]


def test_what_cannot_be_counted_is_not_left_behind_by_itself() -> None:
    world = World()
    world.plan("week9", UP, FLAGS, {"id": "no", "http": {"target": "storage", "path": "/nothing/there"}})
    world.when("apply", "no", lambda: world.databases.down.update(storage="too many connections"))
    ended = world.run("week9")
    assert ended.code == 6
    assert "too many connections" in ended.text
    assert world.effective("USE_STORAGE_SERVICE") == [True, True]
    assert world.flags.text is not None
    assert "USE_STORAGE_SERVICE=true" in world.flags.text  # what was in force is in force, whole
    assert world.proxy.rotation == {"gateway-1", "gateway-2"}
    refused = world.rollback("week9")
    assert refused.code == 4
    assert "cannot be counted" in refused.text
    assert world.rollback("week9", accept_loss=True).code == 0
    assert "cannot be counted" in _accepted(world)[0]["summary"][0]


def test_before_the_first_switch_there_is_nothing_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flip fails before any client was sent over, and the database is gone too: it goes back all the same."""
    world = World()
    world.plan("week9", UP, FLAGS)
    start = world.snapshot()

    def fail() -> None:
        world.stuck.add("USE_STORAGE_SERVICE")

    world.when("apply", "on", fail)
    real = world.databases.manifest
    counted: list[str] = []

    def manifest(database: str, *, timeout: float) -> Any:
        counted.append(database)
        if world.flags.writes:
            world.databases.down["storage"] = "gone"
        return real(database, timeout=timeout)

    monkeypatch.setattr(world.databases, "manifest", manifest)
    ended = world.run("week9")
    assert ended.code == 5, ended.text
    assert counted
    assert world.snapshot() == start


def test_a_rollback_that_died_behind_the_switch_does_not_send_people_away_again() -> None:
    """Whoever is on the old side already stays there; what came in late on the new side is told."""
    world = _ran()
    with pytest.raises(Killed):
        world.rollback("week9", script=Script(die_at="after Rollout.commit #1"))
    world.users_write("storage", "public.locations", id=9, name="late")
    ended = world.resume("week9")
    assert ended.code == 6
    assert "on the new side only" in ended.text
    assert world.effective("USE_STORAGE_SERVICE") == [False, False]
    assert world.proxy.rotation == {"gateway-1", "gateway-2"}
    assert world.rollback("week9", accept_loss=True).code == 0
    assert [row["row"]["id"] for row in _lists(world)[0]] == [9]


def test_a_service_that_said_it_keeps_nothing_is_counted_all_the_same() -> None:
    world = World()
    world.stores["rag"] = "rag"
    flags = {"set": {"USE_RAG_SERVICE": True}, "writes": "none"}
    world.plan("week9", {"id": "up", "services": {"up": ["rag"]}}, {"id": "on", "flags": flags})
    assert world.run("week9").code == 0
    world.users_write("rag", "public.documents", id=1)
    ended = world.rollback("week9")
    assert ended.code == 4
    assert "rag.public.documents: 1 inserted" in ended.text


def test_a_preview_of_the_way_back_counts_and_changes_nothing() -> None:
    world = _ran()
    _written(world)
    before = world.snapshot()
    view = preview(world.process(), "week9", RollbackOptions(), ask=True)
    assert [loss["what"] for loss in view.losses] == ["updated", "inserted"]
    assert view.next_command == "tracseq-migrate rollback week9 --accept-loss"
    assert [step.step for step in view.steps] == ["on", "up"]
    assert any("USE_STORAGE_SERVICE=false" in line for line in view.steps[0].lines)
    world.databases.down["storage"] = "gone"
    blind = preview(world.process(), "week9", RollbackOptions(), ask=False)
    assert (list(blind.losses), list(blind.unknown)) == ([], [])
    assert [step.step for step in blind.steps] == ["on", "up"]
    assert world.snapshot() == before


def test_nothing_goes_back_where_the_gateway_would_not_start_with_the_file() -> None:
    world = World()
    assert world.run("week1").code == 0
    whole = world.flags.text or ""
    world.flags.text = whole.replace("USE_TEMPLATE_SERVICE=0", "USE_TEMPLATE_SERVICE=maybe")
    before, events = world.snapshot(), len(world.journal.events)
    ended = world.rollback("week1")
    assert ended.code == 4
    assert "flags.env:6: USE_TEMPLATE_SERVICE is 'maybe', with which the gateway does not start" in ended.text
    assert "Write `USE_TEMPLATE_SERVICE=true` or `USE_TEMPLATE_SERVICE=false`." in ended.text
    assert "`tracseq-migrate rollback week1`" in ended.text
    assert (world.snapshot(), len(world.journal.events)) == (before, events)
    view = preview(world.process(), "week1", RollbackOptions(), ask=True)
    assert "USE_TEMPLATE_SERVICE is 'maybe'" in view.refused
    # A flag that is put back is no obstacle, whatever it says now.
    world.flags.text = whole.replace("USE_STORAGE_SERVICE=true", "USE_STORAGE_SERVICE=maybe")
    assert "maybe" in world.flags.text
    assert not preview(world.process(), "week1", RollbackOptions(), ask=True).refused
    world.flags.text = whole
    assert world.rollback("week1").code == 0
