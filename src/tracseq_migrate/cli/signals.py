"""SIGINT and SIGTERM: the first asks to stop at the next safe place, the second stops at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """The wish to stop, as the `Interrupt` port has it."""

    def __init__(self) -> None:
        self.requested = 0


@contextmanager
def listening(stop: Stop, *, told: Callable[[str], None], ending: Callable[[], None]) -> Iterator[None]:
    """Turn signals into a wish while an operation is at work; ``ending`` puts the terminal right before a hard stop."""

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            ending()
            os._exit(128 + number)
        stop.requested = number
        told("stopping as soon as the current step is finished or undone; once more stops at once")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
