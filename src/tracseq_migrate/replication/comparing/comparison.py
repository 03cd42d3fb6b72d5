"""The comparison itself: totals, then buckets, then rows, then columns, and each only where the one before differs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication.comparing.both import Both, Rows
from tracseq_migrate.replication.comparing.result import (
    Comparison,
    Difference,
    DifferingColumn,
    Kind,
    TableComparison,
)
from tracseq_migrate.replication.comparing.snapshots import Aligning, Snapshots, looked_at, writers
from tracseq_migrate.replication.comparing.units import Side, Unit, units
from tracseq_migrate.replication.pair import Replication

_LOOKS = 3
_REMEMBERED = 10_000


def _nothing() -> None:
    return


def _untold(_: TableComparison) -> None:
    return


@frozen
class _Seen:
    """One unit at one look; ``keys`` are those that differ, as far as they are remembered."""

    table: TableComparison
    keys: frozenset[str]

    @property
    def all_remembered(self) -> bool:
        return self.table.count <= _REMEMBERED


def compare(
    replication: Replication,
    aligning: Aligning,
    *,
    tables: Sequence[str] = (),
    limit: int = 20,
    values: bool = False,
    check: Callable[[], None] = _nothing,
    told: Callable[[TableComparison], None] = _untold,
) -> Comparison:
    """Compare the two sides of a replication, table by table.

    Whatever differs is looked at again in new snapshots, until each difference has been seen twice (three looks at most): counts,
    digests and differences are those of the last look.

    Args:
        aligning: makes the snapshots; called once, and again only where something differs.
        tables: the names of the pairs to compare; empty for all.
        limit: how many differing rows a table are listed; all are counted.
        values: whether the listed differences bear the beginnings of the values.
        check: called several times a second; what it raises ends the comparison and comes out.
        told: is given each table as soon as it was looked at; one that differs comes again at the next look.

    Raises:
        KeyError: there is no pair of a name in ``tables``.
        Unreachable, SqlFailed: a side could not be asked; nothing is known then.
    """
    began = time.monotonic()
    at = datetime.now(UTC)
    pairs = [_pair(replication, name) for name in tables] or list(replication.pairs)
    seen: dict[str, _Seen] = {}
    foreign: tuple[str, ...] = ()
    exact = True
    order: tuple[str, ...] = ()
    for look in range(1, _LOOKS + 1):
        with aligning() as snapshots:
            exact = exact and snapshots.exact
            whole = [unit for pair in pairs for unit in units(pair, snapshots.direction)]
            order = order or tuple(unit.name for unit in whole)
            again = [unit for unit in whole if look == 1 or not seen[unit.name].table.equal]
            before, seen = seen, dict(seen)
            with Both(snapshots.a, snapshots.b, check) as both:
                asking = _Asking(both, _encoded(snapshots), limit, values)
                for unit in again:
                    seen[unit.name] = _look(asking, unit, before.get(unit.name), look)
                    told(seen[unit.name].table)
            if any(not each.table.equal for each in seen.values()):
                copied = snapshots.b if snapshots.direction == "forward" else snapshots.a
                relations = looked_at(replication, "b" if snapshots.direction == "forward" else "a")
                foreign = tuple(dict.fromkeys((*foreign, *writers(copied, relations))))
        if all(_seen_twice(each, before.get(name)) for name, each in seen.items()):
            break
    return Comparison(
        replication=replication.name,
        exact=exact,
        at=at,
        seconds=time.monotonic() - began,
        tables=tuple(seen[name].table for name in order),
        values=values,
        writers=foreign if any(not each.table.equal for each in seen.values()) else (),
    )


def _pair(replication: Replication, name: str) -> Any:
    found = next((pair for pair in replication.pairs if pair.name == name), None)
    if found is None:
        raise KeyError(name)
    return found


def _seen_twice(now: _Seen, before: _Seen | None) -> bool:
    """Whether nothing is left to look at again: all that differs now differed before, as far as that was remembered."""
    if now.table.equal:
        return True
    return before is not None and (not before.all_remembered or now.keys <= before.keys)


def _encoded(snapshots: Snapshots) -> bool:
    """Whether both sides keep their texts in UTF-8, so that digests can be taken of them as they lie."""
    encodings = {
        session.rows("SELECT getdatabaseencoding()::text")[0][0] for session in (snapshots.a, snapshots.b)
    }
    return encodings == {"UTF8"}


@frozen
class _Asking:
    both: Both
    utf8: bool
    limit: int
    values: bool


def _look(asking: _Asking, unit: Unit, before: _Seen | None, look: int) -> _Seen:
    began = time.monotonic()
    counts: dict[Kind, int] = {"missing": 0, "extra": 0, "different": 0}
    first: list[tuple[Kind, str]] = []
    keys: set[str] = set()
    a = b = _Content(0, 0)
    if before is None:
        a, b = _totals(asking, unit)
    if before is not None or a != b:
        buckets_a, buckets_b = _buckets(asking, unit)
        a, b = _whole(buckets_a), _whole(buckets_b)
        numbers = [
            number
            for number in sorted(buckets_a.keys() | buckets_b.keys())
            if buckets_a.get(number) != buckets_b.get(number)
        ]
        for kind, key in _differing(asking, unit, numbers):
            if kind == "missing" and unit.partly:
                continue
            counts[kind] += 1
            if len(keys) < _REMEMBERED:
                keys.add(key)
            if len(first) < asking.limit:
                first.append((kind, key))
        if unit.partly and not any(counts.values()):
            a = b  # what A has besides is none of this pair's
    settled = 0
    if before is not None:
        remembered = sum(counts.values()) <= _REMEMBERED
        settled = before.table.settled + (len(before.keys - keys) if remembered else 0)
    table = TableComparison(
        name=unit.name,
        pair=unit.pair,
        a=unit.table_a,
        b=unit.table_b,
        rows_a=a.rows,
        rows_b=b.rows,
        digest_a=f"{a.total:x}",
        digest_b=f"{b.total:x}",
        missing=counts["missing"],
        extra=counts["extra"],
        different=counts["different"],
        settled=settled,
        looks=look,
        differences=_named(asking, unit, first) if first else (),
        seconds=time.monotonic() - began + (before.table.seconds if before else 0.0),
    )
    return _Seen(table, frozenset(keys))


@frozen
class _Content:
    """How many rows, and the sum of their digests."""

    rows: int
    total: int


def _totals(asking: _Asking, unit: Unit) -> tuple[_Content, _Content]:
    def ask(side: Side) -> Callable[[Session], _Content]:
        statement = side.total(utf8=asking.utf8)

        def answered(session: Session) -> _Content:
            [(rows, total)] = session.rows(statement)
            return _Content(rows, int(total))

        return answered

    return asking.both.ask(ask(unit.a), ask(unit.b))


def _buckets(asking: _Asking, unit: Unit) -> tuple[dict[int, _Content], dict[int, _Content]]:
    def ask(side: Side) -> Callable[[Session], dict[int, _Content]]:
        statement = side.buckets(utf8=asking.utf8)
        return lambda session: {
            number: _Content(rows, int(total)) for number, rows, total in session.rows(statement)
        }

    return asking.both.ask(ask(unit.a), ask(unit.b))


def _whole(buckets: Mapping[int, _Content]) -> _Content:
    return _Content(sum(each.rows for each in buckets.values()), sum(each.total for each in buckets.values()))


def _differing(asking: _Asking, unit: Unit, numbers: Sequence[int]) -> Iterator[tuple[Kind, str]]:
    """The keys of the rows in these buckets that differ, in order."""
    if numbers:
        statements = unit.a.rows(utf8=asking.utf8), unit.b.rows(utf8=asking.utf8)
        yield from _merged(*asking.both.rows(*statements, [list(numbers)]))


def _merged(a: Rows, b: Rows) -> Iterator[tuple[Kind, str]]:
    """Two streams of (key, digest), sorted alike, side by side."""
    left, right = next(a, None), next(b, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            yield "missing", left[0]  # type: ignore[index]  # one of the two is there, and right is not or is behind
            left = next(a, None)
        elif left is None or right[0] < left[0]:
            yield "extra", right[0]
            right = next(b, None)
        else:
            if left[1] != right[1]:
                yield "different", left[0]
            left, right = next(a, None), next(b, None)


def _named(asking: _Asking, unit: Unit, first: Sequence[tuple[Kind, str]]) -> tuple[Difference, ...]:
    """The differences with their columns."""
    keys = [key for kind, key in first if kind == "different"]
    found: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    if keys:

        def ask(side: Side) -> Callable[[Session], dict[str, Any]]:
            statement = side.details(values=asking.values)
            return lambda session: {
                key: (digests, shown) for key, digests, shown in session.rows(statement, [keys])
            }

        found = asking.both.ask(ask(unit.a), ask(unit.b))
    return tuple(
        Difference(
            kind,
            dict(zip(unit.key, json.loads(key), strict=True)),
            _columns(unit, found[0][key], found[1][key]) if kind == "different" else (),
        )
        for kind, key in first
    )


def _columns(unit: Unit, a: Any, b: Any) -> tuple[DifferingColumn, ...]:
    (digests_a, shown_a), (digests_b, shown_b) = a, b
    return tuple(
        DifferingColumn(
            name,
            shown_a[number] if shown_a else None,
            shown_b[number] if shown_b else None,
        )
        for number, name in enumerate(unit.columns)
        if digests_a[number] != digests_b[number]
    )
