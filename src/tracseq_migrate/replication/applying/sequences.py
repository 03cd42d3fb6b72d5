"""Sequences: before a side is opened, its own must be past everything that either side has given out."""

from __future__ import annotations

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication.catalog.model import Column, Table
from tracseq_migrate.replication.names import literal, quoted
from tracseq_migrate.replication.pair import Direction, Pair, Replication

GAP = 1_000


@frozen
class Advanced:
    """A sequence that was set: ``last`` is the number that it takes for given out; it was ``was`` before."""

    sequence: str
    was: int
    last: int


def advance(
    replication: Replication, direction: Direction, origin: Session, destination: Session, *, gap: int = GAP
) -> list[Advanced]:
    """Set every sequence of the destination's tables past its rows and past the origin's sequence, and ``gap`` numbers further.

    To be called when the destination has all of the origin's rows, and before anybody else writes there. Never goes back. Setting
    a sequence is not undone by a rollback, and does no harm where what follows is given up.

    Raises:
        StepFailed: a sequence has no room left, or gives numbers to each session in advance (CACHE): those that sessions hold
            already cannot be taken from them.
    """
    done: dict[str, Advanced] = {}
    for pair in replication.pairs:
        here = pair.b if direction == "forward" else pair.a
        for column in here.columns:
            if column.sequence and column.sequence not in done:
                other = _twin(pair, column.name, direction)
                done[column.sequence] = _advance(
                    destination, origin, here, column, other.sequence if other else "", gap
                )
    return list(done.values())


def _twin(pair: Pair, name: str, direction: Direction) -> Column | None:
    """The origin's column that this one comes of, where it is a single one."""
    if direction == "forward":
        reads = next((each.reads for each in pair.columns if each.name == name), ())
        return pair.a.column(reads[0]) if len(reads) == 1 else None
    watched = next((each.watched for each in pair.back if each.name == name), ())
    return pair.b.column(watched[0]) if len(watched) == 1 else None


def _advance(
    destination: Session, origin: Session, table: Table, column: Column, other: str, gap: int
) -> Advanced:
    sequence = column.sequence
    [(increment, most, least, cache)] = destination.rows(
        "SELECT seqincrement, seqmax, seqmin, seqcache FROM pg_sequence"
        f" WHERE seqrelid = {literal(sequence)}::regclass"
    )
    if cache > 1:
        raise StepFailed(
            f"{destination.what}: the sequence {sequence} gives {cache} numbers at a time to each session (CACHE {cache}),"
            " which cannot be taken back from sessions that hold some",
            hint=f"Type `ALTER SEQUENCE {sequence} CACHE 1` in that database, restart what is connected to it, and try again.",
        )
    # A whole number for any type that a column with a sequence can have.
    up = increment > 0
    [(furthest,)] = destination.rows(
        f"SELECT {'max' if up else 'min'}({quoted(column.name)})::bigint FROM {table.relation}"
    )
    [(was,)] = destination.rows(f"SELECT last_value FROM {sequence}")
    known = [was] + ([furthest] if furthest is not None else [])
    if other:
        known.append(origin.rows(f"SELECT last_value FROM {other}")[0][0])
    last = max(known) + gap if up else min(known) - gap
    if not least <= last + increment <= most:
        raise StepFailed(
            f"{destination.what}: the sequence {sequence} has no room: past {last} it could give out nothing more",
            hint=f"Give it (and {table.name}.{column.name}) a wider type or bounds first.",
        )
    destination.rows(f"SELECT setval({literal(sequence)}::regclass, {last}, true)")
    return Advanced(sequence, was, last)
