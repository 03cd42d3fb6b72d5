"""The fence of a table: while it is up, every change is refused, with an error that says who owns the rows."""

from __future__ import annotations

from collections.abc import Callable

from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication.capture import naming
from tracseq_migrate.replication.capture.recording import Side, _function, _of
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
from tracseq_migrate.replication.control.tables import ensure_schema
from tracseq_migrate.replication.names import literal, ours
from tracseq_migrate.replication.pair import Pair, Replication

SQLSTATE = "40001"
"""What the fence raises: ``serialization_failure``, which well-made clients answer by trying the transaction again."""


def create_fence(
    session: Session,
    replication: Replication,
    pair: Pair,
    side: Side,
    *,
    enabled: bool = False,
    passes: str = "",
    patience: float = PATIENCE,
) -> None:
    """Make the fence, as far as it is not there; disabled, unless asked otherwise. Idempotent; one transaction.

    Args:
        passes: a role that passes by its `session_user`. Without one, the connection that claimed the ownership passes: the
            backend of the ``ownership`` row, where it is older than the claim (a process number comes back; a start does not).
    """
    table, _ = _of(pair, side)
    other = replication.database_b if side == "a" else replication.database_a
    with locked(session, table.relation, patience=patience):
        ensure_schema(session)
        name = ours(naming.fencing(replication.name, pair.name))
        _function(session, name, _body(replication.name, table.name, other, passes))
        for member in members(session, table.relation):
            make(
                session,
                member.relation,
                _trigger(replication, pair),
                f"BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {member.relation} FOR EACH STATEMENT",
                name,
                always=enabled,
            )


def enable_fence(session: Session, replication: Replication, pair: Pair, side: Side) -> None:
    """Refuse changes from now on. Within the caller's transaction, or one of its own."""
    _switch(session, replication, pair, side, always=True)


def disable_fence(session: Session, replication: Replication, pair: Pair, side: Side) -> None:
    """Let changes pass."""
    _switch(session, replication, pair, side, always=False)


def drop_fence(
    session: Session, replication: Replication, pair: Pair, side: Side, *, patience: float = PATIENCE
) -> None:
    """Take the fence off, as far as it is there."""
    table, _ = _of(pair, side)
    there = members(session, table.relation)
    if there and fence_state(session, replication, pair, side) != "absent":
        with locked(session, table.relation, mode="ACCESS EXCLUSIVE", patience=patience):
            for member in there:
                take_off(session, member.relation, _trigger(replication, pair))
    session.execute(f"DROP FUNCTION IF EXISTS {ours(naming.fencing(replication.name, pair.name))}()")


def fence_state(session: Session, replication: Replication, pair: Pair, side: Side) -> State:
    """Only ``enabled`` means that nobody can write."""
    table, _ = _of(pair, side)
    return state_of(session, table.relation, _expected(replication, pair))


def _switch(session: Session, replication: Replication, pair: Pair, side: Side, *, always: bool) -> None:
    table, _ = _of(pair, side)
    with locked(session, table.relation):
        for member in members(session, table.relation):
            switch(session, member.relation, _trigger(replication, pair), always=always)


def _expected(replication: Replication, pair: Pair) -> Callable[[Member], list[str]]:
    names = [_trigger(replication, pair)]
    return lambda _: names


def _trigger(replication: Replication, pair: Pair) -> str:
    return naming.bounded(naming.FENCE, replication.name, pair.name)


def _body(replication: str, table: str, other: str, passes: str) -> str:
    if passes:
        may = f"session_user OPERATOR(pg_catalog.=) {literal(passes)}"
    else:
        may = f"""EXISTS (
        SELECT FROM {ours("ownership")} o
        WHERE o.replication = {literal(replication)} AND o.backend_pid = pg_backend_pid()
            AND o.claimed_at >= (SELECT s.backend_start FROM pg_stat_get_activity(pg_backend_pid()) s))"""
    message = f"{table} has moved: {other} owns its rows now, and changes are refused here"
    return f"""
BEGIN
    IF {may} THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING ERRCODE = {literal(SQLSTATE)}, MESSAGE = {literal(message)},
        HINT = 'The request goes to the new owner when it is sent again.', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END"""
