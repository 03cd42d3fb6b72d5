"""``state adopt``: a week's state rebuilt from what is so, after the journal was lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.journal.stored import system_on
from tests.operations.world import LOG, Killed, Script, World, program
from tracseq_migrate.adapters.memory.journal import MemoryJournal
from tracseq_migrate.errors import CouldNotReach, Declined, Locked, NotAllowed, Residue
from tracseq_migrate.journal import chain
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.operations.adopt import AdoptOptions, adopt
from tracseq_migrate.operations.moving import export, import_state
from tracseq_migrate.operations.run import RunOptions, run
from tracseq_migrate.operations.views import AdoptView
from tracseq_migrate.ports import Holder, Record, ServiceState


def adopted(
    world: World, week: str = "week1", consent: Callable[[AdoptView], None] | None = None, **options: Any
) -> AdoptView:
    return adopt(world.process(), week, AdoptOptions(**options), consent or (lambda view: None))


def lose_the_journal(world: World) -> None:
    """As if its folder had been removed."""
    world.journal = MemoryJournal(world.lease)


def after_week1() -> tuple[World, dict[str, Any]]:
    """A world in which week 1 stands, and how it was before."""
    world = World()
    before = world.snapshot()
    assert world.run("week1").code == 0
    return world, before


def test_all_seen_is_proven_and_really_goes_back() -> None:
    world, before = after_week1()
    standing = world.snapshot()
    lose_the_journal(world)
    assert world.run("week1").code == 6  # the log knows more than the journal
    view = adopted(world)
    assert (view.state, view.written) == ("proven", True)
    assert all(step.found == "done" and step.evidence for step in view.steps)
    assert world.snapshot() == standing
    assert world.week().status is WeekStatus.PROVEN
    assert world.week().adopted
    assert chain.verify(world.journal.events).broken is None
    assert world.run("week1").code == 0  # stands, and is verified again
    # Nobody knows what the services kept before: whatever is there counts as written, and is not left without a word.
    refused = world.rollback("week1")
    assert refused.code == 4
    assert "storage.public.locations: 1 inserted" in refused.text
    assert world.rollback("week1", accept_loss=True).code == 0
    after = world.snapshot()
    # How the flags were written before cannot be known; that they are off, and everything else, is as before.
    assert {k: x for k, x in after.items() if k != "flag file"} == {
        k: x for k, x in before.items() if k != "flag file"
    }
    assert "USE_STORAGE_SERVICE=false  # the freezers" in str(after["flag file"])
    assert world.run("week1").code == 0


def test_it_is_journaled_at_once_with_who_what_was_seen_and_what_is_assumed() -> None:
    world, _ = after_week1()
    old = world.files.bodies[LOG]
    lose_the_journal(world)
    adopted(world)
    began, *_, ended = world.journal.events
    assert began.type == v.RUN_STARTED
    assert began.data["person"] == world.identity.whoami().name
    assert began.data["command"] == "tracseq-migrate test"
    assert any("signatures of the checklist cannot be rebuilt" in text for text in began.data["adopted"])
    assert any("a log of another journal" in text for text in began.data["adopted"])
    assert ended.type == v.RUN_FINISHED
    flags = next(e for e in world.journal.events if e.type == v.INTENT and e.step == "flags")
    assert flags.data["adopted"]
    assert any("cannot be known" in text for text in flags.data["assumed"])
    assert flags.data["undo"]["values"] == dict.fromkeys(
        ("USE_NOTIFICATION_SERVICE", "USE_STORAGE_SERVICE", "USE_RAG_SERVICE"), "false"
    )
    assert not world.week().signatures
    assert [body for path, body in world.files.bodies.items() if "MIGRATION_LOG" in path.name and body == old]
    assert world.files.bodies[LOG] != old


@pytest.mark.parametrize(("keep", "state"), [(False, ServiceState.STOPPED), (True, ServiceState.RUNNING)])
def test_going_back_stops_what_the_plan_starts_unless_it_ran_before(keep: bool, state: ServiceState) -> None:
    world, _ = after_week1()
    lose_the_journal(world)
    view = adopted(world, keep_running=keep)
    said = next(step for step in view.steps if step.step == "start").assumed
    assert len(said) == 3
    assert all(("leaves it running" if keep else "going back stops it") in text for text in said)
    assert world.rollback("week1", accept_loss=True).code == 0
    assert {world.services.states[name] for name in ("storage", "notifications", "rag")} == {state}


def test_some_seen_is_waiting_and_goes_on_or_back() -> None:
    for way in ("run", "rollback"):
        world = World()
        world.programs["one"] = True
        world.plan("week9", program("one"), program("two"))
        view = adopted(world, "week9")
        assert view.state == "waiting"
        assert [step.found for step in view.steps] == ["done", "not done"]
        assert view.next_command == "tracseq-migrate run week9"
        assert world.week("week9").status is WeekStatus.WAITING
        assert world.week("week9").waiting_on.endswith("two")
        if way == "run":
            assert world.run("week9").code == 0
            assert world.programs == {"one": True, "two": True}
            assert [call.argv[1:] for call in world.commands.calls if call.argv[2] == "do"] == [("two", "do")]
        assert world.rollback("week9").code == 0
        assert not any(world.programs.values())


def test_what_is_left_is_not_run_before_the_checklist_is_signed() -> None:
    world = World()
    world.programs["one"] = True
    item = {"id": "sure", "ask": "Are you sure?"}
    world.plan("week9", program("one"), program("two"), checklist=[item])
    adopted(world, "week9")
    for command in (world.run, world.resume):
        refused = command("week9")
        assert refused.code == 4
        assert "approve week9 sure" in refused.text
    assert world.week("week9").status is WeekStatus.WAITING
    world.approve("week9", "sure")
    assert world.run("week9").code == 0


def test_a_pause_is_signed_again() -> None:
    world = World()
    world.programs["one"] = True
    world.plan("week9", program("one"), {"id": "look", "pause": {"ask": "Well?"}})
    view = adopted(world, "week9")
    assert view.state == "waiting"
    assert view.steps[1].detail == "a signature cannot be rebuilt: a person signs again"
    assert world.run("week9", assume_yes=False).code == 9
    world.approve("week9", "look")
    assert world.run("week9").code == 0


def test_none_seen_journals_nothing() -> None:
    world = World()
    with pytest.raises(NotAllowed, match="nothing of week1 is in force") as caught:
        adopted(world)
    assert "never-run" in caught.value.state
    assert "plan week1" in caught.value.hint
    assert not world.journal.events


def test_what_cannot_be_asked_stops_it_all() -> None:
    world, _ = after_week1()
    lose_the_journal(world)
    world.gateway.down["gateway-2"] = "connection refused"
    with pytest.raises(CouldNotReach, match=r"flags: .*gateway-2"):
        adopted(world)
    assert not world.journal.events


def test_a_week_that_the_journal_knows_is_not_adopted() -> None:
    world, _ = after_week1()
    count = len(world.journal.events)
    with pytest.raises(NotAllowed, match="it is proven"):
        adopted(world)
    assert len(world.journal.events) == count


def test_weeks_are_adopted_in_the_order_in_which_they_came() -> None:
    world = World()
    for name in ("one", "two"):
        world.programs[name] = True
    world.plan("week8", program("one"))
    world.plan("week9", program("two"), needs=[{"week": "week8"}])
    with pytest.raises(NotAllowed, match="week9 needs week8") as caught:
        adopted(world, "week9")
    assert "state adopt week8" in caught.value.hint
    adopted(world, "week8")
    adopted(world, "week9")
    assert world.rollback("week8").code == 4
    assert world.rollback("week9").code == 0
    assert world.rollback("week8").code == 0
    assert not any(world.programs.values())


def test_it_needs_consent_and_the_lock() -> None:
    world, _ = after_week1()
    lose_the_journal(world)
    seen: list[AdoptView] = []

    def no(view: AdoptView) -> None:
        seen.append(view)
        raise Declined("no")

    with pytest.raises(Declined):
        adopted(world, consent=no)
    assert (seen[0].written, seen[0].state) == (False, "proven")
    assert seen[0].next_command == "tracseq-migrate state adopt week1 --yes"
    assert not world.journal.events
    world.lease.acquire(Holder("a", "ada", "bench", 1, "run"), timeout=0)
    with pytest.raises(Locked, match="ada"):
        adopted(world, lock_timeout=1.0)
    assert not world.journal.events


def test_what_is_journaled_is_what_is_so_under_the_lock() -> None:
    world = World()
    world.programs["one"] = world.programs["two"] = True
    world.plan("week9", program("one"), program("two"))
    view = adopted(world, "week9", consent=lambda view: world.programs.update(two=False))
    assert view.state == "waiting"
    assert list(world.week("week9").steps) == ["one"]


def test_what_is_left_of_a_journal_that_lost_events_is_set_aside_first() -> None:
    world, _ = after_week1()
    del world.journal.events[-3:]
    seen: list[AdoptView] = []
    view = adopted(world, consent=seen.append)
    assert any("is set aside" in note for note in seen[0].notes)
    assert view.state == "proven"
    assert any("kept in the state folder" in note for note in view.notes)
    assert world.week().adopted
    assert world.run("week1").code == 0


def test_a_broken_journal_is_set_aside_first() -> None:
    world, _ = after_week1()
    first = world.journal.events[2]
    world.journal.events[2] = type(first)(
        **{**{f: getattr(first, f) for f in first.__match_args__}, "week": "week8"}
    )
    assert world.rollback("week1").code == 6
    assert adopted(world).state == "proven"
    assert world.rollback("week1", accept_loss=True).code == 0


# What is there may change between the question and the answer


class Overtaken(MemoryJournal):
    """A journal to which something happens in the last moment before it would be replaced."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def install(
        self,
        records: Sequence[Record],
        bodies: Sequence[bytes],
        *,
        at: datetime,
        still: Callable[[], object] = lambda: None,
    ) -> tuple[str, ...]:
        self.meanwhile()
        return super().install(records, bodies, at=at, still=still)


def damaged() -> tuple[World, bytes]:
    """A world whose journal has lost its last events, and an export of when it was whole."""
    world, _ = after_week1()
    body = "".join(export(world.process())).encode()
    overtaken = Overtaken(world.lease)
    overtaken.events, overtaken.acknowledged = world.journal.events[:-3], world.journal.acknowledged
    overtaken.attachments = world.journal.attachments
    world.journal = overtaken
    return world, body


def restored(world: World, body: bytes) -> list[Any]:
    """A colleague brings the journal back, and runs a week; returns the events then."""
    import_state(world.process(), "whole.jsonl", body)
    world.plan("week9", program("one"))
    assert world.run("week9").code == 0
    return list(world.journal.events)


def test_a_journal_that_was_mended_while_it_was_asked_stays() -> None:
    world, body = damaged()
    events: list[Any] = []
    with pytest.raises(NotAllowed):
        adopted(world, consent=lambda view: events.extend(restored(world, body)))
    assert world.journal.events == events
    assert world.week("week9").status is WeekStatus.PROVEN
    assert world.journal.lost() == ""
    assert len(world.journal.kept) == 1, "by the import alone"


def test_a_journal_that_was_mended_in_the_last_moment_stays() -> None:
    world, body = damaged()
    assert isinstance(world.journal, Overtaken)
    events: list[Any] = []

    def meanwhile() -> None:
        overtaken.meanwhile = lambda: None
        events.extend(restored(world, body))

    overtaken = world.journal
    overtaken.meanwhile = meanwhile
    with pytest.raises(NotAllowed, match="not the one that was looked at") as caught:
        adopted(world)
    assert "Nothing was journaled" in caught.value.state
    assert "state adopt week1" in caught.value.hint
    assert world.journal.events == events
    assert len(world.journal.kept) == 1, "by the import alone"


def test_one_that_is_damaged_while_it_was_asked_stays_too() -> None:
    world, _ = after_week1()
    world.plan("week9", program("one"))
    world.programs["one"] = True
    with pytest.raises(Residue) as caught:
        adopted(world, "week9", consent=lambda view: world.journal.events.clear())
    assert "nothing was moved" in caught.value.state
    assert not world.journal.kept


def go_dark(world: World) -> None:
    world.gateway.down["gateway-2"] = "connection refused"


def lock_it(world: World) -> None:
    world.lease.acquire(Holder("a", "ada", "bench", 1, "run"), timeout=0)


@pytest.mark.parametrize(("happens", "error"), [(go_dark, CouldNotReach), (lock_it, Locked)])
def test_what_fails_after_the_yes_leaves_the_old_journal(
    happens: Callable[[World], None], error: type[Exception]
) -> None:
    world, _ = damaged()
    events, known = list(world.journal.events), world.journal.lost()
    with pytest.raises(error):
        adopted(world, consent=lambda view: happens(world))
    assert world.journal.events == events
    assert world.journal.lost() == known != ""
    assert not world.journal.kept


def test_killed_anywhere_there_is_the_old_damage_or_the_adopted_week() -> None:
    """And never an empty journal, in which every week would be never-run."""
    world, _ = damaged()
    script = Script()
    adopt(world.process(script), "week1", AdoptOptions(), lambda view: None)
    installing = [point for point in script.passed if "JournalVault" in point]
    assert [point.split(".")[0] for point in installing] == ["before JournalVault", "after JournalVault"]
    for point in script.passed:
        world, _ = damaged()
        count = len(world.journal.events)
        with pytest.raises(Killed):
            adopt(world.process(Script(point)), "week1", AdoptOptions(), lambda view: None)
        if world.journal.lost():
            assert len(world.journal.events) == count
        else:
            assert world.week().adopted
            assert world.week().status is WeekStatus.PROVEN


def test_real_files_stay_where_adopting_fails(tmp_path: Path) -> None:
    world = World()
    world.plan("week9", program("one"))
    with system_on(tmp_path, world=world, environment="lab") as system:
        system = replace(system, commands=world.commands)
        run(system, "week9", RunOptions(assume_yes=True))
    head = tmp_path / "journal.head"
    text = head.read_text()
    (tmp_path / "journal.sqlite3").write_bytes(b"torn")
    with system_on(tmp_path, world=world, environment="lab") as system:
        system = replace(system, commands=world.commands)
        with pytest.raises(NotAllowed, match="nothing of week9 is in force"):
            adopt(system, "week9", AdoptOptions(), lambda view: world.programs.clear())
        assert (tmp_path / "journal.sqlite3").read_bytes() == b"torn"
        assert head.read_text() == text
        world.programs["one"] = True
        view = adopt(system, "week9", AdoptOptions(), lambda view: None)
        assert (view.state, view.written) == ("proven", True)
        assert system.store.lost() == ""
        assert system.store.remembered() is not None
        assert any("kept in the state folder: journal.sqlite3.kept-" in note for note in view.notes)
        assert chain.verify(list(system.store.read())).broken is None
