"""Whether A's rows fit B, asked before anything moves: each reason for which some do not, with counts, sample keys and a remedy.

What B refuses is read from its catalog and asked of A's rows as the mapping would make them. One scan of each source table
answers all rules, however many there are: about single rows, and about rows that would be equal in a unique index of B where
none of A's forbids it. Only a foreign key that A does not have itself costs another look, at parent and child.
"""

from __future__ import annotations

from collections.abc import Callable

from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication.names import literal
from tracseq_migrate.replication.pair import Pair, Replication
from tracseq_migrate.replication.prescan import checks, references, uniques, values
from tracseq_migrate.replication.prescan.misfit import Misfit
from tracseq_migrate.replication.prescan.rule import Rows, Rule, missing_ids
from tracseq_migrate.replication.prescan.scanning import scan

__all__ = ["Misfit", "prescan"]


def _nothing(_: Pair, __: int) -> None:
    """For who does not want to be told."""


def prescan(
    session_a: Session,
    session_b: Session,
    replication: Replication,
    told: Callable[[Pair, int], None] = _nothing,
) -> list[Misfit]:
    """Every reason at once, pair by pair, what refuses first. Nothing is changed.

    Neither session may have a transaction open: a question that a server refuses must not end the others. ``told`` is called
    with each pair that was read, and the number of its rows that move.

    Raises:
        SqlFailed: a side refused the reading itself (no rights, for instance).
        Unreachable: a side could not be asked.
    """
    missing = missing_ids(replication, _present(session_a, replication))
    found: list[Misfit] = []
    for pair in replication.pairs:
        misfits, total = _of_pair(session_a, session_b, replication, Rows(pair, missing))
        found += sorted(misfits, key=lambda each: (not each.refused, each.count is None))
        told(pair, total)
    return found


def _present(session: Session, replication: Replication) -> set[str]:
    tables = [ids.table for pair in replication.pairs for ids in pair.ids]
    return {
        table for table in tables if session.rows(f"SELECT 1 WHERE to_regclass({literal(table)}) IS NOT NULL")
    }


def _of_pair(
    session_a: Session, session_b: Session, replication: Replication, rows: Rows
) -> tuple[list[Misfit], int]:
    pair = rows.pair
    conditions, found = checks.rules(session_a, session_b, rows)
    rules: list[Rule] = [*values.rules(pair), *conditions]
    indexes, open_ = uniques.find(session_a, session_b, rows)
    found += open_
    for each in (
        *uniques.beside_kept(session_b, pair, indexes),
        *references.outside(session_b, replication, pair),
    ):
        if isinstance(each, Rule):
            rules.append(each)
        else:
            found.append(each)
    misfits, total = scan(session_a, rows, rules, indexes)
    found += misfits
    found += references.inside(session_a, session_b, replication, rows, total)
    found += _exclusions(pair)
    return found, total


def _exclusions(pair: Pair) -> list[Misfit]:
    return [
        Misfit(
            pair.name,
            f"{pair.b.name}, {each.name}",
            "exclusion",
            f"whether rows exclude each other ({each.definition}) cannot be known before they are loaded",
            None,
            -1,
            (),
            "see that they do not; the constraint names the first two that do when it is put back",
        )
        for each in pair.b.constraints
        if each.kind == "x"
    ]
