"""Sessions where there is no server: none can be opened, and it is remembered that somebody asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from tracseq_migrate.ports.mark import Unreachable
from tracseq_migrate.ports.sql import Session


class MemorySessions:
    """`Sessions` without PostgreSQL, whose language nothing else speaks: every database is unreachable.

    ``down`` maps each database of the environment to why; ``asked`` lists (database, purpose) of every attempt.
    """

    def __init__(self, down: Mapping[str, str] | None = None) -> None:
        self.down = dict(down or {})
        self.asked: list[tuple[str, str]] = []

    @property
    def names(self) -> Sequence[str]:
        return tuple(self.down)

    def open(
        self, database: str, *, purpose: str, timeout: float, patience: float | None = None
    ) -> AbstractContextManager[Session]:
        self.asked.append((database, purpose))
        known = ", ".join(self.down) or "none"
        why = self.down.get(database, f"the environment has none of this name (it has: {known})")
        raise Unreachable(f"database {database}", why)
