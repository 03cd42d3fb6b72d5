"""What keeps `up` and `down` from being disturbed halfway: one at a time, and signals in order."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from tracseq_migrate.errors import Interrupted, Locked
from tracseq_migrate.sandbox.layout import Layout


@contextlib.contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """One `up` or `down` at a time in a folder; the lock is the folder's own, so that no file is left for it."""
    folder = os.open(layout.root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked(
                f"another `sandbox up` or `down` is at work in {layout.root}", hint="Wait for it to end."
            ) from error
        yield
    finally:
        os.close(folder)


@contextlib.contextmanager
def nothing_left_of(made: Path | None) -> Iterator[None]:
    """Where it fails, remove a folder that was made for it, unless something is in it."""
    try:
        yield
    except BaseException:
        if made is not None:
            with contextlib.suppress(OSError):
                made.rmdir()
        raise


class Interruption:
    """Turns the first signal into an exception; once told to, ignores the rest, so that nothing is left half down."""

    def __init__(self) -> None:
        self._ignoring = False

    def ignore(self) -> None:
        self._ignoring = True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self._ignoring:
            self._ignoring = True
            raise Interrupted(
                number, state="What was started is stopped again, and what was made is removed."
            )


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    handler = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield handler
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield handler
    finally:
        for number, old in before.items():
            signal.signal(number, old)
