"""What stands against a replication, as far as the catalogs of both sides can tell: every reason by name, with its remedy.

Nothing is changed. No table is read but B's, for rows that nobody explained; whether A's rows fit is `prescan`'s question.
"""

from __future__ import annotations

from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication.catalog.model import Catalog
from tracseq_migrate.replication.pair import Replication
from tracseq_migrate.replication.refusals import altered, databases, edges, live, tables
from tracseq_migrate.replication.refusals.refusal import Grade, Refusal, Voice

__all__ = ["Grade", "Refusal", "in_the_way", "refusals"]

_ORDER = {"refused": 0, "unknown": 1, "note": 2}


def refusals(
    replication: Replication, catalog_a: Catalog, catalog_b: Catalog, session_a: Session, session_b: Session
) -> list[Refusal]:
    """Everything at once, what refuses first.

    The catalogs are the present ones, of at least the tables that the replication names; the tables in the replication itself are
    as they were when it was compiled. The sessions are used one query at a time, within a transaction or not.

    Raises:
        Unreachable: a side could not be asked. What a side refuses to tell is an answer of grade ``unknown`` instead.
    """
    found: list[Refusal] = []
    for side, catalog, session in (("a", catalog_a, session_a), ("b", catalog_b, session_b)):
        voice = Voice("a" if side == "a" else "b", catalog.database)
        found += databases.alone(voice, catalog)
        found += tables.refused(voice, replication, catalog)
        found += altered.refused(voice, replication, catalog, session)
        found += live.refused(voice, replication, catalog, session)
    found += databases.together(replication, catalog_a, catalog_b)
    found += databases.the_same(catalog_a, catalog_b, session_a, session_b)
    found += edges.refused(replication, catalog_a, catalog_b)
    found += live.unexplained(replication, catalog_b, session_b)
    return sorted(found, key=lambda each: (_ORDER[each.grade], each.side))


def in_the_way(
    replication: Replication, catalog_a: Catalog, catalog_b: Catalog, session_a: Session, session_b: Session
) -> list[Refusal]:
    """Prepared and long transactions that hold the tables now. As `refusals`, but nothing else is asked."""
    sides = (
        (Voice("a", catalog_a.database), catalog_a, session_a),
        (Voice("b", catalog_b.database), catalog_b, session_b),
    )
    found = [
        each
        for voice, catalog, session in sides
        for each in live.in_the_way(voice, replication, catalog, session)
    ]
    return sorted(found, key=lambda each: (_ORDER[each.grade], each.side))
