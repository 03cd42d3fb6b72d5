"""The protocol breaks none of its rules in anything that can happen; without any one of its guards it does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache

import pytest

from tests.replication.model.exploring import Explored, Found, explore
from tests.replication.model.guards import GUARDS
from tests.replication.model.world import BACK, FORWARD, WAYS, Scenario

WHOLE = {
    # Two operators one after the other beside the tool and its guardian, each dying anywhere; who follows is left out.
    "second twice": Scenario(writes=1, second=2, follows=False),
    # Writes on both sides of the change, and transactions open across it.
    "second": Scenario(writes=2, second=1, follows=False),
    # The tool, its guardian, and one who follows.
    "follower": Scenario(writes=2, second=0),
}
SMALLEST = {
    "epoch": Scenario(writes=0, second=1, follows=False),
    "ends": Scenario(writes=0, second=1, follows=False),
    "facts": Scenario(writes=0, second=1, follows=False),
    "kept": Scenario(writes=1, second=0, follows=False),
    "capture": Scenario(writes=1, second=1, follows=False, crashes=False),
    "swap": Scenario(writes=0, second=1, follows=False),
}
"""A small part of the whole in which it goes wrong without the guard; the others need no second operator."""
RULES = {
    "epoch": "nobody owns",
    "ends": "the second alone cannot",
    "facts": "nobody owns",
    "drain": "acknowledged write 1 is not there",
    "fence": "accepted on {old}, which is fenced",
    "lead": "acknowledged write 2 is not there",
    "fresh": "acknowledged write 2 is not there",
    "share": "acknowledged write 2 is not there",
    "sweep": "acknowledged write 2 is not there",
    "destination-first": "writers on {old} wait for a lock on {new}",
    "fence-first": "A and B both accept writes",
    "kept": "{new} accepts writes, and acknowledged write 1 is not there",
    "pid": "accepted on {new}, which is fenced",
    "capture": "{old} accepts writes, and acknowledged write 1 is not there",
    "timer": "the hold lasts for ever",
    "swap": "{new} owns, and the front routes to {old}",
}
BOTH = pytest.mark.parametrize("way", [FORWARD, BACK], ids=WAYS)


@BOTH
@pytest.mark.parametrize("name", WHOLE)
def test_nothing_that_can_happen_breaks_a_rule(
    name: str, way: int, record_property: Callable[[str, object], None]
) -> None:
    explored = _whole(WHOLE[name]._replace(way=way))
    record_property("states", explored.states)
    sys.stdout.write(f"{name}, {WAYS[way]}: {explored}\n")
    assert explored.found is None, f"after {explored.states} states\n{explored.found}"
    # What must be in it for the answer to mean something: a space that has collapsed would hold every rule.
    assert explored.states > 5_000
    assert explored.depth > 25


def test_every_guard_is_left_out_once() -> None:
    assert RULES.keys() == GUARDS.keys()
    with pytest.raises(KeyError):
        explore(Scenario(), "no such guard")


@BOTH
@pytest.mark.parametrize("guard", GUARDS)
def test_without_it_a_rule_is_broken(
    guard: str, way: int, record_property: Callable[[str, object], None]
) -> None:
    scenario = SMALLEST.get(guard, Scenario(second=0))._replace(way=way)
    explored = explore(scenario, guard)
    record_property("states", explored.states)
    found = explored.found
    assert isinstance(found, Found), f"nothing goes wrong without: {GUARDS[guard]}"
    sys.stdout.write(f"without {guard}: {GUARDS[guard]}\n{found}\n")
    old, new = ("A", "B") if way == FORWARD else ("B", "A")
    assert RULES[guard].format(old=old, new=new) in found.rule
    # The same scenario with the guard: it is the guard, and not the scenario, that makes the difference.
    assert _whole(scenario).found is None


@cache
def _whole(scenario: Scenario) -> Explored:
    return explore(scenario)
