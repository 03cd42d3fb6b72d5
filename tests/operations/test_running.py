"""A run on its way: every step fails once, things are tried again, people are asked, signals come, some things are final."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.operations.world import FLAG_FILE, INSTANCES, Killed, Script, World, program
from tracseq_migrate.adapters.memory.commands import Call
from tracseq_migrate.adapters.memory.people import MemoryAsker
from tracseq_migrate.errors import Interrupted, StepFailed
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import StepStatus, WeekStatus
from tracseq_migrate.operations.observer import Finished, Note, StepFailedNote, TurnedBack
from tracseq_migrate.operations.run import RunOptions, run
from tracseq_migrate.plan import WeekPlan
from tracseq_migrate.ports import Answer, CommandResult, ServiceState

FLAGS = {"id": "on", "flags": {"set": {"USE_STORAGE_SERVICE": True}, "writes": "stranded"}}


def _no(world: World, service: str) -> Callable[[], None]:
    return lambda: world.broken.update({service: 500})


def _sick(world: World, service: str) -> Callable[[], None]:
    return lambda: world.sick.update({service: 503})


def _breaks(world: World) -> dict[str, Callable[[], object]]:
    """For each step of week 1, what makes it fail when it has just begun."""
    found: dict[str, Callable[[], object]] = {
        "start": lambda: world.services.failing.update(rag="port taken"),
        "flags": lambda: world.stuck.update({"USE_RAG_SERVICE"}),
        "gateway-health": lambda: world.http.lay("gateway", "/health", b"{}"),
    }
    for service in ("notifications", "storage", "rag"):
        found[f"{service}-health"] = _sick(world, service)
        found[f"{service}-proof"] = _no(world, service)
    return found


def _ids() -> list[str]:
    world = World()
    return [entry.id for entry in world.process().shelf.find("week1").entries()]


@pytest.mark.parametrize("step", _ids())
def test_wherever_a_step_fails_everything_goes_back_in_reverse_order(step: str) -> None:
    world = World()
    start = world.snapshot()
    breaks = _breaks(world)
    assert set(breaks) == set(_ids())
    world.when("apply", step, breaks[step])
    ended = world.run("week1")
    assert ended.code == 5, ended.text
    assert f"step {step} failed" in ended.text
    assert world.snapshot() == start
    assert world.week().status is WeekStatus.ROLLED_BACK
    assert world.lease.info is None
    began = {event.step: event.seq for event in world.journal.events if event.type in (v.VERIFIED, v.FAILED)}
    went = [event.step for event in world.journal.events if event.type == v.REVERTED]
    assert went == sorted(began, key=lambda name: began[name], reverse=True)
    assert step in went
    turned = [note for note in world.notes if isinstance(note, TurnedBack)]
    assert len(turned) == 1
    assert step in turned[0].reason
    last = world.notes[-1]
    assert isinstance(last, Finished)
    assert (last.exit_code, last.state, last.next_command) == (5, "rolled-back", "tracseq-migrate run week1")


def test_where_preparing_fails_nothing_of_the_step_is_journaled() -> None:
    world = World()
    world.plan("week9", program("first"), FLAGS)
    start = world.snapshot()
    world.when("apply", "on", lambda: world.gateway.down.update({"gateway-2": "it is down"}))
    ended = world.run("week9")
    assert ended.code == 5
    assert "gateway-2" in ended.text
    assert "on" not in {event.step for event in world.journal.events}
    world.gateway.down.clear()
    assert world.snapshot() == start


def test_a_flag_file_that_vanishes_in_the_middle_is_a_failure_like_any_other() -> None:
    """It ends as what it is: the step failed, the way back too, and what is left is named."""
    world = World()
    world.plan("week9", {"id": "up", "services": {"up": ["storage"]}}, FLAGS)

    def vanish() -> None:
        world.flags.text = None

    world.when("verify", "on", vanish)
    ended = world.run("week9")
    assert ended.code == 6
    assert "does not exist" in ended.text
    assert world.services.states["storage"] is ServiceState.RUNNING  # the gateway still sends people there
    world.flags.text = FLAG_FILE
    assert world.rollback("week9").code == 0
    assert world.snapshot() == World().snapshot()


# Going back fails


def test_a_failing_revert_leaves_the_steps_before_it_untouched() -> None:
    world = World()
    start = world.snapshot()
    assert world.run("week1").code == 0
    world.when("revert", "flags", lambda: setattr(world.flags, "failing", "no space left on device"))
    ended = world.rollback("week1")
    assert ended.code == 6
    assert "no space left on device" in ended.text
    assert "not taken back, because flags stands on them" in ended.text
    assert "start" in ended.text
    assert world.week().status is WeekStatus.RESIDUE
    assert world.week().steps["start"].status is StepStatus.VERIFIED
    for service in ("notifications", "storage", "rag"):  # the flags still point to them
        assert world.services.states[service] is ServiceState.RUNNING
    assert world.effective("USE_STORAGE_SERVICE") == [True, True]
    assert any("flags" in line for line in world.week().left)
    assert world.run("week1").code == 6
    world.flags.failing = ""
    assert world.rollback("week1").code == 0
    assert world.snapshot() == start


def test_a_failure_whose_way_back_fails_too_tells_both() -> None:
    world = World()
    world.plan("week9", program("first"), program("second"))

    def answer(call: Call) -> CommandResult:
        return CommandResult(1, "", "disk on fire", 0.0)

    world.when("verify", "second", lambda: world.commands.replies.update(program=answer))
    ended = world.run("week9")
    assert ended.code == 6
    assert "step second failed" in ended.text
    assert "going back failed" in ended.text
    assert "not taken back, because second stands on them: first" in ended.text


# Again


def _flaky(world: World, failures: int) -> None:
    working, left = world.commands.replies["program"], [failures]
    assert callable(working)

    def reply(call: Call) -> CommandResult:
        if call.argv[2] == "do" and left[0]:
            left[0] -= 1
            return CommandResult(75, "", "not yet", 0.0)
        return working(call)

    world.commands.replies["program"] = reply


def test_a_step_is_tried_again_and_succeeds_under_the_same_undo() -> None:
    world = World()
    world.plan("week9", {**program("p"), "retry": {"attempts": 3, "wait": "7s"}})
    _flaky(world, 2)
    assert world.run("week9").code == 0
    assert world.types(step="p") == [v.INTENT, v.FAILED, v.INTENT, v.FAILED, v.INTENT, v.APPLIED, v.VERIFIED]
    assert sum(world.clock.slept) == pytest.approx(14.0)
    assert world.week("week9").steps["p"].attempts == 3
    again = [note.again for note in world.notes if isinstance(note, StepFailedNote)]
    assert again == [7.0, 7.0]


def test_a_step_is_tried_no_more_often_than_the_plan_says() -> None:
    world = World()
    world.plan("week9", {**program("p"), "retry": {"attempts": 3, "wait": "7s"}})
    _flaky(world, 3)
    assert world.run("week9").code == 5
    assert world.types(step="p").count(v.FAILED) == 3
    assert world.programs == {"p": False}


def test_tries_and_waits_share_the_time_of_the_step() -> None:
    world = World()
    world.plan("week9", {**program("p"), "retry": {"attempts": 100, "wait": "10s"}, "timeout": "25s"})
    _flaky(world, 100)
    assert world.run("week9").code == 5
    assert sum(world.clock.slept) == pytest.approx(20.0)
    given = [call.timeout for call in world.commands.calls if call.argv[2] == "do"]
    assert given == pytest.approx([25.0, 15.0, 5.0])


def test_a_signal_ends_the_tries() -> None:
    world = World()
    world.plan("week9", {**program("p"), "retry": {"attempts": 100, "wait": "1s"}})
    _flaky(world, 100)
    world.when("apply", "p", lambda: setattr(world.interrupt, "requested", 2))
    assert world.run("week9").code == 130
    assert world.types(step="p").count(v.FAILED) == 1


# At once


def test_siblings_come_to_their_end_before_anything_goes_back() -> None:
    world = World()
    start = world.snapshot()
    world.plan(
        "week9", {"parallel": [program("bad"), {"id": "good", "services": {"up": ["storage", "rag"]}}]}
    )
    failed = threading.Event()

    def on_note(note: Note) -> None:
        if isinstance(note, StepFailedNote) and note.step == "bad":
            failed.set()

    def hold(request: object) -> None:
        if getattr(request, "target", "") == "storage":
            assert failed.wait(30)

    world.on_note, world.on_request = on_note, hold
    world.commands.replies["program"] = CommandResult(1, "", "no", 0.0)
    ended = world.run("week9")
    assert ended.code == 6  # the way back of the bad one fails too: its program fails whatever it is asked
    types = [(event.type, event.step) for event in world.journal.events]
    assert types.index((v.FAILED, "bad")) < types.index((v.VERIFIED, "good"))
    assert types.index((v.VERIFIED, "good")) < types.index((v.ROLLBACK_STARTED, ""))
    world.commands.replies["program"] = world._program
    assert world.rollback("week9").code == 0
    assert world.snapshot() == start


def test_siblings_go_back_in_reverse_order_of_completion() -> None:
    """The second is done first, because the first waits for it: so the first goes back first."""
    world = World()
    world.plan(
        "week9",
        {
            "parallel": [
                {"id": "one", "services": {"up": ["storage"]}},
                {"id": "two", "services": {"up": ["rag"]}},
            ]
        },
    )
    done = threading.Event()

    def on_note(note: Note) -> None:
        if note.type == "step.done" and getattr(note, "step", "") == "two":
            done.set()

    def hold(request: object) -> None:
        if getattr(request, "target", "") == "storage":
            assert done.wait(30)

    world.on_note, world.on_request = on_note, hold
    assert world.run("week9").code == 0
    assert world.rollback("week9").code == 0
    went = [event.step for event in world.journal.events if event.type == v.REVERTED]
    assert went == ["one", "two"]


# Stops on the way


def test_until_waits_and_a_run_goes_on() -> None:
    world = World()
    ended = world.run("week1", until="flags")
    assert ended.code == 9
    assert world.week().status is WeekStatus.WAITING
    assert world.lease.info is None
    assert set(world.week().steps) == {
        "start",
        "notifications-health",
        "storage-health",
        "rag-health",
        "flags",
    }
    assert world.status().next_command == "tracseq-migrate run week1"
    run_id = world.week().run_id
    assert world.run("week1").code == 0
    assert world.week().run_id == run_id
    assert world.types(step="flags").count(v.INTENT) == 1


def test_until_the_last_step_is_a_whole_run() -> None:
    world = World()
    assert world.run("week1", until="gateway-health").code == 0
    assert world.week().status is WeekStatus.PROVEN


def test_until_needs_a_step_of_the_plan() -> None:
    world = World()
    ended = world.run("week1", until="nothing")
    assert ended.code == 2
    assert "gateway-health" in ended.text
    assert not world.journal.events


def _pausing(**pause: Any) -> World:
    world = World()
    look = {"id": "look", "pause": {"ask": "Does it look right?", **pause}}
    world.plan("week9", program("first"), look, program("last"))
    return world


def test_a_pause_without_a_terminal_waits_for_a_signature() -> None:
    world = _pausing()
    ended = world.run("week9")  # --yes is given, but this question does not let it
    assert ended.code == 9
    assert "tracseq-migrate approve week9 look" in ended.text
    assert world.week("week9").status is WeekStatus.WAITING
    assert world.programs == {"first": True}
    again = world.run("week9")
    assert again.code == 9
    assert "approve week9 look" in again.text
    world.identity.name = "grace"
    view = world.approve("week9", "look", evidence="all freezers there")
    assert view.next_command == "tracseq-migrate run week9"
    assert world.run("week9").code == 0
    assert world.programs == {"first": True, "last": True}
    signed = world.week("week9").steps["look"].evidence
    assert [line["text"] for line in signed] == ["signed by grace: all freezers there"]


def test_a_pause_may_let_yes_answer() -> None:
    world = _pausing(yes=True)
    assert world.run("week9", assume_yes=False).code == 9
    assert world.run("week9").code == 0
    assert "--yes" in world.week("week9").steps["look"].evidence[0]["text"]


def test_a_person_at_the_terminal_says_yes() -> None:
    world = _pausing()
    world.asker = MemoryAsker([True])
    assert world.run("week9").code == 0
    assert world.asker.asked == ["Does it look right?"]


def test_a_person_at_the_terminal_says_no() -> None:
    world = _pausing()
    start = world.snapshot()
    world.asker = MemoryAsker([False])
    ended = world.run("week9")
    assert ended.code == 12
    assert "The steps before it are done" in ended.text
    assert world.week("week9").status is WeekStatus.WAITING
    assert world.programs == {"first": True}
    world.asker = MemoryAsker([True])
    assert world.run("week9").code == 0
    assert world.rollback("week9").code == 0
    assert world.snapshot() == start


def test_a_terminal_whose_input_ends_is_a_no() -> None:
    world = _pausing()
    world.asker = MemoryAsker([])
    assert world.run("week9").code == 12
    assert world.programs == {"first": True}


def test_a_new_run_needs_a_new_signature() -> None:
    world = _pausing()
    world.run("week9")
    world.approve("week9", "look")
    assert world.run("week9").code == 0
    assert world.rollback("week9").code == 0
    assert world.run("week9").code == 9


# Signals


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
@pytest.mark.parametrize("step", ["start", "flags", "rag-proof"])
def test_a_signal_lets_the_step_end_and_stops(number: int, code: int, step: str) -> None:
    world = World()
    world.when("apply", step, lambda: setattr(world.interrupt, "requested", number))
    ended = world.run("week1")
    assert ended.code == code
    assert "tracseq-migrate resume week1" in ended.text
    assert world.week().steps[step].status is StepStatus.VERIFIED
    assert world.week().interrupted == number
    assert world.lease.info is None
    line = next(line for line in world.status().weeks if line.week == "week1")
    assert (line.state, signal.Signals(number).name in line.detail) == ("in-doubt", True)
    assert world.run("week1").code == 7
    world.interrupt.requested = 0
    assert world.resume().code == 0
    assert world.week().status is WeekStatus.PROVEN


def test_a_step_that_waits_is_undone_when_a_signal_comes() -> None:
    world = World()
    start = world.snapshot()
    world.sick["storage"] = 503
    world.when("apply", "start", lambda: setattr(world.interrupt, "requested", 2))
    ended = world.run("week1")
    assert ended.code == 130
    assert world.week().steps["start"].status is StepStatus.REVERTED
    assert world.snapshot() == start
    world.interrupt.requested = 0
    world.sick.clear()
    assert world.resume("week1").code == 0
    assert world.rollback("week1").code == 0
    assert world.snapshot() == start


def test_a_signal_before_anything_began_changes_nothing() -> None:
    world = World()
    start = world.snapshot()
    world.interrupt.requested = 15
    assert world.run("week1").code == 143
    assert world.snapshot() == start
    assert world.week().status is WeekStatus.NEVER_RUN


def test_going_back_is_not_broken_off_by_a_signal() -> None:
    world = World()
    start = world.snapshot()
    assert world.run("week1").code == 0
    world.when("revert", "flags", lambda: setattr(world.interrupt, "requested", 2))
    assert world.rollback("week1").code == 0
    assert world.snapshot() == start


@pytest.mark.parametrize("number", [1, 15])
def test_a_machine_that_does_not_wait_stops_the_way_back_between_two_steps(number: int) -> None:
    world = World()
    start = world.snapshot()
    assert world.run("week1").code == 0
    world.when("revert", "flags", lambda: setattr(world.interrupt, "requested", number))
    ended = world.rollback("week1")
    assert ended.code == 128 + number
    assert "tracseq-migrate resume week1" in ended.text
    assert world.week().status is WeekStatus.ROLLING_BACK
    assert world.week().steps["flags"].status is StepStatus.REVERTED
    line = next(line for line in world.status().weeks if line.week == "week1")
    assert (line.state, signal.Signals(number).name in line.detail) == ("rolling-back", True)
    world.interrupt.requested = 0
    assert world.resume().code == 0
    assert world.snapshot() == start


def test_a_signal_in_the_preflight_is_no_failed_check() -> None:
    world = World()
    start = world.snapshot()
    world.sick["monolith"] = 503
    world.plan("week9", {"id": "seen", "http": {"target": "monolith", "path": "/health"}})
    world.interrupt.requested = 15
    ended = world.run("week9")
    assert (ended.code, world.snapshot()) == (143, start)


def test_the_last_words_are_journaled_and_nothing_comes_after_them() -> None:
    world = World()
    world.plan("week9", program("p"), program("after"))
    system = world.process()
    said: list[Interrupted] = []
    spoken = threading.Event()

    def speak() -> None:
        assert system.last_words.speak is not None
        said.append(system.last_words.speak(15))
        spoken.set()

    def at_work() -> None:
        # As the thread that hears signals does it; this one goes on with its step meanwhile.
        threading.Thread(target=speak).start()
        assert spoken.wait(60)

    world.when("apply", "p", at_work)
    running = threading.Thread(target=lambda: run(system, "week9", RunOptions()), daemon=True)
    running.start()
    assert spoken.wait(60)
    running.join(0.5)  # it waits at its next event until the process ends, which here is never
    assert running.is_alive()
    (words,) = said
    assert (words.code, "week9 is in-doubt" in words.state, "resume week9" in words.hint) == (
        143,
        True,
        True,
    )
    assert world.journal.events[-1].type == v.RUN_INTERRUPTED
    assert world.week("week9").interrupted == 15


# No way back


def _one_way() -> World:
    world = World()
    final = program("final", revert=None, irreversible="letters were sent")
    world.plan("week9", program("before"), final, program("after"))
    return world


def test_a_point_of_no_return_is_refused_and_the_way_that_is_left_is_named() -> None:
    world = _one_way()
    assert world.run("week9").code == 0
    before = world.snapshot()
    ended = world.rollback("week9")
    assert ended.code == 4
    assert "letters were sent" in ended.text
    assert "tracseq-migrate rollback week9 --to final" in ended.text
    assert world.snapshot() == before
    assert world.rollback("week9", to="final").code == 0
    assert world.programs == {"before": True, "final": True, "after": False}
    assert world.week("week9").status is WeekStatus.WAITING
    assert world.run("week9").code == 0
    assert world.programs["after"]


def test_a_point_of_no_return_that_was_not_done_is_no_obstacle() -> None:
    world = _one_way()
    _flaky(world, 0)
    world.when("apply", "final", lambda: _flaky(world, 1))
    ended = world.run("week9")
    assert ended.code == 5, ended.text
    assert not any(world.programs.values())


def test_a_failure_behind_a_point_of_no_return_goes_back_as_far_as_that() -> None:
    world = _one_way()
    world.when("apply", "after", lambda: _flaky(world, 1))
    ended = world.run("week9")
    assert ended.code == 6
    assert "letters were sent" in ended.text
    assert world.programs == {"before": True, "final": True, "after": False}
    assert world.rollback("week9", to="final").code == 0
    assert world.run("week9").code == 0


def test_rollback_to_needs_a_step_of_the_plan() -> None:
    world = _one_way()
    world.run("week9")
    ended = world.rollback("week9", to="nowhere")
    assert ended.code == 2
    assert "before, final, after" in ended.text


# What was before the first run


def test_rollback_restores_what_was_before_the_first_run() -> None:
    world = World()
    world.flags.text = FLAG_FILE.replace("USE_NOTIFICATION_SERVICE=no", "USE_NOTIFICATION_SERVICE=yes")
    for name in INSTANCES:
        world.gateway.reload(name)
    world.services.states["notifications"] = ServiceState.RUNNING
    start = world.snapshot()
    assert world.run("week1", until="flags").code == 9
    assert world.run("week1").code == 0
    assert world.run("week1").code == 0
    assert world.rollback("week1").code == 0
    assert world.snapshot() == start
    assert world.flags.text is not None
    assert "USE_NOTIFICATION_SERVICE=yes" in world.flags.text


def test_an_undo_is_never_overwritten() -> None:
    world = World()
    with pytest.raises(Killed):
        world.run("week1", script=Script(die_at="after Rollout.finish #1"))
    first = world.week().steps["flags"].undo
    assert world.resume("week1").code == 0
    assert world.week().steps["flags"].undo == first
    assert first["values"]["USE_RAG_SERVICE"] == "false"
    intents = [e for e in world.journal.events if e.type == v.INTENT and e.step == "flags"]
    assert len(intents) == 2
    assert all(event.data["undo"] == first for event in intents)


def test_a_rollback_changes_its_own_flags_only() -> None:
    world = World()
    assert world.run("week1").code == 0
    assert world.flags.text is not None
    world.flags.text = world.flags.text.replace("OTHER=kept", "OTHER=edited since") + "NEW=line\n"
    assert world.rollback("week1").code == 0
    assert world.flags.text == FLAG_FILE.replace("OTHER=kept", "OTHER=edited since") + "NEW=line\n"


# Commands without a probe


def test_after_a_crash_in_a_command_without_a_probe_a_person_is_asked() -> None:
    for answer in (True, False):
        world = World()
        world.plan("week9", program("p", probe=None))
        with pytest.raises(Killed):
            world.run("week9", script=Script(die_at="after Commands.run(program, p, do) #1"))
        ended = world.resume("week9")
        assert ended.code == 7
        assert "a person must look" in ended.text
        world.asker = MemoryAsker([answer])
        assert world.resume("week9").code == 0
        assert "Was it done?" in world.asker.asked[0]
        ran = [call.argv[2] for call in world.commands.calls].count("do")
        assert ran == (1 if answer else 2)


def test_a_person_who_cannot_be_named_any_more_does_not_break_the_way_back() -> None:
    world = _pausing(yes=True)
    start = world.snapshot()
    world.when("apply", "look", lambda: setattr(world.identity, "name", ""))
    ended = world.run("week9")
    assert ended.code == 5
    assert "nobody says who this is" in ended.text
    assert world.snapshot() == start


def test_an_attachment_that_is_lost_stops_the_way_back_where_it_is() -> None:
    world = World()
    world.plan("week9", {"id": "up", "services": {"up": ["storage"]}}, FLAGS)
    start = world.snapshot()
    assert world.run("week9").code == 0
    kept = dict(world.journal.attachments)
    world.when("revert", "on", world.journal.attachments.clear)
    ended = world.rollback("week9")
    assert ended.code == 6
    assert "the journal has lost the attachment" in ended.text
    assert "Nothing was changed" not in ended.text
    assert world.proxy.rotation & {
        name for name in INSTANCES if world.gateway.effective[name]["USE_STORAGE_SERVICE"]
    }
    world.journal.attachments.update(kept)
    assert world.resume("week9").code == 0
    assert world.snapshot() == start


def test_the_plan_in_the_journal_is_the_one_that_runs() -> None:
    world = World()
    assert world.run("week1").code == 0
    assert WeekPlan.from_document(world.week().plan) == world.process().shelf.find("week1")


def test_a_failure_without_a_message_of_its_own_still_names_the_step() -> None:
    world = World()
    world.plan("week9", program("p"))
    world.when("apply", "p", lambda: world.commands.replies.update(program=StepFailed("")))
    ended = world.run("week9")
    assert ended.code == 6
    assert "step p failed" in ended.text


def test_a_gateway_that_answers_html_is_not_asked_to_move() -> None:
    world = World()
    start = world.snapshot()
    world.http.answers["gateway", "/health"] = Answer(200, (), b"<html>", 0.0)
    ended = world.run("week1")
    assert ended.code == 4
    assert "not JSON" in ended.text
    assert world.snapshot() == start
