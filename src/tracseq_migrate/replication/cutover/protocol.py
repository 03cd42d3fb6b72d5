"""The change of owner, in the order in which nothing that was acknowledged can be lost.

The destination is locked first, and everything that can fail there runs before the origin's commit. That commit is the moment
from which on nobody can write; the destination's, right behind it, is nothing but a commit. Until the first nothing has
happened; after the second there is only forward.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import field

from tracseq_migrate import duration
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Sessions, SqlFailed
from tracseq_migrate.replication.blockers import blockers
from tracseq_migrate.replication.bringing import Stage
from tracseq_migrate.replication.crew import nothing
from tracseq_migrate.replication.cutover.front import Front
from tracseq_migrate.replication.cutover.moving import Moving, locked_out, moving
from tracseq_migrate.replication.pair import Direction, Replication
from tracseq_migrate.step import Evidence


@frozen
class Limits:
    """How long things may take before they are tried again, in seconds, and how often."""

    settle: float = 0.4
    """For writes that are under way when the others are held."""
    tries: int = 12
    pause: float = 0.2
    """After the first try; it grows, with jitter, so that writers get their turn."""
    rounds: int = 30
    rows: int = 200
    """Of the drain before the locks: so many rounds, or until so few rows came in during one."""
    flushed: float = 0.5
    """For standbys of the origin to have the fence on disk."""


@frozen
class CutOver:
    """What it came to. Seconds; ``held`` is from the hold to the release, as a client sees it."""

    direction: Direction
    tries: int
    held: float
    locked: float
    drained: float
    committed: float
    switched: float
    rows: int
    predrained: int
    under_way: int | None
    sequences: Sequence[str]
    standbys: bool
    epochs: dict[str, int] = field(default_factory=dict)

    def evidence(self) -> list[Evidence]:
        """In sentences, with the numbers behind them."""
        tries = "at the first try" if self.tries == 1 else f"at try {self.tries}"
        lines = [
            Evidence(
                f"changed owner {tries}: writes waited {duration.show(self.held)} (locks {duration.show(self.locked)}, the last"
                f" {self.rows} changes {duration.show(self.drained)}, both commits {duration.show(self.committed)}, the switch"
                f" {duration.show(self.switched)})",
                {
                    "what": "cutover",
                    "direction": self.direction,
                    "tries": self.tries,
                    "gap_seconds": round(self.held, 4),
                    "lock_seconds": round(self.locked, 4),
                    "drain_seconds": round(self.drained, 4),
                    "commit_seconds": round(self.committed, 4),
                    "switch_seconds": round(self.switched, 4),
                    "rows": self.rows,
                    "predrained": self.predrained,
                    "under_way": self.under_way,
                    "epochs": self.epochs,
                },
            )
        ]
        if self.sequences:
            lines.append(
                Evidence(
                    f"{len(self.sequences)} sequences go on past both sides' numbers",
                    {"sequences": list(self.sequences)},
                )
            )
        if not self.standbys:
            lines.append(
                Evidence(
                    "a standby of the old owner has not flushed the fence yet: until it has, do not promote it",
                    {"standbys": False},
                )
            )
        return lines


def cut_over(
    sessions: Sessions,
    replications: Sequence[Replication],
    direction: Direction,
    front: Front,
    *,
    by: str,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    check: Callable[[], None] = nothing,
    told: Callable[[str], None] = lambda text: None,
    reached: Callable[[Stage], None] = lambda stage: None,
    at: Callable[[str], None] = lambda point: None,
) -> CutOver:
    """Hand the tables of these replications to their other side, and the requests with them.

    Args:
        direction: forward hands A's tables to B; back hands them to A again.
        by: who does it, for those who find it in the databases.
        check: called while nobody waits; may raise, and then nothing has happened.
        reached: something durable was reached; ``open`` is the point from which on only forward is right.
        at: called between any two parts of the protocol, with the name of the one that was done.

    Raises:
        StepFailed: it could not be, and says what stood in the way.
        Displaced: somebody else has claimed a replication.
        SqlFailed, Unreachable: a database or the gateway refused, or is away. Whatever it raises: `recover` finds out what was
            reached, and ends or undoes it.
    """
    with taken(sessions, replications, direction, by=by, check=check) as moves:
        for move in moves:
            owner = "b" if direction == "forward" else "a"
            if move.open():
                raise StepFailed(f"{move.replication.name}: side {owner} owns its tables already")
            if move.fenced():
                raise StepFailed(
                    f"{move.replication.name}: an earlier cutover was broken off, and not recovered yet"
                )
        epochs = {move.replication.name: move.epoch for move in moves}
        epoch = max(epochs.values())
        reached(Stage("claimed", {"epochs": epochs}))
        at("claimed")
        for move in moves:
            move.arm()
        at("armed")
        front.prepare()
        at("prepared")
        for move in moves:
            move.quieten()
        at("quiet")
        predrained = 0
        for move in moves:
            told(f"bringing {move.replication.name} up to date")
            predrained += move.applier.drain(rounds=limits.rounds, rows=limits.rows, check=check).read
        reached(Stage("predrained", {"rows": predrained}))
        at("predrained")
        moment = _Moment(moves, front, limits, check, told, at)
        moment.pass_()
        reached(Stage("open", {"epochs": epochs}))
        at("open")
        began = time.monotonic()
        front.switch(epoch)
        switched = time.monotonic() - began
        at("switched")
        front.release()
        held = time.monotonic() - moment.began
        reached(Stage("switched", {"gap_seconds": round(held, 4)}))
        at("released")
        settle_down(moves, front, at)
        reached(Stage("finished", {}))
        return CutOver(
            direction,
            moment.tries,
            held,
            moment.locked,
            moment.drained,
            moment.committed,
            switched,
            moment.rows,
            predrained,
            moment.under_way,
            moment.sequences,
            moment.standbys,
            epochs,
        )


@contextmanager
def taken(
    sessions: Sessions,
    replications: Sequence[Replication],
    direction: Direction,
    *,
    by: str,
    check: Callable[[], None],
) -> Iterator[list[Moving]]:
    """All of them claimed and led, always in the same order. As `moving`."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(moving(sessions, each, direction, by=by, check=check))
            for each in sorted(replications, key=lambda each: each.name)
        ]


def settle_down(moves: Sequence[Moving], front: Front, at: Callable[[str], None]) -> None:
    """What is left when requests go to the new owner: the old one's row, its log, the old instances, autovacuum."""
    for move in moves:
        move.tell_origin()
    at("told")
    for move in moves:
        move.applier.sweep_applied()
    at("swept")
    front.finish()
    at("finished")
    for move in moves:
        move.wake()


_HELD = "Wait until these transactions have ended, or end them, and try again. Nothing was changed."
_PAST = (
    "Somebody writes past the gateway's prefix: another path of the monolith, or a job of its own; after the cutover it would"
    " fail. `tracseq-migrate plan WEEK` says who writes there; route it, stop it, or move it with the week. Nothing was changed."
)


class _Moment:
    """The part in which somebody waits: tried until the locks were had."""

    def __init__(
        self,
        moves: Sequence[Moving],
        front: Front,
        limits: Limits,
        check: Callable[[], None],
        told: Callable[[str], None],
        at: Callable[[str], None],
    ) -> None:
        self._moves = moves
        self._front = front
        self._limits = limits
        self._check = check
        self._told = told
        self._at = at
        self.tries = 0
        self.began = self.locked = self.drained = self.committed = 0.0
        self.rows = 0
        self.under_way: int | None = None
        self.sequences: list[str] = []
        self.standbys = True
        self._past = ""

    def pass_(self) -> None:
        """Through it. Raises `StepFailed` where the locks could not be had; nothing has happened then."""
        why = ""
        while self.tries < self._limits.tries:
            self._check()
            if self.tries:
                pause = self._limits.pause * min(2.0 ** (self.tries - 1), 16.0)
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                for move in self._moves:
                    move.applier.drain(rounds=self._limits.rounds, rows=self._limits.rows, check=self._check)
            self.tries += 1
            # A lock that waits makes everybody wait behind it: where it cannot be had soon, nobody is held.
            why = "; ".join(filter(None, (move.in_the_way() for move in self._moves)))
            if why:
                self._told(f"not now: {why}")
                continue
            try:
                if self._try():
                    return
                why = self._past or f"{self.under_way} writes were still under way"
                self._told(f"not now: {why}")
            except SqlFailed as error:
                if not locked_out(error):
                    raise
                why = f"{error.message}. {blockers(self._moves[0].origin)}"
                self._told(f"not now: {why}")
        raise StepFailed(
            f"the tables were not free in {self.tries} tries: {why}",
            hint=_PAST if self._past else _HELD,
        )

    def _came_past(self, marks: Sequence[list[int]]) -> bool:
        found = ", ".join(
            filter(None, (move.written_since(mark) for move, mark in zip(self._moves, marks, strict=True)))
        )
        self._past = f"rows were written while every request was held: {found}" if found else ""
        return bool(found)

    def _try(self) -> bool:
        """False where writes were under way still that a proxy could not wait for, or came in past it; then nothing has
        happened."""
        front, moves, at = self._front, self._moves, self._at
        passed = False
        try:
            self.began = time.monotonic()
            front.hold()
            at("held")
            self.under_way = front.settle(self._limits.settle)
            if self.under_way and self.tries < self._limits.tries:
                return False
            # While everything that comes through the front waits, nobody can write who does come through it.
            marks = [move.mark() for move in moves] if self.under_way == 0 else None
            began = time.monotonic()
            for move in moves:
                move.lock_destination()
            at("destination locked")
            for move in moves:
                move.lock_origin()
            at("origin locked")
            if marks is not None and self._came_past(marks):
                return False
            self.locked, began = time.monotonic() - began, time.monotonic()
            self.rows = sum(move.fill() for move in moves)
            at("filled")
            self.sequences = [each.sequence for move in moves for each in move.make_ready()]
            at("ready")
            for move in moves:
                move.fence()
            for move in moves:
                move.alive()
            self.drained, began = time.monotonic() - began, time.monotonic()
            at("fencing")
            for move in moves:
                move.origin.commit()
                at(f"fenced {move.replication.name}")
            self.standbys = min(move.flushed(self._limits.flushed) for move in moves)
            for move in moves:
                move.writes.commit()
                at(f"opened {move.replication.name}")
            self.committed = time.monotonic() - began
            passed = True
        finally:
            if not passed:
                for move in moves:
                    move.undo()
                front.release()
        return True


__all__ = ["CutOver", "Limits", "cut_over", "settle_down", "taken"]
