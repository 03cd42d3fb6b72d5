"""What is particular to commands that are child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.redact import Redactor


def alive(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_it_starts_in_the_folder_or_below(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    commands = SubprocessCommands(tmp_path)
    assert commands.run(["pwd", "-P"], timeout=30).stdout == f"{tmp_path.resolve()}\n"
    for below in ("sub", "./sub/../sub", str(tmp_path / "sub")):
        assert commands.run(["pwd", "-P"], cwd=below, timeout=30).stdout == f"{tmp_path.resolve()}/sub\n"


def test_a_folder_outside_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "project"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path)
    commands = SubprocessCommands(inside)
    for outside in ("..", "/", "link", str(tmp_path)):
        with pytest.raises(StepFailed, match="outside of the project's folder"):
            commands.run(["touch", "made"], cwd=outside, timeout=30)
    with pytest.raises(StepFailed, match="there is no folder nowhere"):
        commands.run(["touch", "made"], cwd="nowhere", timeout=30)
    assert not list(tmp_path.rglob("made"))


def test_no_shell_unless_asked(tmp_path: Path) -> None:
    commands = SubprocessCommands(tmp_path)
    assert commands.run(["echo", "$HOME; exit 7", "*"], timeout=30).stdout == "$HOME; exit 7 *\n"
    result = commands.run(['echo "$1-$X"; exit 7', "a b"], shell=True, env={"X": "y"}, timeout=30)
    assert (result.stdout, result.code) == ("a b-y\n", 7)


def test_output_is_drained_and_cut_to_its_end(tmp_path: Path) -> None:
    program = "import sys\nfor n in range(100_000): print(f'line {n:06}'); print('e', file=sys.stderr)"
    result = SubprocessCommands(tmp_path).run([sys.executable, "-c", program], timeout=120)
    assert result.code == 0
    assert result.stdout.endswith("line 099998\nline 099999\n")
    assert len(result.stdout) == 64 * 1024
    assert len(result.stderr) == 64 * 1024


def test_output_that_is_no_text(tmp_path: Path) -> None:
    result = SubprocessCommands(tmp_path).run(["printf", "a\\377b"], timeout=30)
    assert result.stdout == "a\ufffdb"


def test_secrets_are_taken_out(tmp_path: Path) -> None:
    commands = SubprocessCommands(tmp_path, redact=lambda text: text.replace("hunter2", "***"))
    result = commands.run(["sh", "-c", "echo hunter2; echo hunter2 >&2"], timeout=30)
    assert (result.stdout, result.stderr) == ("***\n", "***\n")
    with pytest.raises(StepFailed) as caught:
        commands.run(["sh", "-c", "echo my hunter2 >&2; sleep 600"], timeout=0.5)
    assert "it said last:\nmy ***" in caught.value.message
    with pytest.raises(StepFailed) as caught:
        commands.run(["./hunter2"], timeout=30)
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_the_whole_group_ends_at_the_timeout(tmp_path: Path, trap: str) -> None:
    script = f"{trap}sleep 600 & echo $! > child; echo $$ > leader; while :; do sleep 600; done"
    commands = SubprocessCommands(tmp_path, grace=0.3)
    with pytest.raises(StepFailed, match="did not end within 1 s"):
        commands.run([script], shell=True, timeout=1)
    for name in ("child", "leader"):
        assert gone(int((tmp_path / name).read_text()))


def test_a_leader_that_ends_at_once_leaves_no_stubborn_child(tmp_path: Path) -> None:
    # The leader obeys SIGTERM, the child does not: it gets SIGKILL all the same.
    script = "(trap '' TERM; echo ready; while :; do sleep 600; done) & echo $! > child; wait"
    with pytest.raises(StepFailed):
        SubprocessCommands(tmp_path, grace=5).run([script], shell=True, timeout=1)
    assert gone(int((tmp_path / "child").read_text()))


_DAEMON = "setsid -f sh -c 'echo $$ > daemon; exec sleep 600'; until [ -s daemon ]; do sleep 0.02; done; "
"""Starts a program that leaves the group, the session and the parent behind."""


def test_what_left_the_group_ends_at_the_timeout_too(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="did not end within"):
        SubprocessCommands(tmp_path, grace=0.3).run([_DAEMON + "sleep 600"], shell=True, timeout=2)
    assert gone(int((tmp_path / "daemon").read_text()))


def test_a_daemon_that_it_leaves_lives_on_and_holds_nothing_up(tmp_path: Path) -> None:
    result = SubprocessCommands(tmp_path).run([_DAEMON + "echo up"], shell=True, timeout=60)
    daemon = int((tmp_path / "daemon").read_text())
    assert (result.code, result.stdout, alive(daemon)) == (0, "up\n", True)
    os.kill(daemon, signal.SIGKILL)
    assert gone(daemon)


def test_output_without_an_end_is_kept_by_its_end_alone(tmp_path: Path) -> None:
    before = psutil.Process().memory_info().rss
    with pytest.raises(StepFailed) as caught:
        SubprocessCommands(tmp_path).run(["sh", "-c", "cat /dev/zero; sleep 600"], timeout=3)
    assert len(caught.value.message) < 10_000
    assert psutil.Process().memory_info().rss - before < 20 * 1024 * 1024


def test_no_zombie_is_left(tmp_path: Path) -> None:
    commands = SubprocessCommands(tmp_path, grace=0.1)
    with pytest.raises(StepFailed):
        commands.run(["trap '' TERM; (sleep 0.1 &) ; sleep 600"], shell=True, timeout=0.5)
    assert [c.pid for c in psutil.Process().children() if c.status() == psutil.STATUS_ZOMBIE] == []


def test_what_it_leaves_in_the_background_lives_on(tmp_path: Path) -> None:
    result = SubprocessCommands(tmp_path).run(
        ["echo started; sleep 600 & echo $! > child"], shell=True, timeout=60
    )
    assert (result.code, result.stdout) == (0, "started\n")
    child = int((tmp_path / "child").read_text())
    assert alive(child)
    os.kill(child, 9)
    assert gone(child)


_TOOL = """
import os, signal, sys, threading, time
from pathlib import Path
from tracseq_migrate.adapters.commands import SubprocessCommands

def stop(number, frame):
    SubprocessCommands.end_all()
    os._exit(128 + number)

signal.signal(signal.SIGTERM, stop)
commands = SubprocessCommands(Path(sys.argv[1]))
script = "TRAP (trap '' TERM; echo $$ > child-$1; exec sleep 600) & echo $! > child-$1; echo $$ > leader-$1; wait; wait"
def run(number):
    commands.run([script.replace("TRAP", sys.argv[2]), number], shell=True, timeout=600)

threads = [threading.Thread(target=run, args=(number,)) for number in ("1", "2")]
for thread in threads:
    thread.start()
# Not a join: a signal that comes just before a thread blocks for ever would be seen by nobody.
while any(thread.is_alive() for thread in threads):
    time.sleep(0.02)
"""


def _started_pids(folder: Path) -> list[int]:
    """The processes of the two commands, once all of them have told their numbers."""
    names = ("leader-1", "child-1", "leader-2", "child-2")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        told = [(folder / name).read_text().strip() for name in names if (folder / name).exists()]
        if len(told) == len(names) and all(told):
            return [int(pid) for pid in told]
        time.sleep(0.02)
    raise AssertionError("the commands did not start")


def _guards_of(pid: int) -> list[int]:
    """The direct children of a process that watch over its commands."""
    children = psutil.Process(pid).children()
    return [child.pid for child in children if "read -r what group" in " ".join(child.cmdline())]


@pytest.mark.parametrize(
    ("number", "trap", "code"),
    [
        (signal.SIGKILL, "", -9),
        (signal.SIGKILL, "trap '' TERM;", -9),
        (signal.SIGTERM, "trap 'echo asked > asked; exit' TERM;", 143),
        (signal.SIGTERM, "trap '' TERM;", 143),
    ],
)
def test_the_programs_end_with_the_process_that_started_them(
    tmp_path: Path, number: signal.Signals, trap: str, code: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _TOOL, str(tmp_path), trap],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as tool:
        pids = _started_pids(tmp_path)
        guards = _guards_of(tool.pid)
        assert len(guards) == 1
        assert all(alive(pid) for pid in pids)
        tool.send_signal(number)
        assert tool.wait(60) == code
    assert [pid for pid in (*pids, *guards) if not gone(pid)] == []
    assert (tmp_path / "asked").exists() == ("asked" in trap)


_TOOL_THAT_DIES_AT_ONCE = """
import os, signal, sys
from pathlib import Path
from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.guarding import Guard

def die(self, group, mark):
    while not Path(sys.argv[1], "child").exists():
        pass
    os.kill(os.getpid(), signal.SIGKILL)

Guard.watch = die
SubprocessCommands(Path(sys.argv[1])).run(["sleep 600 & echo $! > new; mv new child; wait"], shell=True, timeout=600)
"""


def test_a_program_ends_too_whose_starter_died_before_it_knew_its_number(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _TOOL_THAT_DIES_AT_ONCE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert gone(int((tmp_path / "child").read_text()))


def test_with_nothing_running_there_is_nothing_to_end(tmp_path: Path) -> None:
    commands = SubprocessCommands(tmp_path)
    commands.run(["sleep 600 & echo $! > child"], shell=True, timeout=60)
    commands.end_all()
    child = int((tmp_path / "child").read_text())
    assert alive(child)  # what a command left on purpose is no longer its own
    os.kill(child, signal.SIGKILL)
    assert gone(child)


def test_a_guard_that_was_killed_changes_nothing(tmp_path: Path) -> None:
    results: list[int] = []

    def run() -> None:
        script = "echo $$ > begun; until [ -e go ]; do sleep 0.02; done"
        results.append(SubprocessCommands(tmp_path).run([script], shell=True, timeout=60).code)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 30
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    (guard,) = _guards_of(os.getpid())
    os.kill(guard, signal.SIGKILL)
    (tmp_path / "go").touch()
    thread.join(60)
    assert results == [0]
    assert SubprocessCommands(tmp_path).run(["true"], timeout=60).code == 0
    (fresh,) = _guards_of(os.getpid())
    assert fresh != guard


def test_input_that_nobody_reads_holds_nothing_up(tmp_path: Path) -> None:
    result = SubprocessCommands(tmp_path).run(["true"], stdin="x" * 1_000_000, timeout=60)
    assert result.code == 0


def test_no_input_is_an_empty_one_and_no_terminal(tmp_path: Path) -> None:
    result = SubprocessCommands(tmp_path).run(
        ["sh", "-c", "[ -t 0 ] || ps -o sid= -p $$; echo $$"], timeout=30
    )
    session, pid = result.stdout.split()
    assert session == pid


def test_it_cannot_be_run(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("text")
    commands = SubprocessCommands(tmp_path)
    for argv in (["./plain"], ["./nowhere"], ["a\0b"], ["."]):
        with pytest.raises(StepFailed, match="could not be started") as caught:
            commands.run(argv, timeout=30)
        assert caught.value.hint


def test_nothing_is_left_open(tmp_path: Path) -> None:
    commands = SubprocessCommands(tmp_path)

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    commands.run(["true"], timeout=30)
    before, threads = descriptors(), threading.active_count()
    for _ in range(5):
        commands.run(["echo", "x"], stdin="y", timeout=30)
        with pytest.raises(StepFailed):
            commands.run(["nowhere"], timeout=30)
        with pytest.raises(StepFailed):
            commands.run(["true"], cwd="..", timeout=30)
    deadline = time.monotonic() + 30
    while (descriptors(), threading.active_count()) != (before, threads) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (descriptors(), threading.active_count()) == (before, threads)


_KILLED = """
import sys
from pathlib import Path
from tracseq_migrate.adapters.commands import SubprocessCommands
SubprocessCommands(Path(sys.argv[1])).run([sys.argv[2]], shell=True, timeout=600)
"""


def test_what_left_the_group_ends_when_the_tool_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path), _DAEMON + "touch there; sleep 600"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as tool:
        deadline = time.monotonic() + 60
        while not (tmp_path / "there").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        tool.kill()
        tool.wait(60)
    assert gone(int((tmp_path / "daemon").read_text()))


def test_a_secret_at_the_edge_of_what_is_kept_leaves_no_half(tmp_path: Path) -> None:
    redact = Redactor(["canary-in-the-cut"]).text
    for short in (0, 5, 12, 17):
        # So much is printed behind the secret that what is kept begins in the middle of it.
        script = f"printf 'x%.0s' $(seq 200); printf canary-in-the-cut; head -c {64 * 1024 - short} /dev/zero | tr '\\0' y"
        said = SubprocessCommands(tmp_path, redact=redact).run([script], shell=True, timeout=60).stdout
        assert len(said) == 64 * 1024
        assert "cut" not in said


def test_variables_that_are_withheld(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT_BACK", "a")
    monkeypatch.setenv("LET_THROUGH", "b")
    commands = SubprocessCommands(tmp_path, withheld={"KEPT_BACK", "NOWHERE"})
    line = 'echo "${KEPT_BACK-none} $LET_THROUGH"'
    assert commands.run([line], shell=True, timeout=30).stdout == "none b\n"
    assert commands.run([line], shell=True, env={"KEPT_BACK": "c"}, timeout=30).stdout == "c b\n"
