"""A kept fold: the same state comes out, or nothing does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.journal.stored import VERSIONS, stored
from tests.operations.world import World, program
from tracseq_migrate.adapters.memory.journal import MemoryJournal
from tracseq_migrate.errors import Residue
from tracseq_migrate.journal import snapshot
from tracseq_migrate.journal.replay import State, replay
from tracseq_migrate.operations import ledger as ledgers
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.ports import Draft, Event, Record


@pytest.mark.parametrize("version", VERSIONS)
def test_every_state_on_the_way_survives(version: str) -> None:
    """Whatever a fold can hold comes back as it was, and goes on as if it had never been put away."""
    with stored(version) as system:
        events = list(system.store.read())
    state = State()
    for number, event in enumerate(events):
        replay((event,), state)
        kept = snapshot.load(snapshot.dump(state, "a" * 64))
        assert kept == (state, "a" * 64)
        loaded, _ = kept
        if number % 10 == 0:
            assert replay(events[number + 1 :], loaded) == replay(events)


def story() -> World:
    world = World()
    world.plan("week9", program("one"), program("two"))
    assert world.run("week9").code == 0
    return world


def forged(body: bytes, **head: object) -> bytes:
    first, _, rest = body.partition(b"\n")
    return json.dumps({**json.loads(first), **head}).encode() + b"\n" + rest


@pytest.mark.parametrize(
    "change",
    [
        lambda body: b"",
        lambda body: body[:-1],
        lambda body: body[:100],
        lambda body: b"\0" * len(body),
        lambda body: body.replace(b'"proven"', b'"rolled"'),
        lambda body: forged(body, fold="of another version"),
        lambda body: forged(body, seq=3),
        lambda body: forged(body, hash="0" * 64),
        lambda body: forged(body, hashes=None),
        lambda body: b"[1]\n2",
    ],
)
def test_a_snapshot_that_does_not_fit_is_none(change: Callable[[bytes], bytes]) -> None:
    body = snapshot.dump(story().state, "a" * 64)
    assert snapshot.load(body) is not None
    assert snapshot.load(change(body)) is None


def test_nonsense_with_a_good_digest_is_none() -> None:
    body = b'{"weeks":{"week1":{"status":"dancing"}}}'
    head = {
        "fold": snapshot.fold_code(),
        "seq": 0,
        "hash": "",
        "hashes": "",
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    assert snapshot.load(json.dumps(head).encode() + b"\n" + body) is None


# Who looks goes on from it


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(ledgers, "_WORTH_KEEPING", 4)
    return story()


class Counting(MemoryJournal):
    """Counts the events that are read."""

    def __init__(self, journal: MemoryJournal) -> None:
        super().__init__(journal.lease)
        self.events, self.fold, self.acknowledged = journal.events, journal.fold, journal.acknowledged
        self.counted = 0

    def records(self, after: int = 0) -> Iterator[Record]:
        for record in super().records(after):
            self.counted += 1
            yield record


def test_a_run_leaves_its_fold_and_a_look_folds_only_what_came_since(world: World) -> None:
    counting = Counting(world.journal)
    system = replace(world.process(), store=counting)
    assert world.journal.fold is not None
    assert Ledger(system, glance=True).state == world.state
    assert counting.counted == 1  # the event up to which it was folded
    Ledger(system)
    assert counting.counted == 1 + len(world.journal.events)  # whoever acts reads all of it
    counting.append([Draft("checklist.signed.later", "week9")], epoch=None, at=world.clock.now())
    counting.counted = 0
    looked = Ledger(system, glance=True)
    assert looked.state == replay(counting.events)
    assert looked.state.unknown == 1
    assert counting.counted == 2


@pytest.mark.parametrize("fold", [b"", b"garbage", None])
def test_a_fold_that_is_damaged_is_made_anew_by_the_next_look(world: World, fold: bytes | None) -> None:
    world.journal.fold = fold
    assert Ledger(world.process(), glance=True).state == world.state
    assert world.journal.fold is not None
    kept = snapshot.load(world.journal.fold)
    assert kept is not None
    assert kept[0] == world.state


def test_the_fold_of_another_journal_is_not_believed(world: World) -> None:
    other = story()
    other.plan("week8", program("three"))
    assert other.run("week8").code == 0
    world.journal.fold = snapshot.dump(other.state, hashed(other.journal))  # longer, and another chain
    assert Ledger(world.process(), glance=True).state == world.state
    world.journal.fold = snapshot.dump(replay(other.journal.events[:3]), hashed(other.journal, 3))
    assert Ledger(world.process(), glance=True).state == world.state


def hashed(journal: MemoryJournal, last: int | None = None) -> str:
    return hashlib.sha256("".join(event.hash for event in journal.events[:last]).encode()).hexdigest()


BELOW: list[Callable[[list[Event]], object]] = [
    lambda events: events.__delitem__(slice(1, 4)),
    lambda events: events.pop(0),
    lambda events: events.__setitem__(2, replace(events[2], hash="b" * 64)),
    lambda events: events.__setitem__(2, events[1]),
]


@pytest.mark.parametrize("break_", BELOW)
def test_a_look_finds_that_the_chain_is_broken_below_the_fold(
    world: World, break_: Callable[[list[Event]], object]
) -> None:
    break_(world.journal.events)
    with pytest.raises(Residue, match="broken at event"):
        Ledger(world.process(), glance=True)


def test_verify_reads_every_event_whatever_was_kept(world: World) -> None:
    """What a look cannot see in the hashes alone: an event whose words were changed, and its hash left."""
    world.journal.events[2] = replace(world.journal.events[2], week="forged")
    with pytest.raises(Residue, match="event 3: its content was changed"):
        world.verify()


def test_a_fold_goes_on_from_a_fold(world: World) -> None:
    """One that was folded in two parts vouches for the same hashes as one that was folded at once."""
    for _ in range(5):
        world.journal.append([Draft("note", "week9")], epoch=None, at=world.clock.now())
    Ledger(world.process(), glance=True)
    assert world.journal.fold is not None
    kept = snapshot.load(world.journal.fold)
    assert kept == (world.state, hashed(world.journal))


def test_a_look_finds_what_was_forged_since_the_fold(world: World) -> None:
    world.journal.append([Draft("note", "week9")], epoch=None, at=world.clock.now())
    last: Event = world.journal.events[-1]
    world.journal.events[-1] = replace(last, week="forged")
    with pytest.raises(Residue, match="broken at event"):
        Ledger(world.process(), glance=True)
