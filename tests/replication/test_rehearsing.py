"""The made-up people of a rehearsal: what they had acknowledged is there, and what is made to vanish is seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.replication.conftest import clusters, pair_of_databases
from tests.replication.cutover.lab import moved
from tests.replication.databases import COMBINATIONS, PairOfDatabases
from tracseq_migrate.replication.cutover import cut_over
from tracseq_migrate.replication.pair import Replication
from tracseq_migrate.replication.rehearsing import Door, Writers

__all__ = ["clusters", "pair_of_databases"]

pytestmark = pytest.mark.parametrize("pair_of_databases", COMBINATIONS[:1], indirect=True)


@pytest.fixture
def people(pair_of_databases: PairOfDatabases) -> Iterator[tuple[Writers, Replication, Door]]:
    one, door = moved(pair_of_databases), Door(holds=True)
    with Writers(pair_of_databases.sessions, count=3) as writers:
        writers.also(one, door)
        assert writers.until(150, patience=30, check=lambda: None), writers.trouble
        yield writers, one, door


def test_what_was_acknowledged_is_at_the_new_owner_and_what_vanishes_is_seen(
    pair_of_databases: PairOfDatabases, people: tuple[Writers, Replication, Door]
) -> None:
    writers, one, door = people
    cut_over(pair_of_databases.sessions, [one], "forward", door.towards("b"), by="the test")
    assert door.side == "b"
    assert writers.until(150, patience=30, check=lambda: None), writers.trouble
    writers.end()
    tally = writers.tally
    assert writers.look(patience=30) == []
    assert (tally.refused, writers.trouble) == (0, [])
    assert min(tally.inserted, tally.updated) > 0
    assert set(tally.tables) == {"a.accounts", "b.members"}

    # Behind everybody's back: one row lost, one altered, one that was there twice cannot be.
    names = [
        row[0]
        for row in pair_of_databases.rows(
            "b", "SELECT full_name FROM members WHERE full_name LIKE 'r%' LIMIT 2"
        )
    ]
    pair_of_databases.run("b", f"DELETE FROM members WHERE full_name = '{names[0]}'")
    pair_of_databases.run("b", f"UPDATE members SET cents = cents + 1 WHERE full_name = '{names[1]}'")
    found = writers.look(patience=30)
    assert len(found) == 2
    assert any("lost" in text for text in found)
    assert any("not as it was acknowledged" in text for text in found)


def test_where_nothing_holds_them_writers_are_refused_and_nothing_is_lost(
    pair_of_databases: PairOfDatabases, people: tuple[Writers, Replication, Door]
) -> None:
    writers, one, _ = people
    writers.end()
    door = Door(holds=False)
    with Writers(pair_of_databases.sessions, count=3) as others:
        others.also(one, door)
        assert others.until(50, patience=30, check=lambda: None)
        door.hold()
        assert door.settle(0.1) is None  # nobody can tell
        cut_over(pair_of_databases.sessions, [one], "forward", door.towards("b"), by="the test")
        assert others.until(50, patience=30, check=lambda: None), others.trouble
    assert others.look(patience=30) == []
