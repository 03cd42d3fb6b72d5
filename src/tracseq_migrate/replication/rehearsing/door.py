"""What stands in front of the clones: it sends writers to one owner or the other, and can make them wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Side = Literal["a", "b"]
_HOLD = 1.0


class Door:
    """A `Front` for the writers of a rehearsal: like the real one it lets go by itself.

    Args:
        holds: whether the one that stands in front of the real tables can make writes wait; else they are refused.
    """

    def __init__(self, *, holds: bool) -> None:
        self.side: Side = "a"
        self.over: Side = "b"
        self._holds = holds
        self._until = 0.0
        self._under_way = 0
        self._lock = threading.Condition()

    def towards(self, over: Side) -> Door:
        """The same door, before a change to this side."""
        self.over = over
        return self

    def prepare(self) -> None:
        """Nothing has to be got ready."""

    def hold(self) -> None:
        if self._holds:
            with self._lock:
                self._until = time.monotonic() + _HOLD

    def settle(self, seconds: float) -> int | None:
        if not self._holds:
            return None
        with self._lock:
            self._lock.wait_for(lambda: not self._under_way, timeout=seconds)
            return self._under_way

    def switch(self, epoch: int) -> None:
        with self._lock:
            self.side = self.over

    def turn_back(self, epoch: int) -> None:
        with self._lock:
            self.side = "a" if self.over == "b" else "b"

    def release(self) -> None:
        with self._lock:
            self._until = 0.0
            self._lock.notify_all()

    def finish(self) -> None:
        """Nothing is left to do."""

    @contextmanager
    def passing(self) -> Iterator[Side]:
        """One write comes through: where it is sent. It waits as long as writes are held."""
        with self._lock:
            while (left := self._until - time.monotonic()) > 0:
                self._lock.wait(left)
            self._under_way += 1
            side = self.side
        try:
            yield side
        finally:
            with self._lock:
                self._under_way -= 1
                self._lock.notify_all()
