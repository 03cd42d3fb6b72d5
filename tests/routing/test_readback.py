"""What the gateway says its flags are: every instance, both maps, again and again until all agree or none will."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tracseq_migrate.adapters.memory.gateway import MemoryGateway, MemoryProxy
from tracseq_migrate.adapters.memory.surroundings import MemoryClock
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import GatewayFlags, Reading
from tracseq_migrate.routing import values
from tracseq_migrate.routing.readback import CONNECTIONS, await_flags, describe, disagreements, wrong_flags

FLAG, OTHER = "USE_STORAGE_SERVICE", "USE_RAG_SERVICE"
NAMES = {FLAG: "storage", OTHER: "rag"}


def _reading(reading: Reading | None) -> GatewayFlags:
    readings = {} if reading is None else {FLAG: reading}
    return GatewayFlags("gateway-1", readings, "TracSeq API Gateway", "1")


@pytest.mark.parametrize(
    ("reading", "want", "said", "hopeless"),
    [
        (Reading(True, True), True, "", False),
        (Reading(False, False), False, "", False),
        (Reading(True, True), False, "has USE_STORAGE_SERVICE on, not off", False),
        (Reading(False, False), True, "has USE_STORAGE_SERVICE off, not on", False),
        (Reading(True, False), True, "contradicts itself", False),
        (Reading(True, None), True, "in feature_flags only", True),
        (Reading(None, True), True, "in routing_configuration only", True),
        (Reading(False, None), False, "in feature_flags only", True),
        (Reading(None, None), False, "in neither map", True),
        (None, True, "in neither map", True),
    ],
)
def test_both_maps_must_say_it(reading: Reading | None, want: bool, said: str, hopeless: bool) -> None:
    wrong = wrong_flags(_reading(reading), {FLAG: want})
    assert bool(wrong) is bool(said)
    assert said in describe(wrong)
    assert [item.hopeless for item in wrong] == [hopeless] * len(wrong)


def test_the_same_trouble_is_told_once() -> None:
    gateway = MemoryGateway(["one", "two"], NAMES, dict)
    wrong = disagreements(
        gateway, {FLAG: True, OTHER: True}, instances=["one", "two"], connections=3, timeout=1.0
    )
    assert describe(wrong) == "one and two: has USE_STORAGE_SERVICE, USE_RAG_SERVICE off, not on"


def _world(declared: dict[str, str]) -> tuple[MemoryGateway, MemoryProxy, MemoryClock]:
    proxy = MemoryProxy(["one", "two"])
    return MemoryGateway(["one", "two"], NAMES, lambda: declared, proxy=proxy), proxy, MemoryClock()


class _Watched(MemoryClock):
    """A clock at whose sleeps something happens."""

    def __init__(self, happens: Callable[[int], None]) -> None:
        super().__init__()
        self._happens = happens

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._happens(len(self.slept))


def _await(gateway: MemoryGateway, clock: MemoryClock, **more: float) -> int:
    deadline = more.pop("deadline", 10.0)
    return await_flags(
        gateway,
        clock,
        {FLAG: True},
        instances=["one", "two", None],
        deadline=deadline,
        **more,  # type: ignore[arg-type]
    )


def test_every_instance_is_asked_on_many_connections_and_the_public_address_on_more() -> None:
    gateway, _, clock = _world({FLAG: "true"})
    assert _await(gateway, clock) == CONNECTIONS * 2 + CONNECTIONS * 2
    assert not clock.slept


def test_it_waits_until_the_last_instance_agrees() -> None:
    declared = {FLAG: "false"}
    gateway, _, _ = _world(declared)

    def happens(sleeps: int) -> None:
        declared[FLAG] = "true"
        gateway.reload(["one", "two"][min(sleeps, 5) // 5])

    clock = _Watched(happens)
    assert _await(gateway, clock) > 0
    assert len(clock.slept) == 5


def test_one_that_never_agrees_fails_at_the_deadline() -> None:
    gateway, _, clock = _world({FLAG: "true"})
    gateway.effective["two"][FLAG] = False
    with pytest.raises(StepFailed, match=r"two.*has USE_STORAGE_SERVICE off, not on") as caught:
        _await(gateway, clock, deadline=3.0)
    assert "own environment" in caught.value.hint
    assert clock.monotonic() <= 3.0


def test_a_flag_that_it_cannot_know_fails_at_once() -> None:
    gateway, _, clock = _world({FLAG: "true"})
    gateway.unknown.add(FLAG)
    with pytest.raises(StepFailed, match="in neither map"):
        _await(gateway, clock)
    assert not clock.slept


def test_patience_with_a_wrong_answer_ends_before_the_deadline() -> None:
    gateway, _, clock = _world({FLAG: "true"})
    gateway.effective["one"][FLAG] = False
    with pytest.raises(StepFailed):
        _await(gateway, clock, patience=1.5, deadline=60.0)
    assert 1.5 <= clock.monotonic() < 3.0


def test_patience_is_for_answers_and_silence_is_none() -> None:
    """An instance that is still starting may take all of the time that there is."""
    gateway, _, _ = _world({FLAG: "true"})
    gateway.down["one"] = "connection refused"
    clock = _Watched(lambda sleeps: gateway.down.clear() if sleeps == 40 else None)
    assert _await(gateway, clock, patience=1.5, deadline=60.0) > 0
    assert clock.monotonic() > 7.0


def test_silence_fails_at_the_deadline() -> None:
    gateway, _, clock = _world({FLAG: "true"})
    gateway.down["one"] = "connection refused"
    with pytest.raises(StepFailed, match="connection refused") as caught:
        _await(gateway, clock, deadline=2.0)
    assert "output" in caught.value.hint


def test_a_mixed_public_address_is_seen() -> None:
    """Each instance is asked by its name too, but what clients get is what counts."""
    gateway, proxy, _ = _world({FLAG: "true"})
    gateway.effective["two"][FLAG] = False
    asked: list[str | None] = [None]
    everywhere = disagreements(gateway, {FLAG: True}, instances=asked, connections=CONNECTIONS, timeout=1.0)
    assert len(everywhere) == 1
    proxy.switch(["one"])
    assert not disagreements(gateway, {FLAG: True}, instances=asked, connections=CONNECTIONS, timeout=1.0)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        *((text, True) for text in ("true", "TRUE", "True", "1", "yes", "on", "t", "y", "Y")),
        *((text, False) for text in ("false", "False", "0", "no", "NO", "off", "f", "n")),
        *((text, None) for text in ("", " true", "true ", "2", "enabled", "truefalse", "\u00dfi")),
        (None, False),
    ],
)
def test_how_the_gateway_spells_booleans(text: str | None, meaning: bool | None) -> None:
    assert values.read(text) is meaning


def test_what_is_spelled_reads_back() -> None:
    assert [values.read(values.spell(value)) for value in (True, False)] == [True, False]
