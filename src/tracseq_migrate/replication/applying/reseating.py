"""Unique values that change places within a batch."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate.ports.sql import Session, SqlFailed
from tracseq_migrate.replication.applying.parking import candidates, parking_statement
from tracseq_migrate.replication.applying.trouble import UNIQUE
from tracseq_migrate.replication.applying.writing import (
    Target,
    acts_on_children,
    apply_statement,
    unique_columns,
)

_SAVEPOINT = "tracseq_migrate_reseat"


class Reseating:
    """Applies targets whose rows take each other's unique values, so that no order of updates would do.

    Rows that change such a value are deleted and inserted again, all in the one statement, with whatever the mapping does not
    know about them; a foreign key with NO ACTION sees no more than its end. Where deleting a row would act on others (CASCADE,
    SET NULL, RESTRICT) the values are parked first: each row gets one that nobody has.
    """

    def __init__(self, session: Session, targets: Sequence[Target]) -> None:
        self._session = session
        self._targets = targets

    def apply(self, first: SqlFailed) -> tuple[int, int]:
        """The numbers of rows upserted and deleted.

        Raises:
            SqlFailed: as ``first``, where it cannot be done.
        """
        unique = [each for each in self._targets if unique_columns(each)]
        seats = frozenset(each.pair.name for each in unique if not acts_on_children(each))
        parked = [each for each in unique if acts_on_children(each)]
        tries = max((len(candidates(each)) for each in parked), default=0)
        if not seats and not tries:
            raise first
        error = first
        for attempt in range(max(tries, 1)):
            self._session.execute(f"SAVEPOINT {_SAVEPOINT}")
            try:
                for each in parked:
                    ways = candidates(each)
                    if ways:
                        self._session.execute(parking_statement(each, ways[min(attempt, len(ways) - 1)]))
                [(upserted, deleted)] = self._session.rows(apply_statement(self._targets, reseated=seats))
            except SqlFailed as failed:
                self._session.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
                if failed.sqlstate in UNIQUE:
                    error = failed
                elif failed.sqlstate[:2] not in ("22", "23"):
                    raise
                continue
            return upserted, deleted
        raise error
