"""One process beside this one, which ends the programs that run when this one is gone, however it went."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import threading
from contextlib import suppress

from tracseq_migrate.adapters.kin import VARIABLE, end_kin

_PATIENCE = 2.0
_NO_NUMBER = "-"

# Keeps the numbers of the groups that run, and their marks. It has a session of its own, so that what ends us does not end it
# first; its input is a pipe that only we hold, which comes to its end when we do.
_SCRIPT = """trap '' INT TERM HUP QUIT
groups=
while read -r what group; do
  case $what in
    watch) groups="$groups $group" ;;
    leave) kept=
      for each in $groups; do [ "$each" = "$group" ] || kept="$kept $each"; done
      groups=$kept ;;
  esac
done
for each in $groups; do
  case $each in
    -:*) ;;
    *) kill -s KILL -- "-${each%%:*}" ;;
  esac
done
for each in $groups; do
  for round in 1 2 3; do
    grep -l -F -a -e "VARIABLE=${each#*:}" /proc/[0-9]*/environ | while IFS=/ read -r _ _ pid _; do kill -s KILL "$pid"; done
  done
done
""".replace("VARIABLE", VARIABLE)


class Guard:
    """Watches process groups, from the first `watch` until this process ends; started when it is first needed.

    A program is told of by its mark before it starts (`expect`), and by its group once that has a number (`watch`): in the
    instant between the two it is found by the mark.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        # Read by a signal handler, so without the lock: adding to it, taking from it and copying it are one instruction each.
        self._groups: dict[int, str] = {}

    @property
    def groups(self) -> tuple[int, ...]:
        """The groups that run now."""
        return tuple(self._groups)

    @property
    def marks(self) -> tuple[str, ...]:
        """The marks of those groups, see `kin`."""
        return tuple(self._groups.values())

    def ready(self) -> None:
        """Have the process running before a program starts. Raises `OSError` where it cannot be started."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()

    def expect(self, mark: str) -> None:
        """A program with this mark is about to start. `watch` or `forget` follows."""
        self._say("watch", _NO_NUMBER, mark)

    def forget(self, mark: str) -> None:
        """It did not start."""
        self._say("leave", _NO_NUMBER, mark)

    def watch(self, group: int, mark: str) -> None:
        self._groups[group] = mark
        self._say("watch", group, mark)
        self.forget(mark)

    def leave(self, group: int) -> None:
        """Leave what remains of a group alone."""
        mark = self._groups.pop(group, "")
        self._say("leave", group, mark)

    def close(self) -> None:
        """End the process beside, and with it whatever still runs; it is started again when it is needed."""
        with self._lock:
            self._end()

    def _say(self, what: str, group: int | str, mark: str) -> None:
        # One that somebody killed guards no more until the next program starts, and that is all that is lost.
        with self._lock, suppress(OSError):
            os.write(self._pipe, f"{what} {group}:{mark}\n".encode())

    def _start(self) -> None:
        self._end()
        read, write = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT],
                cwd="/",
                env={},
                stdin=read,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            os.close(write)
            raise
        finally:
            os.close(read)
        # One that stands still reads nothing; a full pipe must not hold us up.
        os.set_blocking(write, False)
        self._pipe = write
        for group, mark in tuple(self._groups.items()):
            os.write(write, f"watch {group}:{mark}\n".encode())

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            os.close(self._pipe)
            self._pipe = -1
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                # It stands still, or the system holds it: what it would do is done here, and nobody waits for it.
                self._end_what_runs()
                process.kill()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE)

    def _end_what_runs(self) -> None:
        running = dict(self._groups)
        for group in running:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        if running:
            end_kin(running.values())


GUARD = Guard()
"""The one of this process."""

atexit.register(GUARD.close)
