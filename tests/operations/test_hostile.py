"""A world that means harm: each of these once made the tool lie, or lose what users wrote."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operations.test_losses import FLAGS, UP
from tests.operations.world import INSTANCES, Killed, Script, World, program
from tracseq_migrate.adapters.memory.http import Request
from tracseq_migrate.errors import Exit
from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.operations.status import exit_code
from tracseq_migrate.ports import Answer, ServiceState
from tracseq_migrate.redact import Redactor


def _ran(*more: dict[str, Any]) -> World:
    world = World()
    world.plan("week9", UP, FLAGS, *more)
    assert world.run("week9").code == 0
    return world


def test_an_instance_that_comes_back_before_the_switch_strands_nothing_in_silence() -> None:
    """The serving instance dies after the file was written, and reads it when it starts again: clients are over early."""
    world = World()
    world.plan("week9", UP, FLAGS)
    done: list[bool] = []

    def harm(request: Request) -> None:
        if (
            request.target == "storage"
            and world.flags.read().values["USE_STORAGE_SERVICE"] == "true"
            and not done
        ):
            done.append(True)
            world.gateway.reload(INSTANCES[0])
            world.users_write("storage", "public.locations", id=9, name="early")
            world.broken["storage"] = 500

    world.on_request = harm
    ended = world.run("week9")
    assert done
    assert ended.code == Exit.RESIDUE
    assert "1 writes" in ended.text


def test_a_proxy_that_cannot_be_asked_leaves_the_flag_file_as_it_is() -> None:
    world = _ran()
    before = world.flags.text
    world.proxy.down = "its socket is gone"
    assert world.rollback("week9").code == Exit.RESIDUE
    assert world.flags.text == before
    world.proxy.down = ""
    assert world.rollback("week9").code == 0


def test_instances_that_do_not_come_up_leave_the_flag_file_as_they_have_it() -> None:
    world = _ran()
    before = world.flags.text
    world.proxy.in_flight = lambda instance: 0  # type: ignore[method-assign]
    real = world.gateway.reload
    world.gateway.reload = lambda instance: None  # type: ignore[method-assign]
    assert world.rollback("week9").code == Exit.RESIDUE
    assert world.flags.text == before
    world.gateway.reload = real  # type: ignore[method-assign]
    assert world.rollback("week9").code == 0


def test_writes_that_could_never_be_counted_are_refused_before_anything_happens() -> None:
    world = World()
    world.stores.pop("storage")
    world.plan("week9", UP, FLAGS)
    ended = world.run("week9")
    assert ended.code == Exit.NOT_ALLOWED
    assert "names no database for storage" in ended.text


def test_a_comment_that_somebody_wrote_meanwhile_stays() -> None:
    world = World()
    before = world.flags.text or ""
    world.plan("week9", UP, FLAGS)
    assert world.run("week9").code == 0
    world.flags.text = (world.flags.text or "").replace(
        "# the freezers", "# the freezers; Bob, 3 a.m.: do not touch"
    )
    assert world.rollback("week9").code == 0
    assert world.flags.text == before.replace("# the freezers", "# the freezers; Bob, 3 a.m.: do not touch")


def test_a_secret_that_is_a_word_in_use_changes_nothing_that_is_acted_by() -> None:
    world = World()
    world.secrets = Redactor(frozenset({"storage", "program"})).value
    before = world.flags.text
    world.plan("week9", UP, FLAGS, program("p"))
    assert world.run("week9").code == 0
    assert world.verify("week9").drift == []
    assert world.rollback("week9").code == 0
    assert world.flags.text == before
    assert world.programs == {"p": False}
    assert world.services.states["storage"] is ServiceState.STOPPED


def test_a_secret_in_an_error_does_not_reach_the_journal() -> None:
    world = World()
    world.secrets = Redactor(frozenset({"hunter2-canary"})).value
    world.plan("week9", UP, {"id": "look", "http": {"target": "storage", "path": "/x/y/hunter2-canary"}})
    assert world.run("week9").code == Exit.ROLLED_BACK
    errors = [event.data["error"] for event in world.journal.events if event.type == "step.failed"]
    assert errors
    assert all("hunter2-canary" not in error and "***" in error for error in errors)


@pytest.mark.parametrize("harm", ["flags", "services"])
def test_what_fell_during_a_wait_is_seen_before_it_is_called_proven(harm: str) -> None:
    world = World()
    world.plan("week9", UP, FLAGS, {"id": "look", "pause": {"ask": "Well?"}})
    assert world.run("week9").code == Exit.WAITING
    if harm == "flags":
        world.flags.text = (world.flags.text or "").replace(
            "USE_STORAGE_SERVICE=true", "USE_STORAGE_SERVICE=false"
        )
        for name in INSTANCES:
            world.gateway.reload(name)
        assert any(line.drift for line in world.status().flags)
    else:
        world.services.states["storage"] = ServiceState.STOPPED
    world.approve("week9", "look")
    ended = world.run("week9")
    assert ended.code == Exit.DIFFERENT
    assert world.week("week9").status is WeekStatus.WAITING
    if harm == "services":
        world.services.states["storage"] = ServiceState.RUNNING
        assert world.run("week9").code == 0


def test_verify_names_what_is_in_doubt() -> None:
    world = World()
    world.plan("week9", UP, FLAGS)
    with pytest.raises(Killed):
        world.run("week9", script=Script(die_at="after FlagStore.write #1"))
    view = world.verify()
    doubtful = [line for line in view.lines if line.step == "on"]
    assert [line.verdict for line in doubtful] == ["unknown"]
    assert ("week9", "in-doubt") in view.states
    assert "resume week9" in view.next_command


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        ("gateways", Exit.ERROR),
        ("proxy", Exit.ERROR),
        ("service", Exit.DIFFERENT),
        ("rotation", Exit.DIFFERENT),
    ],
)
def test_status_is_not_well_when_what_a_week_stands_on_is_not(harm: str, code: Exit) -> None:
    world = _ran()
    assert exit_code(world.status()) == Exit.DONE
    if harm == "gateways":
        world.gateway.down = dict.fromkeys(INSTANCES, "refused")
    elif harm == "proxy":
        world.proxy.down = "its socket is gone"
    elif harm == "rotation":
        world.proxy.switch(INSTANCES[:1])
    else:
        world.services.states["storage"] = ServiceState.STOPPED
    assert exit_code(world.status()) == code


def test_a_service_that_knows_less_than_the_monolith_is_no_proof() -> None:
    world = World()
    world.broken["storage"] = 404
    world.plan("week9", UP, FLAGS)
    ended = world.run("week9")
    assert ended.code == Exit.ROLLED_BACK
    assert "404 instead of 200" in ended.text


@pytest.mark.parametrize("number", ["1.2.3", "1e999"])
def test_metrics_that_are_no_numbers_count_nothing(number: str) -> None:
    world = World()
    real = world.http.otherwise["storage"]

    def lying(request: Request) -> Answer:
        if request.path == "/metrics":
            return Answer(200, (), f'http_requests_total{{prefix="/api/storage"}} {number}\n'.encode(), 0.0)
        return real(request)

    world.http.otherwise["storage"] = lying
    world.plan("week9", UP, FLAGS)
    assert world.run("week9").code == 0


def test_a_service_that_somebody_else_runs_does_not_stand_in_the_way_back() -> None:
    world = World()
    world.services.states["storage"] = ServiceState.EXTERNAL
    world.plan("week9", {"id": "up", "services": {"up": ["storage"]}})
    real = world.http.otherwise["storage"]
    world.http.otherwise["storage"] = lambda request: world._answer("storage", request.path)
    assert world.run("week9").code == 0
    assert world.rollback("week9").code == 0
    world.http.otherwise["storage"] = real


def test_a_rollback_that_was_killed_still_knows_what_it_was_allowed() -> None:
    world = _ran()
    world.users_write("storage", "public.locations", id=9, name="early")
    with pytest.raises(Killed):
        world.rollback("week9", accept_loss=True, script=Script(die_at="before Services.down(storage) #1"))
    world.users_write("storage", "public.locations", id=10, name="late")
    assert world.rollback("week9").code == 0
    listed = b"".join(body for path, body in world.files.bodies.items() if path.suffix == ".jsonl")
    assert b"late" in listed


def test_a_program_whose_effect_cannot_be_seen_does_not_run() -> None:
    world = World()
    world.programs["p"] = True
    world.plan("week9", program("p"))
    ended = world.run("week9")
    assert ended.code == Exit.NOT_ALLOWED
    assert "exits 0 before the command has run" in ended.text


def test_a_person_may_sign_that_a_program_is_undone_where_it_cannot_tell() -> None:
    world = World()
    world.plan("week9", program("p"))
    assert world.run("week9").code == 0
    stuck = world.programs
    real = world.commands.replies["program"]

    def never_gone(call: Any) -> Any:
        answer = real(call) if callable(real) else real
        stuck["p"] = True
        return answer

    world.commands.replies["program"] = never_gone
    assert world.rollback("week9").code == Exit.RESIDUE
    assert world.rollback("week9").code == Exit.RESIDUE
    world.approve("week9", "p-undone", evidence="looked at the cache: it is empty")
    assert world.rollback("week9").code == 0
    assert world.week("week9").status is WeekStatus.ROLLED_BACK


def test_a_database_that_is_away_before_any_switch_does_not_hold_the_way_back() -> None:
    world = World()
    world.broken["storage"] = 500

    def gone(request: Request) -> None:
        if request.target == "storage":
            world.databases.down["storage"] = "it is away"

    world.plan("week9", UP, FLAGS)
    world.on_request = gone
    ended = world.run("week9")
    assert ended.code in (Exit.ROLLED_BACK, Exit.NOT_ALLOWED)
