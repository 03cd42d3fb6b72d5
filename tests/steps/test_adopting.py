"""What each kind says of a step that no journal knows of: what is seen is done, and what of the way back is assumed is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from tests.operations.world import World
from tests.steps.bench import Bench
from tests.steps.test_kinds import ALL, CHANGING
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import CommandResult, ServiceState
from tracseq_migrate.step import (
    Adopted,
    Done,
    Evidence,
    Found,
    Preview,
    Probed,
    Step,
    StepContext,
    Undo,
    WaitingOn,
)


def world_of(kind: str) -> World:
    world = World()
    world.services.states["templates"] = ServiceState.RUNNING
    if kind in ("flags", "route"):
        world.services.states["storage"] = ServiceState.RUNNING
    return world


def look(bench: Bench, **more: Any) -> Adopted:
    return bench.step.adopt(bench.ctx(writing=False, settled=True, **more))


@pytest.mark.parametrize("kind", CHANGING)
def test_not_there_there_and_back_by_what_was_adopted(kind: str) -> None:
    world = world_of(kind)
    start = world.snapshot()
    bench = Bench(world, CHANGING[kind])
    before = look(bench)
    assert before.found is Found.NOT_DONE
    assert not before.evidence
    bench.there()
    there = world.snapshot()
    seen = look(bench)
    assert seen.found is Found.DONE
    assert seen.evidence
    assert seen.assumed
    assert world.snapshot() == there  # it only looked
    bench.undo = dict(seen.undo)
    assert bench.back(accept_loss=True)
    left_out = {"flag file", "owed"} if kind == "flags" else {"owed"}
    assert {k: x for k, x in world.snapshot().items() if k not in left_out} == {
        k: x for k, x in start.items() if k not in left_out
    }


@pytest.mark.parametrize("kind", sorted(set(ALL) - set(CHANGING)))
def test_a_step_that_only_looks_is_done_where_it_sees(kind: str) -> None:
    bench = Bench(world_of(kind), ALL[kind])
    seen = look(bench)
    assert (seen.found is Found.DONE) == bool(seen.evidence)
    assert seen.found is (Found.NOT_DONE if kind == "pause" else Found.DONE)
    assert not seen.undo
    assert not seen.assumed


def test_services_partly_there() -> None:
    world = World()
    bench = Bench(world, {"services": {"up": ["storage", "rag"]}})
    world.services.states["rag"] = ServiceState.RUNNING
    seen = look(bench)
    assert (seen.found, seen.detail) == (Found.PARTLY, "storage is stopped, rag is running")
    world.services.states["storage"] = ServiceState.RUNNING
    world.sick["storage"] = 500
    seen = look(bench)
    assert seen.found is Found.PARTLY
    assert "GET /health at storage answers 500" in seen.detail


def test_services_of_others_are_left_to_them() -> None:
    world = World()
    world.services.states["rag"] = ServiceState.EXTERNAL
    bench = Bench(world, {"services": {"up": ["rag"]}})
    assert look(bench).found is Found.UNKNOWN  # who cannot be managed and does not answer cannot be seen


def test_flags_that_do_not_agree_are_partly_there() -> None:
    world = World()
    for name in ("storage", "rag"):
        world.services.states[name] = ServiceState.RUNNING
    setting = {"USE_STORAGE_SERVICE": True, "USE_RAG_SERVICE": True}
    bench = Bench(world, {"flags": {"set": setting, "writes": "stranded"}})
    world.gateway.effective["gateway-1"]["USE_RAG_SERVICE"] = True
    seen = look(bench)
    assert seen.found is Found.PARTLY
    assert "USE_STORAGE_SERVICE" in seen.detail
    for flags in world.gateway.effective.values():
        flags.update(setting)
    seen = look(bench)
    assert (seen.found, seen.detail) == (Found.PARTLY, "flags.env does not declare what is effective")


def test_flags_that_cannot_be_asked_are_unknown() -> None:
    world = World()
    bench = Bench(world, CHANGING["flags"])
    world.gateway.down["gateway-1"] = "connection refused"
    seen = look(bench)
    assert seen.found is Found.UNKNOWN
    assert "gateway-1" in seen.detail


def test_rows_of_an_adopted_service_all_count_as_written() -> None:
    world = world_of("flags")
    bench = Bench(world, CHANGING["flags"])
    bench.there()
    bench.undo = dict(look(bench).undo)
    (loss,) = bench.losses()
    assert (loss.where, loss.what, loss.row) == (
        "storage.public.locations",
        "inserted",
        {"id": 7, "name": "shelf"},
    )


@pytest.mark.parametrize(
    ("probe", "code", "found"),
    [
        (True, 0, Found.DONE),
        (True, 1, Found.NOT_DONE),
        (True, 2, Found.UNKNOWN),
        (True, -9, Found.UNKNOWN),
        (False, 0, Found.DONE),
        (False, 2, Found.NOT_DONE),
        (False, -9, Found.UNKNOWN),
    ],
)
def test_a_program_is_believed_by_its_exit_code(probe: bool, code: int, found: Found) -> None:
    world = World()
    body: dict[str, Any] = {"run": ["make-it"], "verify": ["see-it"], "irreversible": "it is sent"}
    if probe:
        body["probe"] = ["probe-it"]
    world.commands.replies |= {
        "probe-it": CommandResult(code, "", "", 0.0),
        "see-it": CommandResult(0 if probe else code, "", "", 0.0),
    }
    seen = look(Bench(world, {"command": body}))
    assert seen.found is found
    assert not any(call.argv[0] == "make-it" for call in world.commands.calls)
    if found is Found.DONE:
        assert seen.assumed == ("nothing takes it back, whatever was there before `make-it`",)


class _Mute(Step):
    """A kind that changes something and cannot tell what."""

    kind: ClassVar[str] = "mute"

    @property
    def title(self) -> str:
        return "mute"

    def preview(self, ctx: StepContext, *, offline: bool) -> Preview:
        raise StepFailed("not asked here")

    def apply(self, ctx: StepContext, undo: Undo) -> Done | WaitingOn:
        raise StepFailed("not asked here")

    def verify(self, ctx: StepContext) -> list[Evidence]:
        return [Evidence("it is there")]

    def probe(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> Probed:
        raise StepFailed("not asked here")


def test_a_kind_that_cannot_tell_is_refused_by_name() -> None:
    seen = _Mute().adopt(Bench(World(), ALL["http"]).ctx(writing=False))
    assert (seen.found, seen.detail) == (
        Found.UNKNOWN,
        "a step of kind mute cannot be adopted: it cannot tell what it did",
    )
