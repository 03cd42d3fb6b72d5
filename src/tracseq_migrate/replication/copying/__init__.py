"""The first copy: all rows of A that move, in chunks, by several hands, while people work.

The rows go from the source's binary COPY to the destination's without being looked at; what a mapping makes of them, the source
computes. Each chunk and the row that says that it is done are one transaction on B, so that whatever is killed costs the chunks
under way, and starting again goes on from there. What changes on A meanwhile is in the log of the capture, which must be on
before; it is applied when the copy is complete.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, Sessions, transaction
from tracseq_migrate.replication.control import ownership, phases
from tracseq_migrate.replication.control.naming import CHUNK
from tracseq_migrate.replication.copying.chunks import ChunkCopier
from tracseq_migrate.replication.copying.preparing import captured, prepare
from tracseq_migrate.replication.copying.progress import Meter, Progress
from tracseq_migrate.replication.crew import end_leftovers, nothing, work
from tracseq_migrate.replication.pair import Replication

CHUNK_BYTES = 32 << 20
"""What a chunk weighs in the source: what a kill costs, and what the claim of a chunk costs, are both small then."""

_TELLING = 1.0


@frozen
class Copied:
    """What a copy came to. ``resumed_rows`` of the rows were there before this call."""

    rows: int
    bytes: int
    seconds: float
    chunks: int
    resumed_rows: int


def never() -> float:
    """The throttle that never waits."""
    return 0.0


def untold(progress: Progress) -> None:
    """For those who do not watch."""


def copy(
    sessions: Sessions,
    replication: Replication,
    epoch: int,
    *,
    workers: int = 2,
    chunk_bytes: int = CHUNK_BYTES,
    throttle: Callable[[], float] = never,
    check: Callable[[], None] = nothing,
    told: Callable[[Progress], None] = untold,
) -> Copied:
    """Copy every row of A that moves to B; what was copied before stays, and is not copied again.

    Args:
        epoch: of the claim that this call acts under; another claim ends it (`Displaced`).
        workers: hands, each with a session on both sides.
        throttle: asked before each chunk by each hand, for the seconds that it shall wait; it is asked again afterwards.
        check: called in this thread a few times a second; where it raises, the chunks under way are undone.
        told: called in this thread about once a second.

    Raises:
        StepFailed: changes are not captured; B has rows that nothing explains; a row does not fit; a disk is full.
        SqlFailed, Unreachable: a database refuses, or is away for longer than a minute.
    """
    began = time.monotonic()
    with (
        sessions.open(replication.database_a, purpose="copy", timeout=15.0) as a,
        sessions.open(replication.database_b, purpose="copy", timeout=15.0) as b,
    ):
        for session in (a, b):
            end_leftovers(session, replication.name)
        captured(a, replication)
        prepare(a, b, replication, epoch, chunk_bytes, check)
        with transaction(b):
            ownership.hold(b, replication.name, epoch, "forward")
            for pair in replication.pairs:
                if phases.read(b, replication.name, pair.name) in (None, "captured"):
                    phases.write(b, replication.name, pair.name, "copying")
        order, of_rows = _weighed(a, replication)
        meter, before = _meter(b, replication, of_rows)
    last = began

    def glance() -> None:
        nonlocal last
        check()
        now = time.monotonic()
        if now - last >= _TELLING:
            last = now
            told(meter.read())

    work(
        sessions,
        replication.name,
        "copy",
        ChunkCopier(replication, epoch, order, throttle, meter),
        hands=workers,
        check=glance,
    )
    check()
    with sessions.open(replication.database_b, purpose="copy", timeout=15.0) as b, transaction(b):
        ownership.hold(b, replication.name, epoch, "forward")
        ((rows, size, chunks, open_chunks),) = b.rows(
            "SELECT coalesce(sum(rows), 0)::bigint, coalesce(sum(bytes), 0)::bigint, count(*), count(*) FILTER (WHERE at IS NULL)"
            f" FROM {CHUNK} WHERE replication = $1",
            [replication.name],
        )
        if open_chunks:
            raise StepFailed(
                f"{b.what}: {open_chunks} chunks are in the hands of somebody else",
                hint="Another copy of the same tables is under way; wait for it, or end it, then resume.",
            )
        for pair in replication.pairs:
            if phases.read(b, replication.name, pair.name) in (None, "captured", "copying"):
                phases.write(b, replication.name, pair.name, "copied")
    told(meter.read())
    return Copied(int(rows), int(size), time.monotonic() - began, int(chunks), before)


def _weighed(a: Session, replication: Replication) -> tuple[list[str], int]:
    """The pairs, the heaviest first, so that no hand is left alone with a big one at the end; and the rows that are expected."""
    weights: list[tuple[int, str]] = []
    of_rows = 0
    for pair in replication.pairs:
        ((size, rows, unknown),) = a.rows(
            "SELECT coalesce(sum(pg_catalog.pg_table_size(c.oid)), 0)::bigint,"
            " coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint, coalesce(bool_or(c.reltuples < 0), true)"
            " FROM pg_catalog.pg_class c"
            " WHERE c.relkind = 'r' AND c.oid = ANY ($1::pg_catalog.regclass[]::pg_catalog.oid[])",
            [[pair.a.relation, *pair.a.partitions]],
        )
        weights.append((-int(size), pair.name))
        of_rows = -1 if unknown or of_rows < 0 else of_rows + int(rows)
    return [name for _, name in sorted(weights)], of_rows


def _meter(b: Session, replication: Replication, of_rows: int) -> tuple[Meter, int]:
    chunks: Counter[str] = Counter()
    done: Counter[str] = Counter()
    all_rows = all_bytes = 0
    for name, count, finished, rows, size in b.rows(
        "SELECT pair, count(*), count(at), coalesce(sum(rows), 0)::bigint, coalesce(sum(bytes), 0)::bigint"
        f" FROM {CHUNK} WHERE replication = $1 GROUP BY pair",
        [replication.name],
    ):
        chunks[name], done[name] = int(count), int(finished)
        all_rows, all_bytes = all_rows + int(rows), all_bytes + int(size)
    return Meter(chunks, done, all_rows, all_bytes, of_rows), all_rows


__all__ = ["CHUNK_BYTES", "Copied", "Progress", "copy", "never"]
