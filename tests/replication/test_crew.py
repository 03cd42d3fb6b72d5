"""Hands that share work: what passes is tried again, what does not ends all of them, and nobody is left behind."""

from __future__ import annotations

import threading

import pytest

from tests.replication.databases import PairOfDatabases
from tracseq_migrate.ports.sql import SqlFailed, Unreachable
from tracseq_migrate.replication.crew import Hand, end_leftovers, work


def sessions_of(databases: PairOfDatabases, purpose: str) -> int:
    with databases.superuser("b") as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s",
            [f"tracseq-migrate: {purpose}"],
        ).fetchone()
    assert found is not None
    return int(found[0])


def test_every_piece_is_done_once_by_whoever_is_free(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run("b", "CREATE TABLE pieces AS SELECT n, 0 AS done FROM generate_series(1, 60) AS n")
    by: set[str] = set()
    both = threading.Barrier(2, timeout=30)
    first = threading.local()

    def piece(hand: Hand) -> bool:
        if not hasattr(first, "met"):
            first.met = both.wait()
        by.add(threading.current_thread().name)
        b = hand.session("b")
        b.begin()
        found = b.rows("SELECT n FROM public.pieces WHERE done = 0 ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED")
        if found:
            b.execute("UPDATE public.pieces SET done = done + 1 WHERE n = $1", [found[0][0]])
        b.commit()
        return bool(found)

    work(pair_of_databases.sessions, "move", "crew", piece, hands=2)

    assert pair_of_databases.rows("b", "SELECT min(done), max(done) FROM pieces") == [(1, 1)]
    assert by == {"crew 1", "crew 2"}
    assert sessions_of(pair_of_databases, "crew") == 0


def test_a_deadlock_is_tried_again_and_a_wrong_statement_is_not(pair_of_databases: PairOfDatabases) -> None:
    tries = 0

    def piece(hand: Hand) -> bool:
        nonlocal tries
        tries += 1
        if tries == 1:
            hand.session("b").rows("SELECT 1")
            raise SqlFailed("database b", "40P01", "deadlock detected")
        hand.session("b").rows("SELECT nothing")
        return True

    with pytest.raises(SqlFailed, match="42703"):
        work(pair_of_databases.sessions, "move", "crew", piece, hands=1)
    assert tries == 2


def test_a_lost_connection_is_replaced(pair_of_databases: PairOfDatabases) -> None:
    pids = []

    def piece(hand: Hand) -> bool:
        b = hand.session("b")
        pids.append(b.backend_pid)
        if len(pids) == 1:
            with pair_of_databases.superuser("b") as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", [b.backend_pid])
            with pytest.raises(Unreachable) as lost:
                while True:
                    b.rows("SELECT 1")
            raise lost.value
        return len(b.rows("SELECT 1")) != 1

    work(pair_of_databases.sessions, "move", "crew", piece, hands=1)

    assert len(set(pids)) == 2


def test_a_long_statement_ends_when_the_one_who_watches_raises(pair_of_databases: PairOfDatabases) -> None:
    began = threading.Event()

    def piece(hand: Hand) -> bool:
        session = hand.session("b")
        began.set()
        session.rows("SELECT pg_sleep(600)")
        return False

    def check() -> None:
        if began.is_set():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(pair_of_databases.sessions, "move", "crew", piece, hands=2, check=check)
    assert sessions_of(pair_of_databases, "crew") == 0


def test_only_the_hands_of_the_same_replication_are_ended(pair_of_databases: PairOfDatabases) -> None:
    stopping = threading.Event()
    mine, other = (Hand(pair_of_databases.sessions, name, "crew", stopping) for name in ("move", "another"))
    try:
        for each in (mine, other):
            each.session("b")
        with pair_of_databases.open("b") as session:
            assert end_leftovers(session, "move") == 1
            assert end_leftovers(session, "move") == 0
        with pytest.raises(Unreachable):
            mine.session("b").rows("SELECT 1")
        assert other.session("b").rows("SELECT 1") == [(1,)]
    finally:
        mine.close()
        other.close()
