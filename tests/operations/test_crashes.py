"""The tool dies at every place at which it matters, and another process of it finds out and ends it.

The places are not listed here. An undisturbed execution passes by all of them: before and after each append to the journal, and
before and after each method of any port that is marked as changing something, and while a process is between stop and start.
Then, for each place, a fresh world in which the tool dies exactly there; a new process goes on, and no person may be needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.operations.world import LOG, LOSSES, Killed, Outcome, Script, World, program
from tracseq_migrate.journal import chain, vocabulary
from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.migration_log.file import recognise


@dataclass(frozen=True)
class Story:
    """A world as it is before, what is done to it, and how that ends where nobody dies."""

    begin: Callable[[], World]
    act: Callable[[World, Script], Outcome]
    code: int
    week: str


def _small(strategy: str = "proxy") -> World:
    """One service, one flag, one proof."""
    world = World(strategy=strategy)
    world.plan(
        "week9",
        {"id": "up", "services": {"up": ["storage"]}},
        {"id": "on", "flags": {"set": {"USE_STORAGE_SERVICE": True}, "writes": "stranded"}},
        {"id": "proof", "route": {"prefix": "/api/storage", "answered_by": "storage"}},
    )
    return world


def _own() -> World:
    """A plan of the kinds that the shipped plans have not: programs, and a service that stops."""
    world = World()
    world.commit = True
    world.services.states["templates"] = world.services.states["monolith"]  # it runs
    world.plan(
        "week9",
        {"id": "up", "services": {"up": ["storage"]}},
        {"parallel": [program("left"), {"id": "h", "http": {"target": "storage", "path": "/health"}}]},
        {"id": "on", "flags": {"set": {"USE_STORAGE_SERVICE": True}, "writes": "stranded"}},
        {"id": "away", "services": {"down": ["templates"]}},
        program("last"),
    )
    return world


def _failing() -> World:
    """A plan that fails at its end, so that everything goes back by itself."""
    world = World()
    world.plan(
        "week9",
        {"id": "up", "services": {"up": ["storage"]}},
        program("first"),
        {"id": "on", "flags": {"set": {"USE_STORAGE_SERVICE": True}, "writes": "stranded"}},
        {"id": "no", "http": {"target": "storage", "path": "/health", "expect": {"status": 201}}},
    )
    return world


def _ran(begin: Callable[[], World], week: str, *, writes: bool = False) -> Callable[[], World]:
    def made() -> World:
        world = begin()
        assert world.run(week).code == 0
        if writes:
            world.users_write("storage", "public.locations", id=8, name="new")
        return world

    return made


def _run(week: str) -> Callable[[World, Script], Outcome]:
    return lambda world, script: world.run(week, script=script)


def _back(week: str, **options: Any) -> Callable[[World, Script], Outcome]:
    return lambda world, script: world.rollback(week, script=script, **options)


FORWARD = {
    "week1": Story(World, _run("week1"), 0, "week1"),
    "without a proxy": Story(lambda: _small("supervisor"), _run("week9"), 0, "week9"),
    "programs": Story(_own, _run("week9"), 0, "week9"),
}
BACKWARD = {
    "week1": Story(_ran(World, "week1"), _back("week1"), 0, "week1"),
    "without a proxy": Story(_ran(lambda: _small("supervisor"), "week9"), _back("week9"), 0, "week9"),
    "programs": Story(_ran(_own, "week9"), _back("week9"), 0, "week9"),
    "with accepted loss": Story(
        _ran(_small, "week9", writes=True), _back("week9", accept_loss=True), 0, "week9"
    ),
    "by itself": Story(_failing, _run("week9"), 5, "week9"),
}


def _places(story: Story) -> tuple[World, list[str]]:
    """The world after the undisturbed execution, and every place that it passed by."""
    world, script = story.begin(), Script()
    ended = story.act(world, script)
    assert ended.code == story.code, ended.text
    assert len(script.passed) == len(set(script.passed))
    return world, script.passed


def _died(story: Story, place: str) -> World:
    world = story.begin()
    with pytest.raises(Killed):
        story.act(world, Script(die_at=place))
    return world


def _every(story: Story) -> Iterator[tuple[str, World]]:
    _, places = _places(story)
    sys.stdout.write(f"{len(places)} places to die at\n")
    assert len(places) > 20
    for place in places:
        yield place, _died(story, place)


def _ends(world: World, story: Story, goal: WeekStatus) -> str:
    """Whether a week came to its goal and left nothing open; empty where it did."""
    found = [
        "" if world.week(story.week).status is goal else f"{world.week(story.week).status}",
        "" if world.lease.info is None else "the lease is held",
        "" if chain.verify(world.journal.events).broken is None else "the chain is broken",
        _log_behind(world),
    ]
    if (
        goal is WeekStatus.ROLLED_BACK
        and {"id": 8, "name": "new"} in world.databases.tables["storage"]["public.locations"]
    ):
        lists = [body for path, body in world.files.bodies.items() if path.parent == LOSSES]
        accepted = [event for event in world.journal.events if event.type == vocabulary.LOSS_ACCEPTED]
        found.append(
            "" if lists and all(b'"key": "[8]"' in body for body in lists) else "the loss is not listed"
        )
        found.append("" if accepted else "the loss is not journaled")
    return "; ".join(filter(None, found))


def _log_behind(world: World) -> str:
    """Whether the log has not the last of what was run; a run that ended, and died before it wrote it, leaves it so."""
    told = [e.seq for e in world.journal.events if e.run_id and e.type != vocabulary.LOG_COMMITTED]
    footer = recognise(world.files.bodies.get(LOG, b""))
    seen = footer.seq if footer else 0
    return f"the log is of event {seen}, not {told[-1]}" if told and seen < told[-1] else ""


def _compare(world: World, wanted: dict[str, Any]) -> str:
    have = world.snapshot()
    return "; ".join(
        f"{name}: {have[name]!r}, not {value!r}" for name, value in wanted.items() if have[name] != value
    )


def _forward(world: World, week: str) -> Outcome:
    """What a person types where a run died: `resume`, or `run` where nothing was begun."""
    if world.week(week).status in (WeekStatus.NEVER_RUN, WeekStatus.ROLLED_BACK):
        return world.run(week)
    return world.resume(week)


def _backward(world: World, week: str, **options: Any) -> Outcome:
    """What a person types to go back, wherever it died; where nothing was begun that is refused."""
    if world.week(week).status is WeekStatus.NEVER_RUN:
        refused = world.rollback(week, **options)
        assert refused.code == 4
        return Outcome(0)
    return world.rollback(week, **options)


@pytest.mark.parametrize("name", FORWARD)
def test_a_run_that_died_anywhere_is_resumed_to_its_end(name: str) -> None:
    story = FORWARD[name]
    wanted = _places(story)[0].snapshot()
    wrong = []
    for place, world in _every(story):
        ended = _forward(world, story.week)
        text = _ends(world, story, WeekStatus.PROVEN) or _compare(world, wanted)
        if ended.code or text:
            wrong.append(f"{place}: exit {ended.code}: {text} {ended.text}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", FORWARD)
def test_a_run_that_died_anywhere_is_rolled_back_to_the_start(name: str) -> None:
    story = FORWARD[name]
    wanted = story.begin().snapshot()
    wrong = []
    for place, world in _every(story):
        ended = _backward(world, story.week)
        goal = WeekStatus.NEVER_RUN if not world.week(story.week).run_id else WeekStatus.ROLLED_BACK
        text = _ends(world, story, goal) or _compare(world, wanted)
        if ended.code or text:
            wrong.append(f"{place}: exit {ended.code}: {text} {ended.text}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", BACKWARD)
def test_a_rollback_that_died_anywhere_is_resumed_to_its_end(name: str) -> None:
    story = BACKWARD[name]
    wanted = _places(story)[0].snapshot()
    wrong = []
    for place, world in _every(story):
        before = world.week(story.week).status
        if before in (WeekStatus.PROVEN, WeekStatus.NEVER_RUN):  # the rollback, or the run, was not begun yet
            ended = story.act(world, Script())
        elif before is WeekStatus.ROLLED_BACK:
            ended = world.rollback(story.week)
        else:
            ended = world.resume(story.week)
        text = _ends(world, story, WeekStatus.ROLLED_BACK) or _compare(world, wanted)
        if ended.code not in (0, story.code) or text:
            wrong.append(f"{place}: exit {ended.code}: {text} {ended.text}")
    assert not wrong, "\n".join(wrong)


def test_a_process_that_goes_on_may_die_too() -> None:
    """Two deaths: at each place of a run, and then at some place of the process that goes on, another one each time."""
    story = Story(_small, _run("week9"), 0, "week9")
    wanted = _places(story)[0].snapshot()
    start = story.begin().snapshot()
    wrong = []
    for number, (place, _) in enumerate(_every(story)):
        for going in ("resume", "rollback"):
            rehearsed, world = _died(story, place), _died(story, place)
            if world.week("week9").status is WeekStatus.NEVER_RUN:
                continue
            script = Script()
            getattr(rehearsed, going)("week9", script=script)
            again = script.passed[number % len(script.passed)] if script.passed else ""
            if not again:  # it was at its end already
                continue
            with pytest.raises(Killed):
                getattr(world, going)("week9", script=Script(die_at=again))
            ended = _backward(world, "week9") if going == "rollback" else _forward(world, "week9")
            goal = WeekStatus.PROVEN if going == "resume" else WeekStatus.ROLLED_BACK
            text = _ends(world, story, goal) or _compare(world, wanted if going == "resume" else start)
            if ended.code or text:
                wrong.append(f"{place}, then {going}, {again}: exit {ended.code}: {text} {ended.text}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", BACKWARD)
def test_a_rollback_that_died_anywhere_is_typed_again(name: str) -> None:
    story = BACKWARD[name]
    wanted = _places(story)[0].snapshot()
    accept = name == "with accepted loss"
    wrong = []
    for place, world in _every(story):
        ended = _backward(world, story.week, accept_loss=accept)
        goal = WeekStatus.NEVER_RUN if not world.week(story.week).run_id else WeekStatus.ROLLED_BACK
        text = _ends(world, story, goal) or _compare(world, wanted)
        if ended.code or text:
            wrong.append(f"{place}: exit {ended.code}: {text} {ended.text}")
    assert not wrong, "\n".join(wrong)
