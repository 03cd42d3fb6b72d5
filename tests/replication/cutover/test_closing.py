"""The way back is given up: the old tables stay, readable and fenced, and the new ones are free."""

from __future__ import annotations

import psycopg
import pytest

from tests.replication.cutover.lab import Door, moved, opened
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.replication.bringing import take_back
from tracseq_migrate.replication.cutover import cut_over
from tracseq_migrate.replication.cutover.closing import close_for_good


def test_the_old_tables_stay_fenced_and_the_new_ones_are_free(pair_of_databases: PairOfDatabases) -> None:
    moved(pair_of_databases)
    sessions = pair_of_databases.sessions
    cut_over(sessions, [opened(sessions)], "forward", Door(), by="the test")
    replication = opened(sessions)
    for _ in range(2):
        assert len(close_for_good(sessions, [replication], by="the test")) == 1
        ours = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'tracseq_migrate_%'"
        assert pair_of_databases.rows("b", ours) == [(0,)]
        assert pair_of_databases.rows(
            "b", "SELECT count(*) FROM pg_namespace WHERE nspname = 'tracseq_migrate'"
        ) == [(0,)]
        assert pair_of_databases.rows("a", ours) == [(1,)]
        assert pair_of_databases.rows("a", "SELECT count(*) FROM accounts") == [(50,)]
        with (
            pair_of_databases.writer("a") as writer,
            pytest.raises(psycopg.errors.SerializationFailure, match="has moved"),
        ):
            writer.execute("UPDATE accounts SET balance = 0")
        pair_of_databases.run("b", "UPDATE members SET cents = cents + 1")
    assert pair_of_databases.rows("a", "SELECT tgenabled FROM pg_trigger WHERE tgname = 'touching'") == [
        ("O",)
    ]
    with pytest.raises(StepFailed, match="owns the rows"):
        take_back(sessions, replication, by="the test", before={}, told=lambda text: None)
    assert pair_of_databases.rows("b", "SELECT count(*) FROM members") == [(50,)]
    assert pair_of_databases.rows("a", ours) == [(1,)]


def test_what_a_still_owns_is_not_closed(pair_of_databases: PairOfDatabases) -> None:
    replication = moved(pair_of_databases)
    with pytest.raises(StepFailed, match="does not own"):
        close_for_good(pair_of_databases.sessions, [replication], by="the test")
    pair_of_databases.run("a", "UPDATE accounts SET balance = 0")
    cut_over(
        pair_of_databases.sessions, [opened(pair_of_databases.sessions)], "forward", Door(), by="the test"
    )
    assert pair_of_databases.rows("b", "SELECT DISTINCT cents FROM members") == [(0,)]
