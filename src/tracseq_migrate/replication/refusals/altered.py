"""DDL between the moment at which the mapping was compiled and now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracseq_migrate.ports.sql import Session, SqlFailed
from tracseq_migrate.replication import put_away
from tracseq_migrate.replication.catalog.model import Catalog
from tracseq_migrate.replication.catalog.shape import Difference, differences, table_shape
from tracseq_migrate.replication.pair import Replication
from tracseq_migrate.replication.refusals.live import is_there
from tracseq_migrate.replication.refusals.refusal import Refusal, Voice

_REMEDY = "see whether the mapping still fits: `tracseq-migrate mapping check`; then run the week again"
# Whether others point here is the edges' question; who owns it and what is hidden, that of its rights.
_ASKED_ELSEWHERE = ("incoming", "owner", "row_security", "rules", "inherits")


def refused(voice: Voice, replication: Replication, catalog: Catalog, session: Session) -> Iterator[Refusal]:
    """What was altered on one side; without what the tool itself has taken off for a while."""
    away = _away(voice, replication, session)
    for pair in replication.pairs:
        compiled = pair.a if voice.side == "a" else pair.b
        table = catalog.tables.get(compiled.name)
        if table is None:
            yield voice.refuse("altered", compiled.name, "this table is gone", _REMEDY)
            continue
        if table.oid != compiled.oid:
            yield voice.refuse("altered", compiled.name, "it was dropped and made anew", _REMEDY)
        for each in differences(_watched(table_shape(compiled)), _watched(table_shape(table))):
            if not _matters(voice, each) or _excused(each, away):
                continue
            yield voice.refuse(
                "altered", compiled.name, f"it was altered since the mapping was checked: {each}", _REMEDY
            )


def _watched(shape: dict[str, Any]) -> dict[str, Any]:
    watched = {name: value for name, value in shape.items() if name not in _ASKED_ELSEWHERE}
    # An index that is not unique refuses no row; PostgreSQL 18 lists NOT NULL twice, here and as the column's own.
    watched["indexes"] = {name: each for name, each in shape["indexes"].items() if each["unique"]}
    watched["constraints"] = {
        name: each for name, each in shape["constraints"].items() if each["kind"] != "n"
    }
    return watched


def _matters(voice: Voice, difference: Difference) -> bool:
    return voice.side == "b" or difference.path[0] != "triggers"


def _away(voice: Voice, replication: Replication, session: Session) -> set[tuple[str, str]]:
    """What is taken off at the moment, as (part of the shape, name)."""
    if not is_there(session, "put_away"):
        return set()
    try:
        things = put_away.listed(session, replication.name, voice.side)
    except SqlFailed:
        return (
            set()
        )  # taken away between the two questions, or not to be read: then its names are not excused
    parts = {
        "index": "indexes",
        "constraint": "constraints",
        "foreign key": "constraints",
        "trigger": "triggers",
    }
    away = {(parts[each.kind], each.name) for each in things if each.kind in parts}
    # A trigger's name is followed by its table's; an index carries its constraint away with it.
    away |= {(part, name.rpartition(" on ")[0]) for part, name in away if part == "triggers"}
    return away | {("indexes", name) for part, name in away if part == "constraints"}


def _excused(difference: Difference, away: set[tuple[str, str]]) -> bool:
    return len(difference.path) > 1 and (difference.path[0], difference.path[1]) in away
