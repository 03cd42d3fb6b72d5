"""Programs of the operator's own, as child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tracseq_migrate.adapters.draining import Outputs, exited
from tracseq_migrate.adapters.guarding import GUARD
from tracseq_migrate.adapters.kin import VARIABLE, end_kin, new_mark
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import CommandResult

_KEPT = 64 * 1024
_SLACK = 8 * 1024
_LINGER = 0.5
_LAST_WORDS = 0.5
_REAPED = 5.0


class SubprocessCommands:
    """`Commands` below a folder.

    A program that exits 0 and leaves another in the background is not waited for, and what it left is not ended; what one
    that failed left gets SIGKILL, since it would go on while its step is taken back. At the timeout the whole group is ended:
    first by SIGTERM, after ``grace`` seconds by SIGKILL, and so is what left the group. If this process ends while a program
    runs, be it by SIGKILL, they get SIGKILL: what they did would be nobody's.

    Args:
        folder: the project's folder; programs start in it, or below.
        redact: takes secrets out of what they print.
        withheld: variables of this process that they do not get.
        holder: gives the id under which this process holds the lock; it stands in the mark of its programs, see `kin`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        redact: Callable[[str], str] = lambda text: text,
        grace: float = 2.0,
        withheld: Collection[str] = (),
        holder: Callable[[], str] = lambda: "",
    ) -> None:
        self._folder = Path(os.path.realpath(folder))
        self._redact = redact
        self._grace = grace
        self._withheld = frozenset(withheld)
        self._holder = holder

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
        mark = new_mark(self._holder())
        result = self._run(argv, mark, shell=shell, cwd=cwd, env=env, stdin=stdin, timeout=timeout)
        if result.code:
            end_kin([mark])
        return result

    def _run(
        self,
        argv: Sequence[str],
        mark: str,
        *,
        shell: bool,
        cwd: str | None,
        env: Mapping[str, str] | None,
        stdin: str | None,
        timeout: float,
    ) -> CommandResult:
        if not argv or not argv[0]:
            raise StepFailed("there is no command to run")
        arguments = ["/bin/sh", "-c", argv[0], "sh", *argv[1:]] if shell else list(argv)
        name = self._redact(argv[0])
        begin = time.monotonic()
        below = self._below(cwd)
        self._guarded(name)
        outputs = Outputs(keep=_KEPT + _SLACK)
        try:
            process = self._start(name, arguments, below, env, outputs, mark, has_input=stdin is not None)
            try:
                if stdin is not None:
                    self._feed(process, stdin)
                ended = outputs.wait(process, begin + timeout, linger=_LINGER)
                if not ended:
                    self._end_group(process, mark)
                    outputs.read_on(_LAST_WORDS)
            except BaseException:
                self._end_group(process, mark)
                raise
            finally:
                GUARD.leave(process.pid)
        finally:
            outputs.leave()
        out, err = (self._kept(text.decode("utf-8", errors="replace")) for text in outputs.texts())
        if not ended:
            said = (err.strip() or out.strip())[-2000:]
            raise StepFailed(
                f"`{name}` did not end within {timeout:g} s and was ended"
                + (f"; it said last:\n{said}" if said else ""),
                hint="Give it more time with `timeout:`, or find out what it waits for.",
                unknown=True,
            )
        return CommandResult(
            code=process.returncode, stdout=out, stderr=err, seconds=time.monotonic() - begin
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
        mark = new_mark(self._holder())
        return self._run(argv, mark, shell=shell, cwd=cwd, env=env, stdin=None, timeout=timeout)

    @staticmethod
    def end_all() -> None:
        """End every program that runs now, of every instance, within about half a second: SIGTERM, then SIGKILL.

        For a process that is about to end, or that lost the lock. Takes no lock, so it may be called from a signal handler.
        """
        groups, marks = GUARD.groups, GUARD.marks
        _signal_groups(groups, signal.SIGTERM)
        deadline = time.monotonic() + _LAST_WORDS
        while time.monotonic() < deadline and not all(map(exited, groups)):
            time.sleep(0.01)
        _signal_groups(groups, signal.SIGKILL)
        if marks:
            end_kin(marks)

    def _start(
        self,
        name: str,
        arguments: list[str],
        cwd: Path,
        env: Mapping[str, str] | None,
        outputs: Outputs,
        mark: str,
        *,
        has_input: bool,
    ) -> subprocess.Popen[bytes]:
        GUARD.expect(mark)
        try:
            process = subprocess.Popen(
                arguments,
                cwd=cwd,
                env=self._environment(env) | {VARIABLE: mark},
                stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
                stdout=outputs.out,
                stderr=outputs.err,
                start_new_session=True,
            )
            GUARD.watch(process.pid, mark)
        except (OSError, ValueError) as error:
            GUARD.forget(mark)
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise StepFailed(
                f"`{name}` could not be started: {why}",
                hint="Check its name, that it is installed, and that this user may run it.",
            ) from error
        finally:
            outputs.started()
        return process

    @staticmethod
    def _guarded(name: str) -> None:
        try:
            GUARD.ready()
        except OSError as error:
            raise StepFailed(
                f"`{name}` was not started: the process that would guard it could not be: {error.strerror}",
                hint="It needs /bin/sh, and room for two more processes.",
            ) from error

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if name not in self._withheld}
        return own | dict(more or {})

    def _kept(self, text: str) -> str:
        """The last of what was said, secrets taken out first: what was cut off before may have taken half of one with it."""
        clean = self._redact(text)
        whole = len(text.encode()) <= _KEPT
        return clean if whole else clean.encode()[-_KEPT:].decode(errors="replace")

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
        folder = Path(os.path.realpath(self._folder / cwd)) if cwd else self._folder
        if not folder.is_relative_to(self._folder):
            raise StepFailed(
                f"the folder {cwd} is outside of the project's folder {self._folder}",
                hint="Commands run in the project's folder or below it.",
            )
        if not folder.is_dir():
            raise StepFailed(f"there is no folder {cwd} in {self._folder}")
        return folder

    def _end_group(self, process: subprocess.Popen[bytes], mark: str) -> None:
        # The leader is left unreaped until the group got its SIGKILL: so long nobody else can get the group's number.
        _signal_groups([process.pid], signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while time.monotonic() < deadline and not exited(process.pid):
            time.sleep(0.01)
        _signal_groups([process.pid], signal.SIGKILL)
        end_kin([mark])
        with suppress(subprocess.TimeoutExpired):
            process.wait(
                _REAPED
            )  # one that the system itself holds (a dead network disk) ends when it lets go


def _signal_groups(groups: Sequence[int], number: signal.Signals) -> None:
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
