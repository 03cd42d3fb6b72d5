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
    timeout the whole group is: first by SIGTERM, after ``grace`` seconds by SIGKILL.

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
        process, out, err = self._start(name, arguments, self._below(cwd), env, has_input=stdin is not None)
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

    def _start(
        self, name: str, arguments: list[str], cwd: Path, env: Mapping[str, str] | None, *, has_input: bool
    ) -> tuple[subprocess.Popen[bytes], _Tail, _Tail]:
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
        except (OSError, ValueError) as error:
            os.close(out_read)
            os.close(err_read)
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise StepFailed(
                f"`{name}` could not be started: {why}",
                hint="Check its name, that it is installed, and that this user may run it.",
            ) from error
        finally:
            os.close(out_write)
            os.close(err_write)
        return process, _Tail(out_read), _Tail(err_read)

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
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while time.monotonic() < deadline and not _exited(process.pid):
            time.sleep(0.01)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _exited(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
