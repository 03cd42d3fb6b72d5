"""What stands in the way of applying, and what each kind of it is good for."""

from __future__ import annotations

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports.sql import SqlFailed

UNIQUE = frozenset({"23505", "23P01"})
"""A unique index or an exclusion: rows may have exchanged their values, or the batch may end between two of them."""
FOREIGN = frozenset({"23503", "23001"})
"""A foreign key: the batch may end between parent and child."""
TRANSIENT = frozenset({"40001", "40P01", "55P03"})
"""Serialization, deadlock, a lock: the same again may well succeed."""


class Stuck(StepFailed):
    """A change of the origin's cannot be applied, however it is tried; nothing of its batch was.

    The log keeps the change, so that nothing is lost: applying goes on where it stands when the cause is mended. ``table`` is the
    destination's (empty where the origin's rows could not even be read), ``keys`` the keys of rows at fault, as texts, as far as
    they could be told.
    """

    def __init__(
        self, message: str, *, hint: str, table: str = "", constraint: str = "", keys: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.table = table
        self.constraint = constraint
        self.keys = keys


def edge(error: SqlFailed) -> bool:
    """Whether a larger batch may help: what is missing or in the way may be changed by a later log row."""
    return error.sqlstate in UNIQUE or error.sqlstate in FOREIGN


def of_a_row(error: SqlFailed) -> bool:
    """Whether a single row is at fault, with what it holds."""
    return error.sqlstate[:2] in ("22", "23") and not edge(error)


class Unfit(Exception):
    """Some row does not fit, whatever else is in the batch."""

    def __init__(self, cause: SqlFailed) -> None:
        super().__init__(str(cause))
        self.cause = cause


class More(Exception):
    """More of the log must go into one batch."""
