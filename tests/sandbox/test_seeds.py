"""What the databases hold at first: the awkward rows that the real ones have, the same for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.sandbox.apps_world import Laboratory, laboratory
from tracseq_migrate.sandbox.apps.passwords import check_password
from tracseq_migrate.sandbox.databases import DATABASES
from tracseq_migrate.sandbox.seeds.rows import PASSWORD
from tracseq_migrate.sandbox.seeds.users import AWKWARD

USERS = 40


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with laboratory(tmp_path_factory.mktemp("seeds"), users=USERS) as made:
        yield made


def naive_move(lab: Laboratory, emails: list[str]) -> dict[str, str]:
    """Move users row by row, each column to the one of the same name and nothing else; address -> SQLSTATE, or empty.

    A row at a time, so that each is refused or taken for itself. Nothing is kept.
    """
    outcome: dict[str, str] = {}
    with psycopg.connect(lab.dsns["main"]) as old, psycopg.connect(lab.dsns["auth"], autocommit=True) as new:
        columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'users' AND table_schema = 'public'"
        theirs = {name for (name,) in new.execute(columns)}
        common = [name for (name,) in old.execute(columns) if name in theirs]
        for email in emails:
            selected = ", ".join(f"{name}::text" for name in common)
            row = old.execute(f"SELECT {selected} FROM users WHERE email = %s".encode(), [email]).fetchone()
            assert row is not None
            insert = f"INSERT INTO users ({', '.join(common)}) VALUES ({', '.join(['%s'] * len(common))})"
            try:
                with new.transaction(force_rollback=True):
                    new.execute(insert.encode(), row)
                outcome[email] = ""
            except psycopg.Error as error:
                outcome[email] = error.sqlstate or "?"
    return outcome


def test_of_eleven_users_a_naive_move_gets_two_across(lab: Laboratory) -> None:
    outcome = naive_move(lab, [special["email"] for special in AWKWARD])
    assert len(outcome) == 11
    assert [email for email, state in outcome.items() if not state] == [
        "p.investigator@lab.example.org",
        "t.selfmade@lab.example.org",
    ]


def test_each_of_the_others_is_refused_for_its_own_reason(lab: Laboratory) -> None:
    outcome = naive_move(lab, [special["email"] for special in AWKWARD])
    assert {email.split("@")[0]: state for email, state in outcome.items() if state} == {
        "admin": "23505",  # the address belongs to the target's own administrator
        "r.sso": "22P02",  # a role that is none any more; without names and password besides
        "v.display": "22P02",
        "s.locked": "22P02",  # a state that is none
        "d.long": "22001",  # a department that is too long
        "guest": "22P02",  # a state that is none; an address that is none besides
        "a.root": "22P02",
        "m.manager": "22P02",
        "i.undated": "23502",  # no dates
    }


def test_the_awkward_users_have_every_role_and_every_state(lab: Laboratory) -> None:
    emails = [special["email"] for special in AWKWARD]
    awkward = "FROM users WHERE email = ANY(%s)"
    ((roles, states),) = lab.sql(
        "main", f"SELECT count(DISTINCT role), count(DISTINCT status) {awkward}", emails
    )
    assert (roles, states) == (10, 6)


@pytest.mark.parametrize(
    ("what", "condition", "number"),
    [
        ("single sign-on: neither password nor names", "password_hash IS NULL AND first_name IS NULL", 2),
        ("whose names are in other columns", "given_name IS NOT NULL AND first_name IS NULL", 1),
        ("whose name is only the one shown", "display_name IS NOT NULL AND password_hash IS NULL AND given_name IS NULL", 1),
        ("with a department that does not fit", "length(department) > 100", 1),
        ("with a position that does not fit", "length(position) > 100", 1),
        ("with an affiliation that does not fit", "length(lab_affiliation) > 100", 1),
        ("without dates", "created_at IS NULL AND updated_at IS NULL", 1),
        ("with flags that were never set", "email_verified IS NULL AND failed_login_attempts IS NULL", 1),
        ("with an address without a domain", "email !~ '\\.'", 1),
        ("who made themselves", "created_by = id", 1),
        ("made by somebody else", "created_by <> id", 2 + USERS),
        ("locked out", "locked_until IS NOT NULL AND status = 'locked'", 1),
    ],
)  # fmt: skip
def test_users(lab: Laboratory, what: str, condition: str, number: int) -> None:
    assert lab.sql("main", f"SELECT count(*) FROM users WHERE {condition}") == [(number,)], what


def test_as_many_ordinary_users_as_asked_for(lab: Laboratory) -> None:
    assert lab.sql("main", "SELECT count(*) FROM users") == [(11 + USERS,)]


def test_ordinary_users_fit_but_for_their_role_and_their_state(lab: Laboratory) -> None:
    awkward = [special["email"] for special in AWKWARD]
    ordinary = [
        email for (email,) in lab.sql("main", "SELECT email FROM users WHERE email <> ALL(%s)", awkward)
    ]
    outcome = naive_move(lab, ordinary)
    assert set(outcome.values()) <= {"", "22P02"}
    assert list(outcome.values()).count("") > USERS / 2


def test_whoever_was_told_who_made_it_was_not_changed_since(lab: Laboratory) -> None:
    assert lab.sql("main", "SELECT count(*) FROM users WHERE updated_at IS DISTINCT FROM created_at") == [
        (0,)
    ]
    trigger = "SELECT tgenabled FROM pg_trigger WHERE tgname = 'users_touch'"
    assert lab.sql("main", trigger) == [("O",)]


def test_every_password_is_the_known_one(lab: Laboratory) -> None:
    hashes = [
        stored
        for (stored,) in lab.sql("main", "SELECT password_hash FROM users WHERE password_hash IS NOT NULL")
    ]
    assert len(set(hashes)) == len(hashes) == 9 + USERS
    assert all(check_password(PASSWORD, stored) for stored in hashes)


@pytest.mark.parametrize(
    ("what", "query", "number"),
    [
        ("samples with a blank name", "samples WHERE trim(name) = ''", 2),
        ("samples with a blank barcode", "samples WHERE trim(barcode) = ''", 1),
        ("samples with a barcode of full length", "samples WHERE length(barcode) = 50", 1),
        ("samples in no place", "samples WHERE location = ''", 1),
        ("samples whose kind is nowhere", "samples WHERE NOT metadata ? 'sample_type'", 19),
        ("places of every zone", "(SELECT DISTINCT temperature_zone FROM storage_locations) z", 5),
        ("places that are full", "storage_locations WHERE current_usage = capacity", 1),
        ("places out of use", "storage_locations WHERE NOT is_active", 1),
        ("movements from nowhere to nowhere",
         "storage_movement_history WHERE from_location_id IS NULL AND to_location_id IS NULL", 1),
        ("movements by a name that is no user's", "storage_movement_history WHERE moved_by IN ('system', 'lab-robot')", 24),
        ("stored samples that are gone", "sample_locations l WHERE NOT EXISTS "
         "(SELECT FROM samples s WHERE s.barcode = l.barcode)", 1),
        ("jobs in a state without a counterpart", "sequencing_jobs WHERE status IN ('pending', 'in_progress')", 10),
        ("spreadsheets of unknown size", "spreadsheet_datasets WHERE file_size IS NULL", 3),
        ("spreadsheets that nobody uploaded", "spreadsheet_datasets WHERE uploaded_by IS NULL", 2),
        ("notifications by a channel that the service does not know", "notifications WHERE channel = 'pager'", 5),
        ("templates of the name that the target brings", "templates WHERE name = 'Sample Submission Form'", 1),
    ],
)  # fmt: skip
def test_the_laboratory(lab: Laboratory, what: str, query: str, number: int) -> None:
    assert lab.sql("main", f"SELECT count(*) FROM {query}") == [(number,)], what


def test_samples_are_in_every_state(lab: Laboratory) -> None:
    assert lab.sql("main", "SELECT count(DISTINCT status) FROM samples") == [(5,)]


def test_business_keys_are_unique(lab: Laboratory) -> None:
    for table, key in {
        "templates": "name",
        "sequencing_jobs": "name",
        "spreadsheet_datasets": "filename",
        "notifications": "title",
        "storage_movement_history": "notes",
    }.items():
        assert lab.sql("main", f"SELECT count({key}) - count(DISTINCT {key}) FROM {table}") == [(0,)], table


def test_new_rows_get_numbers_after_the_seeded_ones(lab: Laboratory) -> None:
    for table in ("storage_locations", "sample_locations", "storage_movement_history", "notifications"):
        ((after, highest),) = lab.sql(
            "main", f"SELECT nextval(pg_get_serial_sequence('{table}', 'id')), (SELECT max(id) FROM {table})"
        )
        assert after > highest


def test_the_auth_service_brings_an_administrator_of_another_id(lab: Laboratory) -> None:
    ((theirs, email, role, stored),) = lab.sql(
        "auth", "SELECT id, email, role::text, password_hash FROM users"
    )
    ((ours,),) = lab.sql("main", "SELECT id FROM users WHERE email = %s", email)
    assert role == "lab_administrator"
    assert theirs != ours
    assert check_password(PASSWORD, stored)


def test_the_template_service_brings_one_draft(lab: Laboratory) -> None:
    assert lab.sql("templates", "SELECT name, status::text FROM templates") == [
        ("Sample Submission Form", "draft")
    ]


@pytest.mark.parametrize("database", sorted(set(DATABASES) - {"main"}))
def test_a_service_begins_with_nothing_else(lab: Laboratory, database: str) -> None:
    rows = digest_of(lab, database)
    assert {table: number for table, (number, _) in rows.items() if number} == (
        {"auth": {"users": 1}, "templates": {"templates": 1}}.get(database, {})
    )


def digest_of(lab: Laboratory, database: str) -> dict[str, tuple[int, str]]:
    """Table -> rows, and a digest of all of them in every column."""
    tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    digests: dict[str, tuple[int, str]] = {}
    for (table,) in lab.sql(database, tables):
        rows = [text for (text,) in lab.sql(database, f"SELECT t::text FROM {table} t ORDER BY 1")]
        digests[table] = (len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest())
    return digests


def emptied(lab: Laboratory) -> None:
    """Every database as it was before it was filled."""
    for name, stored in DATABASES.items():
        with psycopg.connect(lab.superuser, dbname=stored) as connection:
            owner = psycopg.conninfo.conninfo_to_dict(lab.dsns[name])["user"]
            connection.execute("DROP SCHEMA public CASCADE")
            create = psycopg.sql.SQL("CREATE SCHEMA public AUTHORIZATION {}")
            connection.execute(create.format(psycopg.sql.Identifier(str(owner))))


def test_the_seed_decides_every_column_of_every_row(tmp_path: Path) -> None:
    with Laboratory(tmp_path) as lab:

        def made(seed: int) -> dict[str, dict[str, tuple[int, str]]]:
            lab.fill(seed=seed, users=5)
            digests = {name: digest_of(lab, name) for name in DATABASES}
            emptied(lab)
            return digests

        first, again, other = made(1), made(1), made(2)
    assert again == first
    differing = {table for table, digest in first["main"].items() if other["main"][table] != digest}
    assert {"users", "samples", "templates", "storage_locations", "sequencing_jobs"} <= differing
    assert {name: rows for name, rows in other.items() if name != "main"} == {
        name: rows for name, rows in first.items() if name != "main"
    }
