"""The six weeks' mappings through the real engines: copied, followed, compared, turned round, and taken away again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.replication.applying.pairs import Stage, turned
from tests.replication.databases import PairOfDatabases
from tests.replication.mapping.test_weeks import WEEKS, week_of
from tracseq_migrate.adapters.clock import SystemClock
from tracseq_migrate.replication import capture
from tracseq_migrate.replication.bringing import bring, compare_aligned, led, take_back
from tracseq_migrate.replication.catalog import reading as catalogs
from tracseq_migrate.replication.comparing import Comparison

CHANGES_A: Mapping[str, str] = {
    "users": """
        UPDATE users SET status = 'locked', department = repeat('D', 150) WHERE email LIKE '%7@lab.example.org';
        UPDATE users SET first_name = NULL, given_name = 'Given' WHERE email LIKE '%8@lab.example.org';
        INSERT INTO users (unc_pid, email, display_name, role) VALUES ('n-1', 'new@localhost', 'Nora New', 'lab_manager');
        DELETE FROM users WHERE email LIKE '%9@lab.example.org' AND id NOT IN
            (SELECT uploaded_by FROM spreadsheet_datasets WHERE uploaded_by IS NOT NULL);
    """,
    "samples": """
        UPDATE samples SET location = 'Freezer Z/1', status = 'completed' WHERE barcode LIKE 'TS-00002%';
        UPDATE samples SET barcode = ' ' WHERE barcode = 'TS-000030';
        INSERT INTO samples (name, barcode, location) VALUES (' ', 'new', '');
        DELETE FROM samples WHERE barcode LIKE 'TS-00004%';
    """,
    "templates": """
        UPDATE templates SET file_path = 'elsewhere', metadata = '{"category": "x"}' WHERE name LIKE 'Plate%';
        INSERT INTO templates (name, file_path, file_type) VALUES ('new', 'p', 't');
        DELETE FROM templates WHERE name LIKE 'Library%';
    """,
    "storage": """
        INSERT INTO storage_locations (name, temperature_zone, container_type) VALUES ('new one', 'RT', 'bag');
        INSERT INTO storage_movement_history (sample_id, barcode, to_location_id, to_state, movement_reason, moved_by)
            SELECT 0, 'B-9', id, 'instorage', 'r',
                '0d000000-0000-4000-8000-00000000000a' FROM storage_locations WHERE name = 'new one';
        UPDATE storage_locations SET location_path = NULL, description = NULL WHERE temperature_zone = '-80C';
        UPDATE storage_movement_history SET from_location_id = NULL, to_location_id = NULL WHERE barcode LIKE '%5';
        DELETE FROM storage_movement_history WHERE barcode LIKE '%6';
    """,
    "sequencing": """
        UPDATE sequencing_jobs SET status = 'in_progress', metadata = '{"platform": "MiSeq"}' WHERE name LIKE '%1';
        INSERT INTO sequencing_jobs (name, sample_sheet_path) VALUES ('new', 'p');
        DELETE FROM sequencing_jobs WHERE name LIKE '%2';
    """,
    "spreadsheets": """
        UPDATE spreadsheet_datasets SET upload_status = NULL, tags = '{a,"b,c"}', file_size = NULL WHERE name LIKE '%1';
        INSERT INTO spreadsheet_datasets (name, filename, file_type) VALUES ('new', 'f', 'csv');
        DELETE FROM spreadsheet_datasets WHERE name LIKE '%2';
    """,
}
CHANGES_B: Mapping[str, str] = {
    "users": """
        UPDATE users SET department = 'Pathology', last_login_at = now() WHERE email LIKE '%7@lab.example.org';
        INSERT INTO users (email, password_hash, first_name, last_name) VALUES ('b@made.example', '!', 'B', 'Made');
        DELETE FROM users WHERE email = 'new@localhost.invalid';
    """,
    "samples": """
        UPDATE samples SET name = 'renamed', status = 'in_storage' WHERE barcode LIKE 'TS-00001%';
        UPDATE sample_storage_locations SET is_current = false WHERE location_id = 'Freezer Z/1';
        INSERT INTO sample_storage_locations (sample_id, location_id) SELECT id,
            'moved' FROM samples WHERE barcode = 'TS-000020';
        INSERT INTO samples (id, name, barcode, sample_type) VALUES ('00000000-0000-0000-0000-0000000000b1',
            'b', 'b-made', 'DNA');
        INSERT INTO sample_storage_locations (sample_id, location_id) VALUES ('00000000-0000-0000-0000-0000000000b1', 'shelf');
        DELETE FROM samples WHERE barcode = 'new';
    """,
    "templates": """
        UPDATE templates SET description = 'said on B', category = 'other' WHERE name LIKE 'Plate%';
        INSERT INTO templates (name, category, template_data) VALUES ('b made', 'c', '{}');
        DELETE FROM templates WHERE name = 'new';
    """,
    "storage": """
        INSERT INTO storage_locations (id, name, zone_type, zone_identifier, temperature_range, capacity, location_metadata)
            VALUES ('00000000-0000-0000-0000-0000000000b1', 'b made', 'refrigerated', 'Z', '[2,8]', 5,
                '{"container_type": "box"}');
        INSERT INTO storage_movement_history (movement_type, to_location_id, reason, container_barcode, movement_metadata)
            VALUES ('storage', '00000000-0000-0000-0000-0000000000b1', 'r', 'B-b', '{"moved_by": "robot", "reference": "R"}');
        UPDATE storage_locations SET occupied = 1 WHERE name = 'new one';
        DELETE FROM storage_movement_history WHERE container_barcode = 'B-9';
    """,
    "sequencing": """
        UPDATE sequencing_jobs SET status = 'completed', notes = 'own' WHERE job_name LIKE '%1';
        INSERT INTO sequencing_jobs (job_id, job_name, status, run_type, platform) VALUES ('J', 'b',
            'queued', 'exome', 'ion_torrent');
        DELETE FROM sequencing_jobs WHERE job_name = 'new';
    """,
    "spreadsheets": """
        UPDATE spreadsheet_versions SET status = 'published', row_count = 5 WHERE name LIKE '%1';
        INSERT INTO spreadsheet_versions (spreadsheet_id, version_number, name, filename, file_type,
            content_hash, file_size_bytes)
            VALUES (gen_random_uuid(), 1, 'b', 'f', 'csv', 'h', 9);
        DELETE FROM spreadsheet_versions WHERE name = 'new';
    """,
}


def _all_rows(databases: PairOfDatabases, side: str) -> dict[str, list[Any]]:
    names = databases.rows(
        side, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    return {
        name: sorted(databases.rows(side, f'SELECT t::text FROM public."{name}" t'))
        for (name,) in names
    }  # fmt: skip


def _told(comparison: Comparison) -> Any:
    return comparison.document()["tables"]


@pytest.mark.parametrize("name", WEEKS)
def test_alive_turned_round_and_taken_away(pair_of_databases: PairOfDatabases, name: str) -> None:
    databases = pair_of_databases
    _, replication = week_of(databases, name)
    before_b = _all_rows(databases, "b")
    with databases.open("a") as a, databases.open("b") as b:
        shapes = {"a": catalogs.read(a).shape(), "b": catalogs.read(b).shape()}

    def compared() -> Comparison:
        return compare_aligned(databases.sessions, replication, patience=30, values=True, check=lambda: None)

    bring(
        databases.sessions,
        replication,
        jobs=2,
        lag=1.0,
        by="a test",
        clock=SystemClock(),
        check=lambda: None,
        told=lambda _: None,
        reached=lambda _: None,
    )
    first = compared()
    assert first.verdict == "equal", _told(first)
    databases.run("a", CHANGES_A[name])
    second = compared()
    assert second.verdict == "equal", _told(second)
    assert second.digest != first.digest

    # The service owns the rows now, and people work there; every change finds its way into the monolith.
    stage = Stage(databases, replication)
    with databases.open("b") as b:
        for pair in replication.pairs:
            capture.create(b, replication, pair, "b", enabled=False)
    turned(stage, "back")
    for pair in replication.pairs:  # a cutover does this with the side that it closes
        for trigger in pair.a.triggers:
            databases.run("a", f'ALTER TABLE {pair.a.relation} DISABLE TRIGGER "{trigger.name}"')
    databases.run("b", CHANGES_B[name])
    [(epoch,)] = databases.rows("b", "SELECT epoch FROM tracseq_migrate.ownership")
    with led(databases.sessions, replication, "back", epoch, check=lambda: None) as applier:
        assert applier.drain().read > 0
    third = compared()
    assert third.verdict == "equal", _told(third)

    for pair in replication.pairs:
        for trigger in pair.a.triggers:
            databases.run("a", f'ALTER TABLE {pair.a.relation} ENABLE TRIGGER "{trigger.name}"')
    turned(stage, "forward")
    if (
        name == "samples"
    ):  # places of the past are the service's own: whoever reverts after it was open decides on them first
        databases.run("b", "DELETE FROM sample_storage_locations WHERE NOT is_current")
    after_a = _all_rows(databases, "a")
    take_back(databases.sessions, replication, by="a test", before=shapes, told=lambda _: None)
    assert _all_rows(databases, "a") == after_a
    left = _all_rows(databases, "b")
    moved = {pair.b.name for pair in replication.pairs}
    assert {table: rows for table, rows in left.items() if table in moved} == {
        table: rows for table, rows in before_b.items() if table in moved
    }
    assert databases.rows("a", "SELECT 1 FROM pg_namespace WHERE nspname = 'tracseq_migrate'") == []
