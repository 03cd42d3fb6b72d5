"""After the copy: the indexes and constraints that were put away come back, several at a time.

Each of them and the removal of its note are one transaction, so a kill costs the one that was being built. Two hands share a
table's indexes, which are built side by side; what makes one a constraint needs the table for itself, and comes when all are
there; foreign keys come last, since each is a join over two complete tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, Sessions, SqlFailed, transaction
from tracseq_migrate.replication import put_away
from tracseq_migrate.replication.control import ownership, phases
from tracseq_migrate.replication.copying import untold
from tracseq_migrate.replication.copying.preparing import locked
from tracseq_migrate.replication.copying.progress import Progress
from tracseq_migrate.replication.crew import Hand, end_leftovers, nothing, work
from tracseq_migrate.replication.names import literal
from tracseq_migrate.replication.pair import Replication
from tracseq_migrate.replication.put_away import Kind, Thing


@frozen
class Built:
    """What was put back by this call, and in how many seconds."""

    objects: tuple[str, ...]
    seconds: float


class _Builder:
    """What every hand of a build does, object after object."""

    def __init__(self, replication: Replication, epoch: int, memory: str) -> None:
        self._replication = replication
        self._epoch = epoch
        self._memory = memory
        self.built: list[str] = []

    def __call__(self, hand: Hand) -> bool:
        b = hand.session(self._replication.database_b)
        for thing in put_away.listed(b, self._replication.name, kinds=("index",)):
            b.begin()
            ownership.hold(b, self._replication.name, self._epoch, "forward")
            b.execute(f"SET LOCAL maintenance_work_mem = {literal(self._memory)}")
            if self.put_back(b, thing):
                b.commit()
                self.built.append(named(thing))
                return True
            b.rollback()
        return False

    def put_back(self, b: Session, thing: Thing) -> bool:
        try:
            return put_away.put_back(b, self._replication.name, thing)
        except SqlFailed as error:
            raise (explained(error, thing) or error) from None


def build(
    sessions: Sessions,
    replication: Replication,
    epoch: int,
    *,
    workers: int = 2,
    memory: str = "256MB",
    check: Callable[[], None] = nothing,
    told: Callable[[Progress], None] = untold,
) -> Built:
    """Put back what the copy took off B's tables, but their triggers, which stay off while B is closed; then ANALYZE them.

    To be called when B is as A was at some moment after the copy, that is, when all of the log up to there is applied, and while
    nobody applies: in between, a unique value may be there twice, and a row without its parent. Harmless to call again.

    Args:
        memory: ``maintenance_work_mem`` of each hand.

    Raises:
        StepFailed: the rows do not fit an index or a constraint, which is named; a table is locked by others for too long.
        SqlFailed, Unreachable: B refuses, or is away for longer than a minute.
    """
    began = time.monotonic()
    name = replication.name
    with sessions.open(replication.database_b, purpose="build", timeout=15.0) as b:
        end_leftovers(b, name)
        builder = _Builder(replication, epoch, memory)
        of = len(put_away.listed(b, name, kinds=("index", "constraint", "foreign key")))

        def tell(what: str) -> None:
            text = f"{len(builder.built)} of {of} indexes and constraints"
            told(Progress("build", f"{text}, {what}" if what else text))

        last = began

        def glance() -> None:
            nonlocal last
            check()
            if time.monotonic() - last >= 1.0:
                last = time.monotonic()
                tell("")

        work(sessions, name, "build", builder, hands=workers, check=glance)
        check()
        if left := put_away.listed(b, name, kinds=("index",)):
            raise StepFailed(
                f"{b.what}: {named(left[0])} is in the hands of somebody else",
                hint="Another build of the same tables is under way; wait for it, or end it, then resume.",
            )
        for pair in replication.pairs:
            check()
            tell(f"statistics of {pair.b.name}")
            b.execute(f"ANALYZE {pair.b.relation}")
        later: tuple[Kind, ...] = ("constraint", "foreign key")
        for thing in put_away.listed(b, name, kinds=later):
            check()
            tell(named(thing))
            locked(b, partial(_alone, b, builder, replication, epoch, memory, thing), check)
        with transaction(b):
            ownership.hold(b, name, epoch, "forward")
            for pair in replication.pairs:
                if phases.read(b, name, pair.name) == "copied":
                    phases.write(b, name, pair.name, "built")
    return Built(tuple(builder.built), time.monotonic() - began)


def _alone(
    b: Session, builder: _Builder, replication: Replication, epoch: int, memory: str, thing: Thing
) -> None:
    with transaction(b):
        b.execute("SET LOCAL lock_timeout = '1s'")
        ownership.hold(b, replication.name, epoch, "forward")
        b.execute(f"SET LOCAL maintenance_work_mem = {literal(memory)}")
        if builder.put_back(b, thing):
            builder.built.append(named(thing))


def named(thing: Thing) -> str:
    """A thing for people."""
    return f"{thing.kind} {thing.name}" + (f" ({thing.pair})" if thing.kind != "sequence" else "")


def explained(error: SqlFailed, thing: Thing) -> StepFailed | None:
    """What a refusal means to the one who builds; None where trying again may help."""
    detail = f" ({error.detail})" if error.detail else ""
    if error.sqlstate.startswith("23"):
        return StepFailed(
            f"{error.what}: the rows do not fit {named(thing)}: {error.message}{detail} (SQLSTATE {error.sqlstate})",
            hint="The source allows what the destination forbids. Mend the rows in the source, where they are named;"
            " they are applied here by themselves. Then resume.",
        )
    if error.sqlstate == "53100":
        return StepFailed(
            f"{named(thing)}: {error}",
            hint="Make room on the disk of that server, then resume: what is built stays.",
        )
    if error.sqlstate.startswith("42"):
        return StepFailed(
            f"{named(thing)}: {error}{detail}",
            hint="Was the table altered meanwhile? What was taken off, and what puts it back, stands in"
            " tracseq_migrate.put_away.",
        )
    return None
