"""One run at a time: whoever has lost the lease appends nothing and changes nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from tests.operations.world import World, program
from tracseq_migrate import ports
from tracseq_migrate.adapters.memory.journal import MemoryLease
from tracseq_migrate.errors import Locked
from tracseq_migrate.operations.guarded import changing_methods, guarded
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.signing import sign
from tracseq_migrate.operations.system import Gate
from tracseq_migrate.ports import Draft, Holder, is_changing

HOLDER = Holder("a", "ada", "bench", 1, "run week1")
OTHER = Holder("b", "grace", "other", 2, "run week2")

PORTS = [port for _, port in inspect.getmembers(ports, inspect.isclass) if changing_methods(port)]


def test_every_port_that_changes_something_is_known() -> None:
    assert {port.__name__ for port in PORTS} == {
        "Commands",
        "Dumps",
        "Files",
        "FlagStore",
        "Founding",
        "Git",
        "JournalStore",
        "JournalVault",
        "Lease",
        "Proxy",
        "Rollout",
        "Services",
        "Session",
    }
    assert changing_methods(ports.Services) == {"up", "down", "restart", "signal"}
    assert not changing_methods(ports.Gateway)


class _Anything:
    """Stands for an adapter of any port; counts what reached it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.calls.append(name)


@pytest.mark.parametrize("port", PORTS)
def test_no_effect_without_the_lease(port: type) -> None:
    inner, lease = _Anything(), MemoryLease()
    gate = Gate(lease)
    fenced = guarded(inner, port, gate)
    for name in changing_methods(port):
        with pytest.raises(AssertionError, match="without the lease"):
            getattr(fenced, name)()
    gate.epoch = lease.acquire(HOLDER, timeout=0).epoch
    lease.expire()
    lease.acquire(OTHER, timeout=0)
    for name in changing_methods(port):
        with pytest.raises(Locked, match="grace"):
            getattr(fenced, name)()
    assert not inner.calls
    looking = [
        name for name, member in vars(port).items() if inspect.isfunction(member) and not is_changing(member)
    ]
    for name in (name for name in looking if not name.startswith("_")):
        getattr(fenced, name)()
        assert inner.calls.pop() == name
    gate.epoch = lease.epoch
    for name in sorted(changing_methods(port)):
        getattr(fenced, name)()
        assert inner.calls.pop() == name


# Steps that stand alone: in a parallel group, a sibling may append between the takeover and the count of this test.
@pytest.mark.parametrize("step", ["start", "flags", "gateway-health"])
def test_a_run_that_was_fenced_appends_and_changes_nothing_more(step: str) -> None:
    world = World()
    seen: list[tuple[int, object]] = []

    def taken_over() -> None:
        world.lease.expire()
        world.lease.acquire(OTHER, timeout=0)
        seen.append((len(world.journal.events), world.snapshot()))

    world.when("apply", step, taken_over)
    ended = world.run("week1")
    assert ended.code == 8
    assert "grace" in ended.text
    assert seen == [(len(world.journal.events), world.snapshot())]
    assert world.lease.info is not None
    assert world.lease.info.holder is OTHER  # what is not ours is not given back


def test_a_rollback_that_was_fenced_changes_nothing_more() -> None:
    world = World()
    assert world.run("week1").code == 0
    seen: list[tuple[int, object]] = []

    def taken_over() -> None:
        world.lease.expire()
        world.lease.acquire(OTHER, timeout=0)
        seen.append((len(world.journal.events), world.snapshot()))

    world.when("revert", "flags", taken_over)
    assert world.rollback("week1").code == 8
    assert seen == [(len(world.journal.events), world.snapshot())]
    world.lease.abandon()
    assert world.resume("week1").code == 0


def test_run_events_need_the_lease_and_signatures_do_not() -> None:
    world = World()
    system = world.process()
    ledger = Ledger(system)
    with pytest.raises(AssertionError, match="without the lease"):
        ledger.append(Draft("run.finished", "week1"))
    ledger.append(Draft("checklist.signed.later", "week1"), lease=False)
    assert [event.type for event in world.journal.events] == ["checklist.signed.later"]


def test_a_ledger_takes_up_what_others_appended() -> None:
    world = World()
    one, two = Ledger(world.process()), Ledger(world.process())
    two.append(Draft("note", "week1"), lease=False)
    one.append(Draft("note", "week2"), lease=False)
    two.refresh()
    told = [[event.week for event in ledger.history()] for ledger in (one, two)]
    assert told == [["week1", "week2"]] * 2
    assert one.state.head == two.state.head == world.journal.events[-1].hash


def test_nothing_is_built_on_a_broken_journal() -> None:
    world = World()
    world.plan("week9", program("p"))
    assert world.run("week9").code == 0
    first = world.journal.events[2]
    world.journal.events[2] = type(first)(
        **{**{f: getattr(first, f) for f in first.__match_args__}, "week": "week8"}
    )
    before = world.snapshot()
    for ended in (world.run("week9"), world.rollback("week9"), world.resume("week9")):
        assert ended.code == 6
        assert "broken at event 3" in ended.text
        assert "log verify" in ended.text
    assert {k: w for k, w in world.snapshot().items() if k != "owed"} == {
        k: w for k, w in before.items() if k != "owed"
    }


def test_secrets_are_taken_out_before_anything_is_journaled() -> None:
    world = World()
    world.secrets = lambda value: _without(value)
    world.plan("week9", {**program("p"), "retry": {"attempts": 1}})
    world.commands.replies["program"] = ports.CommandResult(1, "", "password is hunter2", 0.0)
    ended = world.run("week9")
    assert ended.code in (5, 6)
    assert "hunter2" not in repr(world.journal.events)
    assert "hunter2" not in ended.text
    assert "hunter2" not in repr([note.as_json() for note in world.notes])
    assert "***" in ended.text


def _without(value: object) -> object:
    if isinstance(value, str):
        return value.replace("hunter2", "***")
    if isinstance(value, dict):
        return {key: _without(each) for key, each in value.items()}
    return [_without(each) for each in value] if isinstance(value, (list, tuple)) else value


def test_a_run_that_was_fenced_before_it_began_says_that_and_signs_nothing_more() -> None:
    world = World()

    def taken_over(request: object) -> None:
        world.on_request = lambda request: None
        world.lease.expire()
        world.lease.acquire(OTHER, timeout=0)
        world.sick["monolith"] = 500  # as the other leaves it: a check of this one fails

    world.on_request = taken_over
    ended = world.run("week1")
    assert ended.code == 8
    assert "grace" in ended.text
    assert set(world.types()) == {"checklist.signed"}
    system = world.process()
    gate = system.gate
    gate.epoch = 1
    with pytest.raises(Locked, match="grace"):
        sign(
            system,
            Ledger(system),
            "week1",
            item="on-call",
            ask="?",
            digest="d",
            claimed="",
            evidence="",
            expires=None,
        )
