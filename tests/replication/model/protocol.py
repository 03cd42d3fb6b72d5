"""What an operator does next: claim, cut over, recover, each step one transition.

Words for where an operator is (``Operator.at``):

====================  ==============================================================================================
idle                  may begin; it has done nothing
looked                (without ``facts``) has decided already, and not claimed yet
claiming              older sessions are ended, both rows locked
claiming b            A's epoch is raised and committed, B's is not
claimed               the claim stands; sessions to work with are not open yet
leading               they are, and the destination's leads
held                  the front holds writes
locked destination    B's transaction is open: row and tables locked, triggers turned (not committed)
locked origin         (without ``destination-first``) the origin is locked, the destination is not
read early            (without ``drain``) the log is read, the origin is not locked yet
locked                both are
drained               the last rows are in the destination's transaction
opened early          (without ``fence-first``) the destination committed, the origin has not
fenced                the origin committed
open                  the destination committed: from here forward only
switched, released    the front's part of the end
forward …             recovery where the origin is fenced and the destination closed
unfence, back         recovery by undoing
gone                  it came to its end, was displaced, or died
====================  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.replication.model.guards import Guards
from tests.replication.model.world import GONE, NAMES, Operator, Side, World, destination, origin

Next = Iterator[tuple[str, World]]

_DESTINATION_LOCKED = frozenset(
    ("locked destination", "read early", "locked", "drained", "fenced", "forward locked", "forward drained")
)
_ORIGIN_LOCKED = frozenset(("locked origin", "locked", "drained", "opened early"))
_LEADS = (
    _DESTINATION_LOCKED
    | _ORIGIN_LOCKED
    | {"leading", "held", "open", "switched", "released", "forward leading"}
)
_ALL = -1


def tables_locked(world: World, side: int) -> bool:
    """Whether an operator's open transaction has this side's tables."""
    return any(
        operator.live
        and (
            (operator.at in _DESTINATION_LOCKED and destination(operator.way) == side)
            or (operator.at in _ORIGIN_LOCKED and origin(operator.way) == side)
        )
        for operator in world.operators
    )


def row_locked(world: World, side: int, *, but: int | None = None) -> bool:
    """Whether somebody's open transaction has this side's row of ownership FOR UPDATE."""
    for index, operator in enumerate(world.operators):
        if index == but or not operator.live:
            continue
        if operator.at == "claiming" or (operator.at == "claiming b" and side == 1):
            return True
        if operator.at in _DESTINATION_LOCKED and destination(operator.way) == side:
            return True
        if operator.at in _ORIGIN_LOCKED and origin(operator.way) == side:
            return True
    return False


def led(world: World, side: int, *, but: int | None = None) -> bool:
    """Whether somebody holds the lead in a session of this side."""
    follower = world.follower
    if follower.at in ("batch", "applied") and destination(follower.way) == side:
        return True
    return any(
        operator.live and index != but and operator.at in _LEADS and destination(operator.way) == side
        for index, operator in enumerate(world.operators)
    )


def moves(world: World, index: int, guards: Guards) -> Next:
    """What this operator can do now, in words, and what comes of it; nothing where it waits."""
    me = world.operators[index]
    at = me.at
    if at == "gone":
        return
    if at in ("idle", "looked", "claiming", "claiming b"):
        yield from _claim(world, index, me, guards)
    elif at in ("unfence", "back", "open", "switched", "released"):
        yield from _end(world, index, me, guards)
    else:
        yield from _cut_over(world, index, me, guards)


def _claim(world: World, index: int, me: Operator, guards: Guards) -> Next:
    if me.at == "idle" and not guards["facts"]:
        for plan, way in _decisions(world, me):
            yield "looks", _put(world, index, me._replace(at="looked", plan=plan, way=way))
        return
    if me.at in ("idle", "looked"):
        other = world.operators[1 - index]
        if guards["ends"]:
            if other.live:
                world = _put(world, 1 - index, other._replace(live=False))
        elif row_locked(world, 0, but=index) or row_locked(world, 1, but=index):
            return
        epoch = 1 + max(side.epoch for side in world.sides)
        yield (
            "claims: ends older sessions, locks both rows",
            _put(world, index, me._replace(at="claiming", live=True, epoch=epoch, left=max(0, me.left - 1))),
        )
        return
    if not me.live:
        yield "finds its sessions ended", _leave(world, index)
        return
    side = 0 if me.at == "claiming" else 1
    world = _side(world, side, world.sides[side]._replace(epoch=me.epoch))
    if side == 0:
        yield "claims: A's epoch", _put(world._replace(settled=False), index, me._replace(at="claiming b"))
        return
    decisions = [(me.plan, me.way)] if me.plan else _decisions(world, me)
    for plan, way in decisions:
        yield (
            f"claims: B's epoch; goes on with: {plan}",
            _put(world, index, me._replace(at=plan, way=way, rows=_ALL, value=0, plan="")),
        )


def _decisions(world: World, me: Operator) -> list[tuple[str, int]]:
    """The recovery table."""
    a, b = world.sides
    if a.closed and b.closed:
        return [("forward", a.way), ("unfence", a.way)]
    owner = 1 if a.closed else 0
    if a.way != b.way:
        return [("open", world.sides[1 - owner].way)]
    # One owner, and nothing begun: who recovers routes to it; others cut over, in the direction that stands.
    if me.kind == "second":
        return [("back", a.way), ("claimed", a.way)]
    return [("claimed" if me.kind == "tool" else "back", a.way)]


def _cut_over(world: World, index: int, me: Operator, guards: Guards) -> Next:
    to, of = destination(me.way), origin(me.way)
    at = me.at
    if at in ("claimed", "forward"):
        if not led(world, to, but=index):
            after = "leading" if at == "claimed" else "forward leading"
            yield "opens its sessions and leads", _put(world, index, me._replace(at=after, live=True))
        # The one who leads does not make way.
        yield "gives up leading", _put(world, index, me._replace(at="back" if at == "claimed" else "unfence"))
        return
    if at == "leading":
        held = world._replace(front=world.front._replace(held=True))
        yield "holds writes", _put(held, index, me._replace(at="held"))
        return
    if not me.live:
        yield "finds its sessions ended", _lost(world, index, me)
        return
    if at == "held" and not guards["destination-first"]:
        yield from _lock(world, index, me, of, "locked origin", guards)
    elif at == "locked origin":
        yield from _lock(world, index, me, to, "locked", guards)
    elif at == "held":
        yield from _lock(world, index, me, to, "locked destination", guards)
    elif at == "forward leading":
        yield from _lock(world, index, me, to, "forward locked", guards)
    elif at == "locked destination" and not guards["drain"]:
        yield "drains the log", _put(world, index, _drained(world, me, "read early"))
    elif at in ("locked destination", "read early"):
        yield from _lock(world, index, me, of, "locked" if at == "locked destination" else "drained", guards)
    elif at in ("locked", "forward locked"):
        after = "drained" if at == "locked" else "forward drained"
        yield "drains the log", _put(world, index, _drained(world, me, after))
    elif (at == "drained" and guards["fence-first"]) or at == "opened early":
        side = world.sides[of]._replace(closed=True, capture=False)
        if not guards["kept"]:
            side = side._replace(log=side.log & ~me.rows)
        after = "fenced" if at == "drained" else "open"
        yield f"commits on {NAMES[of]}: fenced", _put(_side(world, of, side), index, me._replace(at=after))
    else:
        assert at in ("fenced", "forward drained", "drained"), at
        side = world.sides[to]._replace(
            value=me.value, closed=False, capture=guards["capture"], way=1 - me.way
        )
        after = "opened early" if at == "drained" else "open"
        yield f"commits on {NAMES[to]}: open", _put(_side(world, to, side), index, me._replace(at=after))


def _lock(world: World, index: int, me: Operator, number: int, after: str, guards: Guards) -> Next:
    """Begin on a side: its row, then its tables. Both may take time; who waits too long gives up."""
    side = world.sides[number]
    if me.at == "locked origin":
        # An autovacuum, an index being built, a session that forgot to end: it may be there at any time.
        waits = world._replace(fault=f"writers on {NAMES[origin(me.way)]} wait for a lock on {NAMES[number]}")
        yield f"waits for a lock on {NAMES[number]}, with {NAMES[1 - number]} locked", waits
        return
    if row_locked(world, number, but=index):
        if me.at == "forward leading":
            yield f"waits too long for the row of {NAMES[number]}", _lost(world, index, me)
        else:
            yield (
                f"waits too long for {NAMES[number]}; undoes",
                _put(world, index, me._replace(at="back", live=False)),
            )
        return
    if not _mine(side, me, me.way, guards):
        yield f"reads the row of {NAMES[number]}: displaced", _leave(world, index)
        return
    if not side.writing or not guards["fence"]:
        yield f"locks {NAMES[number]}", _put(world, index, me._replace(at=after))
    if me.at != "forward leading":
        yield (
            f"waits too long for {NAMES[number]}; undoes",
            _put(world, index, me._replace(at="back", live=False)),
        )


def _drained(world: World, me: Operator, after: str) -> Operator:
    """The rows that the log names as they are on the origin now; what the log does not name is as the destination has it."""
    of, to = world.sides[origin(me.way)], world.sides[destination(me.way)]
    return me._replace(at=after, value=of.value if of.log else to.value, rows=of.log)


def _end(world: World, index: int, me: Operator, guards: Guards) -> Next:
    of = origin(me.way)
    side = world.sides[of]
    if me.at == "unfence":
        if row_locked(world, of, but=index):
            yield f"waits too long for the row of {NAMES[of]}", _lost(world, index, me)
            return
        if not _mine(side, me, me.way, guards):
            yield f"reads the row of {NAMES[of]}: displaced", _leave(world, index)
            return
        opened = _side(world, of, side._replace(closed=False, capture=True))
        yield f"takes the fence of {NAMES[of]} down", _put(opened, index, me._replace(at="back"))
    elif me.at in ("back", "open"):
        route = of if me.at == "back" else destination(me.way)
        if guards["swap"] and world.front.epoch > me.epoch:
            yield "is refused by the front: displaced", _leave(world, index)
            return
        front = world.front._replace(route=route, epoch=max(me.epoch, world.front.epoch))
        if me.at == "back":
            # The end of an abort: routed back, let go.
            done = world._replace(front=front._replace(held=False))
            yield f"routes to {NAMES[route]}, lets go: aborted", _finished(done, index, me)
            return
        yield (
            f"switches to {NAMES[route]}",
            _put(world._replace(front=front), index, me._replace(at="switched")),
        )
    elif me.at == "switched":
        let_go = world._replace(front=world.front._replace(held=False))
        yield "lets go", _put(let_go, index, me._replace(at="released"))
    else:
        if row_locked(world, of, but=index):
            yield f"waits too long for the row of {NAMES[of]}", _lost(world, index, me)
            return
        if not _mine(side, me, me.way, guards):
            yield f"reads the row of {NAMES[of]}: displaced", _leave(world, index)
            return
        done = _side(world, of, side._replace(way=1 - me.way, log=side.log & ~me.rows))
        if not guards["capture"]:
            to = 1 - of
            done = _side(done, to, done.sides[to]._replace(capture=True))
        yield "sweeps the log, brings the origin's row to the same: done", _finished(done, index, me)


def _mine(side: Side, me: Operator, way: int, guards: Guards) -> bool:
    return side.way == way and (side.epoch == me.epoch or not guards["epoch"])


def _put(world: World, index: int, operator: Operator) -> World:
    one, two = world.operators
    return world._replace(operators=(operator, two) if index == 0 else (one, operator))


def _side(world: World, number: int, side: Side) -> World:
    a, b = world.sides
    return world._replace(sides=(side, b) if number == 0 else (a, side))


def _again(operator: Operator) -> Operator:
    """At its end: gone, unless it may begin another program."""
    return GONE._replace(at="idle", kind=operator.kind, left=operator.left) if operator.left else GONE


def _leave(world: World, index: int) -> World:
    """Displaced: whatever it holds is let go of, and nothing else is touched."""
    world = world._replace(front=world.front._replace(held=False))
    return _put(world, index, _again(world.operators[index]))


def _lost(world: World, index: int, me: Operator) -> World:
    """Its sessions were ended, or somebody stands in its way: where nobody has claimed after it, it claims anew and recovers."""
    if any(side.epoch > me.epoch for side in world.sides):
        return _leave(world, index)
    world = world._replace(front=world.front._replace(held=False))
    return _put(world, index, GONE._replace(at="idle", kind="recovering", left=1))


def _finished(world: World, index: int, me: Operator) -> World:
    if all(side.epoch == me.epoch for side in world.sides):
        world = world._replace(settled=True)
    return _put(world, index, _again(me))
