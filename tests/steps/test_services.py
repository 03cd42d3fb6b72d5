"""Kind ``services``, where it gets difficult."""

from __future__ import annotations

import pytest

from tests.operations.world import World
from tests.steps.bench import Bench
from tracseq_migrate.adapters.memory.http import Request
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Answer, ServiceState, Unreachable
from tracseq_migrate.step import Found

UP = {"services": {"up": ["storage", "rag"]}, "timeout": "20s"}


def test_it_waits_until_a_service_is_healthy() -> None:
    world = World()
    bench = Bench(world, UP)
    world.sick["storage"] = 503

    def heal(request: Request) -> None:
        if world.clock.monotonic() >= 5:
            world.sick.clear()

    world.on_request = heal
    evidence = bench.there()
    assert 5 <= world.clock.monotonic() < 6
    assert [line.data["service"] for line in evidence] == ["storage", "rag"]


def test_one_that_never_is_fails_at_the_end_of_its_time_with_what_it_wrote_last() -> None:
    world = World()
    bench = Bench(world, UP)
    world.sick["rag"] = 503
    bench.prepare()
    world.services.tail = lambda name, lines: f"{name}: cannot bind"  # type: ignore[method-assign]
    with pytest.raises(StepFailed, match="rag: cannot bind") as caught:
        bench.apply()
    assert "answers 503" in caught.value.message
    assert world.clock.monotonic() >= 20
    bench.back()
    assert world.services.states["storage"] is ServiceState.STOPPED


def test_one_that_dies_at_its_start_fails_at_once() -> None:
    world = World()
    world.services.failing["rag"] = "port taken"
    bench = Bench(world, UP)
    bench.prepare()
    with pytest.raises(StepFailed, match="port taken"):
        bench.apply()
    assert world.clock.monotonic() == 0
    assert bench.probe().found is Found.PARTLY
    bench.back()
    assert {world.services.states[name] for name in ("storage", "rag")} == {ServiceState.STOPPED}


def test_only_what_it_started_is_stopped() -> None:
    world = World()
    world.services.states["storage"] = ServiceState.RUNNING
    bench = Bench(world, UP)
    assert any("storage is running already" in line.text for line in bench.preview().lines)
    bench.there()
    bench.back()
    assert world.services.states["storage"] is ServiceState.RUNNING
    assert world.services.states["rag"] is ServiceState.STOPPED
    assert ("down", "storage") not in world.services.calls


def test_the_monolith_in_the_place_of_a_service_is_seen() -> None:
    world = World()
    bench = Bench(world, UP)
    same = Answer(200, (), b'{"status":"healthy","service":"lab_manager"}', 0.0)
    world.http.answers["storage", "/health"] = same
    world.http.answers["monolith", "/health"] = same
    bench.prepare()
    with pytest.raises(StepFailed, match="the monolith, not storage"):
        bench.apply()


@pytest.mark.parametrize("body", [b'{"status": "degraded"}', b'{"status": "starting", "service": "storage"}'])
def test_a_200_that_says_that_it_is_not_healthy_is_no_health(body: bytes) -> None:
    world = World()
    bench = Bench(world, UP)
    bench.there()
    world.http.answers["storage", "/health"] = Answer(200, (), body, 0.0)
    with pytest.raises(StepFailed, match="says status"):
        bench.verify()


@pytest.mark.parametrize("body", [b"OK", b"", b"[]", b'{"status": "UP"}', b'{"uptime": 5}'])
def test_a_200_of_another_shape_is_health(body: bytes) -> None:
    world = World()
    bench = Bench(world, UP)
    bench.there()
    world.http.answers["storage", "/health"] = Answer(200, (), body, 0.0)
    assert bench.verify()


def test_a_stopped_service_that_still_answers_is_not_stopped() -> None:
    world = World()
    world.services.states["rag"] = ServiceState.RUNNING
    bench = Bench(world, {"services": {"down": ["rag"]}})
    world.http.lay("rag", "/health", b"{}")  # somebody else listens there
    bench.prepare()
    bench.apply()
    with pytest.raises(StepFailed, match="something still answers"):
        bench.verify()


def test_silence_is_not_a_service_that_has_stopped() -> None:
    world = World()
    world.services.states["rag"] = ServiceState.RUNNING
    bench = Bench(world, {"services": {"down": ["rag"]}})
    bench.prepare()
    bench.apply()

    def silent(request: Request) -> None:
        raise Unreachable("GET /health (rag)", "no answer in time")

    world.on_request = silent
    with pytest.raises(StepFailed, match="something still answers"):
        bench.verify()


def test_somebody_elses_service_is_asked_for_its_health_only() -> None:
    world = World()
    world.services.states["storage"] = ServiceState.EXTERNAL
    bench = Bench(world, {"services": {"up": ["storage"]}})
    (concern,) = bench.step.concerns(bench.ctx(writing=False))
    assert (concern.verdict, "not healthy" in concern.detail) == ("fail", True)
    world.http.lay("storage", "/health", b'{"status":"healthy"}')
    assert bench.step.concerns(bench.ctx(writing=False)) == []
    assert bench.there()
    bench.back()
    assert world.services.calls == []


def test_somebody_elses_service_cannot_be_stopped() -> None:
    world = World()
    world.services.states["storage"] = ServiceState.EXTERNAL
    bench = Bench(world, {"services": {"down": ["storage"]}})
    (concern,) = bench.step.concerns(bench.ctx(writing=False))
    assert concern.verdict == "fail"


def test_where_nobody_can_say_the_state_the_health_path_does() -> None:
    world = World()
    world.services.unreachable["storage"] = "no status command"
    bench = Bench(world, {"services": {"up": ["storage"]}})
    bench.prepare()
    assert bench.undo == {"before": {"storage": "stopped"}}
    world.http.lay("storage", "/health", b"{}")
    bench.prepare()
    assert bench.undo == {"before": {"storage": "running"}}


def test_what_cannot_be_asked_cannot_be_prepared_nor_probed() -> None:
    world = World()
    bench = Bench(world, {"services": {"up": ["storage"]}})
    bench.prepare()
    world.services.unreachable["storage"] = "the supervisor is gone"
    world.sick["storage"] = 503
    world.services.states["storage"] = ServiceState.RUNNING
    assert bench.probe().found is Found.UNKNOWN
    with pytest.raises(StepFailed, match="the supervisor is gone"):
        bench.prepare()


def test_a_service_that_had_failed_before_counts_as_stopped() -> None:
    world = World()
    world.services.states["storage"] = ServiceState.FAILED
    bench = Bench(world, {"services": {"up": ["storage"]}})
    bench.there()
    bench.back()
    assert world.services.states["storage"] is ServiceState.STOPPED
    assert bench.probe().found is Found.NOT_DONE
