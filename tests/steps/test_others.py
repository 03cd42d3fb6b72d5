"""Kinds ``command``, ``http``, ``route`` and ``pause``, where they get difficult."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.operations.world import World
from tests.steps.bench import Bench
from tests.steps.test_kinds import _program
from tracseq_migrate.adapters.memory.people import MemoryAsker
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Answer, CommandResult, ServiceState
from tracseq_migrate.step import Found

# command


def test_a_program_that_exits_0_without_an_effect_is_not_believed() -> None:
    world = World()
    bench = Bench(world, _program(run=["idle"]))
    world.commands.replies["idle"] = CommandResult(0, "done!", "", 0.0)
    bench.prepare()
    bench.apply()
    with pytest.raises(StepFailed, match="exited with 1"):
        bench.verify()


def test_a_failing_program_is_quoted() -> None:
    world = World()
    bench = Bench(world, _program(run=["bad", "two words"]))
    world.commands.replies["bad"] = CommandResult(-9, "", "killed\n", 0.0)
    bench.prepare()
    with pytest.raises(StepFailed, match=r"`bad 'two words'` was ended by signal 9:\nkilled"):
        bench.apply()


def test_a_way_back_that_leaves_the_effect_is_not_believed() -> None:
    world = World()
    bench = Bench(world, _program(revert=["idle"]))
    world.commands.replies["idle"] = CommandResult(0, "", "", 0.0)
    bench.there()
    with pytest.raises(StepFailed, match="the effect is still there"):
        bench.back()


@pytest.mark.parametrize("code", [2, 127, -9])
def test_a_way_back_of_which_nobody_can_tell_is_not_believed(code: int) -> None:
    world = World()
    bench = Bench(world, _program(probe=["blind"]))
    world.commands.replies["blind"] = CommandResult(code, "", "", 0.0)
    bench.there()
    with pytest.raises(StepFailed, match="could not tell") as caught:
        bench.back()
    assert caught.value.unknown


@pytest.mark.parametrize(
    ("code", "found"), [(0, Found.DONE), (1, Found.NOT_DONE), (2, Found.UNKNOWN), (-15, Found.UNKNOWN)]
)
def test_what_the_exit_codes_of_a_probe_mean(code: int, found: Found) -> None:
    world = World()
    bench = Bench(world, _program(probe=["ask"]))
    world.commands.replies["ask"] = CommandResult(code, "", "", 0.0)
    assert bench.probe().found is found


def test_a_probe_that_cannot_be_started_is_unknown() -> None:
    bench = Bench(World(), _program(probe=["nowhere"]))
    assert bench.probe().found is Found.UNKNOWN


def test_without_a_probe_a_person_is_asked_or_it_is_unknown() -> None:
    world = World()
    assert Bench(world, _program(probe=None)).probe().found is Found.UNKNOWN
    for answer, found in ((True, Found.DONE), (False, Found.NOT_DONE)):
        world = World()
        world.asker = MemoryAsker([answer])
        assert Bench(world, _program(probe=None)).probe().found is found
        assert len(world.asker.asked) == 1


def test_how_a_program_is_started() -> None:
    world = World()
    step = _program(env={"A": "b"}, cwd="tools", shell=True)
    bench = Bench(world, {**step, "timeout": "30s"})
    bench.there()
    call = next(call for call in world.commands.calls if call.argv == ("program", "p", "do"))
    assert (call.shell, call.cwd, call.env, call.timeout) == (True, "tools", {"A": "b"}, 30.0)
    bench.prepare()
    assert bench.step.manual({}, {}) == ["(cd tools && A=b /bin/sh -c program sh p undo)"]


def test_a_point_of_no_return_says_so() -> None:
    bench = Bench(World(), _program(revert=None, irreversible="letters were sent"))
    assert str(bench.step.effect) == "irreversible (letters were sent)"
    assert any("point of no return" in line.text for line in bench.preview().lines)
    bench.there()
    with pytest.raises(StepFailed, match="letters were sent"):
        bench.back()
    assert "letters were sent" in bench.step.manual({}, {})[0]


def test_a_point_of_no_return_that_was_not_passed() -> None:
    bench = Bench(World(), _program(revert=None, irreversible="letters were sent"))
    bench.prepare()
    assert "it was not done" in bench.back()[0].text


# http


def _http(**more: Any) -> dict[str, Any]:
    return {"http": {"target": "storage", "path": "/x", **more}, "timeout": "30s"}


@pytest.mark.parametrize(
    ("expect", "status", "body", "said"),
    [
        ({}, 200, b"", ""),
        ({}, 204, b"", "status 204, not 200"),
        ({"status": [200, 204]}, 204, b"", ""),
        ({"status": [200, 204]}, 503, b"", "status 503, not 200 or 204"),
        ({"contains": "ready"}, 200, b"not ready yet", ""),
        ({"contains": "ready"}, 200, b"no", "does not contain 'ready'"),
        ({"json": {"a": 1}}, 200, b'{"a": 1, "b": 2}', ""),
        ({"json": {"a": 1}}, 200, b'{"a": 2}', "a is 2, not 1"),
        ({"json": {"a": 1}}, 200, b'{"a": true}', "a is true, not 1"),
        ({"json": {"a": 1}}, 200, b'{"b": 1}', "a is missing"),
        ({"json": {"a": {"b": [1, 2]}}}, 200, b'{"a": {"b": [1, 2], "c": 0}}', ""),
        ({"json": {"a": {"b": [1, 2]}}}, 200, b'{"a": {"b": [1]}}', "a.b is [1], not [1, 2]"),
        ({"json": {"a": {"b": 1}}}, 200, b'{"a": 5}', "a is not an object"),
        ({"json": {"a": 1}}, 200, b"<html>", "not JSON"),
        ({"json": {"a": None}}, 200, b'{"a": null}', ""),
        ({"json": {}}, 200, b"[]", "the answer is not an object"),
    ],
)
def test_an_answer_is_held_against_what_is_expected(
    expect: dict[str, Any], status: int, body: bytes, said: str
) -> None:
    world = World()
    bench = Bench(world, _http(expect=expect))
    world.http.answers["storage", "/x"] = Answer(status, (), body, 0.0)
    if said:
        with pytest.raises(StepFailed) as caught:
            bench.verify()
        assert said in caught.value.message
        assert not caught.value.unknown
    else:
        assert bench.verify()[0].data["status"] == status


def test_no_answer_is_unknown() -> None:
    world = World()
    bench = Bench(world, _http())
    world.http.down["storage"] = "no route to host"
    with pytest.raises(StepFailed, match="no route to host") as caught:
        bench.verify()
    assert caught.value.unknown


def test_it_asks_again_within_its_time_and_once_where_all_is_settled() -> None:
    world = World()
    bench = Bench(world, _http(within="10s"))
    answers = iter([503, 503, 503, 200])
    world.http.otherwise["storage"] = lambda request: Answer(next(answers), (), b"", 0.0)
    with pytest.raises(StepFailed):
        bench.verify(settled=True)
    assert bench.verify()
    assert len(world.http.requests) == 4


def test_it_gives_up_at_the_end_of_its_time_and_at_a_signal() -> None:
    world = World()
    bench = Bench(world, _http(within="3s"))
    world.http.lay("storage", "/x", b"", status=503)
    with pytest.raises(StepFailed):
        bench.verify()
    assert 3.0 <= world.clock.monotonic() < 4.0
    world.interrupt.requested = 2
    before = len(world.http.requests)
    with pytest.raises(StepFailed):
        bench.verify()
    assert len(world.http.requests) == before + 1


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_only_methods_that_look(method: str) -> None:
    world = World()
    bench = Bench(world, _http(method=method))
    world.http.lay("storage", "/x", b"")
    bench.verify()
    assert world.http.requests[-1].method == method


# route


def test_the_monolith_is_proven_too() -> None:
    world = World()
    world.services.states["storage"] = ServiceState.RUNNING
    bench = Bench(world, {"route": {"prefix": "/api/storage", "answered_by": "monolith"}})
    assert "monolith answers /api/storage" in bench.there()[0].text
    for name in world.gateway.instances:
        world.gateway.effective[name]["USE_STORAGE_SERVICE"] = True
    with pytest.raises(StepFailed, match="monolith is not proven to answer"):
        bench.verify()


def test_one_mixed_instance_is_seen() -> None:
    world = World()
    world.services.states["storage"] = ServiceState.RUNNING
    world.gateway.effective["gateway-1"]["USE_STORAGE_SERVICE"] = True
    for side in ("storage", "monolith"):
        bench = Bench(world, {"route": {"prefix": "/api/storage", "answered_by": side}})
        with pytest.raises(StepFailed):
            bench.verify()
        world.lease.abandon()


def test_a_route_that_the_environment_does_not_have() -> None:
    bench = Bench(World(), {"route": {"prefix": "/api/none", "answered_by": "storage"}})
    with pytest.raises(StepFailed, match="no flag that sends /api/none"):
        bench.verify()
    assert not bench.preview().changes


def test_a_monolith_that_answers_with_errors_is_not_proven() -> None:
    world = World()
    world.services.states["storage"] = ServiceState.RUNNING
    world.broken["monolith"] = 500
    bench = Bench(world, {"route": {"prefix": "/api/storage", "answered_by": "monolith"}})
    with pytest.raises(StepFailed):
        bench.verify()


# The model


def test_a_step_is_frozen_json() -> None:
    bench = Bench(World(), _http(expect={"json": {"a": [1, {"b": None}]}}))
    document = json.loads(json.dumps(bench.entry.document()))
    assert document["http"]["expect"]["json"] == {"a": [1, {"b": None}]}
    with pytest.raises(ValueError, match="frozen"):
        bench.step.target = "other"  # type: ignore[attr-defined]
