"""The six weeks' mappings against the real tables and the awkward rows: there, compared, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.replication.databases import PairOfDatabases
from tests.replication.mapping.moving import ROOT, come_back, compiled, make_ids, move, rows_of, texts
from tracseq_migrate.replication.catalog import reading as catalogs
from tracseq_migrate.replication.mapping.reading import Source, read
from tracseq_migrate.replication.mapping.trying import try_mapping
from tracseq_migrate.replication.pair import Replication
from tracseq_migrate.replication.prescan import prescan
from tracseq_migrate.replication.refusals import refusals
from tracseq_migrate.sandbox import databases as sandbox

WEEKS: Mapping[str, str] = {
    "users": "auth",
    "samples": "samples",
    "templates": "templates",
    "storage": "storage",
    "sequencing": "sequencing",
    "spreadsheets": "spreadsheets",
}
"""Mapping -> the service's database."""


def _deploy(pair: PairOfDatabases, database: str) -> None:
    """What the plan's own scripts add to a service's tables before anything moves."""
    for script in sorted((ROOT / "sql" / database).glob("*.sql")):
        found = re.search(r"^-- deploy\n(.*?)^-- ", script.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        assert found, script
        pair.run("b", found[1])


def week_of(pair: PairOfDatabases, name: str) -> tuple[Source, Replication]:
    sandbox.create("main", pair.dsns["a"], seed=7, users=40)
    sandbox.create(WEEKS[name], pair.dsns["b"], seed=7, users=0)
    _deploy(pair, WEEKS[name])
    file = ROOT / "weeks" / "mappings" / f"{name}.yaml"
    source = read(file.read_bytes(), f"weeks/mappings/{name}.yaml")
    return source, compiled(pair, source, name=name)


@pytest.mark.parametrize("name", WEEKS)
def test_there_and_back(pair_of_databases: PairOfDatabases, name: str) -> None:
    source, replication = week_of(pair_of_databases, name)
    with pair_of_databases.open("a") as a, pair_of_databases.open("b") as b:
        assert try_mapping(source, replication, a, b) == []
        told = prescan(a, b, replication)
        assert [each for each in told if each.count] == []
        refused = refusals(replication, catalogs.read(a), catalogs.read(b), a, b)
        assert [each for each in refused if each.grade == "refused"] == []
    make_ids(pair_of_databases, replication)
    for pair in replication.pairs:
        before = rows_of(pair_of_databases, pair)
        assert move(pair_of_databases, pair) == len(before) > 0
        of_a, of_b = texts(pair_of_databases, pair)
        assert of_a == of_b
        assert len(of_a) == len(before)
        # Nobody touched a row: the monolith's is what it was, to the last character, whatever was narrowed on the way.
        back, refused_rows = come_back(pair_of_databases, pair)
        assert refused_rows == []
        assert sorted(map(repr, back)) == sorted(map(repr, before))


def test_users_keep_what_the_service_has_no_room_for(pair_of_databases: PairOfDatabases) -> None:
    _, replication = week_of(pair_of_databases, "users")
    [pair] = replication.pairs
    move(pair_of_databases, pair)
    found = dict(
        pair_of_databases.rows(
            "b",
            "SELECT email, concat_ws('|', first_name, last_name, role, status, password_hash = '!', length(department),"
            " created_at = 'epoch') FROM users WHERE email !~ '@lab.example.org' OR email ~ '^[a-z]\\.[a-z]+@'",
        )
    )
    assert found["guest@localhost.invalid"] == "Guest|Account|guest|inactive|f|f"
    assert found["r.sso@university.example.edu"] == "Rosa|Sso|research_scientist|active|t|f"
    assert found["v.display@university.example.edu"] == "Vera|von Display|guest|inactive|t|f"
    assert found["s.locked@lab.example.org"] == "Sven|Locked|research_scientist|suspended|f|f"
    assert found["d.long@lab.example.org"] == "Dora|Long|data_analyst|suspended|f|100|f"
    assert found["i.undated@lab.example.org"].endswith("|f|t")
    # A person changes what was cut: the change comes back, and what nobody touched stays whole.
    pair_of_databases.run(
        "b", "UPDATE users SET department = 'Pathology' WHERE email = 'd.long@lab.example.org'"
    )
    pair_of_databases.run(
        "b", "UPDATE users SET phone = '+1 555 01' WHERE email = 'm.manager@lab.example.org'"
    )
    back, refused = come_back(pair_of_databases, pair)
    assert refused == []
    rows = {row["email"]: row for row in back}
    assert rows["d.long@lab.example.org"]["department"] == "Pathology"
    assert rows["m.manager@lab.example.org"]["role"] == "lab_manager"
    assert len(rows["m.manager@lab.example.org"]["position"]) > 100
    assert rows["guest@localhost"]["status"] == "pending_verification"


def test_what_has_no_way_back_is_refused_by_name(pair_of_databases: PairOfDatabases) -> None:
    _, replication = week_of(pair_of_databases, "samples")
    samples = replication.pair("samples")
    move(pair_of_databases, samples)
    long = "TS-" + "9" * 60
    pair_of_databases.run(
        "b",
        "INSERT INTO samples (name, barcode, sample_type, status) VALUES ('n', 'fits', 'DNA', 'failed'),"
        f" ('n', '{long}', 'DNA', 'pending'), ('n', 'good', 'DNA', 'pending')",
    )
    back, refused = come_back(pair_of_databases, samples)
    assert sorted(name for name, _ in refused) == ["barcode", "status"]
    assert all(why for _, why in refused)
    [made] = [row for row in back if row["barcode"] == "good"]
    assert (made["location"], made["status"], made["metadata"]) == ("", "pending", "{}")


def test_a_movement_that_was_made_on_the_service_finds_its_number(pair_of_databases: PairOfDatabases) -> None:
    _, replication = week_of(pair_of_databases, "storage")
    make_ids(pair_of_databases, replication)
    locations, movements = replication.pairs
    assert (locations.name, movements.name) == ("storage_locations", "storage_movement_history")
    move(pair_of_databases, locations)
    move(pair_of_databases, movements)
    pair_of_databases.run(
        "b",
        "INSERT INTO storage_movement_history (movement_type, to_location_id, moved_by, reason, container_barcode,"
        " movement_metadata) SELECT 'storage', id, NULL, 'new', 'B-1', '{\"reference\": \"R-1\", \"moved_by\": \"robot\"}'"
        " FROM storage_locations WHERE name = 'Freezer A'",
    )
    back, refused = come_back(pair_of_databases, movements)
    assert refused == []
    [made] = [row for row in back if row["notes"] == "R-1"]
    [(freezer,)] = pair_of_databases.rows(
        "a", "SELECT id::text FROM storage_locations WHERE name = 'Freezer A'"
    )
    assert made["to_location_id"] == freezer
    assert (made["moved_by"], made["sample_id"], made["to_state"]) == ("robot", "0", "instorage")
    assert made["id"] is None  # the applier draws it from the sequence, and writes it into the map first
    # Capacity 0 is allowed over there, and refused here.
    pair_of_databases.run(
        "b", "UPDATE storage_locations SET capacity = 0, occupied = 0 WHERE name = 'Cold room'"
    )
    _, refused = come_back(pair_of_databases, locations)
    assert [(name, "capacity_positive" in why) for name, why in refused] == [("capacity", True)]
