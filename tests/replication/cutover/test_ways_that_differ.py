"""Where the way there is not the inverse of the way back, both sides are equal again all the same once A owns its rows."""

from __future__ import annotations

import pytest

from tests.replication.conftest import clusters, pair_of_databases
from tests.replication.cutover.lab import Door
from tests.replication.databases import COMBINATIONS, PairOfDatabases
from tracseq_migrate.adapters.clock import SystemClock
from tracseq_migrate.replication.bringing import bring, compare_aligned
from tracseq_migrate.replication.cutover import cut_over
from tracseq_migrate.replication.opening import open_mapping

__all__ = ["clusters", "pair_of_databases"]

SCHEMA_A = """
CREATE TABLE samples (id serial PRIMARY KEY, name text NOT NULL, place text NOT NULL DEFAULT '');
INSERT INTO samples (name, place) SELECT 'sample ' || i, 'shelf ' || i FROM generate_series(1, 20) AS i;
"""
SCHEMA_B = """
CREATE TABLE samples (id serial PRIMARY KEY, name text NOT NULL, sort text NOT NULL DEFAULT 'unknown');
CREATE TABLE places (sample_id int PRIMARY KEY REFERENCES samples (id), place text NOT NULL);
"""
MAPPING = """
version: 1
tables:
  - from: samples
    to: samples
    columns:
      id: id
      name: name
      sort: {expression: "left(a.name, 6)", own: the old side never knew it}
    back:
      place: {new: "''"}
    edges:
      - {table: places, column: sample_id, then: moves, because: the entry below writes it}
  - from: samples
    to: places
    name: places
    shared: true
    key: {sample_id: id}
    columns: {sample_id: id, place: place}
"""


@pytest.mark.parametrize("pair_of_databases", COMBINATIONS[:1], indirect=True)
def test_what_only_the_new_side_knows_is_what_the_old_rows_come_to_again(
    pair_of_databases: PairOfDatabases,
) -> None:
    pair = pair_of_databases
    pair.run("a", SCHEMA_A)
    pair.run("b", SCHEMA_B)
    one = open_mapping(
        pair.sessions, database_a="a", database_b="b", file="mappings/lab.yaml", text=MAPPING, patience=20.0
    ).replication
    bring(
        pair.sessions,
        one,
        jobs=1,
        lag=1.0,
        by="the test",
        clock=SystemClock(),
        check=lambda: None,
        told=lambda text: None,
        reached=lambda stage: None,
    )
    cut_over(pair.sessions, [one], "forward", Door(), by="the test")
    # A column that the old side has no home for, and a row in one of the two tables alone.
    pair.run("b", "UPDATE samples SET sort = 'blood' WHERE id = 3")
    pair.run("b", "INSERT INTO samples (id, name) VALUES (99, 'placeless')")
    cut_over(pair.sessions, [one], "back", Door(side="b", over="a"), by="the test")
    assert pair.rows("a", "SELECT name, place FROM samples WHERE id = 99") == [("placeless", "")]

    compared = compare_aligned(pair.sessions, one, patience=20, limit=5, check=lambda: None)
    assert (compared.verdict, compared.exact) == ("equal", True), compared.tables
    assert pair.rows("b", "SELECT sort FROM samples WHERE id = 3") == [("sample",)]
    assert pair.rows("b", "SELECT place FROM places WHERE sample_id = 99") == [("",)]
