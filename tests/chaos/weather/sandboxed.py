"""A proxy, a gateway or PostgreSQL killed in a whole sandbox, in the middle of a run or of a rollback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.chaos.suite import Tally, Wrong
from tests.chaos.weather.judge import sound
from tests.e2e.driving import Outcome, Tool, environment, states, world
from tests.sandbox_fixture import Sandbox, until

_KILL = """
import os, signal, sys
from tracseq_migrate.adapters.{module} import {owner}
usual, done = {owner}.{method}, []
def kill():
    if not done:
        done.append(True)
        with open(os.environ["WEATHER_VICTIM"]) as file:
            os.kill(int(file.read()), signal.SIGKILL)
def deadly(*args, **kwargs):
    {before}
    said = usual(*args, **kwargs)
    {after}
    return said
{owner}.{method} = deadly
from tracseq_migrate.cli.app import start
sys.exit(start(sys.argv[1:]))
"""

_PLACES = {
    "switch": ("haproxy", "HaproxyProxy", "switch"),
    "restart": ("supervisor", "SupervisorProgram", "restart"),
    "count": ("postgres", "PostgresDatabases", "manifest"),
    "flag-write": ("dotenv", "DotenvFlagStore", "write"),
}

CASES = {
    f"sandbox/{victim}-killed-{when}-{place}/{command}": (victim, when, place, command)
    for victim, place in (
        ("proxy", "switch"),
        ("gateway-1", "restart"),
        ("postgres", "count"),
        ("postgres", "flag-write"),
    )
    for when in ("before", "after")
    for command in ("run", "rollback")
}
"""Who is killed, when, by which method of an adapter, and in which command."""


def killed(sandbox: Sandbox, victim: str, when: str, place: str, command: str) -> Tally:
    """A program is killed with SIGKILL at a moment of the tool's, and somebody starts it again afterwards.

    Raises:
        Wrong: something that must never be was seen.
    """
    sandbox.reset()
    before = world(sandbox)
    tool = Tool(sandbox.folder)
    if command == "rollback":
        sound(tool("run", "week1", "--yes"), 0)
    pid = sandbox.supervisor.processes()[victim].pid
    note = Path(sandbox.folder) / "victim.pid"
    note.write_text(str(pid))
    module, owner, method = _PLACES[place]
    code = _KILL.format(
        module=module,
        owner=owner,
        method=method,
        before="kill()" if when == "before" else "pass",
        after="kill()" if when == "after" else "pass",
    )
    try:
        outcome = _typed(tool, code, note, command)
        sound(outcome, 0, 1, 4, 5, 6, 7)
        sound(tool("status"), 0)
    finally:
        note.unlink()
        for program in ("postgres", "monolith", "proxy", *sandbox.instances):
            if states(sandbox)[program] != "running":
                sandbox.start(program)
        _until_postgres_answers(sandbox)
    counts = {f"exit {outcome.code}": 1}
    after = {
        0: None,
        5: ("run", "week1", "--yes"),
        6: ("rollback", "week1"),
        7: ("rollback", "week1") if command == "rollback" else ("resume", "week1"),
    }.get(outcome.code, (command, "week1", *(["--yes"] if command == "run" else [])))
    if outcome.code == 5 and world(sandbox) != before:
        raise Wrong(f"it says that everything is as before: {world(sandbox)} is not {before}; {outcome}")
    if after is not None:
        said = tool(*after)
        if said.code:
            raise Wrong(f"after {outcome}\n-> the one command does not work: {said}")
        counts[f"then {after[0]}"] = 1
    if tool.state("week1") == "proven":
        sound(tool("verify", "week1"), 0)
        sound(tool("rollback", "week1"), 0)
    if world(sandbox) != before:
        raise Wrong(f"in the end it is {world(sandbox)}, not {before}")
    sound(tool("log", "verify"), 0)
    return Tally(1, counts)


def _until_postgres_answers(sandbox: Sandbox) -> None:
    """Somebody starts it, or the supervisor does; then it reads its log before it lets anybody in."""
    import psycopg

    dsns = [path.read_text().strip() for path in (sandbox.folder / "secrets").glob("*.dsn")]

    def answers() -> bool:
        try:
            for dsn in dsns:
                psycopg.connect(dsn, connect_timeout=5).close()
        except psycopg.Error:
            return False
        return True

    until(answers, "PostgreSQL to let clients in", seconds=120)


def _typed(tool: Tool, code: str, note: Path, command: str) -> Outcome:
    argv = [command, "week1", *(["--yes"] if command == "run" else [])]
    done = subprocess.run(
        [sys.executable, "-c", code, *argv],
        cwd=tool.folder,
        env=environment(WEATHER_VICTIM=os.fspath(note)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return Outcome(argv, done.returncode, done.stdout, done.stderr)


def cases(sandbox: Callable[[], Sandbox]) -> dict[str, Callable[[], Tally]]:
    """All of them."""

    def one(facts: tuple[str, str, str, str]) -> Callable[[], Tally]:
        return lambda: killed(sandbox(), *facts)

    return {name: one(facts) for name, facts in CASES.items()}
