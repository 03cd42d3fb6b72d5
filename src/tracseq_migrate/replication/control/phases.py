"""How far each pair of a replication came. The rows lie on B, and change in the transactions that bring the phase about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, get_args

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication.control.naming import PHASE
from tracseq_migrate.replication.control.tables import installed

Phase = Literal["captured", "copying", "copied", "built", "following"]
PHASES: tuple[Phase, ...] = get_args(Phase)


@frozen
class PairPhase:
    phase: Phase
    at: datetime
    data: Mapping[str, Any]


def read(session: Session, replication: str, pair: str) -> Phase | None:
    """The phase of a pair; None before the first."""
    found = everything(session, replication).get(pair)
    return found.phase if found else None


def everything(session: Session, replication: str) -> dict[str, PairPhase]:
    """The phases of all pairs that have one, by pair."""
    if not installed(session):
        return {}
    rows = session.rows(
        f'SELECT pair, phase, at, data::text FROM {PHASE} WHERE replication = $1 ORDER BY pair COLLATE "C"',
        [replication],
    )
    return {pair: PairPhase(phase, at, json.loads(data)) for pair, phase, at, data in rows}


def write(
    session: Session, replication: str, pair: str, phase: Phase, data: Mapping[str, Any] | None = None
) -> None:
    """Write down the phase of a pair, within the open transaction or in one of its own; what is known of it is kept otherwise."""
    session.execute(
        f"INSERT INTO {PHASE} AS p (replication, pair, phase, data) VALUES ($1, $2, $3, coalesce($4::jsonb, '{{}}'))"
        " ON CONFLICT (replication, pair) DO UPDATE SET phase = excluded.phase, at = pg_catalog.clock_timestamp(),"
        " data = p.data || excluded.data",
        [replication, pair, phase, None if data is None else json.dumps(data)],
    )
