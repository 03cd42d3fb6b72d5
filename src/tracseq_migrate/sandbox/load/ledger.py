"""What the clients were told is saved: every acknowledged write, by the business key of its row."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

Value = Mapping[str, Any]
"""The fields of a row in the words of the API, without its id: ids may differ between the sides."""

_SHARE_OF_ASIDE = 0.05


def now() -> str:
    """RFC 3339, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True, eq=False)
class Row:
    """One row of the clients' making. A value of None means that there is none.

    ``sure`` is what was acknowledged last. ``maybe`` holds what a write of unknown fate would have made of it: from then on
    nothing more is written to the row, and either value is right afterwards. ``doubt`` says how its answer was missed.
    """

    resource: str
    key: str
    id: str | int | None = None
    sure: Value | None = None
    maybe: list[Value | None] = field(default_factory=list)
    doubt: str = ""
    acknowledged: int = 0
    acknowledged_at: str = ""

    @property
    def acceptable(self) -> list[Value | None]:
        """The values that are right: the acknowledged one first."""
        return [self.sure, *self.maybe]

    @property
    def unknown(self) -> bool:
        return bool(self.maybe)


class Ledger:
    """Remembers rows; lends each to one client at a time, so that what is expected of a row is never a guess.

    ``journal`` takes one line of JSON for each acknowledged write, and for each whose fate is unknown, as it happens.
    """

    def __init__(self, journal: TextIO | None = None) -> None:
        self._rows: dict[tuple[str, str], Row] = {}
        self._idle: dict[str, list[Row]] = {}
        self._aside: dict[str, list[Row]] = {}
        self._journal = journal
        self.acknowledged = 0
        self.unknown = 0

    def new(self, resource: str, key: str) -> Row:
        """A row about to be created; lent out."""
        row = Row(resource, key)
        self._rows[resource, key] = row
        return row

    def lend(self, resource: str, rng: random.Random) -> Row | None:
        """Any row that exists and that nobody has; None where there is none. Now and then one that was not found."""
        aside = self._aside.get(resource)
        idle = aside if aside and rng.random() < _SHARE_OF_ASIDE else self._idle.get(resource)
        if not idle:
            return None
        place = rng.randrange(len(idle))
        idle[place], idle[-1] = idle[-1], idle[place]
        return idle.pop()

    def give_back(self, row: Row) -> None:
        """Ready for the next client. Rows that are gone or of unknown fate are remembered and not lent again."""
        if row.sure is not None and not row.maybe:
            self._idle.setdefault(row.resource, []).append(row)

    def set_aside(self, row: Row) -> None:
        """The side that was asked has no such row; it is tried again now and then, it may come back with a rollback."""
        self._aside.setdefault(row.resource, []).append(row)

    def acknowledge(self, row: Row, value: Value | None) -> None:
        """The write was answered as done; None: it was a deletion."""
        row.sure = value
        row.acknowledged += 1
        row.acknowledged_at = now()
        self.acknowledged += 1
        self._note("acknowledged", row, value)

    def doubt(self, row: Row, value: Value | None, why: str = "") -> None:
        """The fate of the write is not known."""
        row.maybe.append(value)
        row.doubt = why
        self.unknown += 1
        self._note("unknown", row, value)

    def refuse(self, row: Row) -> None:
        """The write was certainly not done; a row that never came about is forgotten."""
        if not row.acknowledged and not row.maybe:
            del self._rows[row.resource, row.key]

    def rows(self, resource: str | None = None) -> Iterator[Row]:
        """Everything remembered, of one resource or of all, in the order of creation."""
        return (row for row in list(self._rows.values()) if resource in (None, row.resource))

    def __len__(self) -> int:
        return len(self._rows)

    def _note(self, what: str, row: Row, value: Value | None) -> None:
        if self._journal is None:
            return
        at = row.acknowledged_at if what == "acknowledged" else now()
        entry = {"at": at, "fate": what, "resource": row.resource, "key": row.key, "value": value}
        self._journal.write(json.dumps(entry, default=str) + "\n")
        self._journal.flush()
