"""The moment in which both sides are equal, while people write."""

from __future__ import annotations

import threading

import pytest

from tests.replication.applying.pairs import Stage, Wanted, set_up
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.replication.applying import Applier
from tracseq_migrate.replication.control.ownership import Displaced

SCHEMA = "CREATE TABLE t (id int PRIMARY KEY, v text)"


@pytest.fixture
def plain(pair_of_databases: PairOfDatabases) -> Stage:
    return set_up(pair_of_databases, SCHEMA, SCHEMA, [Wanted("t", "t")])


def test_the_two_snapshots_agree_while_a_writer_goes_on(plain: Stage) -> None:
    databases, stop, wrote = plain.databases, threading.Event(), threading.Event()

    def write() -> None:
        with databases.writer("a") as writer:
            number = 0
            while not stop.is_set():
                number += 1
                writer.execute("INSERT INTO t VALUES (%s, 'x')", (number,))
                writer.execute("UPDATE t SET v = v || 'y' WHERE id = %s", (number // 2,))
                writer.execute("DELETE FROM t WHERE id = %s", (number // 3,))
                if number == 50:
                    wrote.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert wrote.wait(60)
        with plain.applier() as applier:
            for _ in range(5):
                with applier.align() as aligned:
                    query = "SELECT id, v FROM public.t ORDER BY id"
                    there = applier.origin.rows(query)
                    assert there == applier.destination.rows(query)
                    assert len(there) > 10
                    for name, snapshot in (("a", aligned.origin), ("b", aligned.destination)):
                        with databases.open(name) as other:
                            other.begin("REPEATABLE READ", read_only=True)
                            other.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
                            assert other.rows(query) == there
                assert not applier.origin.in_transaction
                assert not applier.destination.in_transaction
    finally:
        stop.set()
        thread.join()
    plain.drain()
    assert plain.differences() == []


def test_a_truncate_waits_until_the_snapshot_is_given_back(plain: Stage) -> None:
    databases = plain.databases
    databases.run("a", "INSERT INTO t SELECT i, 'x' FROM generate_series(1, 10) i")
    with plain.applier() as applier:
        with applier.align():
            thread = threading.Thread(target=databases.run, args=("a", "TRUNCATE t"))
            thread.start()
            assert applier.origin.rows("SELECT count(*) FROM public.t") == [(10,)]
        thread.join()
        applier.drain()
    assert plain.differences() == []


def test_another_epoch_or_direction_ends_it(plain: Stage) -> None:
    databases = plain.databases
    databases.run("a", "INSERT INTO t VALUES (1, 'x')")
    with plain.applier(epoch=7) as wrong, pytest.raises(Displaced):
        wrong.batch()
    with plain.applier() as applier:
        applier.batch()
        databases.run("b", "UPDATE tracseq_migrate.ownership SET direction = 'back'")
        with pytest.raises(Displaced):  # also where there is nothing to apply
            applier.batch()
        databases.run("b", "UPDATE tracseq_migrate.ownership SET direction = 'forward'")
        databases.run("a", "INSERT INTO t VALUES (2, 'x')")
        assert applier.batch().read == 1


def test_dying_between_commit_and_sweep_loses_and_doubles_nothing(
    plain: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases = plain.databases
    databases.run("a", "INSERT INTO t SELECT i, 'x' FROM generate_series(1, 10) i")
    with plain.applier() as applier:
        monkeypatch.setattr(applier, "_sweep", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            applier.batch()
    assert plain.log_rows() == 10
    assert plain.differences() == []
    databases.run("a", "UPDATE t SET v = 'y' WHERE id < 4; DELETE FROM t WHERE id = 9")
    plain.drain()
    assert plain.differences() == []
    assert plain.log_rows() == 0


def test_what_is_applied_within_a_transaction_counts_when_that_commits(plain: Stage) -> None:
    databases = plain.databases
    databases.run("a", "INSERT INTO t SELECT i, 'x' FROM generate_series(1, 10) i")
    with plain.applier() as applier:
        applier.destination.begin()
        assert applier.apply_within() == 10
        applier.destination.rollback()
        assert plain.log_rows() == 10
        applier.destination.begin()
        assert applier.apply_within() == 10
        applier.destination.commit()
        applier.sweep_applied()
    assert plain.log_rows() == 0
    assert plain.differences() == []


def test_it_is_made_of_three_sessions(plain: Stage) -> None:
    with plain.applier() as applier:
        assert isinstance(applier, Applier)
        pids = {each.backend_pid for each in (applier.origin, applier.sweeper)}
        assert len(pids) == 2
