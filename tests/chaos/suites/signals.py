"""Signals: each kind, at each moment of a real run in a sandbox, and then the one command that `status` names.

A case is ``SIGNALS@MOMENT``; at the moments that have no mark of their own it ends in the milliseconds to wait. Counted are the
signals, the ends that the journal knows of, and how many came within the five seconds after which others send SIGKILL; ``ms`` is
the time from the first signal to the end.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.suite import Tally, Wrong
from tests.e2e.driving import Call, Outcome, Tool, pids, rag_week, tool_of, unhealthy, world, write_week
from tests.sandbox_fixture import Sandbox, bring_up, take_down, until

KILL_FOLLOWS = 5.0

SIGNALS: dict[str, list[tuple[float, signal.Signals]]] = {
    "INT": [(0, signal.SIGINT)],
    "TERM": [(0, signal.SIGTERM)],
    "HUP": [(0, signal.SIGHUP)],
    "QUIT": [(0, signal.SIGQUIT)],
    "INT+INT": [(0, signal.SIGINT), (0.5, signal.SIGINT)],
    "TERM+TERM": [(0, signal.SIGTERM), (0.5, signal.SIGTERM)],
    "INT+TERM": [(0, signal.SIGINT), (0.5, signal.SIGTERM)],
    "HUP-twice-in-a-moment": [(0, signal.SIGHUP), (0.01, signal.SIGHUP)],
    "TERM+KILL": [(0, signal.SIGTERM), (KILL_FOLLOWS, signal.SIGKILL)],
    "STOP+CONT": [(0, signal.SIGTSTP), (1.0, signal.SIGCONT)],
}
"""By name: the signals, and how many seconds after the one before each comes."""

PROGRAM = """\
case "$1" in
stubborn) trap '' TERM INT HUP ;;
esac
case "$1" in
do|stubborn) echo $$ > began-$2; sleep 600 & until [ -e go ]; do sleep 0.05; done; kill $!; touch done-$2 ;;
seen) [ -e done-$2 ] ;;
hangs) echo $$ > began-$2; until [ -e go ]; do sleep 0.05; done; [ -e done-$2 ] ;;
quick) touch done-$2 ;;
undo) rm -f done-$2 ;;
slowly-undo) echo $$ > undoing-$2; until [ -e go ]; do sleep 0.05; done; rm -f done-$2 ;;
esac
"""
"""A program of the operator: does something when the file ``go`` is there, and can tell whether it did."""


def _command(step: str, *, run: str = "do", verify: str = "seen", revert: str = "undo") -> str:
    def argv(verb: str) -> str:
        return f"[sh, program.sh, {verb}, {step}]"

    return (
        f"id: {step}, timeout: 120s, command: {{run: {argv(run)}, verify: {argv(verify)}, probe: {argv('seen')},"
        f" revert: {argv(revert)}}}"
    )


def _week(*steps: str, preflight: str = "") -> str:
    listed = "".join(f"  - {{{step}}}\n" for step in steps)
    return f"week: try\ntitle: A week to be interrupted\nrisk: low\n{preflight}steps:\n{listed}"


_SEEN = "id: seen, http: {target: monolith, path: /health}"
_NEVER = "http: {target: monolith, path: /health, expect: {status: 418}, within: 20s}"


@dataclass
class Scene:
    """A sandbox, the tool in it, and the call that gets the signals."""

    sandbox: Sandbox
    tool: Tool
    call: Call | None = None

    @property
    def folder(self) -> Path:
        return self.sandbox.folder

    def touch(self, name: str) -> None:
        (self.folder / name).touch()

    def arrived(self, done: Callable[[], bool], what: str) -> None:
        """Wait for the moment; a call that ended before it was reached is at fault."""
        call = self.call
        assert call is not None
        until(lambda: done() or call.process.poll() is not None, what, seconds=60)
        if call.process.poll() is not None:
            raise Wrong(f"it ended before {what}: {call.end()}")

    def said(self, text: str) -> None:
        call = self.call
        assert call is not None
        self.arrived(lambda: any(text in line for line in (*call.out, *call.err)), f"{text!r} to be said")

    def there(self, name: str) -> None:
        file = self.folder / name
        self.arrived(lambda: file.exists() and bool(file.read_text().strip()), f"{name} to be there")


@dataclass(frozen=True)
class Moment:
    """``plan`` and what stands ``around`` the call; ``arrive`` waits for the moment; ``clear`` takes the obstacle away."""

    plan: str
    arrive: Callable[[Scene], None]
    argv: tuple[str, ...] = ("run", "try")
    clear: Callable[[Scene], None] = lambda scene: None
    around: Callable[[Scene], AbstractContextManager[None]] = lambda scene: contextlib.nullcontext()
    before: tuple[tuple[str, ...], ...] = ()
    """Calls that lead there; they end with 0."""
    waits: bool = False
    """Whether the step at work ends by `clear` alone: Ctrl-C lets it come to its end."""


def _go(scene: Scene) -> None:
    scene.touch("go")


def _plan_without_preflight(scene: Scene) -> None:
    write_week(scene.sandbox, _week(_SEEN))


@contextlib.contextmanager
def _silent(scene: Scene, service: str = "rag") -> Iterator[None]:
    """Something that takes connections at a service's address and never answers."""
    address = urllib.parse.urlsplit(scene.sandbox.document["services"][service])
    with socket.create_server((address.hostname or "", address.port or 0)):
        yield


@contextlib.contextmanager
def _locked(scene: Scene) -> Iterator[None]:
    """Another run that holds the lock."""
    write_week(
        scene.sandbox, _week(_command("other")).replace("week: try", "week: elsewhere"), "elsewhere.yaml"
    )
    with scene.tool.as_("frank").working("run", "elsewhere") as call:
        other = Scene(scene.sandbox, scene.tool, call)
        other.there("began-other")
        yield
        scene.touch("go")
        call.end().expect(0)


def _changed(look: Callable[[Scene], object]) -> Callable[[Scene], None]:
    """The moment at which something is no longer as it is when the waiting begins."""

    def arrive(scene: Scene) -> None:
        was = look(scene)
        scene.arrived(lambda: look(scene) != was, "the moment")

    return arrive


def _flag_bytes(scene: Scene) -> object:
    return scene.sandbox.flag_file.read_bytes()


def _instances(scene: Scene) -> object:
    return {name: pid for name, pid in pids(scene.sandbox).items() if name in scene.sandbox.instances}


def _well(scene: Scene) -> None:
    scene.sandbox.state.layout.fault_file("rag").unlink(missing_ok=True)


@contextlib.contextmanager
def _ill(scene: Scene) -> Iterator[None]:
    unhealthy(scene.sandbox, "rag")
    yield


MOMENTS: dict[str, Moment] = {
    "preflight": Moment(
        _week(_SEEN, preflight=f"preflight:\n  - {_NEVER}\n"),
        lambda scene: scene.said("begin "),
        clear=_plan_without_preflight,
    ),
    "preflight-unanswered": Moment(
        _week(_SEEN, preflight="preflight:\n  - http: {target: rag, path: /health, within: 20s}\n"),
        lambda scene: scene.said("begin "),
        clear=_plan_without_preflight,
        around=_silent,
    ),
    "lock": Moment(
        _week(_SEEN),
        lambda scene: scene.said("waiting for it"),
        argv=("run", "try", "--lock-timeout", "60s"),
        clear=_go,
        around=_locked,
    ),
    "unhealthy": Moment(
        rag_week(),
        lambda scene: scene.arrived(lambda: "rag" in pids(scene.sandbox), "rag to run"),
        clear=_well,
        around=_ill,
    ),
    "command": Moment(
        _week(_SEEN, _command("long")), lambda scene: scene.there("began-long"), clear=_go, waits=True
    ),
    "command-stubborn": Moment(
        _week(_SEEN, _command("long", run="stubborn")),
        lambda scene: scene.there("began-long"),
        clear=_go,
        waits=True,
    ),
    "command-is-seen": Moment(
        _week(_command("long", run="quick", verify="hangs")),
        lambda scene: scene.there("began-long"),
        clear=_go,
        waits=True,
    ),
    "parallel": Moment(
        f"{_week(_SEEN)}  - parallel:\n      - {{{_command('left')}}}\n"
        "      - {id: right, services: {up: [rag]}}\n",
        lambda scene: scene.there("began-left"),
        clear=_go,
        waits=True,
    ),
    "retry": Moment(
        _week(
            f"id: asked, retry: {{attempts: 9, wait: 50s}}, timeout: 600s, {_NEVER.replace(', within: 20s', '')}"
        ),
        lambda scene: scene.said("again in"),
        clear=lambda scene: None,
    ),
    "http": Moment(_week(f"id: asked, timeout: 90s, {_NEVER}"), lambda scene: scene.said("asked begins")),
    "http-unanswered": Moment(
        _week("id: asked, timeout: 90s, http: {target: rag, path: /health, within: 20s}"),
        lambda scene: scene.said("asked begins"),
        around=_silent,
    ),
    "flag-declared": Moment(rag_week(), _changed(_flag_bytes)),
    "instance-starts": Moment(rag_week(), _changed(_instances)),
    "proof": Moment(rag_week(), lambda scene: scene.said("proof begins")),
    "back-command": Moment(
        _week(_SEEN, _command("first", run="quick"), _command("long", run="quick", revert="slowly-undo")),
        lambda scene: scene.there("undoing-long"),
        argv=("rollback", "try"),
        before=(("run", "try"),),
        clear=_go,
        waits=True,
    ),
    "back-flags": Moment(
        rag_week(), _changed(_flag_bytes), argv=("rollback", "try"), before=(("run", "try"),)
    ),
    "back-instance": Moment(
        rag_week(), _changed(_instances), argv=("rollback", "try"), before=(("run", "try"),)
    ),
    "resumed-command": Moment(
        _week(_SEEN, _command("long")),
        lambda scene: scene.there("began-long"),
        argv=("resume", "try"),
        clear=_go,
        waits=True,
    ),
    "startup": Moment(rag_week(), lambda scene: None),
    "anywhere": Moment(rag_week(), lambda scene: None),
}
"""By name. ``startup`` and ``anywhere`` have no mark: their cases say how long to wait."""

NEVER_MET = frozenset({"http", "http-unanswered", "retry"})
"""Moments of plans that can come to no good end: going back is the one command there."""


def cases(seed: int) -> Iterator[str]:
    """Every signal at every moment, in an order of the seed's; then moments by the clock, without end."""
    chance = random.Random(seed)
    every = [
        f"{name}@{moment}" for moment in MOMENTS if moment not in ("startup", "anywhere") for name in SIGNALS
    ]
    chance.shuffle(every)
    yield from every
    while True:
        name = chance.choice(list(SIGNALS))
        yield f"{name}@startup:{chance.randrange(10, 600)}"
        yield f"{name}@anywhere:{chance.randrange(300, 9000)}"


def carry_out(sandbox: Sandbox, case: str) -> Tally:
    """One case, in a sandbox that is as new. Raises `Wrong`, `AssertionError`."""
    name, _, place = case.partition("@")
    moment_name, _, wait = place.partition(":")
    moment = MOMENTS[moment_name]
    _tidy(sandbox)
    scene = Scene(sandbox, tool_of(sandbox))
    write_week(sandbox, moment.plan)
    before = world(sandbox)
    for argv in moment.before:
        scene.tool(*argv).expect(0)
    if moment_name == "resumed-command":
        _break_off(scene, moment)
    try:
        with moment.around(scene):
            outcome, seconds = _signalled(scene, moment, SIGNALS[name], int(wait or 0) / 1000)
        _no_trace(outcome)
        _no_program(sandbox)
        counts = _judge(scene, moment_name, name, outcome)
    finally:
        _go(scene)
        _well(scene)
    _find_the_way(scene, moment_name, moment)
    now = world(sandbox)
    if now != before:
        raise Wrong(f"the world is not as before: {now} instead of {before}")
    return Tally(
        counts={
            **counts,
            "signals": len(SIGNALS[name]),
            "ms": round(seconds * 1000),
            "within 5 s" if seconds <= KILL_FOLLOWS else "later than 5 s": 1,
        }
    )


def _tidy(sandbox: Sandbox) -> None:
    for pattern in ("began-*", "done-*", "undoing-*", "go"):
        for file in sandbox.folder.glob(pattern):
            file.unlink()
    (sandbox.folder / "program.sh").write_text(PROGRAM)


def _break_off(scene: Scene, moment: Moment) -> None:
    """A first run that was killed at the same place."""
    with scene.tool.working("run", "try") as call:
        scene.call = call
        moment.arrive(scene)
        call.send(signal.SIGKILL)
        call.process.wait()
    (scene.folder / "began-long").unlink()


def _signalled(
    scene: Scene, moment: Moment, signals: list[tuple[float, signal.Signals]], wait: float
) -> tuple[Outcome, float]:
    """Call it, send the signals at the moment, and wait for its end; the seconds from the first signal to the end."""
    with scene.tool.working(*moment.argv) as call:
        scene.call = call
        time.sleep(wait)
        moment.arrive(scene)
        sent: float | None = None
        for pause, number in signals:
            deadline = time.monotonic() + pause
            while time.monotonic() < deadline and call.process.poll() is None:
                time.sleep(0.01)
            if call.process.poll() is None:
                sent = sent or time.monotonic()
                call.send(number)
        lasts = moment.waits and signals[0][1] in (signal.SIGINT, signal.SIGTSTP) and len(signals) == 1
        if signals[0][1] == signal.SIGTSTP or lasts:
            time.sleep(0.5)
            moment.clear(scene)
        outcome = call.end()
        return outcome, time.monotonic() - (sent or time.monotonic())


def _no_trace(outcome: Outcome) -> None:
    for word in (
        "Traceback",
        "Exception in thread",
        "Exception ignored",
        "a bug of ours",
        "KeyboardInterrupt",
    ):
        if word in outcome.err + outcome.out:
            raise Wrong(f"{word!r} was written: {outcome}")


def _no_program(sandbox: Sandbox) -> None:
    """No program of a step outlives the tool."""
    for file in (*sandbox.folder.glob("began-*"), *sandbox.folder.glob("undoing-*")):
        pid = int(file.read_text() or 0)
        with contextlib.suppress(AssertionError):
            until(lambda pid=pid: not psutil.pid_exists(pid), "its end", seconds=10)  # type: ignore[misc]  # bound early
        if psutil.pid_exists(pid):
            raise Wrong(f"a program of {file.name} still runs: {psutil.Process(pid).cmdline()}")


def _judge(scene: Scene, moment: str, name: str, outcome: Outcome) -> dict[str, int]:
    """Whether it ended as it may, and whether the journal knows."""
    numbers = [number for _, number in SIGNALS[name]]
    ends = {128 + n for n in numbers if n != signal.SIGKILL} | {
        -n for n in numbers if n in (signal.SIGKILL, signal.SIGQUIT)
    }
    ended = outcome.code
    # Where it came too late, where it let the way back come to its end, and where a step failed by itself.
    if ended not in ends | {0} and not (name == "STOP+CONT" and ended in (1, 4, 5)):
        raise Wrong(f"it ended with {ended}: {outcome}")
    if name == "STOP+CONT" and ended > 128:
        raise Wrong(f"standing still ended it: {outcome}")
    row = _row(scene.tool)
    state = row["state"] if row else "never-run"
    counts = {f"ended {'by itself' if ended >= 0 else 'killed'}": 1}
    if ended > 128 and state in ("in-doubt", "rolling-back"):
        known = signal.Signals(ended - 128).name in str(row["detail"]) if row else False
        # A signal in the instant before the first step, and one after the last, are no interruption of anything.
        if not known and moment not in ("startup", "anywhere"):
            raise Wrong(f"the journal does not know of the signal: {row}\n{outcome}")
        counts["journaled"] = int(known)
    if ended > 128 and moment not in ("startup", "anywhere"):
        assert outcome.message
    return counts


def _row(tool: Tool) -> dict[str, object] | None:
    status = tool("status", "--json").expect(0).document
    if status["lock"] is not None:
        raise Wrong(f"the lock is still held: {status['lock']}")
    return next((line for line in status["weeks"] if line["week"] == "try"), None)


def _find_the_way(scene: Scene, moment_name: str, moment: Moment) -> None:
    """One command goes on, another goes back; both are those that `status` names."""
    tool = scene.tool
    moment.clear(scene)
    row = _row(tool)
    state = str(row["state"]) if row else "never-run"
    if state == "never-run":
        if moment_name not in NEVER_MET:
            tool("run", "try").expect(0)
            tool("rollback", "try").expect(0)
    elif state in ("in-doubt", "rolling-back"):
        command = tool("status", "--json").document["next_command"].removeprefix("tracseq-migrate ").split()
        if moment_name in NEVER_MET and state == "in-doubt":
            command = ["rollback", "try"]
        tool(*command).expect(0)
        if tool.state("try") != "rolled-back":
            tool("rollback", "try").expect(0)
    elif state in ("proven", "waiting", "residue"):
        tool("rollback", "try").expect(0)
    if (now := tool.state("try")) not in ("rolled-back", "never-run"):
        raise Wrong(f"after the way back it is {now}")
    tool("log", "verify").expect(0)
    tool("log", "render").expect(0)


class _Bench:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def carry_out(self, case: str) -> Tally:
        self._sandbox.reset()
        return carry_out(self._sandbox, case)


class Signals:
    """The suite."""

    name = "signals"

    def cases(self, seed: int) -> Iterator[str]:
        return cases(seed)

    @contextlib.contextmanager
    def bench(self, folder: Path) -> Iterator[_Bench]:
        place = folder / "sandbox"
        place.mkdir()
        try:
            yield _Bench(bring_up(place, users=0))
        finally:
            take_down(place)
            shutil.rmtree(place, ignore_errors=True)


SUITE = Signals()
