"""Programs of the operator's own, as child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import CommandResult

_KEPT = 64 * 1024
_CHUNK = 64 * 1024
_LAST_WORDS = 0.5

# Leads the group of a program to its end when we are killed, by which the pipe that is its input comes to its end. It
# has a session of its own, so that what ends us does not end it first.
_GUARD = """trap '' INT TERM HUP QUIT
read -r group || exit 0
read -r over && exit 0
kill -s KILL -- "-$group"
"""

# The groups that run now, of every instance. Read by a signal handler, so it has no lock: adding to a set, taking from
# it and copying it are one instruction each.
_groups: set[int] = set()


class _Guard:
    """A process beside a program, which ends the program's group when this process is gone, however it went.

    A program that is not yet told of by `watch` is not guarded: that is the instant between its start and the next line.
    """

    def __init__(self) -> None:
        read, self._write = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD],
                cwd="/",
                stdin=read,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._write)
            raise
        finally:
            os.close(read)

    def watch(self, group: int) -> None:
        self._say(f"{group}\n")
        _groups.add(group)
        self._group = group

    def release(self) -> None:
        """Leave what remains of the group alone, and go."""
        _groups.discard(self._group)
        self.dismiss()

    def dismiss(self) -> None:
        self._say("over\n")
        os.close(self._write)
        self._process.wait()

    def _say(self, line: str) -> None:
        # One that somebody killed guards no more, and that is all that is lost.
        with suppress(BrokenPipeError):
            os.write(self._write, line.encode())


class _Tail:
    """Drains a pipe to its end in a thread of its own, and keeps what came last.

    A program may leave another running in the background that holds the pipe open; the thread then goes on draining, so
    that the other never stands still on a full pipe.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._guard = threading.Lock()
        self._kept = b""
        self._thread = threading.Thread(target=self._drain, name="output", daemon=True)
        self._thread.start()

    def text(self, patience: float) -> str:
        self._thread.join(patience)
        with self._guard:
            return self._kept.decode("utf-8", errors="replace")

    def _drain(self) -> None:
        try:
            while chunk := os.read(self._descriptor, _CHUNK):
                with self._guard:
                    self._kept = (self._kept + chunk)[-_KEPT:]
        finally:
            os.close(self._descriptor)


class SubprocessCommands:
    """`Commands` below a folder.

    A program that exits and leaves another in the background is not waited for, and what it left is not ended; at the
    timeout the whole group is: first by SIGTERM, after ``grace`` seconds by SIGKILL. If this process ends while a
    program runs, be it by SIGKILL, the program's group gets SIGKILL: what it did would be nobody's.

    Args:
        folder: the project's folder; programs start in it, or below.
        redact: takes secrets out of what they print.
    """

    def __init__(
        self, folder: Path, *, redact: Callable[[str], str] = lambda text: text, grace: float = 2.0
    ) -> None:
        self._folder = Path(os.path.realpath(folder))
        self._redact = redact
        self._grace = grace

    def run(
        self,
        argv: Sequence[str],
        *,
        shell: bool = False,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout: float,
    ) -> CommandResult:
        if not argv or not argv[0]:
            raise StepFailed("there is no command to run")
        arguments = ["/bin/sh", "-c", argv[0], "sh", *argv[1:]] if shell else list(argv)
        name = self._redact(argv[0])
        begin = time.monotonic()
        process, guard, out, err = self._start(
            name, arguments, self._below(cwd), env, has_input=stdin is not None
        )
        try:
            if stdin is not None:
                self._feed(process, stdin)
            process.wait(max(0.0, begin + timeout - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._end_group(process)
            said = self._redact((err.text(0.2).strip() or out.text(0.2).strip())[-2000:])
            raise StepFailed(
                f"`{name}` did not end within {timeout:g} s and was ended"
                + (f"; it said last:\n{said}" if said else ""),
                hint="Give it more time with `timeout:`, or find out what it waits for.",
                unknown=True,
            ) from None
        except BaseException:
            self._end_group(process)
            raise
        finally:
            guard.release()
        return CommandResult(
            code=process.returncode,
            stdout=self._redact(out.text(0.5)),
            stderr=self._redact(err.text(0.5)),
            seconds=time.monotonic() - begin,
        )

    def look(
        self,
        argv: Sequence[str],
        *,
        shell: bool = False,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float,
    ) -> CommandResult:
        return self.run(argv, shell=shell, cwd=cwd, env=env, timeout=timeout)

    @staticmethod
    def end_all() -> None:
        """End every program that runs now, of every instance, within about half a second: SIGTERM, then SIGKILL.

        For a process that is about to end. Takes no lock, so it may be called from a signal handler.
        """
        groups = tuple(_groups)
        _signal_groups(groups, signal.SIGTERM)
        deadline = time.monotonic() + _LAST_WORDS
        while time.monotonic() < deadline and not all(map(_exited, groups)):
            time.sleep(0.01)
        _signal_groups(groups, signal.SIGKILL)

    def _start(
        self, name: str, arguments: list[str], cwd: Path, env: Mapping[str, str] | None, *, has_input: bool
    ) -> tuple[subprocess.Popen[bytes], _Guard, _Tail, _Tail]:
        guard = self._guard(name)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        try:
            process = subprocess.Popen(
                arguments,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
                stdout=out_write,
                stderr=err_write,
                start_new_session=True,
            )
            guard.watch(process.pid)
        except (OSError, ValueError) as error:
            os.close(out_read)
            os.close(err_read)
            guard.dismiss()
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise StepFailed(
                f"`{name}` could not be started: {why}",
                hint="Check its name, that it is installed, and that this user may run it.",
            ) from error
        finally:
            os.close(out_write)
            os.close(err_write)
        return process, guard, _Tail(out_read), _Tail(err_read)

    def _guard(self, name: str) -> _Guard:
        try:
            return _Guard()
        except OSError as error:
            raise StepFailed(
                f"`{name}` was not started: the process that would guard it could not be: {error.strerror}",
                hint="It needs /bin/sh, and room for two more processes.",
            ) from error

    def _feed(self, process: subprocess.Popen[bytes], text: str) -> None:
        stream = process.stdin
        if stream is None:
            return

        def feed() -> None:
            # A program that does not read all of its input is its own affair.
            with suppress(OSError), stream:
                stream.write(text.encode())

        # A thread, since a program that reads nothing would hold us up beyond the timeout.
        threading.Thread(target=feed, name="input", daemon=True).start()

    def _below(self, cwd: str | None) -> Path:
        folder = Path(os.path.realpath(self._folder / (cwd or ".")))
        if not folder.is_relative_to(self._folder):
            raise StepFailed(
                f"the folder {cwd} is outside of the project's folder {self._folder}",
                hint="Commands run in the project's folder or below it.",
            )
        if not folder.is_dir():
            raise StepFailed(f"there is no folder {cwd} in {self._folder}")
        return folder

    def _end_group(self, process: subprocess.Popen[bytes]) -> None:
        # The leader is left unreaped until the group got its SIGKILL: so long nobody else can get the group's number.
        _signal_groups([process.pid], signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while time.monotonic() < deadline and not _exited(process.pid):
            time.sleep(0.01)
        _signal_groups([process.pid], signal.SIGKILL)
        process.wait()


def _signal_groups(groups: Sequence[int], number: signal.Signals) -> None:
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _exited(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
