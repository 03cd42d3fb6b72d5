"""One suite for every `JournalStore`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tracseq_migrate.adapters.memory.journal import MemoryJournal, MemoryLease
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal, SqliteLease, SqliteVault
from tracseq_migrate.errors import Locked, NotAllowed, Residue
from tracseq_migrate.journal import chain
from tracseq_migrate.ports import Draft, Holder, JournalStore, JournalVault, Lease, Record

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


def test_records_are_the_events_as_they_are_kept(journal: JournalStore) -> None:
    """Also of data whose keys or numbers have more than one text."""
    data = {"z": 1, "a": {"2": 1.0, "10": 1e-7, "ä": "\u2028\n"}, "n": [None, -0.0, 2**70]}
    events = journal.append([Draft("a", "w", "r", "s", data), Draft("b")], epoch=None, at=AT)
    records = list(journal.records())
    assert [chain.event_of(record) for record in records] == events
    assert records == [chain.record_of(event) for event in events]
    assert [chain.digest_of_record(record) for record in records] == [event.hash for event in events]
    assert list(journal.records(after=1)) == records[1:]


def test_keys_that_are_no_strings_have_one_order(journal: JournalStore) -> None:
    numbered: dict[Any, Any] = {2: "b", 10: "a"}
    journal.append([Draft("a", data=numbered)], epoch=None, at=AT)
    assert chain.verify(journal.read()).broken is None
    assert next(journal.read()).data == {"2": "b", "10": "a"}


def test_many_events_are_read_in_order(journal: JournalStore) -> None:
    """More than one page of any reader."""
    journal.append([Draft("n", data={"n": n}) for n in range(2500)], epoch=None, at=AT)
    assert [event.data["n"] for event in journal.read()] == list(range(2500))
    assert [record.seq for record in journal.records(after=2490)] == list(range(2491, 2501))
    assert chain.verify_records(journal.records()).events == 2500


def test_what_is_acknowledged_is_remembered(journal: JournalStore) -> None:
    assert journal.remembered() is None
    assert journal.lost() == ""
    for _ in range(2):
        (event,) = journal.append([Draft("a")], epoch=None, at=AT)
        assert journal.remembered() == (event.seq, event.hash)
        assert journal.lost() == ""


def test_a_fold_is_kept_until_the_next(journal: JournalStore) -> None:
    assert journal.kept_fold() is None
    journal.append([Draft("a")], epoch=None, at=AT)
    for body in (b"one", b"another, longer", b"", b"x"):
        journal.keep_fold(body)
        assert journal.kept_fold() == body


def test_the_hashes_come_in_order_and_no_further_than_asked(journal: JournalStore) -> None:
    assert b"".join(journal.hashes(3)) == b""
    events = journal.append([Draft("a", data={"n": n}) for n in range(5)], epoch=None, at=AT)
    for last in range(6):
        assert b"".join(journal.hashes(last)) == "".join(e.hash for e in events[:last]).encode()
    assert b"".join(journal.hashes(6)) != "".join(e.hash for e in events).encode()


def test_attachments_are_listed(journal: JournalStore) -> None:
    assert journal.attached() == []
    digests = {journal.attach(body) for body in (b"b", b"a", b"b")}
    assert journal.attached() == sorted(digests)


# The vault of the same journal


@pytest.fixture(params=["memory", "sqlite"])
def vaulted(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[JournalVault, JournalStore, Lease]]:
    if request.param == "memory":
        lease = MemoryLease()
        both = MemoryJournal(lease)
        yield both, both, lease
        return
    (store, lease_), close = sqlite(tmp_path)
    yield SqliteVault(tmp_path / "state" / "production.journal", environment="production"), store, lease_
    close()


def sealed(count: int) -> list[Record]:
    made: list[Record] = []
    for seq in range(1, count + 1):
        previous = made[-1].hash if made else chain.GENESIS
        made.append(chain.seal_record(Draft("n", data={"n": seq}), seq, AT, previous))
    return made


def test_a_journal_is_taken_in_continued_and_replaced(
    vaulted: tuple[JournalVault, JournalStore, Lease],
) -> None:
    vault, store, lease = vaulted
    records = sealed(6)
    vault.install(records[:4], [b"body"], at=AT)
    assert list(store.records()) == records[:4]
    assert store.remembered() == (4, records[3].hash)
    assert store.attached() == [chain.digest_of_body(b"body")]
    epoch = lease.acquire(HOLDER, timeout=0).epoch
    with pytest.raises(Residue, match="does not follow"):
        vault.extend(records[5:], (), epoch=epoch)
    with pytest.raises(Locked):
        vault.extend(records[4:], (), epoch=epoch + 1)
    assert list(store.records()) == records[:4]
    vault.extend(records[4:], [b"body", b"more"], epoch=epoch)
    assert list(store.records()) == records
    assert len(store.attached()) == 2
    with pytest.raises(Locked):
        vault.install(records, (), at=AT)
    lease.release(epoch)
    judged: list[list[Record]] = []

    def changed() -> None:
        judged.append(list(store.records()))
        raise NotAllowed("it was changed meanwhile")

    with pytest.raises(NotAllowed):
        vault.install(records[:4], (), at=AT, still=changed)
    assert judged == [records]
    assert list(store.records()) == records
    assert store.remembered() == (6, records[5].hash)
    assert vault.install(records[:1], (), at=AT)
    assert list(store.records()) == records[:1]
    assert store.lost() == ""
    assert store.append([Draft("a")], epoch=None, at=AT)[0].seq == 2
