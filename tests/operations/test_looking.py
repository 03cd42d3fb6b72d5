"""`status`, `plan` and `log`: they look, they change nothing, and what they cannot ask they say to be unknown."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.operations.world import FLAG_FILE, LOG, MONOLITH, PLANS, Killed, Script, World, program
from tracseq_migrate.errors import Exit
from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.operations import history
from tracseq_migrate.operations import status as statuses
from tracseq_migrate.operations.preview import preview
from tracseq_migrate.operations.status import exit_code
from tracseq_migrate.operations.views import FlagLine, PlannedStep, PlanView, StatusView
from tracseq_migrate.ports import Answer, Holder, Reading, ServiceState


def _flag(view: StatusView, flag: str = "USE_STORAGE_SERVICE") -> FlagLine:
    return next(line for line in view.flags if line.flag == flag)


# status


def test_a_fresh_system() -> None:
    view = World().status()
    assert [line.week for line in view.weeks][:2] == ["week1", "week2"]
    assert {line.state for line in view.weeks} == {"never-run"}
    assert view.next_command == "tracseq-migrate plan week1"
    assert view.progress == 0
    assert {(line.name, line.state, line.health) for line in view.services} >= {
        ("monolith", "running", "pass"),
        ("storage", "stopped", ""),
    }
    line = _flag(view)
    assert (line.declared, line.effective, line.owner, line.drift) == ("false", False, "monolith", "")
    assert line.instances == {"gateway-1": False, "gateway-2": False}
    assert statuses.exit_code(view) == Exit.DONE
    assert view.as_json()["type"] == "status"


def test_after_week_one() -> None:
    world = World()
    assert world.run("week1").code == 0
    view = world.status()
    assert (view.progress, view.next_command) == (30, "tracseq-migrate plan week2")
    line = _flag(view)
    assert (line.declared, line.effective, line.owner, line.drift) == ("true", True, "storage", "")
    week = view.weeks[0]
    assert {status for _, _, status in week.steps} == {"verified"}


def test_global_options_are_in_the_commands_that_are_printed() -> None:
    world = World()
    view = statuses.status(replace(world.process(), options="-c lab.yaml"))
    assert view.next_command == "tracseq-migrate -c lab.yaml plan week1"


def test_a_run_at_work_is_told_from_one_that_was_broken_off() -> None:
    world = World()
    with pytest.raises(Killed):
        world.run("week1", script=Script(die_at="after FlagStore.write #1"))
    world.script.dead = False  # it is at work
    view = world.status()
    assert view.weeks[0].state == "running"
    assert view.next_command == "tracseq-migrate status"
    assert view.lock is not None
    assert (view.lock.person, view.lock.host, view.lock.pid) == ("ada", "bench", 1)
    assert statuses.exit_code(view) == Exit.IN_PROGRESS
    world.lease.abandon()
    view = world.status()
    assert view.weeks[0].state == "in-doubt"
    assert "flags" in view.weeks[0].detail
    assert view.next_command == "tracseq-migrate resume week1"
    assert [(line.step, line.week) for line in view.obligations] == [("flags", "week1")]


def _declared_only(world: World) -> None:
    world.flags.text = FLAG_FILE.replace("USE_STORAGE_SERVICE=false", "USE_STORAGE_SERVICE=true")


def _one_instance(world: World) -> None:
    world.gateway.effective["gateway-2"]["USE_STORAGE_SERVICE"] = True


def _both_instances(world: World) -> None:
    _one_instance(world)
    world.gateway.effective["gateway-1"]["USE_STORAGE_SERVICE"] = True


def _no_file(world: World) -> None:
    world.flags.text = None


@pytest.mark.parametrize(
    ("bend", "said"),
    [
        (_declared_only, "declared true, effective off"),
        (_one_instance, "the instances disagree"),
        (_both_instances, "declared false, effective on"),
        (_no_file, "does not exist"),
    ],
)
def test_drift_of_a_flag_is_named(bend: Callable[[World], None], said: str) -> None:
    world = World()
    bend(world)
    view = world.status()
    assert said in _flag(view).drift
    assert view.next_command == "tracseq-migrate verify"
    assert statuses.exit_code(view) == Exit.DIFFERENT


def test_a_flag_that_somebody_put_back_by_hand_is_drift_from_the_week_that_set_it() -> None:
    world = World()
    assert world.run("week1").code == 0
    world.flags.text = FLAG_FILE
    for name in world.gateway.instances:
        world.gateway.reload(name)
    view = world.status()
    assert _flag(view).drift == "week1 set it on"
    assert _flag(view, "USE_TEMPLATE_SERVICE").drift == ""


def test_a_flag_that_the_gateway_does_not_know_is_drift_only_where_it_is_on() -> None:
    world = World()
    world.gateway.unknown.add("USE_STORAGE_SERVICE")
    assert _flag(world.status()).drift == ""
    _declared_only(world)
    assert "does not know it" in _flag(world.status()).drift


def test_what_cannot_be_asked_is_unknown() -> None:
    world = World()
    world.gateway.down["gateway-2"] = "it is down"
    world.services.unreachable["storage"] = "the supervisor is gone"
    world.http.down["rag"] = "no route"
    world.services.states["rag"] = ServiceState.RUNNING
    view = world.status()
    assert _flag(view).instances == {"gateway-1": False, "gateway-2": None}
    assert _flag(view).effective is None
    assert _flag(view).owner == "unknown"
    assert any("gateway-2" in text for text in view.warnings)
    lines = {line.name: (line.state, line.health) for line in view.services}
    assert lines["storage"] == ("unknown", "unknown")
    assert lines["rag"] == ("running", "unknown")


def test_a_sick_service_fails() -> None:
    world = World()
    world.services.states["storage"] = ServiceState.RUNNING
    world.sick["storage"] = 503
    line = next(line for line in world.status().services if line.name == "storage")
    assert (line.state, line.health, "503" in line.detail) == ("running", "fail", True)


@pytest.mark.parametrize(
    ("body", "said"),
    [({"status": "unhealthy"}, "'unhealthy'"), ({"status": "healthy", "service": MONOLITH}, "the monolith")],
)
def test_status_judges_health_as_verify_does(body: dict[str, str], said: str) -> None:
    world = World()
    world.plan("week9", {"id": "up", "services": {"up": ["storage"]}})
    assert world.run("week9").code == 0
    assert (exit_code(world.status()), world.verify().drift) == (Exit.DONE, [])
    world.http.answers["storage", "/health"] = Answer(200, (), json.dumps(body).encode(), 0.0)
    view = world.status()
    line = next(line for line in view.services if line.name == "storage")
    assert (line.state, line.health) == ("running", "fail")
    assert said in line.detail
    assert any(line.detail in text for text in view.fallen)
    (drift,) = world.verify().drift
    assert line.detail in drift
    assert exit_code(view) is Exit.DIFFERENT


def test_status_disturbs_nothing_and_needs_no_lease() -> None:
    world = World()
    assert world.run("week1").code == 0
    world.lease.acquire(Holder("x", "grace", "other", 2, "run week2"), timeout=0)
    before = world.snapshot()
    world.status()
    world.verify()
    assert world.snapshot() == before


def test_when_every_week_stands_reality_is_asked_again() -> None:
    world = World()
    for path in [path for path in world.files.bodies if path.suffix == ".yaml"]:
        del world.files.bodies[path]
    world.plan("week1", program("p"), progress=100)
    assert world.run("week1", confirm={}).code == 0
    view = world.status()
    assert (view.progress, view.next_command) == (100, "tracseq-migrate verify")


# plan


class _Silent:
    """Whatever is asked of it fails the test."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} was asked")


def _lines(view: PlanView, step: str) -> list[tuple[str, str]]:
    return [(certainty, text) for certainty, text in _step(view, step).lines]


def _step(view: PlanView, step: str) -> PlannedStep:
    return next(planned for planned in view.steps if planned.id == step)


def test_a_preview_says_what_is_known_assumed_and_cannot_be_known() -> None:
    world = World()
    before = world.snapshot()
    view = preview(world.process(), "week1", offline=False)
    assert world.snapshot() == before
    assert not world.journal.events
    assert view.changes
    assert (view.state, view.next_command) == ("never-run", view.checklist[0].command)
    assert ("known", "starts storage, which is stopped") in _lines(view, "start")
    assert ("cannot be known before", "how long each takes to be healthy") in _lines(view, "start")
    flags = _lines(view, "flags")
    assert ("known", "USE_STORAGE_SERVICE is declared false, becomes true: /api/storage -> storage") in flags
    assert any(certainty == "assumed" and "no request should fail" in text for certainty, text in flags)
    assert any("going back counts it" in text for _, text in flags)
    assert any("rag keeps nothing" in text for _, text in flags)
    proof = _lines(view, "storage-proof")
    assert any(
        text.startswith("who answers, as things are now") for _, text in proof
    )  # the service is not up yet
    assert {planned.group for planned in view.steps} == {0, 1, 2}
    assert [line.state for line in view.checklist] == ["open", "open", "open"]
    assert [planned.changes for planned in view.preflight] == [False, False]


def test_a_preview_has_the_diff_of_the_flag_file() -> None:
    view = preview(World().process(), "week1", offline=False)
    diff = _step(view, "flags").diff
    assert "-USE_STORAGE_SERVICE=false  # the freezers" in diff
    assert "+USE_STORAGE_SERVICE=true  # the freezers" in diff
    assert "USE_TEMPLATE_SERVICE=1" not in diff


def test_a_preview_of_a_week_that_stands_changes_nothing() -> None:
    world = World()
    assert world.run("week1").code == 0
    view = preview(world.process(), "week1", offline=False)
    assert not view.changes
    assert view.next_command == "tracseq-migrate verify week1"
    assert _step(view, "flags").diff == ""


def test_offline_asks_nothing_at_all() -> None:
    world = World()
    system = world.process()
    asked: Any = _Silent()
    blind = replace(
        system,
        http=asked,
        gateway=asked,
        services=asked,
        databases=asked,
        prober=asked,
        commands=asked,
        git=asked,
        identity=asked,
    )
    view = preview(blind, "week1", offline=True)
    assert view.offline
    assert ("cannot be known before", "what is effective at the gateway (no network)") in _lines(
        view, "flags"
    )
    assert ("cannot be known before", "who answers (no network)") in _lines(view, "storage-proof")
    assert ("cannot be known before", "the answer (no network)") in _lines(view, "gateway-health")
    assert "+USE_STORAGE_SERVICE=true" in _step(view, "flags").diff  # the file is here
    with pytest.raises(AssertionError, match="was asked"):
        preview(blind, "week1", offline=False)


def test_a_preview_tells_what_stands_in_the_way() -> None:
    world = World()
    view = preview(world.process(), "week2", offline=True)
    assert any("week2 needs week1" in text for text in view.allowed)
    world.run("week1")
    assert not preview(world.process(), "week2", offline=True).allowed
    path = PLANS / "week1-safe.yaml"
    world.files.bodies[path] = world.files.bodies[path].replace(b"progress: 30", b"progress: 31")
    edited = preview(world.process(), "week1", offline=True)
    assert any("by another plan" in text for text in edited.allowed)
    assert edited.next_command == "tracseq-migrate rollback week1"


def test_a_preview_survives_a_world_that_does_not_answer() -> None:
    world = World()
    world.gateway.down.update({"gateway-1": "down", "gateway-2": "down"})
    world.services.unreachable.update(storage="gone", notifications="gone", rag="gone")
    for name in ("gateway", "monolith", "storage", "notifications", "rag"):
        world.http.down[name] = "no route"
    world.flags.text = None
    view = preview(world.process(), "week1", offline=False)
    assert ("known", "the flag file flags.env does not exist") in _lines(view, "flags")
    assert any(text.startswith("who answers, as things are now") for _, text in _lines(view, "storage-proof"))


def test_what_a_reload_costs_is_forecast_from_the_last_one() -> None:
    world = World(strategy="supervisor")
    flags = _lines(preview(world.process(), "week1", offline=True), "flags")
    assert any("not known before the first one was measured" in text for _, text in flags)
    assert world.run("week1").code == 0
    flags = _lines(preview(world.process(), "week2", offline=True), "flags")
    assert any("the last one took clients" in text for _, text in flags)


# log


def test_the_log_lists_every_run_and_rollback() -> None:
    world = World()
    assert world.run("week1").code == 0
    assert world.run("week2").code == 0
    assert world.rollback("week2").code == 0
    view = history.runs(world.process(), None)
    assert [(line.week, line.action, line.outcome) for line in view.runs] == [
        ("week1", "run", "proven"),
        ("week2", "run", "proven"),
        ("week2", "rollback", "rolled-back"),
    ]
    assert [line.week for line in history.runs(world.process(), "week1").runs] == ["week1"]


def test_the_log_is_rendered_after_each_execution_and_committed_where_asked() -> None:
    world = World()
    world.commit = True
    assert world.run("week1").code == 0
    assert world.rollback("week1").code == 0
    assert [commit.message.splitlines()[0] for commit in world.git.commits] == [
        "Migration log: week1 is proven",
        "Migration log: week1 is rolled-back",
    ]
    assert {commit.author for commit in world.git.commits} == {"Log <log@example.org>"}
    view = history.verify_chain(world.process())
    assert (view.broken_at, view.file_state) == (None, "whole")
    world.files.bodies[LOG] += b"edited"
    assert history.verify_chain(world.process()).file_state == "edited by hand, or not ours"
    aside = history.render(world.process()).kept_aside
    assert aside
    assert any(body.endswith(b"edited") for path, body in world.files.bodies.items() if str(path) == aside)


def test_a_log_that_cannot_be_written_never_fails_a_run() -> None:
    world = World()
    world.files.failing[LOG] = OSError(28, "No space left on device")
    assert world.run("week1").code == 0
    assert any("log render" in getattr(note, "text", "") for note in world.notes)
    world.files.failing.clear()
    history.render(world.process())
    assert LOG in world.files.bodies


def test_a_commit_that_was_left_alone_says_why() -> None:
    world = World()
    world.commit, world.git.why_not = True, "a rebase is in progress"
    assert world.run("week1").code == 0
    assert any("a rebase is in progress" in getattr(note, "text", "") for note in world.notes)
    assert world.week().status is WeekStatus.PROVEN


def test_a_broken_chain_is_named() -> None:
    world = World()
    assert world.run("week1").code == 0
    world.journal.events[4] = replace(world.journal.events[4], week="week9")
    view = history.verify_chain(world.process())
    assert (view.broken_at, view.events) == (5, 4)


def test_other_readings_of_a_flag() -> None:
    """A gateway that contradicts itself has no effective flag."""
    assert Reading(feature=True, enabled=False).effective is None
    assert Reading(feature=None, enabled=None).effective is None
    assert Reading(feature=True, enabled=True).effective is True
