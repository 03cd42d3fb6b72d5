"""The step `sql` on real servers: there, back, and there again, and everything that can be in its way."""

from __future__ import annotations

import re
import threading
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.replication.conftest import clusters, pair_of_databases
from tests.replication.databases import COMBINATIONS, PairOfDatabases
from tests.steps.real import RealBench
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.step import Found, LossRefused

__all__ = ["clusters", "pair_of_databases"]

USERS = """
-- deploy
CREATE TYPE role AS ENUM ('guest', 'admin');
CREATE TABLE users (id serial PRIMARY KEY, email text NOT NULL UNIQUE, role role NOT NULL);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
-- verify
SELECT to_regclass('users') IS NOT NULL;
SELECT count(*) = 2 FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid WHERE t.typname = 'role';
-- revert
DROP FUNCTION touch();
DROP TABLE users;
DROP TYPE role;
"""
SEEDS = """
-- requires: 001-users
-- deploy
INSERT INTO users (email, role) VALUES ('admin@lab.local', 'admin');
-- verify
SELECT count(*) > 0 FROM users WHERE role = 'admin';
-- revert
DELETE FROM users WHERE email = 'admin@lab.local';
"""
INDEX = """
-- no-transaction
-- deploy
CREATE INDEX CONCURRENTLY IF NOT EXISTS users_role ON users (role);
-- verify
SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('users_role');
-- revert
DROP INDEX CONCURRENTLY IF EXISTS users_role;
"""
TEXTS = {"sql/auth/001-users.sql": USERS, "sql/auth/002-seeds.sql": SEEDS, "sql/auth/003-index.sql": INDEX}
STEP: dict[str, Any] = {"sql": {"database": "b", "scripts": "sql/auth"}}


def bench(pair: PairOfDatabases, texts: dict[str, str] | None = None, **more: Any) -> RealBench:
    return RealBench({"sql": {**STEP["sql"], **more}}, pair.dsns, texts=texts or TEXTS)


def objects(pair: PairOfDatabases) -> list[tuple[Any, ...]]:
    return pair.rows(
        "b",
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN"
        " ('public', 'tracseq_migrate') UNION ALL SELECT nspname::text FROM pg_namespace WHERE nspname = 'tracseq_migrate'"
        " UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " UNION ALL SELECT typname::text FROM pg_type WHERE typnamespace = 'public'::regnamespace ORDER BY 1",
    )


@pytest.mark.parametrize("pair_of_databases", COMBINATIONS[:2], indirect=True)
def test_there_back_and_there_again(pair_of_databases: PairOfDatabases) -> None:
    step = bench(pair_of_databases)
    start = objects(pair_of_databases)
    for _ in range(2):
        assert step.concerns() == []
        assert step.preview().changes
        assert step.probe().found is Found.NOT_DONE
        (seen,) = step.there()
        assert seen.text == "3 scripts of sql/auth in force in b"
        assert step.probe().found is Found.DONE
        assert not step.preview().changes
        step.apply()  # again, as resume does
        assert pair_of_databases.rows("b", "SELECT count(*) FROM users") == [(1,)]
        assert step.losses() == []
        assert step.back()[0].text == "3 scripts taken back"
        assert objects(pair_of_databases) == start
        assert step.back()[0].text == "nothing of it was deployed"


def test_what_was_there_before_stays(pair_of_databases: PairOfDatabases) -> None:
    first = bench(pair_of_databases, {"sql/auth/001-users.sql": USERS})
    first.there()
    before = objects(pair_of_databases)
    second = bench(pair_of_databases)
    second.there()
    assert second.undo["deployed"] == ["001-users"]
    second.back()
    assert objects(pair_of_databases) == before


def test_a_script_that_fails_leaves_nothing_and_names_its_line(pair_of_databases: PairOfDatabases) -> None:
    broken = USERS.replace(
        "CREATE FUNCTION", "INSERT INTO users (email, role) VALUES ('x', 'nobody');\nCREATE FUNCTION"
    )
    step = bench(pair_of_databases, {"sql/auth/001-users.sql": broken})
    start = objects(pair_of_databases)
    step.prepare()
    with pytest.raises(
        StepFailed, match=r"^sql/auth/001-users.sql:5: invalid input value for enum.*SQLSTATE 22P02"
    ):
        step.apply()
    assert step.probe().found is Found.NOT_DONE
    step.back()
    assert objects(pair_of_databases) == start


@pytest.mark.parametrize(
    ("verify", "why"),
    [
        ("SELECT false", "its verify answers false"),
        ("SELECT NULL::boolean", "its verify answers null"),
        ("SELECT 1 WHERE false", "its verify answers with no row"),
        ("SELECT 1 FROM nowhere", 'its verify fails: relation "nowhere" does not exist'),
        ("DELETE FROM users", "its verify fails: cannot execute DELETE in a read-only transaction"),
        ("DO $$ BEGIN RAISE 'not there'; END $$", "its verify fails: not there"),
    ],
)
def test_a_verify_that_does_not_see_it_rolls_the_script_back(
    pair_of_databases: PairOfDatabases, verify: str, why: str
) -> None:
    body = USERS.replace("SELECT to_regclass('users') IS NOT NULL", verify)
    step = bench(pair_of_databases, {"sql/auth/001-users.sql": body})
    step.prepare()
    with pytest.raises(StepFailed, match=f"001-users.sql:7: {why}"):
        step.apply()
    assert pair_of_databases.rows("b", "SELECT to_regclass('users') IS NULL") == [(True,)]


def test_an_edited_script_is_drift_and_is_named_with_its_line(pair_of_databases: PairOfDatabases) -> None:
    bench(pair_of_databases).there()
    edited = bench(
        pair_of_databases, {**TEXTS, "sql/auth/001-users.sql": USERS.replace("email text", "email citext")}
    )
    (concern,) = edited.concerns()
    assert concern.verdict == "fail"
    assert "001-users.sql:4: 001-users was edited after it was deployed" in concern.detail
    edited.prepare()
    for verb in (edited.apply, edited.verify):
        with pytest.raises(StepFailed, match="was edited after it was deployed"):
            verb()
    gone = bench(pair_of_databases, {"sql/auth/001-users.sql": USERS})
    with pytest.raises(StepFailed, match="its file is gone"):
        gone.verify()


def test_verify_sees_what_somebody_took_away(pair_of_databases: PairOfDatabases) -> None:
    step = bench(pair_of_databases)
    step.there()
    pair_of_databases.run("b", "DROP INDEX users_role")
    with pytest.raises(StepFailed, match=r"003-index\.sql:6: its verify answers with no row"):
        step.verify()


def test_rows_that_somebody_wrote_are_not_dropped(pair_of_databases: PairOfDatabases) -> None:
    step = bench(pair_of_databases)
    step.there()
    pair_of_databases.run("b", "INSERT INTO users (email, role) VALUES ('ada@lab.local', 'guest')")
    (first, second) = step.losses()
    assert {first.row["email"] if first.row else "", second.row["email"] if second.row else ""} == {
        "admin@lab.local",
        "ada@lab.local",
    }
    with pytest.raises(LossRefused):
        step.back()
    assert pair_of_databases.rows("b", "SELECT email FROM users") != []
    step.back(accept_loss=True)
    assert pair_of_databases.rows("b", "SELECT to_regclass('users') IS NULL") == [(True,)]


def test_an_update_of_a_seeded_row_counts_as_written(pair_of_databases: PairOfDatabases) -> None:
    step = bench(pair_of_databases)
    step.there()
    pair_of_databases.run("b", "UPDATE users SET role = 'guest'")
    assert len(step.losses()) == 1
    with pytest.raises(LossRefused):
        step.back()


def test_a_lock_is_waited_for_and_whoever_has_it_is_named(pair_of_databases: PairOfDatabases) -> None:
    first = bench(pair_of_databases, {"sql/auth/001-users.sql": USERS})
    first.there()
    verbs = {"deploy": "ADD COLUMN note text", "revert": "DROP COLUMN note"}
    alter = (
        "".join(f"-- {part}\nALTER TABLE users {verb};\n" for part, verb in verbs.items())
        + "-- verify\nSELECT true;\n"
    )
    step = bench(
        pair_of_databases,
        {"sql/auth/001-users.sql": USERS, "sql/auth/002-note.sql": alter},
        lock_timeout="50ms",
    )
    step.prepare()
    with pair_of_databases.writer("b", autocommit=False) as holder:
        holder.execute("SELECT 1 FROM users")
        done: list[object] = []
        thread = threading.Thread(target=lambda: done.append(step.apply()))
        thread.start()
        thread.join(1.0)
        assert not done
        holder.rollback()
        thread.join(60)
    assert done == [None]
    said = [getattr(note, "text", "") for note in step.world.notes]
    assert any("002-note waits for a lock. Open transactions there: backend" in text for text in said), said


def test_a_script_without_a_transaction_goes_on_after_it_was_broken_off(
    pair_of_databases: PairOfDatabases,
) -> None:
    step = bench(pair_of_databases)
    step.prepare()
    seeds_only = bench(pair_of_databases, {name: TEXTS[name] for name in list(TEXTS)[:2]})
    seeds_only.there()
    pair_of_databases.run(
        "b", "CREATE INDEX users_role ON users (role)"
    )  # as if the tool had died right after
    assert step.probe().found is Found.PARTLY
    step.apply()
    assert step.verify()
    step.back()
    assert pair_of_databases.rows("b", "SELECT to_regclass('users') IS NULL") == [(True,)]


def test_a_failing_script_without_a_transaction_is_taken_back_at_once(
    pair_of_databases: PairOfDatabases,
) -> None:
    broken = INDEX.replace("SELECT indisvalid FROM", "SELECT NOT indisvalid FROM")
    step = bench(pair_of_databases, {**TEXTS, "sql/auth/003-index.sql": broken})
    step.prepare()
    with pytest.raises(StepFailed, match="its verify answers false"):
        step.apply()
    assert pair_of_databases.rows("b", "SELECT to_regclass('users_role') IS NULL") == [(True,)]
    assert step.probe().found is Found.PARTLY
    step.back()
    assert step.probe().found is Found.NOT_DONE


def test_what_cannot_be_asked_is_unknown(pair_of_databases: PairOfDatabases) -> None:
    wrong = {
        **pair_of_databases.dsns,
        "b": make_conninfo(pair_of_databases.dsns["b"], password="secret-of-nobody"),
    }
    step = RealBench(STEP, wrong, texts=TEXTS)
    (concern,) = step.concerns()
    assert concern.verdict == "unknown"
    assert "secret-of-nobody" not in concern.detail
    assert step.probe().found is Found.UNKNOWN
    assert step.preview().changes
    assert step.preview(offline=True).changes


def test_a_missing_right_is_told_before_anything_happens(pair_of_databases: PairOfDatabases) -> None:
    with pair_of_databases.superuser("b") as superuser:
        superuser.execute(f"ALTER DATABASE {pair_of_databases.names['b']} OWNER TO postgres".encode())
    (concern,) = bench(pair_of_databases).concerns()
    assert concern.verdict == "fail"
    assert re.search(r"GRANT CREATE ON DATABASE \S+ TO \S+;", concern.remedy)


def test_adopting_takes_what_is_deployed(pair_of_databases: PairOfDatabases) -> None:
    step = bench(pair_of_databases)
    assert step.step.adopt(step.ctx(writing=False)).found is Found.NOT_DONE
    step.there()
    adopted = step.step.adopt(step.ctx(writing=False))
    assert adopted.found is Found.DONE
    step.undo = adopted.undo
    step.back()
    assert step.probe().found is Found.NOT_DONE


@pytest.mark.parametrize(
    ("pair_of_databases", "superuser"),
    [(COMBINATIONS[0], True), (COMBINATIONS[1], False)],
    indirect=["pair_of_databases"],
)
def test_a_database_and_its_role_are_made_and_go_again(
    pair_of_databases: PairOfDatabases, superuser: bool
) -> None:
    server = pair_of_databases.servers["b"]
    mark = pair_of_databases.names["b"]
    fresh = make_conninfo(server.superuser, user=f"owner_{mark}", password="p'w\\ord", dbname=f"fresh_{mark}")
    admin = server.superuser
    if not superuser:
        with server.administrator() as connection:
            connection.execute(f"CREATE ROLE maker_{mark} LOGIN CREATEDB CREATEROLE PASSWORD 'zq-7'".encode())
        admin = make_conninfo(server.superuser, user=f"maker_{mark}", password="zq-7")
    step = RealBench(
        {"sql": {"database": "fresh", "scripts": "sql/auth", "create": {"through": "admin"}}},
        {"fresh": fresh, "admin": admin},
        texts=TEXTS,
    )
    try:
        for _ in range(2):
            assert step.concerns() == []
            assert "makes database" in step.preview().lines[0].text
            assert step.there()
            with psycopg.connect(fresh) as connection:
                assert connection.execute("SELECT count(*) FROM users").fetchone() == (1,)
            connection = psycopg.connect(fresh)
            with pytest.raises(StepFailed, match="being accessed by other users"):
                step.back()
            connection.close()
            assert step.probe().found is Found.PARTLY
            step.back()
            assert step.probe().found is Found.NOT_DONE
            with server.administrator() as again:
                assert again.execute(
                    "SELECT count(*) FROM pg_roles WHERE rolname = %s", (f"owner_{mark}",)
                ).fetchone() == (0,)
        step.there()
        with psycopg.connect(fresh, autocommit=True) as connection:
            connection.execute("CREATE TABLE of_somebody (x int)")
        with pytest.raises(StepFailed, match="of_somebody"):
            step.back()
    finally:
        with server.administrator() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS fresh_{mark} WITH (FORCE)".encode())
            connection.execute(f"DROP ROLE IF EXISTS owner_{mark}".encode())
            connection.execute(f"DROP ROLE IF EXISTS maker_{mark}".encode())


def test_an_administrator_without_the_right_is_told(pair_of_databases: PairOfDatabases) -> None:
    fresh = make_conninfo(
        pair_of_databases.dsns["b"], user="nobody_yet", password="x", dbname="not_there_yet"
    )
    step = RealBench(
        {"sql": {"database": "fresh", "scripts": "sql/auth", "create": {"through": "b"}}},
        {**pair_of_databases.dsns, "fresh": fresh},
        texts=TEXTS,
    )
    (concern,) = step.concerns()
    assert (concern.verdict, "CREATEDB" in concern.detail) == ("fail", True)
