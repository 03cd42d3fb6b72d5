"""The applier: a loop's body, and the moment in which both databases are equal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tracseq_migrate.ports.sql import Session, Sessions, SqlFailed
from tracseq_migrate.replication.applying import reading, writing
from tracseq_migrate.replication.applying.culprit import Culprit
from tracseq_migrate.replication.applying.outcomes import Aligned, Batch, Drained
from tracseq_migrate.replication.applying.reading import Span, planning
from tracseq_migrate.replication.applying.reseating import Reseating
from tracseq_migrate.replication.applying.trouble import TRANSIENT, UNIQUE, More, Stuck, Unfit, edge, of_a_row
from tracseq_migrate.replication.control.ownership import hold
from tracseq_migrate.replication.pair import Direction, Pair, Replication

LIMIT = 5_000
"""Log rows of each table that a batch takes, unless told otherwise."""
_ALL = 1 << 60
_TRIES = 5


@contextmanager
def applier(
    sessions: Sessions, replication: Replication, direction: Direction, epoch: int, *, timeout: float = 30.0
) -> Iterator[Applier]:
    """An applier with sessions of its own, closed at the end of the block. Raises `Unreachable`."""
    a, b = replication.database_a, replication.database_b
    origin, destination = (a, b) if direction == "forward" else (b, a)
    with ExitStack() as stack:
        # The destination's first: whoever leads must lead before it looks at the origin.
        opened = [
            stack.enter_context(sessions.open(database, purpose=purpose, timeout=timeout))
            for database, purpose in (
                (destination, "apply"),
                (origin, "apply: read"),
                (origin, "apply: log"),
            )
        ]
        yield Applier(opened[1], opened[2], opened[0], replication, direction, epoch)


class Applier:
    """Carries the origin's changes over, a batch at a time. It can be killed anywhere: the next one does the rest.

    Log rows are deleted only after the destination has committed what they name, and reading is by state and not by history, so
    that a batch that is applied twice changes nothing.

    Args:
        origin: reads log and rows, in one snapshot a batch.
        sweeper: another session with the same database; deletes log rows.
        destination: writes. It is the session that has the lead, where the caller needs one.
        epoch: of the claim under which this works; any other in the destination's row ends it.
    """

    def __init__(
        self,
        origin: Session,
        sweeper: Session,
        destination: Session,
        replication: Replication,
        direction: Direction,
        epoch: int,
    ) -> None:
        self.origin = origin
        self.sweeper = sweeper
        self.destination = destination
        self._replication = replication
        self._direction: Direction = direction
        self._epoch = epoch
        self._prepared = False
        self._relations = ", ".join(
            (pair.a if direction == "forward" else pair.b).relation for pair in replication.pairs
        )

    def batch(self, *, limit: int = LIMIT) -> Batch:
        """Carry over what the first ``limit`` log rows of each table name, in one transaction on the destination.

        Where that cannot be, since a unique value or a parent is further down in the log, more of it is taken at once.

        Raises:
            Displaced: another epoch or direction holds.
            Stuck: some row cannot be applied; nothing of this batch was.
            SqlFailed, Unreachable: as the sessions say; calling again is always right.
        """
        size = max(limit, 1)
        tries = 0
        while True:
            spans: list[Span] = []
            try:
                with self._snapshot():
                    spans = self._spans(size)
                    if not spans:
                        self._look()
                        return Batch(0, 0, 0, 0, 0.0)
                    upserted, deleted = self._apply(spans)
            except Unfit as error:
                raise self._stuck(
                    error.cause, Culprit(self._tried, self.origin, self._replication).of(spans)
                ) from None
            except SqlFailed as error:
                tries += 1
                if error.sqlstate in TRANSIENT and tries < _TRIES:
                    time.sleep(0.05 * 2**tries)
                    continue
                raise
            except More:
                size *= 4
                continue
            self._sweep(spans)
            return Batch(
                read=sum(span.rows for span in spans),
                upserted=upserted,
                deleted=deleted,
                remaining=sum(span.rest for span in spans),
                oldest_seconds=max(span.oldest for span in spans),
            )

    def drain(
        self,
        *,
        rounds: int = 30,
        rows: int = 200,
        limit: int = LIMIT,
        check: Callable[[], None] = lambda: None,
    ) -> Drained:
        """Batches until at most ``rows`` log rows came in while the last one went, or ``rounds`` of them were done.

        "Until the log is empty" may never come while people write. ``check`` is called before each batch, and may raise.
        """
        read = done = 0
        last = Batch(0, 0, 0, 0, 0.0)
        while done < rounds:
            check()
            last = self.batch(limit=limit)
            done += 1
            read += last.read
            if last.remaining == 0 and last.read <= rows:
                break
        return Drained(done, read, last.remaining, last.oldest_seconds)

    @contextmanager
    def align(self) -> Iterator[Aligned]:
        """A moment in which the destination is exactly what the origin is, mapped: two snapshots, as long as the block lasts.

        All of the log up to the origin's snapshot is applied before the destination's is taken; nobody else may apply meanwhile,
        and nobody else writes the destination. Writers of the origin go on.

        Raises:
            As `batch`.
        """
        self.drain()
        tries = 0
        with ExitStack() as stack:
            while True:
                inner = ExitStack()
                try:
                    inner.enter_context(self._snapshot())
                    spans = self._spans(_ALL)
                    [(exported,)] = self.origin.rows("SELECT pg_export_snapshot()")
                    if spans:
                        self._apply(spans)
                except Unfit as error:
                    inner.close()
                    raise self._stuck(error.cause) from None
                except SqlFailed as error:
                    inner.close()
                    tries += 1
                    if error.sqlstate in TRANSIENT and tries < _TRIES:
                        time.sleep(0.05 * 2**tries)
                        continue
                    raise
                except BaseException:
                    inner.close()
                    raise
                stack.push(inner)
                break
            self._sweep(spans)
            self.destination.begin("REPEATABLE READ", read_only=True)
            stack.callback(self.destination.rollback)
            [(other,)] = self.destination.rows("SELECT pg_export_snapshot()")
            yield Aligned(exported, other, sum(span.rows for span in spans))

    def apply_within(self) -> int:
        """Apply a fresh snapshot of the whole log inside of the destination's open transaction, and keep the log as it is.

        For the moment of a cutover, when the origin's tables are locked: what is in the log is all there will be. The caller
        commits, and calls `sweep_applied` after that. The number of log rows.
        """
        with self._snapshot():
            spans = self._spans(_ALL)
            try:
                if spans:
                    self._write(spans)
            except Unfit as error:
                raise self._stuck(error.cause) from None
        self._within = spans
        return sum(span.rows for span in spans)

    def sweep_applied(self) -> None:
        """Delete the log rows that `apply_within` applied; only after the destination has committed."""
        spans, self._within = self._within, []
        self._sweep(spans)

    _within: Sequence[Span] = ()

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        self.origin.begin("REPEATABLE READ", read_only=True)
        try:
            # The first statement takes no snapshot: a TRUNCATE between the snapshot and the reading of a table would show it
            # empty that never was.
            self.origin.rows(f"LOCK TABLE {self._relations} IN ACCESS SHARE MODE")
            yield
        finally:
            self.origin.rollback()

    def _spans(self, limit: int) -> list[Span]:
        # A number on A is made for a new row of B's when that row is staged: rows that others refer to are taken whole.
        limits = {pair.name: _ALL if pair.ids else limit for pair in self._replication.pairs}
        found = {row[0]: row for row in self.origin.rows(reading.spans_query(self._replication, limits))}
        spans = []
        for pair in self._replication.pairs:
            if pair.name in found:
                _, rows, _, lows, highs, whole, age, rest = found[pair.name]
                spans.append(Span(pair, rows, tuple(lows), tuple(highs), whole, age, rest))
        return spans

    def _look(self) -> None:
        """See that this applier is still the one, though there is nothing to write."""
        self.destination.begin(read_only=False)
        try:
            self._check()
        finally:
            self.destination.rollback()

    def _check(self) -> None:
        hold(self.destination, self._replication.name, self._epoch, self._direction)

    def _prepare(self) -> None:
        """Temporary tables, once a session."""
        if self._prepared:
            return
        statements = [
            statement
            for pair in self._replication.pairs
            for statement in writing.temporary_tables(self._replication, pair, self._direction)
        ]
        self.destination.execute("; ".join(statements))
        # What is made within a transaction goes with it, should it be undone.
        self._prepared = not self.destination.in_transaction

    def _apply(self, spans: Sequence[Span]) -> tuple[int, int]:
        """Write in one transaction of the destination's, and commit it."""
        self._prepare()
        self.destination.begin()
        try:
            counts = self._write(spans)
        except BaseException:
            self.destination.rollback()
            raise
        self.destination.commit()
        return counts

    def _write(self, spans: Sequence[Span]) -> tuple[int, int]:
        self._prepare()
        self._check()
        whole_log = all(span.rest == 0 for span in spans)
        try:
            self.origin.rows(planning(spans))
            for span in spans:
                self._stage(span)
            if self._direction == "back":
                self._look_back(spans)
            counts = self._statement(spans)
            if self._direction == "back":
                for span in spans:
                    for statement in writing.carry_again(self._replication, span.pair, whole=span.whole):
                        self.destination.execute(statement)
            return counts
        except SqlFailed as error:
            if edge(error) and not whole_log:
                raise More from None
            if edge(error):
                raise self._stuck(error) from None
            if of_a_row(error):
                raise Unfit(error) from None
            raise

    def _stage(self, span: Span) -> None:
        pair = span.pair
        how = "(FORMAT binary)" if pair.binary else ""
        query = reading.rows_query(self._replication, pair, self._direction, span)
        self._copy(query, writing.stage_name(self._replication, pair), how)
        if span.rows > 2_000:
            self.destination.execute(f"ANALYZE {writing.stage_name(self._replication, pair)}")
        if span.whole:
            name = writing.keys_name(self._replication, pair)
            self._copy(reading.keys_query(pair, self._direction), name, how)
            self.destination.execute(f"ANALYZE {name}")

    def _copy(self, query: str, table: str, how: str) -> None:
        with self.origin.copy_out(f"COPY ({query}) TO STDOUT {how}") as blocks:
            self.destination.copy_in(f"COPY {table} FROM STDIN {how}", blocks)

    def _look_back(self, spans: Sequence[Span]) -> None:
        for span in spans:
            for statement in writing.new_ids(self._replication, span.pair):
                self.destination.execute(statement)
        for span in spans:
            pair = span.pair
            self.destination.execute(writing.lens_statement(self._replication, pair))
            refused = self.destination.rows(writing.refused_query(self._replication, pair))
            if refused:
                keys = tuple(", ".join(key) for _, key in refused)
                raise Stuck(
                    f"{pair.b.name}: {refused[0][0]}: this change has no way back to {pair.a.name}"
                    f" (rows {'; '.join(keys)})",
                    hint=f"Change these rows in {self._replication.database_b}, or give the mapping a way back for them.",
                    table=pair.a.name,
                    keys=keys,
                )
            if span.whole:
                self.destination.execute(writing.lens_keys_statement(self._replication, pair))

    def _statement(self, spans: Sequence[Span]) -> tuple[int, int]:
        targets = [
            writing.target(self._replication, span.pair, self._direction, whole=span.whole) for span in spans
        ]
        owners = [each for each in targets if not each.only_updates]
        # What is deferred would fail at the commit, when nothing can be tried any more.
        self.destination.execute(
            f"SET CONSTRAINTS ALL IMMEDIATE; {planning(spans)}; SAVEPOINT tracseq_migrate_apply"
        )
        try:
            [(upserted, deleted)] = self.destination.rows(writing.apply_statement(owners))
        except SqlFailed as error:
            if error.sqlstate not in UNIQUE:
                raise
            self.destination.execute("ROLLBACK TO SAVEPOINT tracseq_migrate_apply")
            upserted, deleted = Reseating(self.destination, owners).apply(error)
        if len(owners) < len(targets):
            # A statement sees no row that it made itself, and changes none twice: those who only carry columns come afterwards.
            sharing = [each for each in targets if each.only_updates]
            [(updated, _)] = self.destination.rows(writing.apply_statement(sharing))
            upserted += updated
        return upserted, deleted

    def _sweep(self, spans: Sequence[Span]) -> None:
        """The log rows that were read, and no others; the new keys of id maps go in with the same commit."""
        if not spans:
            return
        self.sweeper.begin()
        try:
            # Where this is lost with the server, the rows are applied once more, and that changes nothing.
            self.sweeper.execute("SET LOCAL synchronous_commit = off")
            for span in spans:
                if self._direction == "forward":
                    for statement in reading.ids_fill(self._replication, span.pair):
                        self.sweeper.execute(statement, span.ranges)
                elif span.pair.side:
                    self.sweeper.execute(reading.side_sweep(self._replication, span.pair), span.ranges)
                self.sweeper.execute(reading.sweep(self._replication, span.pair), span.ranges)
        except BaseException:
            self.sweeper.rollback()
            raise
        self.sweeper.commit()

    def _tried(self, spans: Sequence[Span]) -> bool:
        """Whether these would fit, tried and undone."""
        try:
            with self._snapshot():
                self.destination.begin()
                try:
                    self._write(spans)
                finally:
                    self.destination.rollback()
        except (Unfit, Stuck):
            return False
        except More:
            return True
        return True

    def _stuck(self, error: SqlFailed, culprit: tuple[Pair, str] | None = None) -> Stuck:
        where = f"{error.schema}.{error.table}" if error.table else "its table"
        what = f" ({error.constraint or error.column})" if error.constraint or error.column else ""
        row = ""
        if culprit:
            pair, key = culprit
            side = pair.a if self._direction == "forward" else pair.b
            row = f" The row is {key} of {side.name} in {self.origin.what}."
        return Stuck(
            f"{error.what}: a change cannot be applied to {where}{what}: {error.message}.{row}",
            keys=(culprit[1],) if culprit else (),
            hint="Mend the row on the side that people write to, or the mapping; the log keeps the change until it fits.",
            table=error.table,
            constraint=error.constraint,
        )
