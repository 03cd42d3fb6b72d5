"""The table of states and commands: what `run`, `resume`, `rollback` and `verify` do with a week in each of its states."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from operator import methodcaller

import pytest

from tests.operations.world import PLANS, Killed, Outcome, Script, World, program
from tracseq_migrate.errors import NotAllowed
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.operations import status as status_operation
from tracseq_migrate.ports import Holder

STEPS = (
    {"id": "up", "services": {"up": ["storage"]}},
    program("first"),
    {"id": "on", "flags": {"set": {"USE_STORAGE_SERVICE": True}, "writes": "stranded"}},
    program("last"),
)


def never_run() -> World:
    world = World()
    world.plan("week9", *STEPS)
    return world


def proven() -> World:
    world = never_run()
    assert world.run("week9").code == 0
    return world


def soaking() -> World:
    world = proven()
    _journal(world, WeekStatus.SOAKING)
    return world


def completed() -> World:
    world = proven()
    _journal(world, WeekStatus.COMPLETED)
    return world


def _journal(world: World, status: WeekStatus) -> None:
    run_id = world.week("week9").run_id
    world.journal.append([v.run_finished("week9", run_id, outcome=status)], epoch=None, at=world.clock.now())


def waiting() -> World:
    world = never_run()
    assert world.run("week9", until="first").code == 9
    return world


def in_doubt() -> World:
    world = never_run()
    with pytest.raises(Killed):
        world.run("week9", script=Script(die_at="after FlagStore.write #1"))
    return world


def rolling_back() -> World:
    world = proven()
    with pytest.raises(Killed):
        world.rollback("week9", script=Script(die_at="after FlagStore.write #1"))
    return world


def residue() -> World:
    world = proven()
    world.flags.failing = "no space left"
    assert world.rollback("week9").code == 6
    world.flags.failing = ""
    return world


def rolled_back() -> World:
    world = proven()
    assert world.rollback("week9").code == 0
    return world


# state -> how to come there, what the journal says then, and the exit codes of run, resume and rollback
TABLE: dict[str, tuple[Callable[[], World], WeekStatus, int, int, int]] = {
    "never-run": (never_run, WeekStatus.NEVER_RUN, 0, 4, 4),
    "waiting": (waiting, WeekStatus.WAITING, 0, 0, 0),
    "proven": (proven, WeekStatus.PROVEN, 0, 0, 0),
    "soaking": (soaking, WeekStatus.SOAKING, 0, 0, 0),
    "completed": (completed, WeekStatus.COMPLETED, 0, 0, 4),
    "in-doubt": (in_doubt, WeekStatus.RUNNING, 7, 0, 0),
    "rolling-back": (rolling_back, WeekStatus.ROLLING_BACK, 7, 0, 0),
    "residue": (residue, WeekStatus.RESIDUE, 6, 6, 0),
    "rolled-back": (rolled_back, WeekStatus.ROLLED_BACK, 0, 4, 0),
}


@pytest.mark.parametrize("state", TABLE)
def test_run(state: str) -> None:
    make, status, code, _, _ = TABLE[state]
    world = make()
    assert world.week("week9").status is status
    before, events = world.snapshot(), len(world.journal.events)
    ended = world.run("week9")
    assert ended.code == code, ended.text
    if state in ("never-run", "waiting", "rolled-back"):
        assert world.week("week9").status is WeekStatus.PROVEN
        assert world.effective("USE_STORAGE_SERVICE") == [True, True]
    else:  # it changes nothing: neither the world nor the journal
        assert world.snapshot() == before
        assert len(world.journal.events) == events
    if code == 7:
        assert "tracseq-migrate resume week9" in ended.text
        assert "tracseq-migrate rollback week9" in ended.text


@pytest.mark.parametrize("state", TABLE)
def test_resume(state: str) -> None:
    make, _, _, code, _ = TABLE[state]
    world = make()
    before = world.snapshot()
    ended = world.resume("week9")
    assert ended.code == code, ended.text
    after = world.week("week9").status
    if state in ("waiting", "in-doubt"):
        assert after is WeekStatus.PROVEN
    elif state == "rolling-back":
        assert after is WeekStatus.ROLLED_BACK
    else:
        assert world.snapshot() == before


@pytest.mark.parametrize("state", TABLE)
def test_rollback(state: str) -> None:
    make, _, _, _, code = TABLE[state]
    start = never_run().snapshot()
    world = make()
    before = world.snapshot()
    ended = world.rollback("week9")
    assert ended.code == code, ended.text
    if code:
        assert world.snapshot() == before
    else:
        assert world.snapshot() == start
        assert world.week("week9").status is WeekStatus.ROLLED_BACK


@pytest.mark.parametrize("state", TABLE)
def test_status_names_the_state_and_what_to_type(state: str) -> None:
    world = TABLE[state][0]()
    view = world.status()
    line = next(line for line in view.weeks if line.week == "week9")
    assert line.state == state
    expected = {
        "waiting": "tracseq-migrate run week9",
        "in-doubt": "tracseq-migrate resume week9",
        "rolling-back": "tracseq-migrate resume week9",
        "residue": "tracseq-migrate rollback week9",
    }
    assert view.next_command == expected.get(state, "tracseq-migrate plan week1")
    assert view.next_reason
    codes = {"waiting": 9, "in-doubt": 7, "rolling-back": 7, "residue": 6}
    assert status_operation.exit_code(view) == codes.get(state, 0)


def test_a_week_that_was_never_run_is_refused_with_the_environment_named() -> None:
    ended = never_run().rollback("week9")
    assert ended.code == 4
    assert "environment lab" in ended.text


def test_a_week_that_stands_is_verified_and_drift_is_named() -> None:
    world = proven()
    assert world.run("week9").code == 0
    world.gateway.effective["gateway-2"]["USE_STORAGE_SERVICE"] = False
    before = world.snapshot()
    ended = world.run("week9")
    assert ended.code == 11
    assert "gateway-2" in ended.text
    assert "rollback week9" in ended.text
    assert world.snapshot() == before
    view = world.verify("week9")
    assert [line.step for line in view.lines if line.verdict != "pass"] == ["on"]
    assert len(view.drift) == 1


def test_what_cannot_be_asked_is_no_pass() -> None:
    world = proven()
    world.http.down["storage"] = "no route to host"
    view = world.verify("week9")
    verdicts = {line.step: line.verdict for line in view.lines}
    assert verdicts == {"up": "unknown", "first": "pass", "on": "unknown", "last": "pass"}
    assert world.run("week9").code == 11


def test_a_week_that_is_not_in_force_cannot_be_verified() -> None:
    for world in (never_run(), rolled_back()):
        with pytest.raises(NotAllowed):
            world.verify("week9")


# An edited plan


@pytest.mark.parametrize("make", [waiting, proven, in_doubt])
def test_an_edited_plan_is_refused_with_the_diff_and_rollback_goes_by_the_journaled_one(
    make: Callable[[], World],
) -> None:
    start = never_run().snapshot()
    world = make()
    world.plan("week9", STEPS[0], program("other"))
    before = world.snapshot()
    ended = world.resume("week9") if make is in_doubt else world.run("week9")
    assert ended.code == 4
    assert '-      "id": "on"' in ended.text
    assert '+      "id": "other"' in ended.text
    assert world.snapshot() == before
    assert world.rollback("week9").code == 0
    assert world.snapshot() == start
    assert world.run("week9").code == 0
    assert {name for name, there in world.programs.items() if there} == {"other"}


def test_another_environment_is_no_edit_of_the_plan_but_is_refused_too() -> None:
    world = proven()
    world.environment["gateway"] = "elsewhere"
    ended = world.run("week9")
    assert ended.code == 4
    assert "environment" in ended.text


def test_comments_and_spelled_out_defaults_change_nothing() -> None:
    world = World()
    assert world.run("week1").code == 0
    path = PLANS / "week1-safe.yaml"
    text = world.files.bodies[path].decode()
    world.files.bodies[path] = (text.replace("risk: low", "risk:   low  # really") + "\n# the end\n").encode()
    assert world.run("week1").code == 0


def test_a_plan_whose_file_is_gone_can_go_back() -> None:
    start = never_run().snapshot()
    world = proven()
    del world.files.bodies[PLANS / "week9.yaml"]
    assert any(line.week == "week9" and line.state == "proven" for line in world.status().weeks)
    assert world.rollback("week9").code == 0
    assert world.snapshot() == start


# The order of weeks


def test_an_earlier_week_cannot_move_while_a_later_one_stands() -> None:
    world = World()
    assert world.run("week1").code == 0
    world.clock.forward(-7200)  # another machine, whose clock is behind
    assert world.run("week2").code == 0
    before = world.snapshot()
    ended = world.rollback("week1")
    assert ended.code == 4
    assert "tracseq-migrate rollback week2" in ended.text
    assert world.snapshot() == before
    assert world.rollback("week2").code == 0
    assert world.rollback("week1").code == 0


def test_a_later_week_at_work_is_a_lock() -> None:
    world = World()
    assert world.run("week1").code == 0
    with pytest.raises(Killed):
        world.run("week2", script=Script(die_at="after FlagStore.write #1"))
    holding = world.lease.info
    world.script.dead = False  # it stands still, and holds the lease
    refused = world.rollback("week1")
    assert world.lease.info is holding
    assert refused.code == 8
    assert "week2" in refused.text
    assert "pid 1" in refused.text
    assert world.run("week2").code == 8
    world.lease.abandon()
    gone = world.rollback("week1")  # nobody is at work, but something of week 2 is there
    assert gone.code == 4
    assert "rollback week2" in gone.text


def test_a_week_needs_the_weeks_before_it() -> None:
    world = World()
    start = world.snapshot()
    ended = world.run("week2")
    assert ended.code == 4
    assert "week2 needs week1, which is never-run" in ended.text
    assert "tracseq-migrate run week1" in ended.text
    assert world.snapshot() == start
    assert not world.journal.events  # nobody was asked to sign for a run that is not allowed


def test_a_week_that_went_back_has_no_place_in_the_order_any_more() -> None:
    world = World()
    for week in ("week8", "week9"):
        world.plan(week, program(week))
        assert world.run(week).code == 0
    order = {"week8": world.week("week8").begun, "week9": world.week("week9").begun}
    assert order["week8"] < order["week9"]
    assert world.rollback("week9").code == 0
    assert world.rollback("week8").code == 0
    assert world.run("week9").code == 0
    assert world.run("week8").code == 0  # week9 does not need it, and neither stands on the other
    assert world.rollback("week9").code == 4  # now week8 was begun after it
    assert world.rollback("week8").code == 0
    assert world.rollback("week9").code == 0


def test_there_and_back_and_there_again() -> None:
    world = World()
    for _ in range(2):
        assert world.run("week1").code == 0
        assert world.run("week2").code == 0
        assert world.rollback("week2").code == 0
        assert world.rollback("week1").code == 0


def test_another_run_holds_the_lock() -> None:
    world = never_run()
    world.lease.acquire(Holder("x", "grace", "other-host", 4711, "tracseq-migrate run week1"), timeout=0)
    for ended in (world.run("week9"), world.run("week1")):
        assert ended.code == 8
        for word in ("grace", "other-host", "4711", "tracseq-migrate run week1"):
            assert word in ended.text
    assert world.week("week9").status is WeekStatus.NEVER_RUN


def test_somebody_who_was_faster_is_noticed_after_the_wait_for_the_lock() -> None:
    """A resume and a rollback that waited for the lock find the week where the other left it."""
    resume, rollback = (methodcaller(name, "week9") for name in ("resume", "rollback"))
    for other, act, code in ((rollback, resume, 4), (resume, resume, 0), (rollback, rollback, 0)):
        world = in_doubt()
        world.lease.abandon()
        world.script.dead = False
        faster: list[Outcome] = []
        world.lease.meanwhile = partial(_append, faster, other, world)
        ended: Outcome = act(world)
        assert [one.code for one in faster] == [0]
        assert ended.code == code, ended.text
        assert world.lease.info is None


def _append(outcomes: list[Outcome], act: Callable[[World], Outcome], world: World) -> None:
    outcomes.append(act(world))


def test_the_journaled_plan_is_whole() -> None:
    world = proven()
    journaled = world.week("week9").plan
    assert json.loads(json.dumps(journaled)) == journaled
    assert [step["id"] for step in journaled["steps"]] == ["up", "first", "on", "last"]
