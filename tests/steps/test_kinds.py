"""Every kind of step: there, back, and there again, and what each says of itself before, on the way, and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.operations.world import World
from tests.steps.bench import Bench
from tracseq_migrate.errors import InvalidInput
from tracseq_migrate.ports import ServiceState
from tracseq_migrate.step import EffectKind, Found
from tracseq_migrate.steps import kinds


def _program(**more: Any) -> dict[str, Any]:
    verbs = {"run": "do", "verify": "there", "probe": "probe", "revert": "undo"}
    body: dict[str, Any] = {key: ["program", "p", verb] for key, verb in verbs.items()}
    return {"command": {key: value for key, value in {**body, **more}.items() if value is not None}}


CHANGING: dict[str, dict[str, Any]] = {
    "services": {"services": {"up": ["storage", "rag"], "down": ["templates"]}},
    "flags": {"flags": {"set": {"USE_STORAGE_SERVICE": True}, "writes": "stranded"}},
    "command": _program(),
}
LOOKING: dict[str, dict[str, Any]] = {
    "http": {"http": {"target": "gateway", "path": "/health"}},
    "route": {"route": {"prefix": "/api/storage", "answered_by": "monolith"}},
    "pause": {"pause": {"ask": "Does it look right?"}},
}


ALL = CHANGING | LOOKING


def _world(kind: str) -> World:
    world = World()
    world.services.states["templates"] = ServiceState.RUNNING
    if kind in ("flags", "route"):
        world.services.states["storage"] = ServiceState.RUNNING
    return world


def _touched(world: World) -> dict[str, Any]:
    return {name: value for name, value in world.snapshot().items() if name != "owed"}


def test_every_kind_is_tried_here_or_has_a_file_of_its_own() -> None:
    elsewhere = {kind for kind in kinds() if (Path(__file__).parent / f"test_{kind}.py").exists()}
    assert set(ALL) <= set(kinds()) <= set(ALL) | elsewhere


@pytest.mark.parametrize("kind", CHANGING)
def test_there_back_and_there_again(kind: str) -> None:
    world = _world(kind)
    bench = Bench(world, CHANGING[kind])
    start = _touched(world)
    assert bench.there()
    changed = _touched(world)
    assert changed != start
    assert bench.probe().found is Found.DONE
    assert bench.back()
    assert _touched(world) == start
    assert bench.probe().found is Found.NOT_DONE
    assert bench.there()
    assert _touched(world) == changed
    assert bench.owed == []


@pytest.mark.parametrize("kind", CHANGING)
def test_applied_twice_and_reverted_twice_is_the_same(kind: str) -> None:
    world = _world(kind)
    bench = Bench(world, CHANGING[kind])
    start = _touched(world)
    bench.there()
    changed = _touched(world)
    bench.apply()
    assert bench.verify()
    assert _touched(world) == changed
    assert bench.back()
    assert bench.back()
    assert _touched(world) == start


@pytest.mark.parametrize("kind", CHANGING)
def test_going_back_without_ever_having_gone_there(kind: str) -> None:
    world = _world(kind)
    bench = Bench(world, CHANGING[kind])
    start = _touched(world)
    bench.prepare()
    assert bench.probe().found is Found.NOT_DONE
    assert bench.back()
    assert _touched(world) == start


@pytest.mark.parametrize("kind", CHANGING)
def test_looking_changes_nothing(kind: str) -> None:
    world = _world(kind)
    bench = Bench(world, CHANGING[kind])
    start, events = world.snapshot(), len(world.journal.events)
    ctx = bench.ctx(writing=False)
    assert bench.preview().changes
    assert bench.preview(offline=True).changes
    assert bench.step.concerns(ctx) is not None
    assert all(concern.verdict == "pass" for concern in bench.step.concerns(ctx))
    bench.step.uses()
    assert world.snapshot() == start
    assert len(world.journal.events) == events
    bench.there()
    before = world.snapshot()
    bench.verify()
    bench.probe()
    bench.losses()
    assert bench.preview().changes is (kind == "command")  # what a program would do cannot be known
    assert world.snapshot() == before


@pytest.mark.parametrize("kind", CHANGING)
def test_a_person_can_go_back_by_hand(kind: str) -> None:
    world = _world(kind)
    bench = Bench(world, CHANGING[kind])
    bench.prepare()
    text = "\n".join(bench.step.manual(bench.undo, {}))
    expected = {
        "services": ["start templates", "stop rag", "stop storage"],
        "flags": ["USE_STORAGE_SERVICE=false", "/routing-status"],
        "command": ["program p undo"],
    }
    for words in expected[kind]:
        assert words in text


@pytest.mark.parametrize("kind", LOOKING)
def test_a_kind_without_effect_changes_nothing(kind: str) -> None:
    world = _world(kind)
    bench = Bench(world, LOOKING[kind])
    start = world.snapshot()
    assert bench.step.effect.kind is EffectKind.NONE
    assert not bench.step.touches()
    if kind == "pause":
        waiting = bench.apply()
        assert waiting is not None
        assert (waiting.on, waiting.item) == ("Does it look right?", "s")
        assert waiting.next_command == "tracseq-migrate approve week9 s"
        assert bench.verify() == []
    else:
        assert bench.there()
    assert not bench.preview().changes
    assert not bench.preview(offline=True).changes
    assert bench.probe().found is Found.NOT_DONE  # it is asked again
    assert bench.back() == []
    assert world.snapshot() == start


@pytest.mark.parametrize("kind", ALL)
def test_what_is_written_reads_back(kind: str) -> None:
    bench = Bench(_world(kind), ALL[kind])
    model = bench.step
    assert type(model).model_validate_json(model.model_dump_json(by_alias=True)) == model
    assert bench.entry.title
    assert type(model).summary.endswith(".")


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"services": {}}, "names no service"),
        ({"services": {"up": ["a"], "down": ["a"]}}, "both up and down"),
        ({"flags": {"set": {"USE_RAG_SERVICE": True}}}, "does not say what becomes of the data"),
        (_program(revert=None), "no way back"),
        (_program(irreversible="it is final"), "both `revert` and `irreversible`"),
        (
            {"route": {"prefix": "/api/rag", "answered_by": "rag", "paths": ["/api/storage"]}},
            "not below the prefix",
        ),
    ],
)
def test_a_step_says_what_is_wrong_with_it(step: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Bench(World(), step)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"flags": {"set": {"USE_RAG_SERVICE": True}, "writes": {"storage": "none"}}}, ["rag", "storage"]),
        ({"flags": {"set": {"USE_RAG_SERVICE": True}, "writes": {"rag": "none"}}}, []),
        ({"route": {"prefix": "/api/nothing", "answered_by": "rag"}}, ["/api/nothing"]),
        ({"route": {"prefix": "/api/storage", "answered_by": "rag"}}, ["rag"]),
        ({"route": {"prefix": "/api/storage", "answered_by": "monolith"}}, []),
    ],
)
def test_a_step_says_what_does_not_fit_the_environment(step: dict[str, Any], said: list[str]) -> None:
    found = Bench(World(), step).fits()
    assert bool(found) is bool(said)
    for word in said:
        assert any(word in text for text in found)
