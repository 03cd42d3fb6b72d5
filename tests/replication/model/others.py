"""Everybody but the operators: clients that write, the one who follows, the front's timer, and death."""

from __future__ import annotations

from collections.abc import Iterator

from tests.replication.model.guards import Guards
from tests.replication.model.protocol import led, row_locked, tables_locked
from tests.replication.model.world import (
    GONE,
    NAMES,
    NOT_FOLLOWING,
    Follower,
    Scenario,
    Side,
    World,
    destination,
    origin,
)

Next = Iterator[tuple[str, World]]


def _side(world: World, number: int, side: Side) -> World:
    a, b = world.sides
    return world._replace(sides=(side, b) if number == 0 else (a, side))


def write(world: World, scenario: Scenario) -> Next:
    """Clients write wherever they like at any time: more than what the front sends, and what strays past it too."""
    begun = sum(side.writing for side in world.sides)
    for number, side in enumerate(world.sides):
        if side.writing:
            value = world.written + 1
            changed = side._replace(
                value=value, log=side.log | (1 << value if side.capture else 0), writing=False
            )
            after = _side(world, number, changed)._replace(written=value)
            if side.closed:
                after = after._replace(fault=f"a write was accepted on {NAMES[number]}, which is fenced")
            yield f"commits write {value} on {NAMES[number]}: acknowledged", after
        elif world.written + begun < scenario.writes and not tables_locked(world, number):
            # Without the guard, a client may get the pooled connection on which an applier has set the setting.
            leaked = world.stalled.at == "left its setting" and destination(world.stalled.way) == number
            if leaked or not side.closed:
                yield (
                    f"writes on {NAMES[number]}, not committed",
                    _side(world, number, side._replace(writing=True)),
                )


def follow(world: World, guards: Guards) -> Next:
    """`sync run`: looks up the direction, leads and reads, applies, sweeps; and may stand still for ever in between."""
    me = world.follower
    if me.at == "idle":
        for way in {side.way for side in world.sides}:
            epoch = world.sides[destination(way)].epoch
            yield (
                f"sees that it goes from {NAMES[origin(way)]}",
                world._replace(follower=Follower("meant", way, epoch, 0, 0)),
            )
        return
    of, to = origin(me.way), destination(me.way)
    if me.at == "meant":
        source = world.sides[of]
        batch = me._replace(at="batch", value=source.value, rows=source.log)
        if not guards["fresh"] and source.log and world.stalled.at == "idle":
            yield "reads, and waits for the lead", world._replace(follower=NOT_FOLLOWING, stalled=batch)
        if not led(world, to):
            follower = batch if source.log else NOT_FOLLOWING
            yield "leads, then reads", world._replace(follower=follower)
    elif me.at == "batch":
        if not guards["lead"] and world.stalled.at == "idle":
            yield (
                "loses the lead's session, and keeps its batch",
                world._replace(follower=NOT_FOLLOWING, stalled=me),
            )
        yield from _apply(world, me, world._replace(follower=me._replace(at="applied")), guards)
        yield "makes way", world._replace(follower=NOT_FOLLOWING)
    else:
        source = world.sides[of]
        gone = me.rows if guards["sweep"] else -1
        swept = _side(world, of, source._replace(log=source.log & ~gone))
        yield "sweeps the log", swept._replace(follower=NOT_FOLLOWING)
        yield "makes way", world._replace(follower=NOT_FOLLOWING)


def wake(world: World, guards: Guards) -> Next:
    """A batch that stalled goes on; there is none while all guards stand."""
    me = world.stalled
    if me.at != "batch" or (not guards["fresh"] and led(world, destination(me.way))):
        return
    yield from _apply(world, me, world._replace(stalled=NOT_FOLLOWING), guards)


def _apply(world: World, me: Follower, after: World, guards: Guards) -> Next:
    to = destination(me.way)
    side = world.sides[to]
    if tables_locked(world, to) or (guards["share"] and row_locked(world, to)):
        return
    if guards["share"] and (side.epoch, side.way) != (me.epoch, me.way):
        # Whoever it was, its batch is thrown away; it looks up the direction anew.
        stalled = world.follower == after.follower
        left = world._replace(stalled=NOT_FOLLOWING) if stalled else world._replace(follower=NOT_FOLLOWING)
        yield f"reads the row of {NAMES[to]}: displaced", left
        return
    if not guards["pid"]:
        after = after._replace(stalled=NOT_FOLLOWING._replace(at="left its setting", way=me.way))
    yield f"applies value {me.value} on {NAMES[to]}", _side(after, to, side._replace(value=me.value))


def let_go(world: World, guards: Guards) -> Next:
    """The hold ends by itself."""
    if world.front.held and guards["timer"]:
        yield "lets go by itself", world._replace(front=world.front._replace(held=False))


def die(world: World, index: int) -> Next:
    """An operator dies. The tool has forked a guardian before its first step that another could see."""
    me = world.operators[index]
    if me.at in ("gone", "idle", "looked"):
        return
    heir = GONE._replace(at="idle", kind="guardian", left=1) if me.kind == "tool" else GONE
    one, two = world.operators
    yield "dies", world._replace(operators=(heir, two) if index == 0 else (one, heir))
