"""One chunk: read on A in a snapshot of its own, written to B in one transaction together with the row that says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports.sql import Block, Session, SqlFailed
from tracseq_migrate.replication.catalog.model import Type
from tracseq_migrate.replication.control import ownership
from tracseq_migrate.replication.control.naming import CHUNK
from tracseq_migrate.replication.copying.planning import condition
from tracseq_migrate.replication.copying.progress import Meter
from tracseq_migrate.replication.crew import Hand
from tracseq_migrate.replication.names import listed, literal, quoted
from tracseq_migrate.replication.pair import Mapped, Pair, Replication

_TEXTS = frozenset({"text", "character varying", "character", "bpchar"})


class ChunkCopier:
    """What every hand of a copy does, piece after piece."""

    def __init__(
        self,
        replication: Replication,
        epoch: int,
        order: list[str],
        throttle: Callable[[], float],
        meter: Meter,
    ) -> None:
        self._replication = replication
        self._epoch = epoch
        self._order = order
        self._throttle = throttle
        self._meter = meter

    def __call__(self, hand: Hand) -> bool:
        """Copy one chunk; False where all are done, or in other hands."""
        while wait := self._throttle():
            if hand.stopping.wait(min(wait, 5.0)):
                return False
        b = hand.session(self._replication.database_b)
        b.begin()
        # Rows and the row that vouches for them are lost or kept together, so nothing is gained by waiting for the disk here.
        b.execute("SET LOCAL synchronous_commit = off")
        ownership.hold(b, self._replication.name, self._epoch, "forward")
        claimed = b.rows(
            f"SELECT pair, number, lower, upper FROM {CHUNK} WHERE replication = $1 AND at IS NULL"
            " ORDER BY pg_catalog.array_position($2::text[], pair), number LIMIT 1 FOR UPDATE SKIP LOCKED",
            [self._replication.name, self._order],
        )
        if not claimed:
            b.rollback()
            return False
        ((name, number, lower, upper),) = claimed
        began = time.monotonic()
        pair = self._replication.pair(name)
        try:
            rows, size = self._copied(hand, pair, condition(pair, lower, upper))
        except SqlFailed as error:
            raise (_explained(error, pair) or error) from None
        finally:
            self._meter.moment(hand, 0, 0)
        seconds = time.monotonic() - began
        b.execute(
            f"UPDATE {CHUNK} SET rows = $1, bytes = $2, seconds = $3, at = pg_catalog.clock_timestamp()"
            " WHERE replication = $4 AND pair = $5 AND number = $6",
            [rows, size, seconds, self._replication.name, name, number],
        )
        b.commit()
        self._meter.done(name, rows, size)
        return True

    def _copied(self, hand: Hand, pair: Pair, where: str) -> tuple[int, int]:
        a, b = hand.session(self._replication.database_a), hand.session(self._replication.database_b)
        filtered = f" WHERE {where}" if where else ""
        form = " (FORMAT binary)" if pair.binary else ""
        size = 0

        def counted(blocks: Iterator[Block]) -> Iterator[Block]:
            nonlocal size
            for block in blocks:
                size += len(block)
                self._meter.moment(hand, 0, size)
                yield block

        a.begin("REPEATABLE READ", read_only=True)
        # Before the snapshot: a TRUNCATE that commits between the two would show the table empty.
        a.execute(f"LOCK TABLE {pair.a.relation} IN ACCESS SHARE MODE")
        columns = ", ".join(f"{each.up} AS {quoted(each.name)}" for each in pair.columns)
        target = _target(b, pair)
        with a.copy_out(
            f"COPY (SELECT {columns} FROM {pair.a.relation} AS a{filtered}) TO STDOUT{form}"
        ) as blocks:
            rows = b.copy_in(
                f"COPY {target} ({listed([each.name for each in pair.columns])}) FROM STDIN{form}",
                counted(blocks),
            )
        if target != pair.b.relation:
            _unstage(b, pair, target)
        if pair.side:
            with a.copy_out(f"COPY ({_kept(pair, filtered)}) TO STDOUT{form}") as blocks:
                b.copy_in(f"COPY {pair.side} FROM STDIN{form}", counted(blocks))
        a.commit()
        return rows, size


def _kept(pair: Pair, filtered: str) -> str:
    keys = ", ".join(pair.mapped(name).up for name in pair.key_b)
    values = ", ".join(f"({literal(name)}, a.{quoted(name)}::text)" for name in pair.kept)
    found = f'{filtered} AND v."value" IS NOT NULL' if filtered else ' WHERE v."value" IS NOT NULL'
    return (
        f'SELECT {keys}, v."column", v."value" FROM {pair.a.relation} AS a'
        f' CROSS JOIN LATERAL (VALUES {values}) AS v("column", "value"){found}'
    )


def straight(mapped: Mapped) -> bool:
    """Whether B's column reads the binary form of the wire type by itself, so that no stage is needed."""
    return _reads(mapped.column.type, mapped.wire)


def _reads(kind: Type, wire: str) -> bool:
    if wire in (kind.full, kind.name):
        return True
    if kind.kind == "domain" and kind.base is not None:
        return _reads(kind.base, wire)
    if kind.kind == "enum":
        return wire == "text"
    return kind.kind == "base" and kind.name in _TEXTS and wire.split("(")[0] in _TEXTS


def _target(b: Session, pair: Pair) -> str:
    if not pair.binary or all(straight(each) for each in pair.columns):
        return pair.b.relation
    stage = f"pg_temp.{quoted('stage_' + pair.name)}"
    columns = ", ".join(f"{quoted(each.name)} {each.wire}" for each in pair.columns)
    b.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ({columns}) ON COMMIT DELETE ROWS")
    return stage


def _unstage(b: Session, pair: Pair, stage: str) -> None:
    columns = listed([each.name for each in pair.columns])
    values = ", ".join(each.from_wire for each in pair.columns)
    b.execute(
        f"INSERT INTO {pair.b.relation} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {stage} AS s"
    )


def _explained(error: SqlFailed, pair: Pair) -> StepFailed | None:
    """What a refusal means to the one who runs the copy; None where trying again may help."""
    state = error.sqlstate
    where = f"{pair.a.name} -> {pair.b.name}"
    detail = f" ({error.detail})" if error.detail else ""
    if state == "53100":
        return StepFailed(
            f"{where}: {error}",
            hint="Make room on the disk of that server, then resume: what is copied stays.",
        )
    if state.startswith(("22", "23")):
        named = f", {error.constraint or error.column}" if error.constraint or error.column else ""
        return StepFailed(
            f"{where}: a row does not fit{named}: {error.message}{detail} (SQLSTATE {state})",
            hint="Mend the row in the source, or say in the mapping what becomes of it; `plan --deep` lists all of them.",
        )
    if state.startswith("42"):
        return StepFailed(
            f"{where}: {error}{detail}",
            hint="Was a table altered, or a right taken away, since the mapping was compiled?"
            " Roll back, and run the week again.",
        )
    return None
