"""The tables of control: made on each side before anything else, gone with the last replication."""

from __future__ import annotations

from typing import Literal

from tracseq_migrate.ports.sql import Session, SqlFailed, transaction
from tracseq_migrate.replication.control.naming import ASIDE, CHUNK, OWNERSHIP, PHASE, PUT_AWAY, SYNC
from tracseq_migrate.replication.names import SCHEMA, quoted

Side = Literal["a", "b"]

_MAKING = 0x7473_4D54
_DEPENDENT = "2BP01"

_EVERYWHERE = (
    f"""CREATE TABLE IF NOT EXISTS {OWNERSHIP} (
        replication text PRIMARY KEY,
        epoch bigint NOT NULL DEFAULT 0,
        owner text NOT NULL DEFAULT 'a' CHECK (owner IN ('a', 'b', 'none')),
        direction text NOT NULL DEFAULT 'forward' CHECK (direction IN ('forward', 'back')),
        backend_pid int,
        claimed_by text NOT NULL DEFAULT '',
        claimed_at timestamptz)""",
)
_ON_B = (
    f"""CREATE TABLE IF NOT EXISTS {PHASE} (
        replication text NOT NULL,
        pair text NOT NULL,
        phase text NOT NULL CHECK (phase IN ('captured', 'copying', 'copied', 'built', 'following')),
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        data jsonb NOT NULL DEFAULT '{{}}',
        PRIMARY KEY (replication, pair))""",
    f"""CREATE TABLE IF NOT EXISTS {CHUNK} (
        replication text NOT NULL,
        pair text NOT NULL,
        number int NOT NULL,
        lower text,
        upper text,
        rows bigint,
        bytes bigint,
        seconds double precision,
        at timestamptz,
        PRIMARY KEY (replication, pair, number))""",
    f"""CREATE TABLE IF NOT EXISTS {PUT_AWAY} (
        replication text NOT NULL,
        pair text NOT NULL,
        side text NOT NULL CHECK (side IN ('a', 'b')),
        kind text NOT NULL,
        name text NOT NULL,
        definition text NOT NULL,
        was text NOT NULL DEFAULT '',
        PRIMARY KEY (replication, pair, side, kind, name))""",
    f"""CREATE TABLE IF NOT EXISTS {ASIDE} (
        replication text NOT NULL,
        pair text NOT NULL,
        key text NOT NULL,
        "row" jsonb NOT NULL,
        PRIMARY KEY (replication, pair, key))""",
    f"""CREATE TABLE IF NOT EXISTS {SYNC} (
        replication text PRIMARY KEY,
        direction text NOT NULL DEFAULT 'forward' CHECK (direction IN ('forward', 'back')),
        leader text NOT NULL DEFAULT '',
        host text NOT NULL DEFAULT '',
        pid int,
        backend_pid int,
        since timestamptz,
        beat_at timestamptz,
        applied bigint NOT NULL DEFAULT 0,
        behind_rows bigint,
        behind_seconds double precision,
        error text NOT NULL DEFAULT '',
        stop_asked timestamptz)""",
)
# What was taken off one side is noted on that side, in the transaction that takes it off.
_ON_A = tuple(each for each in _ON_B if PUT_AWAY in each)
_NAMES: dict[Side, tuple[str, ...]] = {
    "a": (PUT_AWAY, OWNERSHIP),
    "b": (SYNC, ASIDE, PUT_AWAY, CHUNK, PHASE, OWNERSHIP),
}


def ensure_schema(session: Session) -> None:
    """Make the tool's schema, within the open transaction; nobody else makes it at the same time."""
    session.rows("SELECT pg_catalog.pg_advisory_xact_lock($1::int, 0)", [_MAKING])
    if not session.rows("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", [SCHEMA]):
        session.execute(f"CREATE SCHEMA {quoted(SCHEMA)}")


def installed(session: Session) -> bool:
    """Whether control has its tables here."""
    return bool(session.rows("SELECT 1 WHERE pg_catalog.to_regclass($1) IS NOT NULL", [OWNERSHIP]))


def install(session: Session, replication: str, side: Side) -> None:
    """Make schema, tables and this replication's rows on one side, as far as they are not there. One transaction.

    Raises:
        SqlFailed: a right is missing (42501): CREATE on the database.
    """
    with transaction(session):
        ensure_schema(session)
        for statement in (*_EVERYWHERE, *(_ON_B if side == "b" else _ON_A)):
            session.execute(statement)
        session.execute(
            f"INSERT INTO {OWNERSHIP} (replication) VALUES ($1) ON CONFLICT DO NOTHING", [replication]
        )
        if side == "b":
            session.execute(
                f"INSERT INTO {SYNC} (replication) VALUES ($1) ON CONFLICT DO NOTHING", [replication]
            )


def remove(session: Session, replication: str, side: Side) -> None:
    """Forget this replication on one side; with the last one, the tables go, and the schema where nothing else is in it.

    One transaction; harmless where it was done before. Logs, side tables and id maps are their makers' to drop, before this.
    """
    with transaction(session):
        session.rows("SELECT pg_catalog.pg_advisory_xact_lock($1::int, 0)", [_MAKING])
        there = [each for each in _NAMES[side] if _exists(session, each)]
        for each in there:
            session.execute(f"DELETE FROM {each} WHERE replication = $1", [replication])
        used = [each for each in there if session.rows(f"SELECT 1 FROM {each} LIMIT 1")]
        if not used:
            for each in there:
                session.execute(f"DROP TABLE {each}")
            drop_schema_if_empty(session)


def drop_schema_if_empty(session: Session) -> bool:
    """Drop the tool's schema where nothing is in it any more, within the open transaction; whether it is gone."""
    session.execute("SAVEPOINT schema_if_empty")
    try:
        session.execute(f"DROP SCHEMA IF EXISTS {quoted(SCHEMA)} RESTRICT")
    except SqlFailed as error:
        if error.sqlstate != _DEPENDENT:
            raise
        session.execute("ROLLBACK TO SAVEPOINT schema_if_empty")
        return False
    session.execute("RELEASE SAVEPOINT schema_if_empty")
    return True


def _exists(session: Session, table: str) -> bool:
    return bool(session.rows("SELECT 1 WHERE pg_catalog.to_regclass($1) IS NOT NULL", [table]))
