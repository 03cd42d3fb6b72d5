"""The guardian as a process: a pipe whose other end only this process holds, and which comes to its end when it dies."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tracseq_migrate.ports import Unreachable

MODULE = "tracseq_migrate.cli.guard"
READY = b"ready\n"
DONE = b"done\n"
_START = 30.0
_END = 10.0


class ProcessGuardian:
    """Starts `MODULE` with the global options of this call.

    Args:
        options: the global options, as they were given.
        folder: of the state; what the guardian says is written to ``guardian.log`` there, for the owner's eyes.
    """

    def __init__(self, options: Sequence[str], folder: Path) -> None:
        self._options = tuple(options)
        self._folder = folder

    @contextmanager
    def watching(self, week: str, step: str) -> Iterator[str]:
        """See `Guardian`."""
        read, write = os.pipe()  # neither end is inherited by programs that steps start
        try:
            process = self._start(read, week, step)
        except BaseException:
            os.close(write)
            raise
        finally:
            os.close(read)
        try:
            self._await_ready(process)
            yield f"process {process.pid}"
        finally:
            with suppress(OSError):
                os.write(write, DONE)
            os.close(write)
            self._end(process)

    def _start(self, read: int, week: str, step: str) -> subprocess.Popen[bytes]:
        log = os.open(
            self._folder / "guardian.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            return subprocess.Popen(
                [sys.executable, "-m", MODULE, week, step, *self._options],
                stdin=read,
                stdout=subprocess.PIPE,
                stderr=log,
                # What ends the terminal's processes must not end it, too.
                start_new_session=True,
            )
        except OSError as error:
            raise Unreachable("the guardian", f"it could not be started: {error.strerror}") from error
        finally:
            os.close(log)

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        said = b""
        deadline = time.monotonic() + _START
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while READY not in said and (left := deadline - time.monotonic()) > 0:
                if selector.select(left):
                    part = os.read(process.stdout.fileno(), 256)
                    if not part:
                        break
                    said += part
        if READY not in said:
            raise Unreachable("the guardian", f"it did not come up; {self._folder / 'guardian.log'} says why")

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        if process.stdout is not None:
            process.stdout.close()
        try:
            process.wait(_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
