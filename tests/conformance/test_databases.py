"""Databases: what every implementation promises, over the fake and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.real_parts import Postgres, postgres
from tracseq_migrate.adapters.memory.databases import MemoryDatabases
from tracseq_migrate.adapters.postgres.databases import PostgresDatabases
from tracseq_migrate.ports import Databases, Unreachable

LONG = 60.0


@dataclass
class World:
    databases: Databases
    table: str
    notes: str
    rename_two: Callable[[], None]
    add_three: Callable[[], None]
    delete_one: Callable[[], None]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["memory", "real"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        fake = MemoryDatabases(
            {
                "storage": {
                    "places": [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}],
                    "notes": [{"text": "same"}, {"text": "same"}],
                }
            }
        )
        fake.keys["storage", "notes"] = ()
        rows = fake.tables["storage"]["places"]
        return World(
            fake,
            "places",
            "notes",
            lambda: rows[1].update(name="deux"),
            lambda: rows.append({"id": 3, "name": "three"}),
            lambda: rows.remove(rows[0]),
        )
    server: Postgres = request.getfixturevalue("server")
    name = server.create()
    server.sql(
        name,
        "CREATE TABLE places (id integer PRIMARY KEY, name text)",
        "INSERT INTO places VALUES (1, 'one'), (2, 'two')",
        "CREATE TABLE notes (text text)",
        "INSERT INTO notes VALUES ('same'), ('same')",
    )
    return World(
        PostgresDatabases({"storage": server.dsn(name)}),
        "public.places",
        "public.notes",
        lambda: server.sql(name, "UPDATE places SET name = 'deux' WHERE id = 2"),
        lambda: server.sql(name, "INSERT INTO places VALUES (3, 'three')"),
        lambda: server.sql(name, "DELETE FROM places WHERE id = 1"),
    )


def test_names(world: World) -> None:
    assert list(world.databases.names) == ["storage"]


def test_a_manifest_lists_every_row_by_key(world: World) -> None:
    manifest = world.databases.manifest("storage", timeout=LONG)
    assert manifest.database == "storage"
    assert set(manifest.tables) == {world.table, world.notes}
    places = manifest.tables[world.table]
    assert (places.key, set(places.rows)) == (("id",), {"[1]", "[2]"})
    assert len(set(places.rows.values())) == 2


def test_nothing_changed_is_the_same_manifest(world: World) -> None:
    assert world.databases.manifest("storage", timeout=LONG) == world.databases.manifest(
        "storage", timeout=LONG
    )


def test_what_was_written_since_shows(world: World) -> None:
    before = world.databases.manifest("storage", timeout=LONG).tables[world.table].rows
    world.rename_two()
    world.add_three()
    world.delete_one()
    after = world.databases.manifest("storage", timeout=LONG).tables[world.table].rows
    assert set(after) - set(before) == {"[3]"}
    assert set(before) - set(after) == {"[1]"}
    assert [key for key in before if key in after and before[key] != after[key]] == ["[2]"]


def test_rows_come_whole_in_the_order_of_the_keys(world: World) -> None:
    rows = world.databases.rows("storage", world.table, ["[2]", "[9]", "[1]", "[2]"], timeout=LONG)
    assert rows == [{"id": 2, "name": "two"}, {"id": 1, "name": "one"}]


def test_rows_without_a_key_are_told_apart(world: World) -> None:
    notes = world.databases.manifest("storage", timeout=LONG).tables[world.notes]
    assert (notes.key, len(notes.rows)) == ((), 2)
    assert (
        world.databases.rows("storage", world.notes, list(notes.rows), timeout=LONG) == [{"text": "same"}] * 2
    )


def test_what_is_not_there_is_unreachable(world: World) -> None:
    with pytest.raises(Unreachable, match=r"database stranger: .*none of this name"):
        world.databases.manifest("stranger", timeout=LONG)
    with pytest.raises(Unreachable, match="has no table elsewhere"):
        world.databases.rows("storage", "elsewhere", ["[1]"], timeout=LONG)
