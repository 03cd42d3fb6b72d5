"""A sandbox in which the tool is killed, looked at, and gone on with by one command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos import snapshot
from tests.chaos.snapshot import Snapshot
from tests.chaos.suite import Tally, Wrong
from tests.chaos.suites.kill import judging
from tests.chaos.suites.kill.calls import Callers, Ended, callers
from tests.chaos.suites.kill.cases import At, Death, NumberOfPoints, Point, parsed
from tests.chaos.suites.kill.stories import BEFORE, NEW, STORIES, Story
from tests.e2e.driving import world
from tests.sandbox_fixture import Sandbox, bring_up, take_down
from tracseq_migrate.ports import Event

ASKS_A_PERSON = (6, 7, 9, 12)
"""Exit codes with which the tool gives the word to a person."""
OVER = ("never-run", "proven", "rolled-back")
_UNFINISHED = re.compile(r".*/\.journal\.sqlite3\.\*\.new")
"""What a death in the making of the journal leaves: nobody reads it, and it harms nothing."""
BROKEN_OFF = ("in-doubt", "rolling-back")


@dataclass(frozen=True)
class Undisturbed:
    """A story that nobody disturbed: the points that it passed, how long it took, and the journal after it."""

    points: Sequence[str]
    seconds: float
    events: Sequence[Event]


@dataclass(frozen=True)
class Recovery:
    """What is typed after a death, nothing where nothing is to be done, and the snapshot that it leads to."""

    argv: tuple[str, ...]
    goal: str


class KillBench:
    """One sandbox, with what it was like after each undisturbed story."""

    def __init__(self, sandbox: Sandbox, tool: Callers, folder: Path) -> None:
        self._sandbox, self._tool, self._folder = sandbox, tool, folder
        self._snapshots = {NEW: snapshot.take(sandbox, NEW, folder)}
        self._journals: dict[str, Sequence[Event]] = {NEW: ()}
        self._undisturbed: dict[str, Undisturbed] = {}

    def undisturbed(self, name: str) -> Undisturbed:
        """A story told once without a death."""
        if name not in self._undisturbed:
            story = STORIES[name]
            self._restore(story.start)
            ended = self._tool(*story.command)
            _refuse(ended.code != 0, f"nobody was killed, and {ended}")
            events = judging.journal_of(self._sandbox)
            self._undisturbed[name] = Undisturbed(ended.points, ended.seconds, events)
            if story.end not in self._snapshots:
                self._snapshots[story.end] = snapshot.take(self._sandbox, story.end, self._folder)
                self._journals[story.end] = events
        return self._undisturbed[name]

    def carry_out(self, case: str) -> Tally:
        """Kill as the case says, go on by one command after each death, and see that all is as it would have been.

        Raises:
            Wrong: it is not.
        """
        story, deaths = parsed(case)
        self._restore(story.start)
        argv, goal, died = story.command, story.end, 0
        for death, recovery in deaths:
            ended = self._kill(argv, death)
            died += ended.killed
            state = self._look(story, ended)
            chosen = decide(story, state, recovery)
            argv, goal = chosen.argv, chosen.goal
            if not argv:
                break
        last = self._tool(*argv) if argv else None
        told = [f"it was typed: {last}"] if last else []
        if last is not None and last.code:
            asked = " (a person is asked)" if last.code in ASKS_A_PERSON else ""
            raise Wrong(f"exit {last.code} after one command{asked}\n" + "\n".join(told))
        later, wrong = self._judge(story, goal)
        _refuse(bool(wrong), "\n".join([*wrong, *told]))
        counts = {"kills": died, "recoveries": int(last is not None), "asked_a_person": 0}
        kind = {Point: "points", NumberOfPoints: "killed twice", At: "at a random time"}[type(deaths[-1][0])]
        counts[kind] = int(died > 0)
        if later:
            counts["at rest a moment later"] = 1
        return Tally(tried=max(died, 1), counts=counts)

    def _kill(self, argv: Sequence[str], death: Death) -> Ended:
        match death:
            case Point(name):
                ended = self._tool(*argv, die_at=name)
                reached = ended.killed and bool(ended.points) and ended.points[-1] == name
                _refuse(not reached, f"the point was never reached: {ended}")
            case NumberOfPoints(count):
                ended = self._tool(*argv, die_after=count)
            case At(seconds):
                ended = self._tool.program(*argv, kill_after=seconds)
        _refuse(not ended.killed and ended.code != 0, f"it was not killed, and {ended}")
        return ended

    def _look(self, story: Story, ended: Ended) -> str:
        """The state of the week as `status` has it, which must name it, and what to type next."""
        look = self._tool("status", "--json")
        _refuse(look.code != 0, f"after the death: {look}")
        document: Mapping[str, Any] = look.document
        state = _state(document, story.week)
        following = str(document["next_command"])
        died = f"after {ended.points[-1] if ended.points else 'death'}"
        _refuse(document["lock"] is not None, f"{died} the dead process holds the lock: {document['lock']}")
        _refuse(state not in (*OVER, *BROKEN_OFF), f"{died} {story.week} is {state}")
        _refuse(not following.startswith("tracseq-migrate "), f"{died} status says to type {following!r}")
        named = f"tracseq-migrate resume {story.week}"
        _refuse(
            state in BROKEN_OFF and following != named,
            f"{died} {story.week} is {state}, and status says to type {following!r}, not {named!r}",
        )
        return state

    def _judge(self, story: Story, goal: str) -> tuple[bool, list[str]]:
        """Whether the world came to rest only a moment later; and all that is wrong."""
        wanted = self._snapshot(goal)
        at_once = world(self._sandbox) == wanted.world
        have = wanted.world if at_once else snapshot.calm(self._sandbox)
        wrong = snapshot.differences(have, wanted.world)
        known = frozenset().union(*(each.files for each in self._snapshots.values()))
        left = sorted(snapshot.files(self._sandbox) - known)
        wrong += [f"left over: {name}" for name in left if not _UNFINISHED.fullmatch(name)]
        status = self._tool("status", "--json")
        wrong += (
            [f"at the end: {status}"] if status.code else self._status_differs(status.document, story, goal)
        )
        for look in (self._tool("verify"), self._tool("log", "verify")):
            wrong += [str(look)] if look.code else []
        events = judging.journal_of(self._sandbox)
        wrong += judging.chain_holds(events) + judging.log_is_current(self._sandbox, events)
        if goal == story.end and not story.backward:
            wrong += judging.forward_story(events, self._journal(goal))
        else:
            back = f"rollback {story.week}"
            wrong += judging.backward_story(
                events,
                self._journal(story.start),
                self.undisturbed_elsewhere(back),
            )
        return not at_once, wrong

    def undisturbed_elsewhere(self, name: str) -> Sequence[Event]:
        """The journal of a story that has been told already; empty where that is still to come."""
        told = self._undisturbed.get(name)
        return told.events if told else ()

    def _status_differs(self, document: Mapping[str, Any], story: Story, goal: str) -> list[str]:
        state = _state(document, story.week)
        fine = ("proven",) if story.week in _in_force(goal) else ("never-run", "rolled-back")
        wrong = [] if state in fine else [f"{story.week} is {state}"]
        wrong += [f"still owed: {owed}" for owed in document["obligations"]]
        wrong += [f"{flag['flag']}: {flag['drift']}" for flag in document["flags"] if flag["drift"]]
        wrong += [str(text) for text in (*document["warnings"], *document["fallen"])]
        return wrong + ([f"the lock is held: {document['lock']}"] if document["lock"] else [])

    def _snapshot(self, name: str) -> Snapshot:
        for story in BEFORE[name]:
            self.undisturbed(story)
        return self._snapshots[name]

    def _journal(self, name: str) -> Sequence[Event]:
        self._snapshot(name)
        return self._journals[name]

    def _restore(self, name: str) -> None:
        snapshot.restore(self._sandbox, self._snapshot(name))


def decide(story: Story, state: str, recovery: str) -> Recovery:
    """What a person types who wants to go on, or back, in a state; one command at the most."""
    back = ("rollback", story.week)
    if recovery == "rollback":
        return Recovery(() if state == "never-run" else back, story.goal("rollback"))
    if state in ("rolling-back", "rolled-back") or (story.backward and state == "proven"):
        argv = ("resume", story.week) if state == "rolling-back" else back
        return Recovery(argv, story.end if story.backward else story.start)
    return Recovery(story.command if state == "never-run" else ("resume", story.week), story.end)


def _in_force(goal: str) -> tuple[str, ...]:
    return tuple(STORIES[name].week for name in BEFORE[goal])


def _state(document: Mapping[str, Any], week: str) -> str:
    return str(next(line["state"] for line in document["weeks"] if line["week"] == week))


def _refuse(wrong: bool, text: str) -> None:
    if wrong:
        raise Wrong(text)


@contextmanager
def kill_bench(folder: Path) -> Iterator[KillBench]:
    """A sandbox of its own, while it is needed."""
    place = folder / "sandbox"
    try:
        sandbox = bring_up(place, users=12)
        with callers(place, folder / "calls") as tool:
            yield KillBench(sandbox, tool, folder / "snapshots")
    finally:
        take_down(place)
