"""The copy on real PostgreSQL: every value arrives, what was in the way comes back, and reverting leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.replication.copying import people
from tests.replication.copying.people import fill, replication
from tests.replication.databases import COMBINATIONS, PairOfDatabases
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.replication import capture
from tracseq_migrate.replication.building import build
from tracseq_migrate.replication.control import ownership, phases, tables
from tracseq_migrate.replication.copying import Progress, copy
from tracseq_migrate.replication.copying.planning import plan
from tracseq_migrate.replication.pair import Pair, Replication
from tracseq_migrate.replication.reverting import revert

SMALL = 16 << 10
"""Chunks of two pages' weight, so that a few hundred rows make many."""


def install(databases: PairOfDatabases, moved: Replication) -> int:
    """Control and capture, as before every copy; the epoch."""
    with databases.open("a") as a, databases.open("b") as b:
        tables.install(a, moved.name, "a")
        tables.install(b, moved.name, "b")
        epoch = ownership.claim(a, b, moved.name, by="test").epoch
        for pair in moved.pairs:
            capture.create(a, moved, pair, "a")
            phases.write(b, moved.name, pair.name, "captured")
    return epoch


def made(databases: PairOfDatabases, *, count: int = 300) -> tuple[Replication, int]:
    databases.run("a", people.OLD)
    databases.run("b", people.NEW)
    fill(databases, count)
    moved = replication(databases)
    return moved, install(databases, moved)


def texts(databases: PairOfDatabases, pair: Pair) -> tuple[list[Any], list[Any]]:
    """All rows on both sides, by the texts that the mapping compares."""
    columns_a = ", ".join(each.text_a for each in pair.columns)
    columns_b = ", ".join(each.text_b for each in pair.columns)
    with databases.open("a") as a, databases.open("b") as b:
        return (
            sorted(a.rows(f"SELECT {columns_a} FROM {pair.a.relation} AS a"), key=str),
            sorted(b.rows(f"SELECT {columns_b} FROM {pair.b.relation} AS b WHERE {pair.owned_b}"), key=str),
        )


def rows_of(databases: PairOfDatabases, side: str) -> dict[str, list[Any]]:
    """Every row of every table, as text."""
    catalog = people.catalogs(databases)["ab".index(side)]
    with databases.open(side) as session:
        return {
            name: sorted(session.rows(f"SELECT (t.*)::text FROM {table.relation} AS t"))
            for name, table in catalog.tables.items()
        }


def assert_equal(databases: PairOfDatabases, moved: Replication) -> None:
    for pair in moved.pairs:
        there, here = texts(databases, pair)
        assert there == here
        assert here


@pytest.mark.parametrize("pair_of_databases", COMBINATIONS, indirect=True)
@pytest.mark.parametrize("chunk_bytes", [SMALL, 32 << 20])
def test_there_and_back_leaves_both_databases_as_they_were(
    pair_of_databases: PairOfDatabases, chunk_bytes: int
) -> None:
    databases = pair_of_databases
    databases.run("a", people.OLD)
    databases.run("b", people.NEW)
    fill(databases, 300)
    before = [catalog.shape() for catalog in people.catalogs(databases)]
    rows_before = rows_of(databases, "a"), rows_of(databases, "b")
    moved = replication(databases)
    epoch = install(databases, moved)

    told: list[Progress] = []
    copied = copy(databases.sessions, moved, epoch, workers=2, chunk_bytes=chunk_bytes, told=told.append)

    assert copied.rows == 301 + 300 + 300
    assert copied.resumed_rows == 0
    assert (copied.chunks > 10) == (chunk_bytes == SMALL)
    assert told[-1].rows == copied.rows
    assert told[-1].bytes == copied.bytes > 0
    assert_equal(databases, moved)
    kept = databases.rows(
        "b", 'SELECT id, "column", "value" FROM tracseq_migrate.unmapped_people ORDER BY id, "column"'
    )
    wanted = databases.rows(
        "a",
        "SELECT id, c, v FROM people, LATERAL (VALUES ('badge', badge), ('department', department)) AS k(c, v)"
        " WHERE v IS NOT NULL ORDER BY id, c",
    )
    assert kept == wanted
    assert databases.rows("b", "SELECT pair, phase FROM tracseq_migrate.phase ORDER BY pair") == [
        (name, "copied") for name in ("marks", "people", "things")
    ]

    built = build(databases.sessions, moved, epoch)

    assert any("people_chief" in each for each in built.objects)
    assert any("one_email" in each for each in built.objects) == (chunk_bytes == SMALL)
    assert_equal(databases, moved)
    only_triggers = databases.rows("b", "SELECT DISTINCT kind FROM tracseq_migrate.put_away ORDER BY kind")
    assert only_triggers == [("sequence",), ("trigger",)]

    done = revert(databases.sessions, moved, epoch)

    assert done.rows == copied.rows
    assert [catalog.shape() for catalog in people.catalogs(databases)] == before
    assert [catalog.ours for catalog in people.catalogs(databases)] == [(), ()]
    assert (rows_of(databases, "a"), rows_of(databases, "b")) == rows_before

    # And there again.
    epoch = install(databases, moved)
    assert copy(databases.sessions, moved, epoch, chunk_bytes=chunk_bytes).rows == copied.rows
    build(databases.sessions, moved, epoch)
    assert_equal(databases, moved)


def test_a_second_call_copies_nothing_and_loses_nothing(pair_of_databases: PairOfDatabases) -> None:
    moved, epoch = made(pair_of_databases)
    first = copy(pair_of_databases.sessions, moved, epoch, chunk_bytes=SMALL)
    again = copy(pair_of_databases.sessions, moved, epoch, chunk_bytes=SMALL)

    assert (again.rows, again.chunks, again.resumed_rows) == (first.rows, first.chunks, first.rows)
    assert_equal(pair_of_databases, moved)


def test_the_bounds_cut_a_table_into_ranges_that_meet(pair_of_databases: PairOfDatabases) -> None:
    moved, _ = made(pair_of_databases, count=2_000)
    with pair_of_databases.open("a") as a:
        for pair in moved.pairs:
            chunks = plan(a, pair, SMALL).chunks
            assert len(chunks) > 3
            assert [each.number for each in chunks] == list(range(len(chunks)))
            assert chunks[0].lower is None
            assert chunks[-1].upper is None
            assert [each.lower for each in chunks[1:]] == [each.upper for each in chunks[:-1]]
            assert len({each.lower for each in chunks}) == len(chunks)


def test_nothing_is_copied_where_changes_are_not_captured(pair_of_databases: PairOfDatabases) -> None:
    moved, epoch = made(pair_of_databases)
    with pair_of_databases.open("a") as a:
        capture.disable(a, moved, moved.pair("things"), "a")

    with pytest.raises(StepFailed, match="changes of things are not captured"):
        copy(pair_of_databases.sessions, moved, epoch)

    assert pair_of_databases.rows("b", "SELECT count(*) FROM people") == [(1,)]
