"""Ownership, lead, phases and tables of control, on real servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.replication.databases import COMBINATIONS, PairOfDatabases
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports.sql import Session, SqlFailed, Unreachable, transaction
from tracseq_migrate.replication.control import beating, leading, ownership, phases, tables
from tracseq_migrate.replication.control.naming import LEAD, OWNERSHIP, lock_number
from tracseq_migrate.replication.control.ownership import Displaced
from tracseq_migrate.replication.names import SCHEMA

NAME = "users"


@contextmanager
def both(pair: PairOfDatabases) -> Iterator[tuple[Session, Session]]:
    with pair.open("a") as a, pair.open("b") as b:
        yield a, b


@pytest.fixture
def installed(pair_of_databases: PairOfDatabases) -> PairOfDatabases:
    with both(pair_of_databases) as (a, b):
        tables.install(a, NAME, "a")
        tables.install(b, NAME, "b")
    return pair_of_databases


def objects(pair: PairOfDatabases, side: str) -> list[tuple[object, ...]]:
    return pair.rows(
        side,
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE n.nspname = '{SCHEMA}' AND c.relkind = 'r' ORDER BY 1",
    )


def schema_there(pair: PairOfDatabases, side: str) -> bool:
    return bool(pair.rows(side, f"SELECT 1 FROM pg_namespace WHERE nspname = '{SCHEMA}'"))


@pytest.mark.parametrize("pair_of_databases", COMBINATIONS, indirect=True)
def test_there_and_back_and_there_again(pair_of_databases: PairOfDatabases) -> None:
    pair = pair_of_databases
    with both(pair) as (a, b):
        for _ in range(2):
            for session, side in ((a, "a"), (b, "b")):
                assert not tables.installed(session)
                assert ownership.read(session, NAME) is None
                tables.install(session, NAME, side)  # type: ignore[arg-type]  # the loop loses the literal
                tables.install(session, NAME, side)  # type: ignore[arg-type]  # as above
            assert objects(pair, "a") == [("ownership",), ("put_away",)]
            assert len(objects(pair, "b")) == 6
            row = ownership.read(b, NAME)
            assert row is not None
            assert (row.epoch, row.owner, row.direction, row.backend_pid) == (0, "a", "forward", None)
            tables.remove(a, NAME, "a")
            tables.remove(b, NAME, "b")
            tables.remove(b, NAME, "b")
            assert not schema_there(pair, "a")
            assert not schema_there(pair, "b")


def test_a_second_replication_keeps_the_tables_and_something_else_keeps_the_schema(
    installed: PairOfDatabases,
) -> None:
    with installed.open("b") as b:
        tables.install(b, "samples", "b")
        phases.write(b, NAME, "users", "captured")
        phases.write(b, "samples", "samples", "copied")
        tables.remove(b, NAME, "b")
        assert phases.everything(b, NAME) == {}
        assert phases.read(b, "samples", "samples") == "copied"
        installed.run("b", f"CREATE TABLE {SCHEMA}.of_somebody (x int)")
        tables.remove(b, "samples", "b")
        assert objects(installed, "b") == [("of_somebody",)]


def test_install_says_which_right_is_missing(pair_of_databases: PairOfDatabases) -> None:
    with pair_of_databases.superuser("a") as superuser:
        name = pair_of_databases.names["a"]
        superuser.execute(f"ALTER DATABASE {name} OWNER TO postgres".encode())
    with pair_of_databases.open("a") as a:
        with pytest.raises(SqlFailed) as refused:
            tables.install(a, NAME, "a")
        assert refused.value.sqlstate == "42501"
        assert not a.in_transaction


def test_a_claim_raises_the_epoch_on_both_sides_and_ends_the_older_claimer(
    installed: PairOfDatabases,
) -> None:
    with both(installed) as (a, b):
        first = ownership.claim(a, b, NAME, by="first")
        assert first.a.epoch == first.b.epoch == first.epoch > 1
        assert (first.a.backend_pid, first.b.backend_pid) == (a.backend_pid, b.backend_pid)
        with both(installed) as (c, d):
            second = ownership.claim(c, d, NAME, by="second")
            assert second.epoch == first.epoch + 1
            assert second.b.claimed_by == "second"
            for ended in (a, b):
                with pytest.raises(Unreachable):
                    ended.rows("SELECT 1")
            with transaction(d):
                assert ownership.hold(d, NAME, second.epoch, "forward").owner == "a"


def test_a_claim_leaves_a_stranger_with_the_number_of_a_claimer_that_died(installed: PairOfDatabases) -> None:
    with both(installed) as (a, b), both(installed) as (c, d):
        first = ownership.claim(a, b, NAME, by="first")
        # As after a crash: the number belongs to somebody who began later.
        installed.run(
            "a",
            f"UPDATE {OWNERSHIP} SET backend_pid = {c.backend_pid}, claimed_at = claimed_at - interval '1 hour'",
        )
        installed.run("b", f"UPDATE {OWNERSHIP} SET backend_pid = NULL")
        with both(installed) as (e, f):
            assert ownership.claim(e, f, NAME, by="third").epoch == first.epoch + 1
        assert c.rows("SELECT 1") == [(1,)]
        assert d.rows("SELECT 1") == [(1,)]


def test_who_holds_an_older_epoch_is_displaced(installed: PairOfDatabases) -> None:
    with both(installed) as (a, b), installed.open("b") as applier:
        epoch = ownership.claim(a, b, NAME, by="ada at bench").epoch
        with transaction(applier):
            ownership.hold(applier, NAME, epoch, "forward")
        with both(installed) as (c, d):
            ownership.claim(c, d, NAME, by="grace at desk")
            with (
                pytest.raises(
                    Displaced,
                    match=rf"claimed by grace at desk at .* \(epoch {epoch + 1}; ours was {epoch}\)",
                ) as raised,
                transaction(applier),
            ):
                ownership.hold(applier, NAME, epoch, "forward")
            assert raised.value.exit_code == 8
            assert not applier.in_transaction
            with pytest.raises(Displaced, match="goes forward now, and not back"), transaction(applier):
                ownership.hold(applier, NAME, epoch + 1, "back")
            with pytest.raises(Displaced):
                ownership.pass_fence(applier, NAME, epoch)
            ownership.pass_fence(applier, NAME, epoch + 1)
            row = ownership.read(applier, NAME)
            assert row is not None
            assert row.backend_pid == applier.backend_pid


def test_a_claim_waits_for_a_batch_that_ends_and_ends_one_that_does_not(installed: PairOfDatabases) -> None:
    with both(installed) as (a, b), installed.open("b") as applier:
        first = ownership.claim(a, b, NAME, by="first")
        leading.take(applier, NAME, patience=0)
        applier.begin()
        ownership.hold(applier, NAME, first.epoch, "forward")
        with both(installed) as (c, d):
            # It stands still with its transaction open, as a stopped process does.
            assert ownership.claim(c, d, NAME, by="second").epoch == first.epoch + 1
            with pytest.raises(Unreachable):
                applier.commit()


def test_a_claim_that_cannot_be_had_names_what_holds_the_row(installed: PairOfDatabases) -> None:
    with installed.writer("a", autocommit=False) as stranger, both(installed) as (a, b):
        stranger.execute(f"SELECT 1 FROM {OWNERSHIP} FOR UPDATE".encode())
        with pytest.raises(StepFailed, match="could not be claimed"):
            ownership.claim(a, b, NAME, by="first", patience=0.2)
        assert not a.in_transaction
        assert not b.in_transaction


def test_many_claims_at_once_leave_one_epoch_on_both_sides(installed: PairOfDatabases) -> None:
    epochs: list[int] = []
    errors: list[BaseException] = []

    def one() -> None:
        try:
            with both(installed) as (a, b):
                epochs.append(ownership.claim(a, b, NAME, by="one of many").epoch)
        except Unreachable:
            pass  # another claimer ended it
        except Displaced:
            pass
        except BaseException as error:  # noqa: BLE001 - the test's own thread raises it
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    assert epochs, "nobody could claim"
    assert len(epochs) == len(set(epochs))
    with both(installed) as (a, b):
        last = ownership.claim(a, b, NAME, by="the last")
        assert last.a.epoch == last.b.epoch == last.epoch > max(epochs)


def test_ownership_changes_only_under_its_epoch(installed: PairOfDatabases) -> None:
    with both(installed) as (a, b):
        epoch = ownership.claim(a, b, NAME, by="first").epoch
        with transaction(b):
            ownership.hold(b, NAME, epoch, "forward", alone=True)
            ownership.change(b, NAME, epoch, owner="b", direction="back")
        row = ownership.read(b, NAME)
        assert row is not None
        assert (row.owner, row.direction) == ("b", "back")
        with pytest.raises(Displaced), transaction(b):
            ownership.change(b, NAME, epoch - 1, owner="a", direction="forward")
        with pytest.raises(ValueError, match="within a transaction"):
            ownership.hold(b, NAME, epoch, "back")


def test_one_leads_and_the_others_are_told_who(installed: PairOfDatabases) -> None:
    with installed.open("b") as first, installed.open("b") as second:
        assert leading.leader(first, NAME) is None
        with leading.leading(first, NAME, patience=0):
            beating.begin(
                first,
                NAME,
                direction="forward",
                leader="sync",
                host="bench",
                pid=7,
                backend_pid=first.backend_pid,
            )
            assert leading.leads(first, NAME)
            assert not leading.leads(second, NAME)
            with pytest.raises(leading.NotLeading, match=rf"sync, bench, 7, backend {first.backend_pid} \("):
                leading.take(second, NAME, patience=0)
        assert leading.leader(second, NAME) is None
        leading.take(second, NAME, patience=0)
        assert leading.leads(second, NAME)


def test_the_lead_is_gone_with_its_session(installed: PairOfDatabases) -> None:
    with installed.open("b") as second:
        with installed.open("b") as first:
            leading.take(first, NAME, patience=0)
        leading.take(second, NAME, patience=10)
        assert leading.leads(second, NAME)


def test_leads_of_two_replications_do_not_meet(installed: PairOfDatabases) -> None:
    with installed.open("b") as first, installed.open("b") as second:
        leading.take(first, "users", patience=0)
        leading.take(second, "samples", patience=0)
        assert leading.leads(first, "users")
        assert not leading.leads(first, "samples")


@pytest.mark.parametrize("name", ["users", "samples", "a", "b", "storage_and_more", "x" * 40])
def test_the_number_of_a_lock_is_the_same_on_both_ways(installed: PairOfDatabases, name: str) -> None:
    with installed.open("b") as session:
        leading.take(session, name, patience=0)
        assert leading.leads(session, name)
        [(classid, objid)] = installed.rows(
            "b",
            "SELECT classid::bigint, objid::bigint FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE locktype = 'advisory' AND d.datname = current_database()",
        )
        assert (classid, objid) == (LEAD, lock_number(name) % 2**32)


def test_whoever_leads_makes_way_and_goes_on(installed: PairOfDatabases) -> None:
    stop = threading.Event()
    paused: list[int] = []
    working = threading.Event()

    def work() -> None:
        with installed.open("b") as leader, leading.leading(leader, NAME, patience=5):
            while not stop.is_set():
                working.set()
                if leading.give_way(leader, NAME):
                    paused.append(1)
                assert leading.leads(leader, NAME)
                time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert working.wait(20)
        with installed.open("b") as asking:
            with leading.wanting(asking, NAME, patience=20):
                assert leading.leads(asking, NAME)
                with (
                    installed.open("b") as third,
                    pytest.raises(leading.NotLeading, match="asked for the lead"),
                    leading.wanting(third, NAME, patience=0),
                ):
                    pass
            for _ in range(1000):
                found = leading.leader(asking, NAME)
                if found and found.backend_pid != asking.backend_pid:
                    break
                time.sleep(0.01)
            else:
                pytest.fail("it did not go on")
    finally:
        stop.set()
        thread.join()
    assert paused == [1]


def test_give_way_stops_when_it_is_told_to(installed: PairOfDatabases) -> None:
    class Enough(Exception):
        pass

    def enough() -> None:
        raise Enough

    with installed.open("b") as leader, installed.open("b") as other:
        leading.take(leader, NAME, patience=0)
        assert not leading.give_way(leader, NAME)
        with pytest.raises(leading.NotLeading), leading.wanting(other, NAME, patience=0.1):
            pass
        assert leading.leads(leader, NAME)
        other.rows("SELECT pg_advisory_lock($1::int, $2::int)", [0x7473_4D57, lock_number(NAME)])
        with pytest.raises(Enough):
            leading.give_way(leader, NAME, check=enough)
        assert not leading.leads(leader, NAME)


def test_phases_keep_what_is_known(installed: PairOfDatabases) -> None:
    with installed.open("b") as b:
        assert phases.read(b, NAME, "users") is None
        phases.write(b, NAME, "users", "captured", {"rows": 3, "note": "a 'quoted' one"})
        with transaction(b):
            phases.write(b, NAME, "users", "copying")
        found = phases.everything(b, NAME)["users"]
        assert (found.phase, dict(found.data)) == ("copying", {"rows": 3, "note": "a 'quoted' one"})
        with pytest.raises(SqlFailed) as refused:
            phases.write(b, NAME, "users", "lost")  # type: ignore[arg-type]  # what the table refuses
        assert refused.value.sqlstate == "23514"


def test_a_sign_of_life_is_of_the_one_that_leads(installed: PairOfDatabases) -> None:
    with installed.open("b") as b:
        before = beating.read(b, NAME)
        assert before is not None
        assert before.age is None
        beating.begin(b, NAME, direction="forward", leader="sync", host="bench", pid=7, backend_pid=11)
        told = {"behind_rows": 5, "behind_seconds": 0.5}
        assert beating.beat(b, NAME, backend_pid=11, applied=3, behind_rows=5, behind_seconds=0.5)
        assert not beating.beat(b, NAME, backend_pid=12, applied=3, behind_rows=0, behind_seconds=0)
        assert beating.beat(
            b, NAME, backend_pid=11, applied=4, behind_rows=5, behind_seconds=0.5, error="lost"
        )
        now = beating.read(b, NAME)
        assert now is not None
        assert (now.applied, now.error, now.pid) == (7, "lost", 7)
        assert {"behind_rows": now.behind_rows, "behind_seconds": now.behind_seconds} == told
        assert now.age is not None
        assert now.age >= 0
        beating.end(b, NAME, backend_pid=12)
        beating.end(b, NAME, backend_pid=11)
        after = beating.read(b, NAME)
        assert after is not None
        assert after.backend_pid is None
