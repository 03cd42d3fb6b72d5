"""What a run has begun when it fails, or loses the lock: its programs end, and it begins no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.adapters.test_subprocess_commands import alive, gone
from tests.real_parts import supervisord
from tracseq_migrate.adapters import kin
from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.guarding import Guard
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal, SqliteLease
from tracseq_migrate.adapters.sqlite_journal.machine import host_name
from tracseq_migrate.adapters.supervisor import SupervisorProgram
from tracseq_migrate.errors import Locked
from tracseq_migrate.ports import Holder, ServiceState

ADA = Holder("a1", "ada", host_name(), os.getpid(), "tracseq-migrate run week1")
BOB = Holder("b2", "bob", host_name(), os.getpid(), "tracseq-migrate rollback week1")

# A whole run in small: takes the lease, runs a program that says who it is and stays, and waits for its end.
_RUN = """
import os, sys
from pathlib import Path
from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.sqlite_journal import SqliteLease
from tracseq_migrate.adapters.sqlite_journal.machine import host_name
from tracseq_migrate.ports import Holder
folder = Path(sys.argv[1])
lease = SqliteLease(folder / "journal", environment="test", ttl=float(sys.argv[2]), lost=SubprocessCommands.end_all)
lease.acquire(Holder("a1", "ada", host_name(), os.getpid(), "run"), timeout=0)
commands = SubprocessCommands(folder, holder=lambda: lease.holder_id)
commands.run(["sleep 600 & echo $! > left"], shell=True, timeout=60)
code = commands.run(["echo $$ > begun; sleep 600; date > effect"], shell=True, timeout=600).code
print(code, flush=True)
"""


def begun(folder: Path, name: str = "begun") -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / name).exists() and (text := (folder / name).read_text().strip()):
            return int(text)
        time.sleep(0.02)
    raise AssertionError("the program did not start")


def a_run(folder: Path, ttl: float) -> subprocess.Popen[str]:
    with closing(SqliteJournal(folder / "journal", environment="test")):
        pass
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, str(folder), str(ttl)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def ends_programs(holder: Holder) -> None:
    kin.end_programs_of(holder.pid, holder.holder_id)


def test_a_guard_that_stands_still_does_not_hold_the_end_up(tmp_path: Path) -> None:
    guard = Guard()
    before = {child.pid for child in psutil.Process().children()}
    guard.ready()
    (process,) = [child for child in psutil.Process().children() if child.pid not in before]
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as program:
        process.suspend()
        for number in range(3000):  # more than the pipe holds
            guard.watch(program.pid, f"mark-of-{number}")
        closing_it = threading.Thread(target=guard.close, daemon=True)
        closing_it.start()
        closing_it.join(60)
        stuck = closing_it.is_alive()
        if stuck:
            process.kill()
            program.kill()
        assert not stuck
        assert program.wait(60) == -signal.SIGKILL  # what the guard would have done is done all the same
    assert gone(process.pid)


def test_what_a_failed_program_left_ends_with_it(tmp_path: Path) -> None:
    commands = SubprocessCommands(tmp_path)
    script = (
        "(sleep 600; touch effect) & echo $! > child; setsid -f sh -c 'echo $$ > daemon; exec sleep 600';"
        " until [ -s daemon ]; do sleep 0.02; done; exit 3"
    )
    assert commands.run([script], shell=True, timeout=60).code == 3
    left = [int((tmp_path / name).read_text()) for name in ("child", "daemon")]
    still = [pid for pid in left if alive(pid) and not gone_soon(pid)]
    for pid in still:
        os.kill(pid, signal.SIGKILL)
    assert still == []


def test_a_program_that_only_looks_ends_nothing(tmp_path: Path) -> None:
    script = "sleep 600 & echo $! > child; exit 3"
    assert SubprocessCommands(tmp_path).look([script], shell=True, timeout=60).code == 3
    child = int((tmp_path / "child").read_text())
    assert alive(child)
    os.kill(child, signal.SIGKILL)
    assert gone(child)


def gone_soon(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


@pytest.mark.parametrize("way", ["released", "expired"])
def test_the_programs_of_a_holder_have_ended_when_its_lock_is_anothers(tmp_path: Path, way: str) -> None:
    stands_still = way == "expired"
    with a_run(tmp_path, ttl=0.9 if stands_still else 3600) as run:
        pid = begun(tmp_path)
        if stands_still:
            run.send_signal(signal.SIGSTOP)
        with closing(SqliteLease(tmp_path / "journal", environment="test", took=ends_programs)) as lease:
            if not stands_still:
                lease.take_away("a1", BOB)
            lease.acquire(BOB, timeout=60)
            ended = gone_soon(pid)
            # What an earlier program left on purpose may be a service: that is nobody's to end.
            left = begun(tmp_path, "left")
            lives = alive(left)
        for each in (pid, left):
            if alive(each):
                os.kill(each, signal.SIGKILL)
        run.send_signal(signal.SIGCONT)
        out, _ = run.communicate(timeout=60)
    assert ended
    assert lives
    assert int(out) < 0
    assert not (tmp_path / "effect").exists()


def test_a_holder_that_finds_its_lock_lost_ends_its_programs_itself(tmp_path: Path) -> None:
    with a_run(tmp_path, ttl=0.9) as run:
        pid = begun(tmp_path)
        with closing(SqliteLease(tmp_path / "journal", environment="test")) as lease:
            lease.take_away("a1", BOB)  # as from another machine: nothing here is ended by it
        ended = gone(pid)
        for each in (pid, begun(tmp_path, "left")):
            if alive(each):
                os.kill(each, signal.SIGKILL)
        out, _ = run.communicate(timeout=60)
    assert ended
    assert int(out) < 0


def test_giving_it_back_is_no_loss(tmp_path: Path) -> None:
    with closing(SqliteJournal(tmp_path / "journal", environment="test")):
        pass
    told: list[str] = []
    first = SqliteLease(
        tmp_path / "journal",
        environment="test",
        ttl=0.3,
        lost=lambda: told.append("lost"),
        took=lambda h: told.append("took"),
    )
    with closing(first) as lease:
        lease.release(lease.acquire(ADA, timeout=0).epoch)
        epoch = lease.acquire(BOB, timeout=0).epoch
        time.sleep(0.5)
        lease.check(epoch)
        lease.release(epoch)
    assert told == []


def test_supervisord_is_not_asked_to_start_what_may_not_be_started() -> None:
    def fenced() -> None:
        raise Locked("this run no longer holds the lock")

    command = f"{sys.executable} -c 'import time; time.sleep(60)'"
    with supervisord({"quiet": {"command": command, "startsecs": "0"}}) as (path, _):
        SupervisorProgram(path, "quiet").up(timeout=30)
        program = SupervisorProgram(path, "quiet", allowed=fenced)
        with pytest.raises(Locked):
            program.restart(timeout=30)
        assert program.state(timeout=30) is ServiceState.STOPPED
