"""The tables have the shapes of the real system: each fact that a move of data has to cope with, asked of the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.apps_world import Laboratory, laboratory
from tracseq_migrate.sandbox.databases import DATABASES, create

NOT_NULL, CHECK, UNIQUE, FOREIGN, TOO_LONG, NO_LABEL, RAISED = (
    "23502", "23514", "23505", "23503", "22001", "22P02", "P0001",
)  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with laboratory(tmp_path_factory.mktemp("schema"), users=3) as made:
        yield made


def columns(lab: Laboratory, database: str, table: str) -> dict[str, tuple[str, int | None, bool, Any]]:
    """Column -> (type, length, nullable, default)."""
    rows = lab.sql(
        database,
        """SELECT column_name, udt_name, character_maximum_length, is_nullable = 'YES', column_default
           FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s""",
        table,
    )
    return {name: (kind, length, nullable, default) for name, kind, length, nullable, default in rows}


def labels(lab: Laboratory, database: str, enum: str) -> set[str]:
    found = lab.sql(
        database,
        "SELECT enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid WHERE t.typname = %s",
        enum,
    )
    return {str(label) for (label,) in found}


ROLES = {
    "lab_administrator",
    "principal_investigator",
    "lab_technician",
    "research_scientist",
    "data_analyst",
    "guest",
}


@pytest.mark.parametrize(
    ("database", "enum", "expected"),
    [
        ("main", "user_role", ROLES | {"admin", "lab_manager", "researcher", "viewer"}),
        ("auth", "user_role", ROLES),
        ("main", "user_status", {"active", "inactive", "locked", "pending_verification", "suspended", "pending"}),
        ("auth", "user_status", {"active", "inactive", "suspended", "deleted"}),
        ("main", "sample_status", {"pending", "validated", "in_storage", "in_sequencing", "completed"}),
        ("samples", "sample_status", {"pending", "validated", "in_storage", "in_sequencing", "completed",
                                      "failed", "rejected", "archived", "deleted"}),
        ("main", "temperature_zone", {"-80C", "-20C", "4C", "RT", "37C"}),
        ("storage", "storage_zone_type", {"ultra_low_freezer", "standard_freezer", "refrigerated", "room_temperature",
                                          "incubator"}),
        ("main", "job_status", {"pending", "in_progress", "completed", "failed"}),
        ("sequencing", "job_status", {"draft", "queued", "running", "completed", "failed", "cancelled", "paused"}),
    ],
)  # fmt: skip
def test_enums_have_the_labels_of_their_side(
    lab: Laboratory, database: str, enum: str, expected: set[str]
) -> None:
    assert labels(lab, database, enum) == expected


def test_users_are_nullable_on_the_old_side_and_not_on_the_new(lab: Laboratory) -> None:
    old, new = columns(lab, "main", "users"), columns(lab, "auth", "users")
    for name in (
        *("password_hash", "first_name", "last_name", "email_verified", "failed_login_attempts"),
        *("created_at", "updated_at"),
    ):
        assert old[name][2], f"{name} may be NULL in the monolith"
        assert not new[name][2], f"{name} may not be NULL in the service"


def test_texts_of_users_shrink(lab: Laboratory) -> None:
    old, new = columns(lab, "main", "users"), columns(lab, "auth", "users")
    assert [old[name][1] for name in ("department", "position", "lab_affiliation")] == [200, 255, 255]
    assert [new[name][1] for name in ("department", "position", "lab_affiliation")] == [100, 100, 100]


def test_columns_of_users_that_are_renamed_or_without_a_home(lab: Laboratory) -> None:
    old, new = columns(lab, "main", "users"), columns(lab, "auth", "users")
    assert "last_login" in old
    assert "last_login" not in new
    assert "last_login_at" in new
    homeless = {
        *(
            "unc_pid",
            "eppn",
            "display_name",
            "affiliation",
            "title",
            "permissions",
            "preferences",
            "metadata",
        ),
        *("created_by", "office_location", "given_name", "family_name"),
    }
    assert homeless <= set(old)
    assert not homeless & set(new)


def test_users_refer_to_each_other_only_in_the_monolith(lab: Laboratory) -> None:
    absent = "99999999-0000-4000-8000-000000000000"
    assert lab.state("main", "UPDATE users SET created_by = %s", absent) == FOREIGN
    assert lab.state("main", "UPDATE users SET created_by = id") == ""


@pytest.mark.parametrize(
    ("email", "state"),
    [("a.b+c@lab.example.org", ""), ("UPPER@LAB.ORG", ""), ("nobody@localhost", CHECK), ("no-at.example.org", CHECK),
     ("a@b.c", CHECK), ("two@@example.org", CHECK)],
)  # fmt: skip
def test_only_the_service_looks_at_addresses(lab: Laboratory, email: str, state: str) -> None:
    insert = "INSERT INTO users (email, password_hash, first_name, last_name) VALUES (%s, 'x', 'A', 'B')"
    assert lab.state("auth", insert, email) == state
    assert lab.state("main", "INSERT INTO users (unc_pid, email) VALUES ('new', %s)", email) == ""


def test_a_user_of_the_monolith_needs_a_personal_id(lab: Laboratory) -> None:
    assert lab.state("main", "INSERT INTO users (email) VALUES ('a@example.org')") == NOT_NULL


def test_too_many_failed_sign_ins_lock_an_account_of_the_service(lab: Laboratory) -> None:
    lab.sql("auth", "UPDATE users SET failed_login_attempts = 5 WHERE email = 'admin@lab.local'")
    found = lab.sql("auth", "SELECT locked_until > now() FROM users WHERE email = 'admin@lab.local'")
    assert found == [(True,)]
    lab.sql(
        "auth",
        "UPDATE users SET failed_login_attempts = 0, locked_until = NULL WHERE email = 'admin@lab.local'",
    )


@pytest.fixture
def sample(lab: Laboratory) -> Iterator[str]:
    """A pending sample in the service's database, whose clock of changes was set back."""
    lab.sql(
        "samples",
        """INSERT INTO samples (name, barcode, sample_type, updated_at)
           VALUES ('N', 'S-1', 'DNA', '2020-01-01Z')""",
    )
    yield "S-1"
    lab.sql("samples", "DELETE FROM samples WHERE barcode = 'S-1'")


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [("pending", "in_storage", RAISED), ("pending", "validated", ""), ("pending", "completed", RAISED),
     ("validated", "in_storage", ""), ("validated", "pending", RAISED), ("in_sequencing", "failed", ""),
     ("completed", "archived", ""), ("archived", "pending", RAISED), ("failed", "pending", "")],
)  # fmt: skip
def test_the_sample_service_refuses_some_moves_of_status(
    lab: Laboratory, sample: str, before: str, after: str, state: str
) -> None:
    lab.sql("samples", "DELETE FROM samples WHERE barcode = %s", sample)
    lab.sql(
        "samples",
        "INSERT INTO samples (name, barcode, sample_type, status) VALUES ('N', %s, 'DNA', %s)",
        sample,
        before,
    )
    assert lab.state("samples", "UPDATE samples SET status = %s WHERE barcode = %s", after, sample) == state


def test_the_monolith_allows_every_move_of_status(lab: Laboratory) -> None:
    assert lab.state("main", "UPDATE samples SET status = 'in_storage' WHERE status = 'pending'") == ""


def test_the_sample_service_overwrites_the_time_of_change(lab: Laboratory, sample: str) -> None:
    lab.sql("samples", "UPDATE samples SET updated_at = '2020-01-02Z' WHERE barcode = %s", sample)
    ((recent,),) = lab.sql(
        "samples", "SELECT updated_at > now() - interval '1 hour' FROM samples WHERE barcode = %s", sample
    )
    assert recent


def test_a_sample_that_leaves_the_storage_leaves_its_place(lab: Laboratory, sample: str) -> None:
    lab.sql(
        "samples",
        "INSERT INTO sample_storage_locations (sample_id, location_id) SELECT id, 'F1' FROM samples",
    )
    for status in ("validated", "in_storage", "in_sequencing"):
        lab.sql("samples", "UPDATE samples SET status = %s WHERE barcode = %s", status, sample)
    assert lab.sql("samples", "SELECT is_current FROM sample_storage_locations") == [(False,)]
    ((moves,),) = lab.sql("samples", "SELECT count(*) FROM sample_status_history")
    assert moves == 3


@pytest.mark.parametrize("column", ["name", "barcode", "sample_type"])
def test_blanks_are_refused_by_the_sample_service(lab: Laboratory, sample: str, column: str) -> None:
    assert lab.state("samples", f"UPDATE samples SET {column} = '  ' WHERE barcode = %s", sample) == CHECK


def test_samples_differ_in_what_they_need(lab: Laboratory) -> None:
    old, new = columns(lab, "main", "samples"), columns(lab, "samples", "samples")
    assert "location" in old
    assert "location" not in new
    assert "location_id" in columns(lab, "samples", "sample_storage_locations")
    assert "sample_type" not in old
    assert not new["sample_type"][2]
    assert (old["barcode"][1], new["barcode"][1]) == (50, 100)


def test_a_template_of_the_service_is_a_draft_unless_told_otherwise(lab: Laboratory) -> None:
    old, new = columns(lab, "main", "templates"), columns(lab, "templates", "templates")
    assert not new["category"][2]
    assert not new["template_data"][2]
    assert "'draft'" in new["status"][3]
    assert {"file_path", "file_type"} <= set(old)
    assert not {"file_path", "file_type"} & set(new)


def test_places_are_numbered_on_the_old_side_and_uuids_on_the_new(lab: Laboratory) -> None:
    old, new = columns(lab, "main", "storage_locations"), columns(lab, "storage", "storage_locations")
    assert (old["id"][0], new["id"][0]) == ("int4", "uuid")
    assert "nextval" in old["id"][3]
    for name in ("zone_type", "zone_identifier", "temperature_range"):
        assert name not in old
        assert not new[name][2]
        assert new[name][3] is None
    assert {"capacity", "current_usage"} <= set(old)
    assert {"capacity", "occupied"} <= set(new)


def test_stored_samples_are_joined_by_barcode_only(lab: Laboratory) -> None:
    assert columns(lab, "main", "sample_locations")["sample_id"][0] == "int4"
    assert columns(lab, "main", "samples")["id"][0] == "uuid"
    ((joined, stored),) = lab.sql(
        "main",
        "SELECT count(s.id), count(*) FROM sample_locations l LEFT JOIN samples s ON s.barcode = l.barcode",
    )
    assert 0 < joined < stored


def test_movements_differ_in_their_ends_and_their_movers(lab: Laboratory) -> None:
    old = columns(lab, "main", "storage_movement_history")
    new = columns(lab, "storage", "storage_movement_history")
    assert (old["moved_by"][0], new["moved_by"][0]) == ("varchar", "uuid")
    assert old["from_location_id"][2]
    assert old["to_location_id"][2]
    nowhere = "INSERT INTO storage_movement_history (movement_type) VALUES ('storage')"
    assert lab.state("storage", nowhere) == CHECK
    assert lab.state(
        "main",
        """INSERT INTO storage_movement_history (sample_id, barcode, to_state, movement_reason, moved_by)
           VALUES (1, 'B', 'instorage', 'r', 'm')""",
    ) == ""  # fmt: skip


def test_jobs_need_more_on_the_new_side_and_lose_something(lab: Laboratory) -> None:
    old, new = columns(lab, "main", "sequencing_jobs"), columns(lab, "sequencing", "sequencing_jobs")
    assert "name" in old
    assert "job_name" in new
    for name in ("job_id", "run_type", "platform"):
        assert not new[name][2]
        assert new[name][3] is None
    assert {"sample_sheet_path", "metadata"} <= set(old)
    assert not {"sample_sheet_path", "metadata"} & set(new)
    insert = (
        "INSERT INTO sequencing_jobs (job_id, job_name, run_type, platform)"
        " SELECT 'J', 'N' || n, 'exome', 'ion_torrent' FROM generate_series(1, %s) n"
    )
    assert lab.state("sequencing", insert, 1) == ""
    assert lab.state("sequencing", insert, 2) == UNIQUE


@pytest.mark.parametrize("status", ["pending", "in_progress"])
def test_states_of_jobs_without_a_counterpart(lab: Laboratory, status: str) -> None:
    insert = (
        "INSERT INTO sequencing_jobs (job_id, job_name, run_type, platform, status)"
        " VALUES ('J', 'N', 'exome', 'ion_torrent', %s)"
    )
    assert lab.state("sequencing", insert, status) == NO_LABEL


def test_spreadsheets_need_a_digest_and_a_size_that_nobody_has(lab: Laboratory) -> None:
    old, new = (
        columns(lab, "main", "spreadsheet_datasets"),
        columns(lab, "spreadsheets", "spreadsheet_versions"),
    )
    for name in ("content_hash", "file_size_bytes"):
        assert name not in old
        assert not new[name][2]
        assert new[name][3] is None
    assert old["file_size"][2]
    absent = "99999999-0000-4000-8000-000000000000"
    assert lab.state("main", "UPDATE spreadsheet_datasets SET uploaded_by = %s", absent) == FOREIGN


def test_what_does_not_fit_on_the_way_back(lab: Laboratory) -> None:
    for status in ("failed", "rejected", "archived", "deleted"):
        assert lab.state("main", "UPDATE samples SET status = %s", status) == NO_LABEL
    assert lab.state("main", "UPDATE samples SET barcode = repeat('X', 51)") == TOO_LONG
    for status in ("queued", "running", "cancelled", "paused", "draft"):
        assert lab.state("main", "UPDATE sequencing_jobs SET status = %s", status) == NO_LABEL


@pytest.mark.parametrize("database", sorted(DATABASES))
def test_no_database_needs_an_extension(lab: Laboratory, database: str) -> None:
    assert lab.sql(database, "SELECT extname FROM pg_extension") == [("plpgsql",)]


@pytest.mark.parametrize("database", sorted(DATABASES))
def test_every_table_has_a_primary_key(lab: Laboratory, database: str) -> None:
    """Rows are told apart by it, by the tool and by anybody who replicates."""
    without = """SELECT relname FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
                 AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)"""
    tables = """SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"""
    assert lab.sql(database, without) == []
    assert lab.sql(database, tables) != [(0,)]


def test_a_database_that_is_not_empty_is_refused_and_left_as_it_was(lab: Laboratory) -> None:
    before = lab.sql("auth", "SELECT * FROM users")
    with pytest.raises(Exception, match="already exists"):
        create("auth", lab.dsns["auth"], seed=1, users=0)
    assert lab.sql("auth", "SELECT * FROM users") == before
    with pytest.raises(KeyError):
        create("nothing", lab.dsns["auth"], seed=1, users=0)
