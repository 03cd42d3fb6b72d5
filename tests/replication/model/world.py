"""What there is at one moment: two sides, a front, two operators, one who follows, and how many writes were acknowledged.

One row stands for all: its value is the number of the write that made it, so "nothing is lost" is "whoever is open has the
highest number". A side's log is a set of such numbers as bits; like the real one it says *that* the row changed, not to what.
"""

from __future__ import annotations

from typing import NamedTuple

FORWARD, BACK = 0, 1
NAMES = ("A", "B")
WAYS = ("forward", "back")


def origin(way: int) -> int:
    """The side that owns before; A is 0, B is 1."""
    return way


def destination(way: int) -> int:
    """The side that owns after."""
    return 1 - way


class Side(NamedTuple):
    """One database: its row, its log of keys, its triggers and its row of ownership."""

    value: int
    log: int
    closed: bool
    """The fence is up."""
    capture: bool
    way: int
    """The direction in this side's row of ownership; its owner follows from ``closed``."""
    epoch: int
    writing: bool
    """A client's transaction is open that has already written: it passed the fence when it did."""


class Operator(NamedTuple):
    """A process that moves the tables: the tool, the guardian that takes its place when it dies, or a second operator.

    What its sessions hold (locks on tables and rows, the lead) follows from where it is (``at``), as long as they are ``live``.
    What it has written without a commit is ``value``; ``rows`` are the rows of the log that made it.
    """

    at: str
    kind: str
    left: int
    """Programs that it may still begin."""
    live: bool
    """Its sessions are there: nobody has ended them."""
    epoch: int
    way: int
    value: int
    rows: int
    plan: str
    """What it decided to do before it claimed; only without the guard ``facts``."""


class Follower(NamedTuple):
    """The applier of `sync run`, or its batch that stalled."""

    at: str
    way: int
    epoch: int
    value: int
    rows: int


class Front(NamedTuple):
    """The proxy."""

    held: bool
    route: int
    epoch: int
    """Of whoever switched last."""


class World(NamedTuple):
    """A state of the model."""

    sides: tuple[Side, Side]
    operators: tuple[Operator, Operator]
    follower: Follower
    stalled: Follower
    """A batch of one who follows no longer leads; never there in the full model."""
    front: Front
    written: int
    """Writes that were acknowledged."""
    settled: bool
    """The operator of the last claim came to its end, and said that all is well."""
    fault: str
    """A rule that was broken by the step that led here."""


NOT_FOLLOWING = Follower("idle", 0, 0, 0, 0)
GONE = Operator("gone", "", 0, False, 0, 0, 0, 0, "")


class Scenario(NamedTuple):
    """How much may happen; a smaller one is a part of the larger."""

    way: int = FORWARD
    writes: int = 2
    second: int = 2
    """Programs that a second operator may carry out, one after the other."""
    crashes: bool = True
    """Any operator may die at any time."""
    follows: bool = True
    """Somebody follows."""

    def first(self) -> World:
        """The world before anything: the origin open and routed to, nothing written yet."""
        sides = [Side(0, 0, True, False, self.way, 0, False) for _ in NAMES]
        sides[origin(self.way)] = Side(0, 0, False, True, self.way, 0, False)
        tool = GONE._replace(at="idle", kind="tool", left=1)
        second = GONE._replace(at="idle", kind="second", left=self.second) if self.second else GONE
        return World(
            (sides[0], sides[1]),
            (tool, second),
            NOT_FOLLOWING,
            NOT_FOLLOWING,
            Front(False, origin(self.way), 0),
            0,
            True,
            "",
        )


def ranked(world: World) -> World:
    """The same world with its epochs counted from 0 without gaps: they are only ever compared."""
    a, b = world.sides
    one, two = world.operators
    follower, stalled, front = world.follower, world.stalled, world.front
    known = {0, a.epoch, b.epoch, one.epoch, two.epoch, follower.epoch, stalled.epoch, front.epoch}
    if max(known) == len(known) - 1:
        return world
    rank = {epoch: number for number, epoch in enumerate(sorted(known))}
    return world._replace(
        sides=(a._replace(epoch=rank[a.epoch]), b._replace(epoch=rank[b.epoch])),
        operators=(one._replace(epoch=rank[one.epoch]), two._replace(epoch=rank[two.epoch])),
        follower=follower._replace(epoch=rank[follower.epoch]),
        stalled=stalled._replace(epoch=rank[stalled.epoch]),
        front=front._replace(epoch=rank[front.epoch]),
    )
