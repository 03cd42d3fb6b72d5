"""`Sessions` on PostgreSQL: a direct connection each, found by the connection strings of an environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from tracseq_migrate.adapters.wording import one_line
from tracseq_migrate.ports.mark import Unreachable

if TYPE_CHECKING:
    from tracseq_migrate.ports.sql import Session


class PostgresSessions:
    """`Sessions` on PostgreSQL 13 and later.

    Args:
        dsns: name -> connection string; it never stands in a message. Each must lead to the server itself: behind a pooler
            neither a session's settings nor its advisory locks would be its own, and a session is refused there.
    """

    def __init__(self, dsns: Mapping[str, str]) -> None:
        self._dsns = dict(dsns)

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._dsns)

    def open(
        self, database: str, *, purpose: str, timeout: float, patience: float | None = None
    ) -> AbstractContextManager[Session]:
        from tracseq_migrate.adapters.postgres.session import opened  # psycopg is slow to import

        if database not in self._dsns:
            known = ", ".join(self._dsns) or "none"
            raise Unreachable(
                f"database {one_line(database)}", f"the environment has none of this name (it has: {known})"
            )
        return opened(database, self._dsns[database], purpose=purpose, timeout=timeout, patience=patience)
