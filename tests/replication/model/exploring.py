"""All that can happen, breadth first, and whether the rules hold in each state.

Rules of each state (``broken``): never two owners that accept writes; whoever accepts writes has every acknowledged one; nobody
writes past a fence; nobody waits with the origin locked; and once the last operator has said that it is done, there is
one owner and the front routes to it.

Rules of what can still happen: wherever an operator is left that nobody has displaced, it *alone* can bring about
one owner, all others standing still where they are; and a hold ends without anybody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.replication.model import others, protocol
from tests.replication.model.guards import Guards
from tests.replication.model.world import NAMES, Scenario, World, ranked

CLOCK = 1
"""Bit of the moves that need nobody: the front's timer, and clients that end their open transactions."""
_OPERATORS = (2, 4)
_ELSE = 8


@dataclass(frozen=True)
class Step:
    """One step of a trace: who did what, and the world after it."""

    actor: str
    what: str
    world: World

    def __str__(self) -> str:
        return f"{self.actor}: {self.what}"


@dataclass(frozen=True)
class Found:
    """How a rule is broken: the rule, and a shortest way there."""

    rule: str
    trace: tuple[Step, ...]

    def __str__(self) -> str:
        lines = [f"{number:3}. {step}" for number, step in enumerate(self.trace, 1)]
        return "\n".join([*lines, f"     => {self.rule}"])


@dataclass(frozen=True)
class Explored:
    """What came of it."""

    states: int
    transitions: int
    depth: int
    found: Found | None

    def __str__(self) -> str:
        return f"{self.states} states, {self.transitions} transitions, {self.depth} steps deep"


def moves(world: World, scenario: Scenario, guards: Guards) -> Iterator[tuple[int, str, str, World]]:
    """Bit of whose move it is, actor, what, and the world after it."""
    for index, operator in enumerate(world.operators):
        actor = operator.kind
        for what, after in protocol.moves(world, index, guards):
            yield _OPERATORS[index], actor, what, after
        if scenario.crashes:
            for what, after in others.die(world, index):
                yield _ELSE, actor, what, after
    for what, after in others.write(world, scenario):
        yield CLOCK if what.startswith("commits") else _ELSE, "client", what, after
    if scenario.follows:
        for what, after in others.follow(world, guards):
            yield _ELSE, "follower", what, after
        for what, after in others.wake(world, guards):
            yield _ELSE, "stalled follower", what, after
    for what, after in others.let_go(world, guards):
        yield CLOCK, "front", what, after


def broken(world: World) -> str:
    """The rule that this state breaks; empty where it breaks none."""
    if world.fault:
        return world.fault
    accepting = [number for number, side in enumerate(world.sides) if not side.closed]
    if len(accepting) == 2:
        return "A and B both accept writes"
    for number in accepting:
        if world.sides[number].value != world.written:
            return f"{NAMES[number]} accepts writes, and acknowledged write {world.written} is not there"
    if world.settled:
        if not accepting:
            return "all are done, and nobody owns"
        if world.front.route != accepting[0]:
            return f"all are done, {NAMES[accepting[0]]} owns, and the front routes to {NAMES[world.front.route]}"
    return ""


def explore(scenario: Scenario, without: str = "") -> Explored:
    """Explore all of it; stops at the first state that breaks a rule, which a shortest trace leads to."""
    guards = Guards(without)
    first = scenario.first()
    seen: dict[World, int] = {first: 0}
    worlds = [first]
    parents = [-1]
    depths = [0]
    edges: list[list[tuple[int, int]]] = [[]]
    """Of each state, those that lead to it, with the bit of who moved."""
    transitions = 0
    queue = deque([0])
    while queue:
        number = queue.popleft()
        for bit, _, _, after in moves(worlds[number], scenario, guards):
            after = ranked(after)
            transitions += 1
            known = seen.get(after)
            if known is None:
                known = seen[after] = len(worlds)
                worlds.append(after)
                parents.append(number)
                depths.append(depths[number] + 1)
                edges.append([])
                rule = broken(after)
                if rule:
                    trace = _trace(known, worlds, parents, scenario, guards)
                    return Explored(len(worlds), transitions, depths[-1], Found(rule, trace))
                queue.append(known)
            if bit != _ELSE:
                edges[known].append((bit, number))
    stuck = _stuck(worlds, edges)
    found = Found(stuck[1], _trace(stuck[0], worlds, parents, scenario, guards)) if stuck else None
    return Explored(len(worlds), transitions, depths[-1], found)


def _stuck(worlds: list[World], edges: list[list[tuple[int, int]]]) -> tuple[int, str] | None:
    """The first state from which what must come cannot come, and which rule says that it must."""
    rules: list[tuple[int, str]] = []
    ends = _leading_to(
        (n for n, world in enumerate(worlds) if not world.front.held), CLOCK, edges, len(worlds)
    )
    if (held := ends.find(0)) >= 0:
        rules.append((held, "the hold lasts for ever where nobody is left"))
    settled = [number for number, world in enumerate(worlds) if _at_rest(world)]
    for index, bit in enumerate(_OPERATORS):
        reaches = _leading_to(settled, bit | CLOCK, edges, len(worlds))
        for number, world in enumerate(worlds):
            if not reaches[number] and _able(world, index):
                who = world.operators[index].kind
                rules.append((number, f"the {who} alone cannot bring about one owner again"))
                break
    return min(rules, default=None)


def _at_rest(world: World) -> bool:
    accepting = [number for number, side in enumerate(world.sides) if not side.closed]
    a, b = world.sides
    return (
        len(accepting) == 1
        and world.front.route == accepting[0]
        and not world.front.held
        and a.way == b.way == accepting[0]
    )


def _able(world: World, index: int) -> bool:
    """Whether it is left to this operator: it lives, and nobody has displaced it."""
    me = world.operators[index]
    if me.at == "gone":
        return False
    if me.at in ("idle", "looked"):
        return True
    if me.at in ("claiming", "claiming b"):
        return me.live
    return all(side.epoch == me.epoch for side in world.sides)


def _leading_to(
    targets: Iterable[int], bits: int, edges: list[list[tuple[int, int]]], size: int
) -> bytearray:
    reached = bytearray(size)
    todo = list(targets)
    for number in todo:
        reached[number] = 1
    while todo:
        for bit, before in edges[todo.pop()]:
            if bit & bits and not reached[before]:
                reached[before] = 1
                todo.append(before)
    return reached


def _trace(
    number: int, worlds: list[World], parents: list[int], scenario: Scenario, guards: Guards
) -> tuple[Step, ...]:
    steps: list[Step] = []
    while parents[number] >= 0:
        before = parents[number]
        for _, actor, what, after in moves(worlds[before], scenario, guards):
            if ranked(after) == worlds[number]:
                steps.append(Step(actor, what, after))
                break
        number = before
    return tuple(reversed(steps))
