"""The cases by name. A name says all that is needed to make the case again.

``run week1 / resume / before FlagStore.write(USE_RAG_SERVICE) #1``: killed there, then gone on with, by ``resume``;
``run week1 / rollback / POINT / after 17 points / resume``: and the recovery killed too, when it had passed 17 points;
``run week1 / resume / at 1234 ms``: killed from outside, by the clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.suites.kill.stories import NEW, STORIES, Story

_BETWEEN = " / "


@dataclass(frozen=True)
class Point:
    """Death at a point, by its name."""

    name: str


@dataclass(frozen=True)
class NumberOfPoints:
    """Death at whichever point is the so-maniest."""

    count: int


@dataclass(frozen=True)
class At:
    """Death from outside, so many seconds after the start."""

    seconds: float


Death = Point | NumberOfPoints | At


def parsed(case: str) -> tuple[Story, list[tuple[Death, str]]]:
    """The story of a case, and its deaths, each with the recovery that follows it."""
    story, recovery, first, *more = case.split(_BETWEEN)
    deaths = [(_death(first), recovery)]
    for second, then in zip(more[::2], more[1::2], strict=True):
        deaths.append((_death(second), then))
    return STORIES[story], deaths


def _death(text: str) -> Death:
    words = text.split()
    if words[0] == "at" and words[-1] == "ms":
        return At(int(words[1]) / 1000)
    if words[0] == "after" and words[-1] == "points":
        return NumberOfPoints(int(words[1]))
    return Point(text)


def single(points: Mapping[str, Sequence[str]]) -> list[str]:
    """Every point of every story, with every recovery."""
    return [
        _BETWEEN.join((name, recovery, point))
        for name, story in STORIES.items()
        for point in points[name]
        for recovery in story.recoveries
    ]


def in_rest(every: Sequence[str]) -> list[str]:
    """The same cases in an order in which most begin where the one before has led to, so that little is to be restored.

    They come in twos that begin and end alike, because two workers take them by turns.
    """
    waiting: dict[str, list[str]] = {}
    for case in every:
        waiting.setdefault(parsed(case)[0].start, []).append(case)
    ordered: list[str] = []
    here = NEW
    while any(waiting.values()):
        if not waiting.get(here):
            here = next(start for start, cases in waiting.items() if cases)
        first = waiting[here].pop(0)
        goal = _goal(first)
        alike = next((case for case in waiting[here] if _goal(case) == goal), None)
        ordered.append(first)
        if alike is not None:
            waiting[here].remove(alike)
            ordered.append(alike)
        here = goal
    return ordered


def _goal(case: str) -> str:
    story, deaths = parsed(case)
    return story.goal(deaths[-1][1])


def endless(points: Mapping[str, Sequence[str]], seconds: Mapping[str, float], seed: int) -> Iterator[str]:
    """Pairs of deaths, and deaths by the clock, by turns."""
    draw = random.Random(seed)
    while True:
        story = STORIES[draw.choice(sorted(STORIES))]
        here = points[story.name]
        at = draw.randrange(len(here))
        first, second = (draw.choice(story.recoveries) for _ in range(2))
        # What a recovery passes by is what was left to do, or what there is to take back, and a little more.
        left = len(here) - at if first == "resume" or story.backward else at
        count = draw.randint(1, left + 12)
        yield _BETWEEN.join((story.name, first, here[at], f"after {count} points", second))
        story = STORIES[draw.choice(sorted(STORIES))]
        moment = draw.uniform(0.1, seconds[story.name] + 1.0)
        yield _BETWEEN.join((story.name, draw.choice(story.recoveries), f"at {moment * 1000:.0f} ms"))
