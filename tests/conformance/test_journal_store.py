"""One suite for every `JournalStore`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from tracseq_migrate.adapters.memory.journal import MemoryJournal, MemoryLease
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal, SqliteLease
from tracseq_migrate.errors import Locked
from tracseq_migrate.journal import chain
from tracseq_migrate.ports import Draft, Holder, JournalStore, Lease

AT = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
HOLDER = Holder("one", "ada", "host-a", 4711, "tracseq-migrate run week1")

Pair = tuple[JournalStore, Lease]


def memory(folder: Path) -> tuple[Pair, Callable[[], None]]:
    lease = MemoryLease()
    return (MemoryJournal(lease), lease), lambda: None


def sqlite(folder: Path) -> tuple[Pair, Callable[[], None]]:
    path = folder / "state" / "production.journal"
    journal = SqliteJournal(path, environment="production")
    lease = SqliteLease(path, environment="production")

    def close() -> None:
        lease.close()
        journal.close()

    return (journal, lease), close


@pytest.fixture(params=[memory, sqlite], ids=["memory", "sqlite"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    made, close = request.param(tmp_path)
    yield made
    close()


@pytest.fixture
def journal(pair: Pair) -> JournalStore:
    return pair[0]


def test_starts_empty(journal: JournalStore) -> None:
    assert list(journal.read()) == []
    assert journal.location


def test_keeps_events_in_order_and_chained(journal: JournalStore) -> None:
    first = journal.append([Draft("a.one", "week1", "r1", "s1", {"n": 1, "text": "ä\n"})], epoch=None, at=AT)
    more = journal.append(
        [Draft("a.two"), Draft("a.three", data={"list": [1, None, True]})], epoch=None, at=AT
    )
    events = list(journal.read())
    assert events == first + more
    assert [event.seq for event in events] == [1, 2, 3]
    assert events[0].previous == chain.GENESIS
    assert events[0].data == {"n": 1, "text": "ä\n"}
    assert (events[0].week, events[0].run_id, events[0].step) == ("week1", "r1", "s1")
    verdict = chain.verify(events)
    assert verdict.broken is None
    assert verdict.head == events[-1].hash


def test_reads_what_came_after(journal: JournalStore) -> None:
    journal.append([Draft(f"n{number}") for number in range(5)], epoch=None, at=AT)
    assert [event.type for event in journal.read(3)] == ["n3", "n4"]
    assert list(journal.read(5)) == []


def test_times_are_kept_in_utc_to_the_microsecond(journal: JournalStore) -> None:
    local = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    journal.append([Draft("x")], epoch=None, at=local)
    (event,) = journal.read()
    assert event.at == AT
    assert event.at.utcoffset() == timedelta(0)


def test_a_naive_time_is_refused_and_nothing_appended(journal: JournalStore) -> None:
    with pytest.raises(ValueError, match="zone"):
        journal.append([Draft("x")], epoch=None, at=datetime(2026, 1, 1))  # noqa: DTZ001 - the fault tried here
    assert list(journal.read()) == []


def test_all_or_nothing(journal: JournalStore) -> None:
    journal.append([Draft("before")], epoch=None, at=AT)
    with pytest.raises((TypeError, ValueError)):
        journal.append([Draft("good"), Draft("bad", data={"value": object()})], epoch=None, at=AT)
    with pytest.raises(ValueError, match=r"JSON|float"):
        journal.append([Draft("good"), Draft("bad", data={"value": float("nan")})], epoch=None, at=AT)
    assert [event.type for event in journal.read()] == ["before"]
    journal.append([Draft("after")], epoch=None, at=AT)
    assert chain.verify(journal.read()).broken is None


def test_nothing_to_append(journal: JournalStore) -> None:
    assert journal.append([], epoch=None, at=AT) == []
    assert list(journal.read()) == []


def test_an_event_is_not_changed_by_its_draft(journal: JournalStore) -> None:
    data = {"list": [1]}
    journal.append([Draft("x", data=data)], epoch=None, at=AT)
    data["list"].append(2)
    assert [event.data for event in journal.read()] == [{"list": [1]}]


def test_the_holder_of_the_lease_appends(pair: Pair) -> None:
    journal, lease = pair
    epoch = lease.acquire(HOLDER, timeout=0).epoch
    journal.append([Draft("run")], epoch=epoch, at=AT)
    journal.append([Draft("signature")], epoch=None, at=AT)
    assert [event.type for event in journal.read()] == ["run", "signature"]
    lease.release(epoch)


def test_one_who_gave_the_lease_back_appends_nothing(pair: Pair) -> None:
    journal, lease = pair
    epoch = lease.acquire(HOLDER, timeout=0).epoch
    lease.release(epoch)
    with pytest.raises(Locked, match="nothing was appended"):
        journal.append([Draft("run")], epoch=epoch, at=AT)
    assert list(journal.read()) == []


def test_a_fenced_holder_appends_nothing(pair: Pair) -> None:
    journal, lease = pair
    old = lease.acquire(HOLDER, timeout=0).epoch
    lease.release(old)
    new = lease.acquire(Holder("two", "grace", "host-b", 4712, "resume"), timeout=0).epoch
    assert new > old
    with pytest.raises(Locked, match=r"grace on host-b, pid 4712, `resume`"):
        journal.append([Draft("run")], epoch=old, at=AT)
    journal.append([Draft("run")], epoch=new, at=AT)
    assert len(list(journal.read())) == 1
    lease.release(new)


def test_an_epoch_that_never_was_appends_nothing(pair: Pair) -> None:
    journal, _ = pair
    for epoch in (0, 1, 99):
        with pytest.raises(Locked):
            journal.append([Draft("run")], epoch=epoch, at=AT)
    assert list(journal.read()) == []


def test_threads_append_without_a_gap(journal: JournalStore) -> None:
    def work(name: str) -> None:
        for number in range(20):
            journal.append([Draft(name, data={"n": number}), Draft(name + "+")], epoch=None, at=AT)

    threads = [threading.Thread(target=work, args=(f"t{index}",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = list(journal.read())
    assert len(events) == 160
    assert chain.verify(events).broken is None
    for index in range(4):
        assert [event.data["n"] for event in events if event.type == f"t{index}"] == list(range(20))
        # Events appended together stand together.
        assert all(
            events[place + 1].type == f"t{index}+"
            for place, event in enumerate(events)
            if event.type == f"t{index}"
        )


def test_a_reader_that_stops_early_harms_nobody(journal: JournalStore) -> None:
    journal.append([Draft("one"), Draft("two")], epoch=None, at=AT)
    reader = journal.read()
    assert next(reader).type == "one"
    journal.append([Draft("three")], epoch=None, at=AT)
    assert [event.type for event in reader] == ["two"]
    assert len(list(journal.read())) == 3


def test_attachments(journal: JournalStore) -> None:
    body = bytes(range(256)) * 500
    digest = journal.attach(body)
    assert journal.attach(body) == digest
    assert journal.attachment(digest) == body
    assert journal.attachment(journal.attach(b"")) == b""
    with pytest.raises(KeyError):
        journal.attachment("0" * 64)


def test_no_attachment_where_nothing_was_kept(journal: JournalStore) -> None:
    with pytest.raises(KeyError):
        journal.attachment("0" * 64)
