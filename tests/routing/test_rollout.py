"""Every strategy converges on what the store declares, from any state that a crash may leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import pytest

from tests.operations.world import FLAG_FILE, INSTANCES, World
from tracseq_migrate.adapters.memory.commands import Call
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import CommandResult, Rollout, ServiceState
from tracseq_migrate.routing.rollout.reload import ByCommand, Restart, Rolling, Signal
from tracseq_migrate.routing.rollout.swap import ProxySwap

FLAG = "USE_STORAGE_SERVICE"
ON, OFF = {FLAG: True}, {FLAG: False}
LONG = 30.0


def _swap(world: World) -> ProxySwap:
    return ProxySwap(world.gateway, world.proxy, world.services, world.clock, start=10.0, drain=1.0)


def _restart(world: World) -> Restart:
    return Restart(world.gateway, world.services, world.clock, start=10.0, measured=None)


def _rolling(world: World) -> Rolling:
    return Rolling(world.gateway, world.services, world.clock, start=10.0, measured=2.5)


class _Hupped:
    """Services whose instances read their flags anew at a signal."""

    def __init__(self, world: World) -> None:
        self._world = world

    def signal(self, name: str, signal: str, *, timeout: float) -> None:
        self._world.services.signal(name, signal, timeout=timeout)
        self._world.gateway.reload(name)

    def __getattr__(self, name: str) -> object:
        return getattr(self._world.services, name)


def _signal(world: World) -> Signal:
    services = _Hupped(world)
    return Signal(world.gateway, services, world.clock, signal="HUP", start=10.0, measured=None)  # type: ignore[arg-type]


def _command(world: World) -> ByCommand:
    def reload(call: Call) -> CommandResult:
        for name in INSTANCES:
            world.gateway.reload(name)
        return CommandResult(0, "", "", 0.0)

    world.commands.replies["reload"] = reload
    return ByCommand(
        world.gateway, world.commands, world.clock, argv=["reload", "all"], start=10.0, measured=None
    )


STRATEGIES: dict[str, Callable[[World], Rollout]] = {
    "proxy": _swap,
    "supervisor": _restart,
    "rolling": _rolling,
    "signal": _signal,
    "command": _command,
}


def _declare(world: World, expect: dict[str, bool]) -> None:
    text = "true" if expect[FLAG] else "false"
    world.flags.text = FLAG_FILE.replace(f"{FLAG}=false", f"{FLAG}={text}")


def _whole(world: World, expect: dict[str, bool]) -> None:
    assert world.effective(FLAG) == [expect[FLAG]] * 2
    assert world.proxy.rotation == frozenset(INSTANCES)
    assert not world.gateway.down
    assert {world.services.states[name] for name in INSTANCES} == {ServiceState.RUNNING}


@pytest.mark.parametrize("name", STRATEGIES)
def test_there_and_back_and_there_again(name: str) -> None:
    world = World()
    rollout = STRATEGIES[name](world)
    assert rollout.strategy == name
    for expect in (ON, OFF, ON):
        _declare(world, expect)
        prepared = rollout.prepare(expect, timeout=LONG)
        assert bool(prepared) is (name == "proxy")
        rollout.commit(expect, timeout=LONG)
        rollout.finish(expect, timeout=LONG)
        _whole(world, expect)
        assert rollout.unfinished() == ""


@pytest.mark.parametrize("name", STRATEGIES)
def test_where_all_is_done_nothing_is_done(name: str) -> None:
    world = World()
    rollout = STRATEGIES[name](world)
    rollout.prepare(OFF, timeout=LONG)
    rollout.commit(OFF, timeout=LONG)
    rollout.finish(OFF, timeout=LONG)
    assert (world.services.calls, world.proxy.switches, world.commands.calls) == ([], [], [])


@pytest.mark.parametrize("name", STRATEGIES)
def test_abort_comes_back_to_what_the_store_declares(name: str) -> None:
    world = World()
    rollout = STRATEGIES[name](world)
    _declare(world, ON)
    rollout.prepare(ON, timeout=LONG)
    _declare(world, OFF)
    rollout.abort(OFF, timeout=LONG)
    _whole(world, OFF)


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_instance_that_does_not_follow_fails(name: str) -> None:
    world = World()
    world.stuck.add(FLAG)
    world.gateway.unknown.add(FLAG) if name in ("signal", "command") else None
    rollout = STRATEGIES[name](world)
    _declare(world, ON)
    with pytest.raises(StepFailed):
        for move in (rollout.prepare, rollout.commit, rollout.finish):
            move(ON, timeout=5.0)


# The swap


def _states() -> Iterator[tuple[tuple[bool, bool], frozenset[str], tuple[bool, bool]]]:
    """Flags of each instance, who is in rotation, and who is up: everything that a crash may leave."""
    rotations = [frozenset({name}) for name in INSTANCES] + [frozenset(INSTANCES)]
    yield from product(product((False, True), repeat=2), rotations, product((True, False), repeat=2))


@pytest.mark.parametrize("expect", [ON, OFF])
def test_a_swap_converges_from_every_state(expect: dict[str, bool]) -> None:
    for flags, rotation, up in _states():
        world = World()
        for name, on, runs in zip(INSTANCES, flags, up, strict=True):
            world.gateway.effective[name][FLAG] = on
            if not runs:
                world.services.states[name] = ServiceState.STOPPED
                world.gateway.down[name] = "connection refused"
        world.proxy.rotation = rotation
        _declare(world, expect)
        swap = _swap(world)
        swap.prepare(expect, timeout=LONG)
        swap.commit(expect, timeout=LONG)
        swap.finish(expect, timeout=LONG)
        _whole(world, expect)


def test_clients_never_see_old_and_new_mixed() -> None:
    """At each switch of the proxy all who are in rotation have the same flags, and are up."""
    world = World()
    seen: list[set[bool]] = []
    switch = world.proxy.switch

    class Proxy:
        def switch(self, to: list[str], *, epoch: int | None = None, scope: str = "") -> None:
            switch(to)
            seen.append({world.gateway.effective[name][FLAG] for name in world.proxy.rotation})
            assert not set(world.proxy.rotation) & set(world.gateway.down)

        def __getattr__(self, name: str) -> object:
            return getattr(world.proxy, name)

    swap = ProxySwap(world.gateway, Proxy(), world.services, world.clock, start=10.0, drain=1.0)  # type: ignore[arg-type]
    for expect in (ON, OFF):
        _declare(world, expect)
        swap.prepare(expect, timeout=LONG)
        swap.commit(expect, timeout=LONG)
        swap.finish(expect, timeout=LONG)
    assert seen == [{False}, {True}, {True}, {True}, {False}, {False}]


def test_requests_under_way_are_let_end_and_no_longer_than_the_drain() -> None:
    world = World()
    world.proxy.requests["gateway-2"] = 3
    _declare(world, ON)
    swap = _swap(world)
    assert swap.prepare(ON, timeout=LONG) == ["gateway-2"]
    assert world.clock.monotonic() == pytest.approx(1.0, abs=0.05)
    assert world.proxy.rotation == {"gateway-1"}
    assert world.effective(FLAG) == [False, True]


def test_where_preparing_fails_nobody_is_moved() -> None:
    world = World()
    world.services.failing["gateway-2"] = "USE_STORAGE_SERVICE: not a boolean"
    _declare(world, ON)
    with pytest.raises(StepFailed, match="not a boolean"):
        _swap(world).prepare(ON, timeout=LONG)
    assert world.proxy.rotation == {"gateway-1"}
    assert world.effective(FLAG)[0] is False


def test_there_is_nothing_to_commit_without_an_instance_that_has_the_flags() -> None:
    world = World()
    with pytest.raises(StepFailed, match="nothing to swap to"):
        _swap(world).commit(ON, timeout=LONG)
    assert world.proxy.rotation == frozenset(INSTANCES)


@pytest.mark.parametrize("move", ["prepare", "commit", "finish", "abort"])
def test_a_proxy_that_does_not_answer_is_a_failure(move: str) -> None:
    world = World()
    world.proxy.down = "the socket is gone"
    expect = ON if move == "prepare" else OFF
    _declare(world, expect)
    with pytest.raises(StepFailed, match="the socket is gone"):
        getattr(_swap(world), move)(expect, timeout=LONG)


def test_an_instance_out_of_rotation_is_unfinished() -> None:
    world = World()
    world.proxy.rotation = frozenset({"gateway-2"})
    assert "gateway-1" in _swap(world).unfinished()


# Forecasts


def test_forecasts() -> None:
    world = World()
    assert "no request should fail: 1 of 2 instances" in _swap(world).forecast()
    assert "not known before the first one was measured" in _restart(world).forecast()
    assert "the last one took clients 2.5 s" in _rolling(world).forecast()
    assert "mixed" in _signal(world).forecast()
    assert "`reload all`" in _command(world).forecast()


def test_a_rolling_reload_takes_one_at_a_time() -> None:
    world = World()
    _declare(world, ON)
    _rolling(world).commit(ON, timeout=LONG)
    assert world.services.calls == [
        ("down", "gateway-1"),
        ("up", "gateway-1"),
        ("down", "gateway-2"),
        ("up", "gateway-2"),
    ]


def test_a_rolling_reload_stops_at_the_first_that_does_not_come_up() -> None:
    world = World()
    world.services.failing["gateway-1"] = "crash"
    _declare(world, ON)
    with pytest.raises(StepFailed, match="crash"):
        _rolling(world).commit(ON, timeout=LONG)
    assert world.services.states["gateway-2"] is ServiceState.RUNNING
    assert ("down", "gateway-2") not in world.services.calls


def test_a_reload_command_that_fails_says_what_it_said() -> None:
    world = World()
    rollout = _command(world)
    world.commands.replies["reload"] = CommandResult(3, "", "no such unit", 0.0)
    _declare(world, ON)
    with pytest.raises(StepFailed, match="exited with 3: no such unit"):
        rollout.commit(ON, timeout=LONG)


def test_a_reload_command_that_says_yes_is_not_believed() -> None:
    world = World()
    rollout = _command(world)
    world.commands.replies["reload"] = CommandResult(0, "reloaded", "", 0.0)
    _declare(world, ON)
    with pytest.raises(StepFailed, match="off, not on"):
        rollout.commit(ON, timeout=5.0)
