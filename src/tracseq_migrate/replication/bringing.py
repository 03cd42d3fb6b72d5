"""Bringing a replication to life, looking at one, comparing it, taking it away: the engines of this room, one after the other.

Every stage can be done again and goes on where it was, so that whoever was killed anywhere begins at the top. What is reached
is in the databases themselves; the caller is told, for its journal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from tracseq_migrate import duration
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports import Clock
from tracseq_migrate.ports.sql import Session, Sessions
from tracseq_migrate.replication import capture, put_away
from tracseq_migrate.replication.applying import Applier
from tracseq_migrate.replication.building import Built, build
from tracseq_migrate.replication.catalog.reading import read as read_catalog
from tracseq_migrate.replication.catalog.shape import differences
from tracseq_migrate.replication.comparing import Comparison, Snapshots, aligned, compare
from tracseq_migrate.replication.control import leading, ownership, phases, tables
from tracseq_migrate.replication.copying import Copied, copy, never
from tracseq_migrate.replication.copying.progress import Progress
from tracseq_migrate.replication.names import quoted
from tracseq_migrate.replication.pair import Direction, Replication
from tracseq_migrate.replication.reverting import left_behind, revert
from tracseq_migrate.step import Evidence

CONNECT = 15.0
"""Seconds within which a database must take a connection."""
LEAD = 30.0
"""Seconds that whoever applies at the moment has to make way."""
_AT_ONCE = 2_000
_PAUSE = 0.1


@frozen
class Stage:
    """Something durable that was reached."""

    name: str
    data: Mapping[str, Any]


@frozen
class Brought:
    """What it came to."""

    copied: Copied
    built: Built
    applied: int
    seconds_behind: float

    def evidence(self) -> list[Evidence]:
        """For the journal and the log."""
        rows, size = self.copied.rows, self.copied.bytes
        rate = f", {rows / self.copied.seconds:,.0f} rows/s" if self.copied.seconds > 0.5 else ""
        lines = [
            Evidence(
                f"copied {rows:,} rows ({size:,} bytes) in {duration.show(self.copied.seconds)}{rate}",
                {
                    "rows": rows,
                    "bytes": size,
                    "seconds": round(self.copied.seconds, 3),
                    "chunks": self.copied.chunks,
                },
            )
        ]
        if self.built.objects:
            lines.append(
                Evidence(
                    f"put back {len(self.built.objects)} indexes and constraints in {duration.show(self.built.seconds)}",
                    {"objects": list(self.built.objects), "seconds": round(self.built.seconds, 3)},
                )
            )
        lines.append(
            Evidence(
                f"carried {self.applied:,} changes over; {duration.show(self.seconds_behind)} behind",
                {"applied": self.applied, "behind_seconds": round(self.seconds_behind, 3)},
            )
        )
        return lines


@contextmanager
def led(
    sessions: Sessions,
    replication: Replication,
    direction: Direction,
    epoch: int,
    *,
    patience: float = LEAD,
    check: Callable[[], None],
) -> Iterator[Applier]:
    """An applier whose session leads; whoever led before pauses, and goes on afterwards.

    Raises:
        StepFailed: the one who leads did not make way; says who it is.
        Unreachable: a database cannot be reached.
    """
    a, b = replication.database_a, replication.database_b
    origin, destination = (a, b) if direction == "forward" else (b, a)
    with (
        sessions.open(destination, purpose="apply", timeout=CONNECT) as writes,
        leading.wanting(writes, replication.name, patience=patience, check=check),
        sessions.open(origin, purpose="apply: read", timeout=CONNECT) as reads,
        sessions.open(origin, purpose="apply: log", timeout=CONNECT) as sweeps,
    ):
        # The destination refuses everybody else, once its fence is up.
        ownership.pass_fence(writes, replication.name, epoch)
        yield Applier(reads, sweeps, writes, replication, direction, epoch)


def bring(
    sessions: Sessions,
    replication: Replication,
    *,
    jobs: int,
    lag: float,
    by: str,
    clock: Clock,
    throttle: Callable[[], float] = never,
    check: Callable[[], None],
    told: Callable[[str], None],
    reached: Callable[[Stage], None],
) -> Brought:
    """Capture, copy, build, and follow until the destination is at most ``lag`` seconds behind. Nothing is compared here.

    Args:
        jobs: connections that copy and build at once.
        by: who does it, for those who find it in the databases.
        throttle: asked before each chunk of the copy, for the seconds that it shall wait.
        check: called often; may raise, and then everything that was done stays, to be gone on with.
        told: a line about how far it is.
        reached: something durable was reached.

    Raises:
        StepFailed: what stands in the way, and what to do.
        Displaced: somebody else has claimed the replication meanwhile.
        SqlFailed, Unreachable: a database refused, or is away.
    """

    def progress(seen: Progress) -> None:
        told(seen.text)

    with (
        sessions.open(replication.database_a, purpose="replicate", timeout=CONNECT) as a,
        sessions.open(replication.database_b, purpose="replicate", timeout=CONNECT) as b,
    ):
        tables.install(a, replication.name, "a")
        tables.install(b, replication.name, "b")
        claim = ownership.claim(a, b, replication.name, by=by)
        for side, row in (("a", claim.a), ("b", claim.b)):
            if (row.owner, row.direction) != ("a", "forward"):
                raise StepFailed(
                    f"{replication.name} has been cut over already (side {side}: owner {row.owner}, direction {row.direction})",
                    hint="`tracseq-migrate status` says what it is at.",
                )
        reached(Stage("claimed", {"epoch": claim.epoch}))
        _capture(a, b, replication, claim.epoch, check, told)
        reached(Stage("captured", {}))
        copied = copy(
            sessions, replication, claim.epoch, workers=jobs, throttle=throttle, check=check, told=progress
        )
        reached(Stage("copied", {"rows": copied.rows, "bytes": copied.bytes}))
        with led(sessions, as_it_is(b, replication), "forward", claim.epoch, check=check) as applier:
            applied = applier.drain(check=check).read
            built = Built((), 0.0)
            if any(each.phase == "copied" for each in phases.everything(b, replication.name).values()):
                # Unique values and parents are whole only where all of the log up to one moment is applied; and nobody applies
                # more of it while this session leads.
                with applier.align() as aligned:
                    applied += aligned.read
                built = build(sessions, replication, claim.epoch, workers=jobs, check=check, told=progress)
            reached(Stage("built", {"objects": len(built.objects)}))
        with led(sessions, as_it_is(b, replication), "forward", claim.epoch, check=check) as applier:
            behind = lag + 1.0
            while behind > lag:
                check()
                batch = applier.batch()
                applied += batch.read
                behind = batch.oldest_seconds if batch.read or batch.remaining else 0.0
                told(f"catching up: {duration.show(behind)} behind, {batch.remaining:,} changes wait")
                if behind > lag and not batch.read:
                    clock.sleep(_PAUSE)
        b.begin()
        ownership.hold(b, replication.name, claim.epoch, "forward")
        for pair in replication.pairs:
            phases.write(b, replication.name, pair.name, "following")
        b.commit()
        reached(Stage("following", {"behind_seconds": round(behind, 3)}))
    return Brought(copied, built, applied, behind)


def as_it_is(b: Session, replication: Replication) -> Replication:
    """The same, with B's tables as they are now.

    Whoever applies must know every unique index that stands in the way of swapped values. Where this is gone on with, the mapping
    was held against a catalog in which they were put away.
    """
    names = [pair.b.name for pair in replication.pairs]
    now = read_catalog(b, names).tables
    return replace(replication, pairs=tuple(replace(pair, b=now[pair.b.name]) for pair in replication.pairs))


def _capture(
    a: Session,
    b: Session,
    replication: Replication,
    epoch: int,
    check: Callable[[], None],
    told: Callable[[str], None],
) -> None:
    for pair in replication.pairs:
        check()
        told(f"recording changes of {pair.a.name}")
        capture.create(a, replication, pair, "a", enabled=True)
        if phases.read(b, replication.name, pair.name) is None:
            b.begin()
            ownership.hold(b, replication.name, epoch, "forward")
            phases.write(b, replication.name, pair.name, "captured")
            b.commit()


@frozen
class Seen:
    """What the two databases know of a replication."""

    a: ownership.Ownership | None
    b: ownership.Ownership | None
    phases: Mapping[str, phases.PairPhase]

    @property
    def closed(self) -> bool:
        """Whether A alone remembers that B owns the tables, as it is once the way back was given up. (Or where B is lost: whoever
        asks must know that it was given up.)"""
        return self.b is None and self.a is not None and (self.a.owner, self.a.direction) == ("b", "back")

    @property
    def nothing(self) -> bool:
        """Neither side knows of it."""
        return self.a is None and self.b is None

    @property
    def following(self) -> bool:
        """Every table follows its source; A is the owner."""
        rows = (self.a, self.b)
        owned = all(row is not None and (row.owner, row.direction) == ("a", "forward") for row in rows)
        return owned and bool(self.phases) and all(each.phase == "following" for each in self.phases.values())

    @property
    def text(self) -> str:
        if self.nothing:
            return "neither database knows of it"
        if self.closed:
            return "the old side says that the new one owns the tables, and that one knows nothing of it: completed, or lost"
        if not self.phases:
            return "it was begun, and nothing is copied yet"
        return ", ".join(f"{pair} is {each.phase}" for pair, each in self.phases.items())


def look(sessions: Sessions, name: str, database_a: str, database_b: str, *, patience: float) -> Seen:
    """What the two databases know of a replication of this name. Raises `Unreachable`, `SqlFailed`."""
    with (
        sessions.open(database_a, purpose="look", timeout=CONNECT, patience=patience) as a,
        sessions.open(database_b, purpose="look", timeout=CONNECT, patience=patience) as b,
    ):
        return Seen(ownership.read(a, name), ownership.read(b, name), phases.everything(b, name))


def compare_aligned(
    sessions: Sessions,
    replication: Replication,
    *,
    patience: float,
    only: Sequence[str] = (),
    limit: int = 20,
    values: bool = False,
    check: Callable[[], None],
) -> Comparison:
    """Compare both sides as of one moment, exactly, while people write.

    Args:
        only: names of pairs; all of them where this is empty.
        limit: how many differences of each table are listed.

    Raises:
        StepFailed: there is no replication to align, or whoever applies does not make way.
        SqlFailed, Unreachable: a database could not be asked.
    """

    @contextmanager
    def aligning() -> Iterator[Snapshots]:
        with sessions.open(replication.database_b, purpose="compare", timeout=CONNECT) as b:
            row = ownership.read(b, replication.name)
        if row is None:
            raise StepFailed(f"{replication.database_b} knows of no replication {replication.name}")
        with ExitStack() as stack:
            with led(
                sessions, replication, row.direction, row.epoch, patience=patience, check=check
            ) as applier:
                snapshots = stack.enter_context(aligned(sessions, replication, row.direction, applier.align))
            # Whoever carries changes over goes on from here; the two snapshots stay what they are.
            yield snapshots

    return compare(replication, aligning, tables=only, limit=limit, values=values, check=check)


def dependent_rows(
    sessions: Sessions, replication: Replication, *, patience: float, limit: int
) -> list[tuple[str, Mapping[str, Any]]]:
    """Rows of B's own tables that would go with the copied ones, and that nobody declared to be passing: table, row.

    Raises:
        SqlFailed, Unreachable: B could not be asked.
    """
    with sessions.open(replication.database_b, purpose="look", timeout=CONNECT, patience=patience) as b:
        found: list[tuple[str, Mapping[str, Any]]] = []
        for each in left_behind(b, replication):
            rows = b.rows(
                f"SELECT to_jsonb(c)::text FROM {each.table} AS c WHERE {each.condition} LIMIT {max(limit - len(found), 0)}"
            )
            found += [(each.name, json.loads(row)) for (row,) in rows]
        return found


def take_back(
    sessions: Sessions,
    replication: Replication,
    *,
    by: str,
    before: Mapping[str, Any],
    dependents_too: bool = False,
    told: Callable[[str], None],
) -> list[Evidence]:
    """Take capture and copied rows away, and see that both databases are as they were.

    Args:
        dependents_too: as `revert` has it.
        before: the shapes of both catalogs before the first step, by side; empty where they are not known any more.

    Raises:
        StepFailed: B owns the tables, or a catalog is not as it was for another reason than that somebody altered it meanwhile.
        SqlFailed, Unreachable: a database refused, or is away.
    """
    evidence: list[Evidence] = []
    altered: list[str] = []
    with (
        sessions.open(replication.database_a, purpose="revert", timeout=CONNECT) as a,
        sessions.open(replication.database_b, purpose="revert", timeout=CONNECT) as b,
    ):
        others = {
            side: _apart(session, names, before[side], without=_put_away(session, replication, side))
            for side, session, names in _sides(a, b, replication)
            if side in before
        }
        if ownership.read(a, replication.name) is not None or ownership.read(b, replication.name) is not None:
            tables.install(a, replication.name, "a")
            tables.install(b, replication.name, "b")
            claim = ownership.claim(a, b, replication.name, by=by)
            # Whoever carries changes over makes way, and finds afterwards that there is nothing left to carry.
            with leading.wanting(b, replication.name, patience=LEAD):
                gone = revert(
                    sessions,
                    replication,
                    claim.epoch,
                    dependents_too=dependents_too,
                    told=lambda seen: told(seen.text),
                )
            evidence.append(
                Evidence(
                    f"capture is gone, and with it all that was carried over ({gone.rows:,} rows by the copy)",
                    {"rows": gone.rows, "objects": len(gone.objects), "seconds": round(gone.seconds, 3)},
                )
            )
        else:
            evidence.append(Evidence("neither database knows of it any more"))
        changed = []
        for side, session, names in _sides(a, b, replication):
            if side in before:
                after = _apart(session, names, before[side])
                changed += [f"{session.database}: {each}" for each in sorted(after - others[side])]
                altered += [f"{session.database}: {each}" for each in sorted(after & others[side])]
    if changed:
        raise StepFailed(
            f"the catalogs are not as they were before: {'; '.join(changed[:5])}",
            hint="If somebody altered the tables on purpose meanwhile, that is theirs; else put it back by hand.",
        )
    if altered:
        evidence.append(
            Evidence(
                f"somebody altered the tables meanwhile, and that was left as it is: {'; '.join(altered[:5])}",
                {"altered": altered},
            )
        )
    elif before:
        evidence.append(Evidence("both catalogs are as they were before"))
    return evidence


def _sides(
    a: Session, b: Session, replication: Replication
) -> tuple[tuple[put_away.Side, Session, list[str]], ...]:
    pairs = replication.pairs
    return ("a", a, [pair.a.name for pair in pairs]), ("b", b, [pair.b.name for pair in pairs])


def _put_away(session: Session, replication: Replication, side: put_away.Side) -> frozenset[str]:
    """What the tool itself took off and has not put back yet."""
    if not tables.installed(session):
        return frozenset()
    return frozenset(each.name for each in put_away.listed(session, replication.name, side))


def _apart(
    session: Session,
    names: Sequence[str],
    before: Mapping[str, Any],
    *,
    without: frozenset[str] = frozenset(),
) -> set[str]:
    """What differs from the shape before, for people; ``without`` what is about these indexes, constraints and triggers."""
    after = _of_tables(read_catalog(session, names).shape(), names)
    found = differences(_of_tables(before, names), after)
    return {str(each) for each in found if without.isdisjoint(each.path)}


def _of_tables(shape: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The part of a shape that is about these tables: what others altered meanwhile is none of ours."""
    found = dict(shape)
    if isinstance(found.get("tables"), dict):
        found["tables"] = {name: each for name, each in found["tables"].items() if name in names}
    found.pop(
        "sequences", None
    )  # where they stand is put right by `revert`, and they are not the tables' alone
    return found


def rows_of(
    sessions: Sessions,
    database: str,
    relation: str,
    keys: Sequence[Mapping[str, str | None]],
    *,
    patience: float,
) -> list[dict[str, Any] | None]:
    """The whole rows with these keys, as JSON values, in the order of the keys; None for one that is gone.

    Args:
        relation: the table, quoted and qualified.
        keys: texts by column, as a comparison has them.

    Raises:
        SqlFailed, Unreachable: the database could not be asked.
    """
    if not keys:
        return []
    names = list(keys[0])
    text = f"pg_catalog.jsonb_build_array({', '.join(f'b.{quoted(name)}::text' for name in names)})"
    found: dict[str, dict[str, Any]] = {}
    with sessions.open(database, purpose="list", timeout=CONNECT, patience=patience) as session:
        for start in range(0, len(keys), _AT_ONCE):
            wanted = [json.dumps([key[name] for name in names]) for key in keys[start : start + _AT_ONCE]]
            rows = session.rows(
                f"SELECT ({text})::text, pg_catalog.to_jsonb(b.*)::text FROM {relation} AS b"
                f" WHERE {text} = ANY (ARRAY(SELECT w::jsonb FROM pg_catalog.unnest($1::text[]) AS w))",
                [wanted],
            )
            found |= {json.dumps(json.loads(key)): json.loads(row) for key, row in rows}
    return [found.get(json.dumps([key[name] for name in names])) for key in keys]
