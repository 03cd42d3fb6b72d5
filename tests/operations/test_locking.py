"""The lock as people meet it: looking at it, waiting for it, and taking it away."""

from __future__ import annotations

import shlex

import pytest

from tests.operations.world import Killed, Script, World, outcome, program
from tracseq_migrate.errors import Declined, NotAllowed, UsageError
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.operations.locking import release, show
from tracseq_migrate.operations.observer import Finished, LockAwaited
from tracseq_migrate.operations.run import RunOptions, run
from tracseq_migrate.operations.views import LockReleasedView
from tracseq_migrate.ports import Holder

ADA = Holder("a1", "ada", "bench", 7, "tracseq-migrate run week1")


def freed(world: World, holder_id: str, **options: object) -> LockReleasedView:
    known = {"assume_yes": True, "force": False, "reason": "", **options}
    return release(world.process(), holder_id, **known)  # type: ignore[arg-type]  # as a test names them


def held(world: World, life: str = "alive") -> int:
    world.lease.life = life  # type: ignore[assignment]  # one of the words
    return world.lease.acquire(ADA, timeout=0).epoch


def broken_off(world: World, week: str) -> None:
    """A run of it that is killed at its last word."""
    with pytest.raises(Killed):
        world.run(week, script=Script(die_at="before JournalStore.append(run.finished) #1"))


def test_a_free_lock_is_shown_as_free() -> None:
    view = show(World().process())
    assert not view.held
    assert view.as_json()["type"] == "lock"
    assert view.next_command == "tracseq-migrate status"


def test_a_held_lock_is_shown_with_all_that_is_known() -> None:
    world = World()
    epoch = held(world)
    view = show(world.process())
    assert (view.held, view.holder_id, view.person, view.host, view.pid) == (True, "a1", "ada", "bench", 7)
    assert (view.command, view.epoch, view.life) == ("tracseq-migrate run week1", epoch, "alive")
    assert view.since is not None
    assert view.expires is not None
    assert view.how
    assert not world.journal.events


@pytest.mark.parametrize("life", ["silent", "believed"])
def test_a_holder_that_is_not_seen_to_live_loses_it(life: str) -> None:
    world = World()
    epoch = held(world, life)
    view = freed(world, "a1", reason="the machine is gone")
    assert (view.person, view.life, view.reason) == ("ada", life, "the machine is gone")
    assert view.by == world.identity.whoami().name
    assert world.lease.show() is None
    assert world.lease.epoch == epoch + 1
    (event,) = world.journal.events
    assert event.type == v.LOCK_RELEASED
    assert event.data["holder"] == {
        "holder_id": "a1",
        "person": "ada",
        "host": "bench",
        "pid": 7,
        "command": "tracseq-migrate run week1",
    }
    assert event.data["reason"] == "the machine is gone"
    assert event.data["person"] == world.identity.whoami().name
    assert world.state.unknown == 0


def test_the_run_that_it_breaks_off_is_named_and_can_be_resumed() -> None:
    world = World()

    def taken_away() -> None:
        assert world.lease.info is not None
        world.lease.life = "silent"
        seen.append(freed(world, world.lease.info.holder.holder_id))

    seen: list[LockReleasedView] = []
    world.when("apply", "flags", taken_away)
    ended = world.run("week1")
    assert ended.code == 8
    assert "taken away by" in ended.text
    last = next(note for note in reversed(world.notes) if isinstance(note, Finished))
    assert (last.state, last.next_command) == ("in-doubt", "tracseq-migrate status")
    (view,) = seen
    assert (view.week, view.state) == ("week1", "in-doubt")
    assert view.next_command == "tracseq-migrate resume week1"
    event = next(e for e in world.journal.events if e.type == v.LOCK_RELEASED)
    assert (event.week, event.run_id) == ("week1", world.week().run_id)
    assert world.resume("week1").code == 0
    assert world.week().status is WeekStatus.PROVEN


def test_a_living_holder_keeps_it_unless_it_is_forced_with_a_reason() -> None:
    world = World()
    held(world)
    with pytest.raises(NotAllowed, match="lives and is at work") as caught:
        freed(world, "a1")
    assert 'lock release a1 --force --reason "..."' in caught.value.hint
    assert "kill 7" in caught.value.hint
    with pytest.raises(UsageError, match="--reason"):
        freed(world, "a1", force=True, reason="  ")
    assert world.lease.show() is not None
    assert not world.journal.events
    view = freed(world, "a1", force=True, reason="it hangs in a program of ours")
    assert view.life == "alive"
    assert world.lease.show() is None


def test_force_asks_as_well() -> None:
    world = World()
    held(world)
    why = "it's stuck"
    with pytest.raises(NotAllowed, match="nobody is here") as caught:
        freed(world, "a1", force=True, reason=why, assume_yes=False)
    typed = shlex.split(caught.value.hint.strip("`"))
    assert typed == ["tracseq-migrate", "lock", "release", "a1", "--force", "--reason", why, "--yes"]
    world.asker.present = True
    world.asker.answers = [False, True]
    with pytest.raises(Declined):
        freed(world, "a1", force=True, reason=why, assume_yes=False)
    assert world.lease.show() is not None
    assert not world.journal.events
    assert freed(world, "a1", force=True, reason=why, assume_yes=False).life == "alive"
    assert all("broken off in the middle" in question for question in world.asker.asked)


def test_a_stopped_holder_is_not_told_to_end_by_a_signal_that_it_cannot_hear() -> None:
    world = World()
    held(world)
    world.lease.stopped = True
    with pytest.raises(NotAllowed, match="lives, but is stopped") as caught:
        freed(world, "a1")
    assert "`kill -CONT 7`" in caught.value.hint
    assert "`kill 7`" not in caught.value.hint
    assert "stands still" in caught.value.state


def test_only_the_holder_that_is_named() -> None:
    world = World()
    with pytest.raises(NotAllowed, match="nobody holds the lock"):
        freed(world, "a1")
    held(world, "silent")
    with pytest.raises(NotAllowed, match=r"not held by b2, but by a1: ada on bench \(pid 7"):
        freed(world, "b2")
    world.lease.life = "gone"
    with pytest.raises(NotAllowed, match="is free already"):
        freed(world, "a1")
    assert not world.journal.events


def test_without_yes_it_asks_and_without_anybody_it_refuses() -> None:
    world = World()
    held(world, "silent")
    with pytest.raises(NotAllowed, match="nobody is here") as caught:
        freed(world, "a1", assume_yes=False)
    assert "lock release a1 --yes" in caught.value.hint
    world.asker.present = True
    world.asker.answers = [False]
    with pytest.raises(Declined):
        freed(world, "a1", assume_yes=False)
    assert world.lease.show() is not None
    world.asker.answers = [True]
    assert freed(world, "a1", assume_yes=False).person == "ada"
    assert world.lease.show() is None


@pytest.mark.parametrize("command", ["run", "resume", "rollback"])
def test_each_command_waits_tells_for_whom_and_gives_up(command: str) -> None:
    world = World()
    world.plan("week9", program("p"), {"id": "look", "pause": {"ask": "Well?"}})
    assert world.run("week9", assume_yes=False).code == 9
    held(world)
    since = world.clock.monotonic()
    ended = getattr(world, command)("week9", lock_timeout=40.0)
    assert ended.code == 8
    assert "ada on bench, pid 7" in ended.text
    assert "waited 40.0 s" in ended.text
    assert world.clock.monotonic() - since == pytest.approx(40.0)
    told = [note for note in world.notes if isinstance(note, LockAwaited)]
    assert [round(note.remaining) for note in told] == [40, 25, 10]
    assert all("ada on bench" in note.text for note in told)


@pytest.mark.parametrize("command", ["run", "resume", "rollback"])
def test_a_signal_ends_the_waiting_at_once(command: str) -> None:
    world = World()
    world.plan("week9", program("p"), {"id": "look", "pause": {"ask": "Well?"}})
    assert world.run("week9", assume_yes=False).code == 9
    held(world)
    before = len(world.journal.events)
    since = world.clock.monotonic()

    def signalled(note: object) -> None:
        if isinstance(note, LockAwaited):
            world.interrupt.requested = 15

    world.on_note = signalled
    ended = getattr(world, command)("week9", lock_timeout=3600.0)
    assert ended.code == 143
    assert "waiting for the lock" in ended.text
    assert world.clock.monotonic() - since < 1
    assert len(world.journal.events) == before


def test_a_run_that_waited_for_another_finds_what_that_one_did() -> None:
    world = World()
    world.plan("week9", program("p"))
    broken_off(world, "week9")
    system = world.process()
    held(world)

    def ends(note: object) -> None:
        if isinstance(note, LockAwaited):
            # It was in the middle of it when this one looked first, and has ended when this one gets the lock.
            world.lease.abandon()
            assert world.resume("week9").code == 0

    world.on_note = ends
    options = RunOptions(assume_yes=True, lock_timeout=60.0)
    assert outcome(lambda: run(system, "week9", options)).code == 0
    assert world.types().count(v.RUN_STARTED) == 1
    assert world.week("week9").status is WeekStatus.PROVEN


def test_a_rollback_that_may_wait_is_not_refused_for_a_later_week_at_work() -> None:
    world = World()
    for week in ("week8", "week9"):
        world.plan(week, program(week))
    assert world.run("week8").code == 0
    broken_off(world, "week9")
    world.process()
    held(world)
    assert world.rollback("week8").code == 8

    def breaks_off(note: object) -> None:
        if isinstance(note, LockAwaited):
            world.lease.abandon()

    world.on_note = breaks_off
    ended = world.rollback("week8", lock_timeout=60.0)
    assert ended.code == 4
    assert "rollback week9" in ended.text


def test_somebody_else_was_faster_and_is_named_rightly() -> None:
    world = World()
    world.plan("week9", program("p"))
    fast = world.process()

    def overtaken() -> None:
        assert outcome(lambda: run(fast, "week9", RunOptions(assume_yes=True))).code == 0

    world.lease.meanwhile = overtaken
    ended = world.run("week9")
    assert ended.code == 0
    assert world.types().count(v.RUN_STARTED) == 1
