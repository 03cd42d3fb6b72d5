"""The tool and PostgreSQL killed in the middle. Many more of these, at random moments: ``make chaos SUITE=copying``."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import psycopg
import pytest

from tests.replication.copying import people
from tests.replication.copying.mover import started
from tests.replication.copying.people import replication
from tests.replication.copying.test_copy import assert_equal
from tests.replication.databases import PairOfDatabases

CHUNK = 24 << 10
DONE = "SELECT pair, number, at FROM tracseq_migrate.chunk WHERE at IS NOT NULL"


def _until(databases: PairOfDatabases, query: str, process: subprocess.Popen[str]) -> None:
    """Wait until the query answers something; the bound only ends a test that would wait for ever."""
    deadline = time.monotonic() + 60
    with databases.writer("b") as connection:
        while True:
            try:
                if connection.execute(query.encode()).fetchone():
                    return
            except psycopg.errors.UndefinedTable:
                pass
            assert process.poll() is None, "it was over before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)


def _tool(databases: PairOfDatabases, process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)


def _server(databases: PairOfDatabases, process: subprocess.Popen[str]) -> None:
    with databases.superuser("b") as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'tracseq-migrate: copy' LIMIT 1"
        ).fetchone()
    assert found is not None
    # One of its processes killed like that, and PostgreSQL ends all of them and recovers from its log.
    os.kill(found[0], signal.SIGKILL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            databases.rows("b", "SELECT 1")
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return


def _moved(databases: PairOfDatabases) -> str:
    process = started("bring", dict(databases.dsns), CHUNK)
    said, complained = process.communicate(timeout=120)
    assert process.returncode == 0, complained
    return said


@pytest.mark.parametrize("kill", [_tool, _server])
def test_killed_while_rows_are_copied_it_goes_on_from_there(
    pair_of_databases: PairOfDatabases, kill: Callable[[PairOfDatabases, subprocess.Popen[str]], None]
) -> None:
    databases = pair_of_databases
    databases.run("a", people.OLD)
    databases.run("b", people.NEW)
    people.fill(databases, 3_000)
    with started("bring", dict(databases.dsns), CHUNK) as process:
        _until(databases, f"SELECT 1 FROM ({DONE}) AS done HAVING count(*) > 5", process)
        kill(databases, process)
        process.communicate(timeout=120)
    before = set(databases.rows("b", DONE))

    _moved(databases)

    # What was seen after the server had recovered is on its disk, and is not copied again.
    assert before
    assert before <= set(databases.rows("b", DONE))
    moved = replication(databases)
    assert_equal(databases, moved)
    assert databases.rows("b", "SELECT DISTINCT phase FROM tracseq_migrate.phase") == [("following",)]


def test_killed_while_indexes_are_built_they_are_all_there_in_the_end(
    pair_of_databases: PairOfDatabases,
) -> None:
    databases = pair_of_databases
    databases.run("a", people.OLD)
    databases.run("b", people.NEW)
    people.fill(databases, 3_000)
    wanted = people.catalogs(databases)[1].tables
    with started("bring", dict(databases.dsns), CHUNK) as process:
        _until(
            databases,
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'tracseq-migrate: build'",
            process,
        )
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=120)

    _moved(databases)

    found = people.catalogs(databases)[1].tables
    for name, table in wanted.items():
        assert {each.definition for each in table.indexes} == {
            each.definition for each in found[name].indexes
        }
        assert {each.definition for each in table.constraints} == {
            each.definition for each in found[name].constraints
        }
    assert_equal(databases, replication(databases))


def test_killed_while_it_is_taken_back_both_databases_are_as_they_were(
    pair_of_databases: PairOfDatabases,
) -> None:
    databases = pair_of_databases
    databases.run("a", people.OLD)
    databases.run("b", people.NEW)
    people.fill(databases, 1_000)
    before = [catalog.shape() for catalog in people.catalogs(databases)]
    seeded = databases.rows("b", "SELECT people::text FROM people")
    _moved(databases)
    with started("back", dict(databases.dsns), CHUNK) as process:
        _until(databases, "SELECT 1 FROM tracseq_migrate.chunk HAVING count(*) = 0", process)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=120)

    again = started("back", dict(databases.dsns), CHUNK)
    complained = again.communicate(timeout=120)[1]

    assert again.returncode == 0, complained
    assert [catalog.shape() for catalog in people.catalogs(databases)] == before
    assert [catalog.ours for catalog in people.catalogs(databases)] == [(), ()]
    assert databases.rows("b", "SELECT people::text FROM people") == seeded
