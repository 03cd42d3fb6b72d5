"""SupervisorProgram on a real supervisord: its states, its logs, its faults, and its absence."""

from __future__ import annotations

import contextlib
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_parts import short_folder, supervisord, wait_until
from tracseq_migrate.adapters.supervisor import SupervisorProgram
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import ServiceState, Unreachable

LONG = 20.0

SCRIPTS = {
    # Writes what a terminal would show in colour, and half a character at the end.
    "colourful": "import sys; sys.stderr.buffer.write(b'\\x1b[31mred \\x07alarm\\x1b[0m\\nhalf \\xc3'); sys.exit(2)",
    "stubborn": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
    "hup": textwrap.dedent(
        """
        import signal, time
        signal.signal(signal.SIGHUP, lambda *_: print("reloaded", flush=True))
        print("up", flush=True)
        while True:
            time.sleep(0.02)
        """
    ),
    "second-try": textwrap.dedent(
        """
        import pathlib, sys, time
        mark = pathlib.Path("tried-once")
        if not mark.exists():
            mark.touch()
            sys.exit("the port is still in use")
        time.sleep(60)
        """
    ),
    "quiet": "import time; time.sleep(60)",
    "ends": "print('done')",
    "slow-start": "import time; time.sleep(60)",
}
OPTIONS = {
    "colourful": {"startretries": "0"},
    "stubborn": {"startsecs": "0", "stopwaitsecs": "4"},
    "hup": {"startsecs": "0"},
    "second-try": {"startretries": "3", "startsecs": "2"},
    "quiet": {"startsecs": "0"},
    "ends": {"startsecs": "0", "autorestart": "false"},
    "slow-start": {"startsecs": "30"},
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    scripts = tmp_path_factory.mktemp("scripts")
    programs = {"missing": {"command": "/nonexistent/program"}}
    for name, text in SCRIPTS.items():
        (scripts / f"{name}.py").write_text(text)
        programs[name] = {"command": f"{sys.executable} {scripts / f'{name}.py'}", **OPTIONS[name]}
    with supervisord(programs) as running:
        yield running


def started(output: Path) -> int:
    """How often the program has said that it is up."""
    return output.read_text().count("up\n") if output.exists() else 0


def test_last_lines_come_without_colours_and_from_this_start_only(daemon: tuple[str, Path]) -> None:
    path, folder = daemon
    (folder / "colourful.err").write_text("an error of last year\n" * 3)
    program = SupervisorProgram(path, "colourful")
    with pytest.raises(StepFailed) as caught:
        program.up(timeout=LONG)
    message = caught.value.message
    assert "FATAL" in message
    assert "red alarm\n  half" in message
    assert "last year" not in message
    assert "\x1b" not in message
    assert "\x07" not in message
    assert not caught.value.unknown
    assert caught.value.hint == f"look at {(folder / 'colourful.err').resolve()}"
    assert program.state(timeout=LONG) is ServiceState.FAILED


def test_supervisords_own_retries_are_waited_for(daemon: tuple[str, Path]) -> None:
    program = SupervisorProgram(daemon[0], "second-try")
    program.up(timeout=LONG)
    assert program.state(timeout=LONG) is ServiceState.RUNNING
    assert "the port is still in use" in program.tail(5)
    program.down(timeout=LONG)


def test_a_start_that_takes_too_long_fails_in_time_and_is_seen_starting(daemon: tuple[str, Path]) -> None:
    program = SupervisorProgram(daemon[0], "slow-start")
    with pytest.raises(StepFailed, match=r"did not come up within 3 s: STARTING"):
        program.up(timeout=3.0)
    assert program.state(timeout=LONG) is ServiceState.STARTING
    program.down(timeout=LONG)
    assert program.state(timeout=LONG) is ServiceState.STOPPED


def test_a_program_file_that_is_missing(daemon: tuple[str, Path]) -> None:
    with pytest.raises(StepFailed, match="its program file is missing"):
        SupervisorProgram(daemon[0], "missing").up(timeout=LONG)


def test_a_program_that_heeds_no_term_is_not_called_stopped_before_it_is(daemon: tuple[str, Path]) -> None:
    path, folder = daemon
    program = SupervisorProgram(path, "stubborn")
    before = started(folder / "stubborn.out")
    program.up(timeout=LONG)
    wait_until(lambda: started(folder / "stubborn.out") > before, "it ignores TERM")
    with pytest.raises(StepFailed, match="did not stop within 2 s; it is STOPPING") as caught:
        program.down(timeout=2.0)
    assert caught.value.unknown
    program.down(timeout=LONG)
    assert program.state(timeout=LONG) is ServiceState.STOPPED


def test_up_while_it_stops_starts_it_afterwards(daemon: tuple[str, Path]) -> None:
    path, folder = daemon
    program = SupervisorProgram(path, "stubborn")
    before = started(folder / "stubborn.out")
    program.up(timeout=LONG)
    wait_until(lambda: started(folder / "stubborn.out") > before, "it ignores TERM")
    with pytest.raises(StepFailed):
        program.down(timeout=0.1)
    program.up(timeout=LONG)
    assert program.state(timeout=LONG) is ServiceState.RUNNING
    program.down(timeout=LONG)


@pytest.mark.parametrize("name", ["HUP", "SIGHUP", "hup"])
def test_a_signal_arrives(daemon: tuple[str, Path], name: str) -> None:
    path, folder = daemon
    program = SupervisorProgram(path, "hup")
    output = folder / "hup.out"
    before = output.read_text().count("up\n") if output.exists() else 0
    program.up(timeout=LONG)
    wait_until(
        lambda: output.exists() and output.read_text().count("up\n") > before, "it is ready for signals"
    )
    program.signal(name, timeout=LONG)
    wait_until(lambda: output.read_text().rstrip().endswith("reloaded"), "the signal arrives")
    with pytest.raises(StepFailed, match="there is no signal NONSENSE"):
        program.signal("NONSENSE", timeout=LONG)
    program.down(timeout=LONG)


def test_one_that_ended_well_by_itself_is_stopped(daemon: tuple[str, Path]) -> None:
    program = SupervisorProgram(daemon[0], "ends")
    program.up(timeout=LONG)
    wait_until(lambda: program.state(timeout=LONG) is not ServiceState.RUNNING, "it ends")
    assert program.state(timeout=LONG) is ServiceState.STOPPED


def test_an_unknown_program_is_named_with_those_that_there_are(daemon: tuple[str, Path]) -> None:
    program = SupervisorProgram(daemon[0], "storage")
    with pytest.raises(Unreachable, match=r"program storage.*no such program; it has .*quiet"):
        program.state(timeout=LONG)
    with pytest.raises(StepFailed, match="no such program"):
        program.up(timeout=LONG)
    with pytest.raises(StepFailed, match="no such program"):
        program.down(timeout=LONG)
    assert program.tail(3) == ""


def test_many_threads_may_ask_at_once(daemon: tuple[str, Path]) -> None:
    states: list[ServiceState] = []
    program = SupervisorProgram(daemon[0], "quiet")
    program.up(timeout=LONG)
    threads = [threading.Thread(target=lambda: states.append(program.state(timeout=LONG))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == [ServiceState.RUNNING] * 10
    program.down(timeout=LONG)


def test_no_socket_a_dead_one_a_silent_one_and_a_stranger() -> None:
    with short_folder() as folder:
        with pytest.raises(
            Unreachable, match=rf"{folder}/none\.sock.*no such socket: supervisord is not running"
        ):
            SupervisorProgram(str(folder / "none.sock"), "a").state(timeout=1)
        with pytest.raises(StepFailed, match="no such socket") as failed:
            SupervisorProgram(str(folder / "none.sock"), "a").up(timeout=1)
        assert not failed.value.unknown
        with pytest.raises(Unreachable, match="107 bytes"):
            SupervisorProgram(str(folder / ("x" * 110)), "a").state(timeout=1)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "s.sock"))
            program = SupervisorProgram(str(folder / "s.sock"), "a")
            with pytest.raises(Unreachable, match="nobody listens"):
                program.state(timeout=1)
            listener.listen()
            with pytest.raises(Unreachable, match="did not answer in time") as caught:
                program.state(timeout=0.2)
            assert caught.value.sent
            with pytest.raises(StepFailed) as failed:
                program.down(timeout=0.2)
            assert failed.value.unknown


def test_a_program_that_is_not_supervisord() -> None:
    answers = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "not supervisord"),
        (b"HTTP/1.1 404 Not \x1b[31mthere\r\nContent-Length: 0\r\n\r\n", "answered 404 Not there"),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "asks for a user name and a password"),
        (b"nonsense\r\n\r\n", "nonsense"),
        (b"", "closed connection without response"),
    ]
    with short_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s.sock"))
        listener.listen()

        def serve() -> None:
            for answer, _ in answers:
                connection, _address = listener.accept()
                with connection:
                    connection.recv(65536)
                    time.sleep(0.05)  # the request comes in two pieces
                    connection.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        for _, message in answers:
            with pytest.raises(Unreachable, match=message):
                SupervisorProgram(str(folder / "s.sock"), "a").state(timeout=5)
        thread.join()


def test_a_log_whose_folder_only_supervisord_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = {
        "command": f"{sys.executable} -c 'raise SystemExit(\"its own words\")'",
        "startretries": "0",
        "redirect_stderr": "true",
        "stdout_logfile": "fails.log",
        "stderr_logfile": "NONE",
    }
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    (ours / "fails.log").write_text("somebody else's log")
    monkeypatch.chdir(theirs)
    with supervisord({"fails": fails}) as (path, _folder):
        monkeypatch.chdir(ours)
        with pytest.raises(StepFailed) as caught:
            SupervisorProgram(path, "fails").up(timeout=LONG)
    assert (theirs / "fails.log").read_text() == "its own words\n"
    assert caught.value.hint == "look at fails.log (relative to supervisord's folder)"
    assert "its last lines:\n  its own words" in caught.value.message
    assert "somebody else" not in caught.value.message
