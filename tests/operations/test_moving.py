"""``state export`` and ``state import``; and what nobody acts on: a journal that has lost events."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.operations.world import LOG, LOSSES, World, outcome, program
from tracseq_migrate.adapters.memory.journal import MemoryJournal
from tracseq_migrate.errors import Exit, InvalidSetup, Locked, NotAllowed, Residue
from tracseq_migrate.journal import chain
from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.operations import status as looking
from tracseq_migrate.operations.by_hand import Remains, by_hand
from tracseq_migrate.operations.history import render, runs, verify_chain
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.moving import export, export_to, import_state, parse
from tracseq_migrate.operations.preview import preview
from tracseq_migrate.operations.rollback import RollbackOptions
from tracseq_migrate.operations.rollback import preview as way_back
from tracseq_migrate.operations.views import Header, StateImportedView
from tracseq_migrate.ports import Draft, Event, Holder

NAME = "old.jsonl"


def ran(*weeks: str) -> World:
    world = World()
    for week in weeks or ("week8", "week9"):
        world.plan(week, program(f"{week}-one"), program(f"{week}-two"))
        assert world.run(week).code == 0
    return world


def exported(world: World, *, as_is: bool = False) -> bytes:
    return "".join(export(world.process(), as_is=as_is)).encode()


def take_in(world: World, body: bytes, **more: Any) -> StateImportedView:
    return import_state(world.process(), NAME, body, **more)


def lose(world: World, count: int) -> list[Event]:
    """The last events are gone, and nothing beside the events remembers them."""
    gone = world.journal.events[-count:]
    del world.journal.events[-count:]
    last = world.journal.events[-1] if world.journal.events else None
    world.journal.acknowledged = (last.seq, last.hash) if last else (0, chain.GENESIS)
    world.journal.fold = None
    return gone


# Out


def test_an_export_is_whole_and_can_be_read_by_people() -> None:
    world = ran()
    world.journal.attach(b"\0 a body")
    lines = [json.loads(line) for line in exported(world).decode("ascii").splitlines()]
    header, *middle, trailer = lines
    count = len(world.journal.events)
    assert (header["events"], header["attachments"], header["environment"]) == (count, 1, "lab")
    assert header["head"] == world.journal.events[-1].hash
    events = [line for line in middle if line["type"] == "event"]
    assert [line["data"] for line in events] == [event.data for event in world.journal.events]
    assert base64.b64decode(middle[-1]["body"]) == b"\0 a body"
    assert trailer["lines"] == len(lines) - 1
    moved = parse(NAME, exported(world), environment="lab")
    assert [chain.event_of(record) for record in moved.records] == world.journal.events


def test_what_is_appended_meanwhile_is_left_out() -> None:
    world = ran()
    count = len(world.journal.events)
    lines = export(world.process())
    first = next(lines)
    world.journal.append([Draft("note", "week9")], epoch=None, at=world.clock.now())
    body = (first + "".join(lines)).encode()
    assert len(parse(NAME, body, environment="lab").records) == count


def test_an_export_needs_no_lease_and_overwrites_nothing() -> None:
    world = ran()
    world.lease.acquire(Holder("x", "grace", "other", 2, "run week9"), timeout=0)
    system = world.process()
    view = export_to(system, Path("/project/out.jsonl"), as_is=False)
    assert view.events == len(world.journal.events)
    assert Path("/project/out.jsonl") in world.files.private
    body = world.files.bodies[Path("/project/out.jsonl")]
    with pytest.raises(NotAllowed, match="there already"):
        export_to(system, Path("/project/out.jsonl"), as_is=False)
    assert world.files.bodies[Path("/project/out.jsonl")] == body


def test_nothing_is_not_exported() -> None:
    with pytest.raises(NotAllowed, match="no events"):
        list(export(World().process()))


def test_a_broken_chain_is_exported_as_evidence_only() -> None:
    world = ran()
    world.journal.events[3] = replace(world.journal.events[3], week="forged")
    with pytest.raises(Residue, match="broken at event 4") as refused:
        exported(world)
    assert "--as-is" in refused.value.hint
    body = exported(world, as_is=True)
    assert b"forged" in body
    with pytest.raises(InvalidSetup, match="chain is broken at event 4"):
        take_in(World(), body)


# In


def test_there_and_back_and_there_again() -> None:
    """To a machine that has nothing; a week is run there; home again, as a continuation."""
    here = ran("week8")
    there = World()
    view = take_in(there, exported(here))
    assert (view.added, view.damage, list(view.kept)) == (len(here.journal.events), "", [])
    assert there.journal.events == here.journal.events
    assert there.lease.info is None
    there.plan("week9", program("two"))
    assert there.run("week9").code == 0
    view = take_in(here, exported(there))
    assert 0 < view.added < view.events == len(there.journal.events)
    assert here.journal.events == there.journal.events
    assert here.week("week9").status is WeekStatus.PROVEN
    view = take_in(there, exported(here))
    assert view.added == 0
    assert there.rollback("week9").code == 0


def test_a_run_keeps_everybody_out() -> None:
    world, body = World(), exported(ran())
    world.lease.acquire(Holder("x", "grace", "other", 2, "run week9"), timeout=0)
    with pytest.raises(Locked):
        take_in(world, body)
    assert world.journal.events == []
    world.journal.acknowledged = (1, "a" * 64)  # damaged, so that it would be replaced
    with pytest.raises(Locked):
        take_in(world, body, accept_loss=True)


def test_a_damaged_journal_that_was_mended_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two take the same export in, and one of them goes on at once."""
    world = ran("week8")
    body = exported(world)
    lose(world, 2)
    world.journal.acknowledged = (
        (count := len(world.journal.events) + 2),
        parse(NAME, body, environment="lab").head,
    )
    install, events = MemoryJournal.install, list[Event]()

    def overtaken(journal: MemoryJournal, *args: Any, **more: Any) -> tuple[str, ...]:
        monkeypatch.setattr(MemoryJournal, "install", install)
        take_in(world, body)
        world.plan("week9", program("three"))
        assert world.run("week9").code == 0
        events.extend(world.journal.events)
        return install(journal, *args, **more)

    monkeypatch.setattr(MemoryJournal, "install", overtaken)
    with pytest.raises(NotAllowed, match="not the one that was looked at") as refused:
        take_in(world, body)
    assert "Nothing was taken in" in refused.value.state
    assert world.journal.events == events
    assert len(events) > count
    assert world.week("week9").status is WeekStatus.PROVEN


def test_an_older_file_is_refused() -> None:
    world = ran("week8")
    older = exported(world)
    world.plan("week9", program("three"))
    assert world.run("week9").code == 0
    events = list(world.journal.events)
    with pytest.raises(NotAllowed, match="only the first") as refused:
        take_in(world, older)
    assert refused.value.exit_code == Exit.NOT_ALLOWED
    assert world.journal.events == events


def test_a_file_that_was_written_apart_is_refused_with_the_first_event_that_differs() -> None:
    one = ran("week8")
    other = World()
    take_in(other, exported(one))
    count = len(one.journal.events)
    for world in (one, other):
        world.clock.forward(float(world is other))
        world.journal.append([Draft("note", "week8")], epoch=None, at=world.clock.now())
    with pytest.raises(NotAllowed, match=f"event {count + 1} is another one in each"):
        take_in(one, exported(other))


def retold(body: bytes, change: Callable[[list[dict[str, Any]]], object]) -> bytes:
    """The same file with lines changed by somebody who can also count and digest."""
    lines = [json.loads(line) for line in body.splitlines()]
    change(lines)
    above = "".join(json.dumps(line) + "\n" for line in lines[:-1])
    digest = hashlib.sha256(above.encode()).hexdigest()
    return (above + json.dumps({**lines[-1], "lines": len(lines) - 1, "sha256": digest}) + "\n").encode()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda body: b"", "no export"),
        (lambda body: b"week: week1\n", "no export"),
        (lambda body: b"[1]\n[2]\n", "no export"),
        (lambda body: b"\xff\xfe\0", "no export"),
        (lambda body: body[: len(body) // 2], "cut off"),
        (lambda body: body.rpartition(b"\n{")[0], "cut off"),
        (lambda body: body.replace(b"one", b"two", 1), "digest does not fit"),
        (lambda body: body.replace(b"\n{", b"\n\n{", 1), "digest does not fit"),
        (lambda body: retold(body, lambda lines: lines[0].update(format=2)), "format 2"),
        (lambda body: retold(body, lambda lines: lines[0].update(environment="prod")), "'prod'"),
        (lambda body: retold(body, lambda lines: lines[0].update(head="0" * 64)), "its header names"),
        (lambda body: retold(body, lambda lines: lines[0].update(events=3)), "its header names"),
        (lambda body: retold(body, lambda lines: lines[3].update(week="forged")), "broken at event 3"),
        (lambda body: retold(body, lambda lines: lines.pop(3)), "event 3 is missing"),
        (lambda body: retold(body, lambda lines: lines[3].pop("hash")), "line 4: it cannot be read"),
        (lambda body: retold(body, lambda lines: lines[3].update(seq="x")), "line 4: it cannot be read"),
        (lambda body: retold(body, lambda lines: lines[3].update(type="soak")), "'soak' is nothing"),
        (lambda body: retold(body, lambda lines: lines[-2].update(body="####")), "it cannot be read"),
        (lambda body: retold(body, lambda lines: lines[-2].update(body="")), "does not fit its digest"),
        (lambda body: retold(body, lambda lines: lines.pop(-2)), "1 attachments .* are missing"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused_whole(
    change: Callable[[bytes], bytes], why: str
) -> None:
    source = ran()
    digest = source.journal.attach(b"the list")
    left = {"file": "f", "digest": digest, "count": 1, "summary": []}
    source.journal.append(
        [Draft("loss.accepted", "week9", "r", "s", left)], epoch=None, at=source.clock.now()
    )
    world = World()
    with pytest.raises(InvalidSetup, match=why) as refused:
        take_in(world, change(exported(source)))
    assert refused.value.exit_code == Exit.INVALID
    assert refused.value.hint
    assert (world.journal.events, world.journal.attachments) == ([], {})


# What has lost events


def missing(world: World) -> str:
    """That every command that acts refuses, in the same words, and what those words are."""
    before = list(world.journal.events), world.snapshot()
    texts = set()
    for ended in (
        world.run("week9"),
        world.resume("week9"),
        world.resume(),
        world.rollback("week9"),
        outcome(lambda: int(bool(world.approve("week9", "x")))),
        outcome(lambda: int(bool(render(world.process())))),
        outcome(lambda: int(bool(world.verify()))),
        outcome(lambda: int(bool(world.verify("week9")))),
    ):
        assert ended.code == Exit.RESIDUE, ended
        assert ended.error is not None
        assert "state import FILE" in ended.error.hint
        assert "state adopt WEEK" in ended.error.hint
        texts.add(ended.error.message)
    assert before == (world.journal.events, world.snapshot())
    (text,) = texts
    return text


def test_a_journal_that_was_emptied_is_refused_by_what_the_log_knows() -> None:
    world = ran()
    count = len(world.journal.events)
    log = world.files.bodies[LOG]
    lose(world, count)
    text = missing(world)
    assert f"{LOG} was rendered up to event {count}" in text
    assert world.files.bodies[LOG] == log
    view = looking.status(world.process())
    assert view.lost == text
    assert view.next_command == "tracseq-migrate log verify"
    assert looking.exit_code(view) is Exit.RESIDUE
    assert runs(world.process(), None).lost == text
    assert verify_chain(world.process()).lost == text
    assert text in preview(world.process(), "week9", offline=True).allowed


def test_the_way_back_is_still_shown_where_events_are_lost() -> None:
    """And that it is refused: by hand, a person may go it all the same."""
    world = ran()
    lose(world, 1)
    view = way_back(world.process(), "week9", RollbackOptions(), ask=False)
    assert [step.step for step in view.steps] == ["week9-two", "week9-one"]
    assert "was rendered up to event" in view.refused


def test_what_is_typed_by_hand_says_that_events_are_lost() -> None:
    world = ran()
    count = len(world.journal.events)
    remains = Remains(Header("lab", "", "memory"), world.journal, world.lease.show)
    assert not any("acknowledged" in text for text in by_hand(remains, "week9").unseen)
    world.journal.events.pop()
    (told,) = (text for text in by_hand(remains, "week9").unseen if "acknowledged" in text)
    assert f"event {count} was acknowledged here" in told
    assert "may be missing" in told
    world.journal.events.clear()
    with pytest.raises(Residue, match="has lost events"):
        by_hand(remains, "week9")


def test_half_a_character_is_replaced_and_the_event_kept() -> None:
    """Arguments and answers may hold what no file can."""
    world = World()
    draft = Draft("note", "week9", data={"command": "run \udcff", "undo": {"k\ud800": ["x"]}})
    Ledger(world.process()).append(draft, lease=False)
    assert world.journal.events[-1].data == {"command": "run ?", "undo": {"k?": ["x"]}}
    assert verify_chain(world.process()).broken_at is None


def test_an_older_journal_is_refused_by_what_the_log_knows() -> None:
    world = ran()
    lose(world, 3)
    assert f"has {len(world.journal.events)} events and not that one" in missing(world)


def test_another_journal_is_refused_by_what_the_log_knows() -> None:
    world, other = ran(), ran("week7", "week8", "week9")
    world.journal.events = other.journal.events
    world.journal.acknowledged = other.journal.acknowledged
    assert f"{LOG} was rendered from another journal" in missing(world)


def test_what_the_journal_itself_remembers_is_enough() -> None:
    world = ran()
    count = len(world.journal.events)
    del world.files.bodies[LOG]
    del world.journal.events[-2:]
    world.journal.fold = None
    assert f"event {count} was acknowledged here" in missing(world)


def test_lists_of_losses_without_a_journal_are_enough() -> None:
    world = ran()
    del world.files.bodies[LOG]
    lose(world, len(world.journal.events))
    world.files.bodies[LOSSES / "week9-r.jsonl"] = b"{}"
    assert "lists of writes that rollbacks left behind" in missing(world)


def test_the_log_of_another_environment_witnesses_nothing() -> None:
    world, other = ran(), World()
    other.files.bodies[LOG] = world.files.bodies[LOG].replace(b" of lab,", b" of production,")
    other.plan("week9", program("one"))
    assert other.run("week9").code == 0


def test_a_log_that_was_edited_by_hand_witnesses_nothing() -> None:
    world = ran()
    lose(world, 2)
    world.files.bodies[LOG] = b"my notes\n" + world.files.bodies[LOG]
    assert looking.status(world.process()).lost == ""


def test_an_import_is_the_way_out(tmp_path: Path) -> None:
    world = ran()
    body = exported(world)
    events = list(world.journal.events)
    lose(world, len(events))
    view = take_in(world, body)
    assert (view.added, view.log_kept_aside) == (len(events), "")
    assert world.journal.events == events
    assert world.rollback("week9").code == 0


def test_going_back_to_an_older_export_must_be_said() -> None:
    world = ran("week8")
    older = exported(world)
    world.plan("week9", program("three"))
    assert world.run("week9").code == 0
    log = world.files.bodies[LOG]
    del world.journal.events[5:]  # and the journal remembers that there were more
    with pytest.raises(NotAllowed, match="knew of event") as refused:
        take_in(world, older)
    assert "--accept-loss" in refused.value.hint
    assert len(world.journal.events) == 5
    view = take_in(world, older, accept_loss=True)
    assert view.kept
    assert len(world.journal.kept[0]) == 5
    assert world.week("week8").status is WeekStatus.PROVEN
    assert world.week("week9").status is WeekStatus.NEVER_RUN
    assert world.files.bodies[Path(view.log_kept_aside)] == log
    world.programs["three"] = False  # what nobody knows of any more is put right by hand
    assert world.run("week9").code == 0


def test_a_damaged_journal_is_kept_when_another_is_taken_in() -> None:
    world = ran()
    body = exported(world)
    whole = list(world.journal.events)
    world.journal.events[4] = replace(world.journal.events[4], week="forged")
    damaged = list(world.journal.events)
    view = take_in(world, body)
    assert "event 5 does not fit" in view.damage
    assert world.journal.kept == [damaged]
    assert world.journal.events == whole
    assert verify_chain(world.process()).broken_at is None
