"""The log of a table, and the triggers that write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication.capture import naming
from tracseq_migrate.replication.capture.triggers import (
    PATIENCE,
    Member,
    State,
    locked,
    make,
    members,
    state_of,
    switch,
    take_off,
)
from tracseq_migrate.replication.catalog.model import Column, Table
from tracseq_migrate.replication.control.tables import ensure_schema
from tracseq_migrate.replication.names import literal, ours, quoted
from tracseq_migrate.replication.pair import Pair, Replication

Side = Literal["a", "b"]


def log_table(replication: Replication, pair: Pair) -> str:
    """The log of this pair, quoted and qualified: the same name on either side. Its key columns are ``key_1``, ``key_2``, …"""
    return ours(naming.log(replication.name, pair.name))


def writers_table(replication: Replication, pair: Pair) -> str:
    """Who has changed the table, a line a day: ``day`` (in UTC), ``role``, ``application``, ``address``; quoted and qualified."""
    return ours(naming.writers(replication.name, pair.name))


def create(
    session: Session,
    replication: Replication,
    pair: Pair,
    side: Side,
    *,
    enabled: bool = True,
    patience: float = PATIENCE,
) -> None:
    """Make log, functions and triggers of one side's table, as far as they are not there. It waits for open writers.

    Every change that commits after this returns is in the log. Idempotent; one transaction.

    Raises:
        StepFailed: the table could not be locked in time; names who holds it.
        SqlFailed: a right is missing.
    """
    table, key = _of(pair, side)
    with locked(session, table.relation, patience=patience):
        ensure_schema(session)
        log = log_table(replication, pair)
        columns = ", ".join(
            f"key_{number} {_type(column)}" for number, column in enumerate(_columns(table, key), 1)
        )
        # Rows come and go all the time: without frequent vacuum the log would be mostly dead, and slow to read.
        session.execute(
            f"""
            CREATE TABLE IF NOT EXISTS {log} (
                seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                at timestamptz NOT NULL DEFAULT clock_timestamp(),
                "whole" boolean,
                {columns}
            ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)
            """
        )
        session.execute(f"REVOKE ALL ON {log} FROM PUBLIC")
        row, whole = ours(naming.capturing(replication.name, pair.name)), _whole_function(replication, pair)
        _function(session, row, _row_body(log, table, key))
        writers = writers_table(replication, pair)
        # No unique key: two that write for the first time at once must not wait for one another. They leave two rows.
        session.execute(
            f"CREATE TABLE IF NOT EXISTS {writers} (day date NOT NULL, role text NOT NULL, application text NOT NULL,"
            " address text NOT NULL)"
        )
        session.execute(f"REVOKE ALL ON {writers} FROM PUBLIC")
        _function(session, whole, _whole_body(log, writers))
        for member in members(session, table.relation):
            # The trigger on rows is cloned to partitions by PostgreSQL itself, also to those that are attached later.
            if member.relation == table.relation:
                make(
                    session,
                    member.relation,
                    _row_trigger(replication, pair),
                    f"AFTER INSERT OR UPDATE OR DELETE ON {member.relation} FOR EACH ROW",
                    row,
                    always=enabled,
                )
            else:
                switch(session, member.relation, _row_trigger(replication, pair), always=enabled)
            make(
                session,
                member.relation,
                _whole_trigger(replication, pair),
                f"AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {member.relation} FOR EACH STATEMENT",
                whole,
                always=enabled,
            )


def enable(session: Session, replication: Replication, pair: Pair, side: Side) -> None:
    """Let the triggers write, whatever the writer's `session_replication_role` is.

    Within the caller's transaction, or one of its own.
    """
    _switch(session, replication, pair, side, always=True)


def disable(session: Session, replication: Replication, pair: Pair, side: Side) -> None:
    """Let them rest; the log stays as it is."""
    _switch(session, replication, pair, side, always=False)


def drop(
    session: Session, replication: Replication, pair: Pair, side: Side, *, patience: float = PATIENCE
) -> None:
    """Take off triggers, functions and log, as far as they are there. Readers of the table wait for a moment."""
    table, _ = _of(pair, side)
    row, whole = _row_trigger(replication, pair), _whole_trigger(replication, pair)
    there = members(session, table.relation)
    if there and state_of(session, table.relation, _expected(replication, pair)) != "absent":
        with locked(session, table.relation, mode="ACCESS EXCLUSIVE", patience=patience):
            for member in there:
                take_off(session, member.relation, row)
                take_off(session, member.relation, whole)
    session.execute(f"DROP FUNCTION IF EXISTS {ours(naming.capturing(replication.name, pair.name))}()")
    session.execute(f"DROP FUNCTION IF EXISTS {_whole_function(replication, pair)}()")
    session.execute(f"DROP TABLE IF EXISTS {log_table(replication, pair)}")
    session.execute(f"DROP TABLE IF EXISTS {writers_table(replication, pair)}")


def state(session: Session, replication: Replication, pair: Pair, side: Side) -> State:
    """What the triggers are like: only ``enabled`` means that no change can go by unseen."""
    table, _ = _of(pair, side)
    return state_of(session, table.relation, _expected(replication, pair))


def forget(session: Session, replication: Replication, pair: Pair) -> int:
    """Empty this side's log within the caller's transaction; the number of rows.

    For the moment in which the side is opened: what the log has by then was written by the applier itself.
    """
    return session.execute(f"DELETE FROM {log_table(replication, pair)}")


def _of(pair: Pair, side: Side) -> tuple[Table, tuple[str, ...]]:
    return (pair.a, pair.key_a) if side == "a" else (pair.b, pair.key_b)


def _columns(table: Table, key: tuple[str, ...]) -> list[Column]:
    return [column for name in key for column in table.columns if column.name == name]


def _type(column: Column) -> str:
    # A domain may refuse the null that stands for "whole"; its base type has the same values and equality.
    kind = column.type.base.full if column.type.base else column.type.full
    return f"{kind} COLLATE {column.collation}" if column.collation else kind


def _row_body(log: str, table: Table, key: tuple[str, ...]) -> str:
    names = ", ".join(f"key_{number}" for number in range(1, len(key) + 1))
    old = ", ".join(f"OLD.{quoted(name)}" for name in key)
    new = ", ".join(f"NEW.{quoted(name)}" for name in key)
    # Compared by image: two keys that are equal and yet not the same (1.0 and 1.00) may be two keys on the other side.
    return f"""
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF ROW({old})::record OPERATOR(pg_catalog.*<>) ROW({new})::record THEN
            INSERT INTO {log} ({names}) VALUES ({old});
        END IF;
        INSERT INTO {log} ({names}) VALUES ({new});
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO {log} ({names}) VALUES ({new});
    ELSE
        INSERT INTO {log} ({names}) VALUES ({old});
    END IF;
    RETURN NULL;
END"""


def _whole_body(log: str, writers: str) -> str:
    """Once a statement: a table that is emptied is noted as a whole, and so is whoever writes for the first time today."""
    return f"""
DECLARE
    day_ date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    application_ text := current_setting('application_name');
    address_ text := coalesce(host(inet_client_addr()), '');
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO {log} ("whole") VALUES (true);
    END IF;
    IF NOT EXISTS (SELECT FROM {writers} w WHERE w.day = day_ AND w.role = session_user AND w.application = application_
                   AND w.address = address_) THEN
        INSERT INTO {writers} VALUES (day_, session_user, application_, address_);
    END IF;
    RETURN NULL;
END"""


def _function(session: Session, name: str, body: str) -> None:
    """As its owner, so that writers need no right on the log; with nothing of the writer's own search path in it."""
    session.execute(
        f"""
        CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp AS {literal(body)}
        """
    )
    session.execute(f"REVOKE ALL ON FUNCTION {name}() FROM PUBLIC")


def _switch(session: Session, replication: Replication, pair: Pair, side: Side, *, always: bool) -> None:
    table, _ = _of(pair, side)
    expected = _expected(replication, pair)
    with locked(session, table.relation):
        for member in members(session, table.relation):
            for name in expected(member):
                switch(session, member.relation, name, always=always)


def _expected(replication: Replication, pair: Pair) -> Callable[[Member], list[str]]:
    names = [_row_trigger(replication, pair), _whole_trigger(replication, pair)]
    return lambda _: names


def _row_trigger(replication: Replication, pair: Pair) -> str:
    return naming.bounded(naming.TRIGGER, replication.name, pair.name)


def _whole_trigger(replication: Replication, pair: Pair) -> str:
    return naming.bounded(naming.TRUNCATION, replication.name, pair.name)


def _whole_function(replication: Replication, pair: Pair) -> str:
    return ours(naming.capturing_whole(replication.name, pair.name))
