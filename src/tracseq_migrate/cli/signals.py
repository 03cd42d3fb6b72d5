"""Signals: the first asks to stop, the second stops at once, and whoever will not wait is answered in time.

SIGINT comes from a person, who can send another: the step at work gets the time that it needs. SIGTERM and SIGHUP come from a
machine, behind which SIGKILL stands: the step gets `PATIENCE` seconds to come to its end or be undone. Then a thread that
nothing can hold up journals how far it came, ends the programs of the step, and ends the process.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask to stop. SIGQUIT and SIGKILL end the process where it is, as everywhere."""

PATIENCE = 3.0
"""Seconds that a step gets after SIGTERM or SIGHUP: those who send them often send SIGKILL five seconds later."""

_ECHO = 0.2  # `timeout`, a closing terminal and programs around us send the same signal twice in a moment
_DEED, _WORD = 0.7, 0.4
_OVER = 0


class Stop:
    """The wish to stop, as the `Interrupt` port has it."""

    def __init__(self) -> None:
        self.requested = 0


def quiet() -> None:
    """From now on a signal ends the process with its exit code and without a word: for when nothing is at work.

    A signal that was ignored when the process began, as SIGHUP is under ``nohup``, stays ignored.
    """
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


class _Watch:
    """Hears signals, and has a thread that acts on them however busy the main thread is.

    The handler itself only writes down what came: it may run in the middle of anything, a write to a terminal that stands
    still included.
    """

    def __init__(
        self,
        stop: Stop,
        *,
        told: Callable[[str], None],
        deed: Callable[[int], None],
        end: Callable[[], None],
        at_work: Callable[[], bool],
    ) -> None:
        self._stop, self._told, self._deed, self._end, self._at_work = stop, told, deed, end, at_work
        self._heard: list[tuple[float, int]] = []
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._thread = threading.Thread(target=self._run, name="signals", daemon=True)
        self._thread.start()

    def hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if any(before == number and now - at < _ECHO for at, before in self._heard):
            return
        self._heard.append((now, number))
        if len(self._heard) > 2:
            os._exit(128 + number)
        self._stop.requested = self._stop.requested or number
        with suppress(OSError):
            os.write(self._write, bytes([number]))

    def close(self) -> None:
        """No more is heard. Never returns where a signal is being acted on: the process ends there."""
        os.write(self._write, bytes([_OVER]))
        self._thread.join()
        os.close(self._read)
        os.close(self._write)

    def _run(self) -> None:
        from tracseq_migrate.errors import PRESSING

        first = os.read(self._read, 1)[0]
        if first == _OVER:
            return
        until = time.monotonic() + PATIENCE
        pressing = first in PRESSING
        how = f"gets {PATIENCE:g} s to be finished or undone" if pressing else "is finished or undone first"
        what = f"the current step {how}" if self._at_work() else "no step is at work"
        self._within(_WORD, lambda: self._told(f"stopping: {what}; once more stops at once"))
        again = select.select([self._read], [], [], max(0.0, until - time.monotonic()) if pressing else None)[
            0
        ]
        last = os.read(self._read, 1)[0] if again else first
        if last == _OVER:
            return
        self._within(_DEED, lambda: self._deed(last))
        self._within(_DEED, self._end)
        os._exit(128 + last)

    @staticmethod
    def _within(seconds: float, act: Callable[[], None]) -> None:
        """Do it, but wait no longer than so long: the output may stand still, or the journal be at work."""
        acting = threading.Thread(target=act, name="last words", daemon=True)
        acting.start()
        acting.join(seconds)


@contextmanager
def listening(
    stop: Stop,
    *,
    told: Callable[[str], None],
    deed: Callable[[int], None],
    end: Callable[[], None],
    at_work: Callable[[], bool] = lambda: True,
    still: Callable[[], AbstractContextManager[None]] | None = None,
) -> Iterator[None]:
    """Turn signals into a wish while an operation is at work.

    Args:
        stop: where the wish is put down.
        told: shows a sentence.
        deed: given the signal's number, journals and tells how far it came; called where there is no more time.
        end: ends the programs that run; called last.
        at_work: whether a step is, so that the sentence is true.
        still: inside it nothing moves on the terminal; where given, Ctrl-Z leaves the terminal tidy.
    """
    watch = _Watch(stop, told=told, deed=deed, end=end, at_work=at_work)

    def pause(number: int, frame: FrameType | None) -> None:
        with still() if still else nullcontext():
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTSTP)  # and here it goes on when somebody types fg
            signal.signal(signal.SIGTSTP, pause)

    before = {n: signal.getsignal(n) for n in STOPPING if signal.getsignal(n) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, watch.hear)
    pausing = still is not None and signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL
    if pausing:
        signal.signal(signal.SIGTSTP, pause)
    try:
        yield
    finally:
        if pausing:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        for number, handler in before.items():
            signal.signal(number, handler)
        watch.close()
