"""Programs under supervisord, by its XML-RPC interface on a unix socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracseq_migrate.adapters.wording import last_lines, one_line
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import ServiceState, Unreachable

_PAUSE = 0.05
_TAIL_BYTES = 16 * 1024
_TAIL_TIMEOUT = 2.0
_LINES = 12

# The faults and states of supervisord's interface, by number.
_SHUTTING_DOWN, _BAD_NAME, _BAD_SIGNAL, _NO_FILE, _NOT_EXECUTABLE = 6, 10, 11, 20, 21
_SPAWN_ERROR, _ALREADY_STARTED, _NOT_RUNNING = 50, 60, 70
_STOPPED, _STARTING, _RUNNING, _BACKOFF, _STOPPING, _EXITED, _FATAL = 0, 10, 20, 30, 40, 100, 200
_GONE = frozenset({_STOPPED, _EXITED, _FATAL})


class _RefusalError(Exception):
    """supervisord understood, and refused: ``code`` is a fault of its interface."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class SupervisorProgram:
    """A starter: one program of one supervisord. ``program`` is its name there (``name`` or ``group:name``).

    Starting waits through supervisord's own retries: a program is up when supervisord says RUNNING, and
    failed when it says FATAL or the time is over. ``allowed`` is asked again before a start that comes after waiting for a
    stop, and raises where nothing may be changed any more.
    """

    def __init__(self, socket_path: str, program: str, *, allowed: Callable[[], None] = lambda: None) -> None:
        self._path = socket_path
        self._program = program
        self._allowed = allowed
        self._what = f"program {one_line(program)} of supervisord ({one_line(socket_path)})"

    def state(self, *, timeout: float) -> ServiceState:
        info = self._info(time.monotonic() + timeout)
        match info.get("state"):
            case 0:
                return ServiceState.STOPPED
            case 20:
                return ServiceState.RUNNING
            case 10 | 40:
                # STOPPING is neither up nor gone yet: like STARTING, a state that will not last.
                return ServiceState.STARTING
            case 100:
                return ServiceState.STOPPED if info.get("exitstatus") == 0 else ServiceState.FAILED
            case _:
                return ServiceState.FAILED

    def up(self, *, timeout: float) -> None:
        until = time.monotonic() + timeout
        marks: dict[str, int] = {}
        try:
            info = self._info(until)
            if info["state"] == _RUNNING:
                return
            if info["state"] == _STOPPING:
                info = self._wait(_GONE, until)
            marks = _log_sizes(info)
            if info["state"] in _GONE:
                self._allowed()
                self._start(until)
            info = self._wait(frozenset({_RUNNING, _EXITED, _FATAL, _STOPPED}), until)
        except Unreachable as error:
            raise StepFailed(f"{self._what} could not be started: {error.why}", unknown=error.sent) from error
        if info["state"] == _RUNNING:
            return
        why = one_line(str(info.get("spawnerr") or info.get("description") or info.get("statename")))
        late = "" if info["state"] in _GONE else f" within {round(timeout, 1):g} s"
        raise StepFailed(
            f"{self._what} did not come up{late}: {info.get('statename')}"
            f" ({why}){_quoted(self._tail(_LINES, marks))}",
            hint=_log_hint(info),
        )

    def down(self, *, timeout: float) -> None:
        until = time.monotonic() + timeout
        try:
            try:
                self._call("stopProcess", self._program, False, until=until)  # noqa: FBT003 - positional in XML-RPC
            except _RefusalError as fault:
                if fault.code != _NOT_RUNNING:
                    raise self._refused(fault) from fault
            info = self._wait(_GONE, until)
        except Unreachable as error:
            raise StepFailed(f"{self._what} could not be stopped: {error.why}", unknown=error.sent) from error
        if info["state"] not in _GONE:
            raise StepFailed(
                f"{self._what} did not stop within {timeout:g} s; it is {info.get('statename')}"
                f" (process {info.get('pid')})",
                unknown=True,
            )

    def restart(self, *, timeout: float) -> None:
        until = time.monotonic() + timeout
        self.down(timeout=timeout)
        self.up(timeout=max(until - time.monotonic(), 0.1))

    def signal(self, signal: str, *, timeout: float) -> None:
        name = signal.upper().removeprefix("SIG")
        try:
            self._call("signalProcess", self._program, name, until=time.monotonic() + timeout)
        except _RefusalError as fault:
            if fault.code == _BAD_SIGNAL:
                raise StepFailed(f"{self._what}: there is no signal {one_line(signal)}") from fault
            if fault.code == _NOT_RUNNING:
                raise StepFailed(f"{self._what} got no signal {name}: it does not run") from fault
            raise StepFailed(f"{self._what} got no signal {name}: {one_line(fault.text)}") from fault
        except Unreachable as error:
            why = f"{self._what} got no signal {name}: {error.why}"
            raise StepFailed(why, unknown=error.sent) from error

    def tail(self, lines: int) -> str:
        return self._tail(lines, {})

    def _start(self, until: float) -> None:
        try:
            self._call("startProcess", self._program, False, until=until)  # noqa: FBT003 - positional in XML-RPC
        except _RefusalError as fault:
            if fault.code in (_NO_FILE, _NOT_EXECUTABLE):
                why = (
                    "its program file is missing"
                    if fault.code == _NO_FILE
                    else "its program cannot be executed"
                )
                raise StepFailed(
                    f"{self._what} could not be started: {why} ({one_line(fault.text)})"
                ) from fault
            # A spawn error leaves it in BACKOFF: supervisord tries again, and its state says how that ends.
            if fault.code not in (_ALREADY_STARTED, _SPAWN_ERROR):
                raise self._refused(fault) from fault

    def _wait(self, states: frozenset[int], until: float) -> dict[str, Any]:
        """The program's account once it is in one of the states, or when the time is over."""
        while True:
            info = self._info(until)
            if info["state"] in states or time.monotonic() + _PAUSE > until:
                return info
            time.sleep(_PAUSE)

    def _info(self, until: float) -> dict[str, Any]:
        try:
            info = self._call("getProcessInfo", self._program, until=until)
        except _RefusalError as fault:
            raise self._refused(fault, until) from fault
        if not isinstance(info, dict) or not isinstance(info.get("state"), int):
            raise Unreachable(self._what, "supervisord's answer has no state", sent=True)
        return info

    def _refused(self, fault: _RefusalError, until: float | None = None) -> Unreachable:
        if fault.code == _SHUTTING_DOWN:
            return Unreachable(self._what, "supervisord is shutting down")
        if fault.code == _BAD_NAME:
            has = self._names(until) if until else ""
            return Unreachable(self._what, f"supervisord has no such program{has}")
        return Unreachable(self._what, f"supervisord refused: {one_line(fault.text)}")

    def _names(self, until: float) -> str:
        try:
            everything = self._call("getAllProcessInfo", until=until)
        except (_RefusalError, Unreachable):
            return ""
        if not isinstance(everything, list):
            return ""
        return "; it has " + ", ".join(sorted(one_line(str(info.get("name")), 40) for info in everything))

    def _tail(self, lines: int, marks: dict[str, int]) -> str:
        try:
            info = self._info(time.monotonic() + _TAIL_TIMEOUT)
        except Unreachable:
            return ""
        errors, output = (
            self._log(str(info.get(f"{channel}_logfile") or ""), channel, marks)
            for channel in ("stderr", "stdout")
        )
        found = last_lines(errors, lines).splitlines()
        if len(found) < lines:
            found = last_lines(output, lines - len(found)).splitlines() + found
        return "\n".join(found)

    def _log(self, path: str, channel: str, marks: dict[str, int]) -> str:
        # The file first: a log with colours, or cut within a character, does not pass through XML-RPC at all.
        if not path:
            return ""
        # One that is relative is so to a folder that only supervisord knows.
        if Path(path).is_absolute():
            with suppress(OSError), Path(path).open("rb") as file:
                size = file.seek(0, 2)
                since = marks.get(path, 0)
                file.seek(max(size - _TAIL_BYTES, since if since <= size else 0))
                return file.read(_TAIL_BYTES).decode("utf-8", "replace")
        method = f"readProcess{channel.capitalize()}Log"
        try:
            text = self._call(method, self._program, -_TAIL_BYTES, 0, until=time.monotonic() + _TAIL_TIMEOUT)
        except (_RefusalError, Unreachable):
            return ""
        return str(text)

    def _call(self, method: str, *arguments: str | int | bool, until: float) -> Any:
        from tracseq_migrate.adapters.supervisor_rpc import FaultError, NoAnswerError, call  # slow to import

        try:
            return call(self._path, method, *arguments, until=until)
        except FaultError as fault:
            raise _RefusalError(fault.code, fault.text) from fault
        except NoAnswerError as error:
            raise Unreachable(self._what, error.why, sent=error.sent) from error


def _log_sizes(info: dict[str, Any]) -> dict[str, int]:
    """How long the program's logs are before a start, so that a failure shows what this start wrote."""
    sizes: dict[str, int] = {}
    for channel in ("stdout", "stderr"):
        path = str(info.get(f"{channel}_logfile") or "")
        if not Path(path).is_absolute():
            continue
        try:
            sizes[path] = Path(path).stat().st_size
        except OSError:
            continue
    return sizes


def _log_hint(info: dict[str, Any]) -> str:
    path = str(info.get("stderr_logfile") or info.get("stdout_logfile") or "")
    if not path:
        return "supervisord keeps no log of it; run it by hand to see what it says"
    if not Path(path).is_absolute():
        return f"look at {one_line(path)} (relative to supervisord's folder)"
    # A path with `..` in it is nothing to read aloud; only the system can tell what it comes to.
    return f"look at {one_line(str(Path(path).resolve()))}"


def _quoted(text: str) -> str:
    return "; its last lines:\n" + "\n".join("  " + line for line in text.splitlines()) if text else ""
