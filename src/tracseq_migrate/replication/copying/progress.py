"""How far a copy is, how fast it goes, and when it will be done."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import Literal

from tracseq_migrate.frozen import frozen

_WINDOW = 20.0
"""Seconds over which the rate is taken: long enough for a chunk or two, short enough to notice a change."""


@frozen
class Progress:
    """Where a copy, a build or a revert stands. Rates are per second; -1 stands for what is not known (yet)."""

    phase: Literal["copy", "build", "revert"]
    text: str
    """One line for a person."""
    pair: str = ""
    rows: int = 0
    of_rows: int = -1
    bytes: int = 0
    rows_per_second: float = -1.0
    bytes_per_second: float = -1.0
    seconds_left: float = -1.0
    pairs_done: int = 0
    pairs: int = 0


class Meter:
    """Counts what all hands do. Every method may be called from any thread."""

    def __init__(self, chunks: Counter[str], done: Counter[str], rows: int, size: int, of_rows: int) -> None:
        self._lock = threading.Lock()
        self._chunks = chunks
        self._done = done
        self._rows = self._rows_before = rows
        self._bytes = size
        self._of_rows = of_rows
        self._under_way: dict[int, int] = {}
        self._last = ""
        self._seen: deque[tuple[float, int, int]] = deque([(time.monotonic(), rows, size)])

    def moment(self, hand: object, rows: int, size: int) -> None:
        """A chunk under way has come to so many bytes; 0 when it is over."""
        with self._lock:
            if size:
                self._under_way[id(hand)] = size
            else:
                self._under_way.pop(id(hand), None)

    def done(self, pair: str, rows: int, size: int) -> None:
        with self._lock:
            self._rows += rows
            self._bytes += size
            self._done[pair] += 1
            self._last = pair

    def read(self) -> Progress:
        """The present state, measured over the last seconds."""
        now = time.monotonic()
        with self._lock:
            size = self._bytes + sum(self._under_way.values())
            # Rows are only known of finished chunks; those under way are guessed by their bytes.
            density = self._rows / self._bytes if self._bytes else 0.0
            rows = max(self._rows, round(density * size))
            self._seen.append((now, rows, size))
            while len(self._seen) > 2 and now - self._seen[0][0] > _WINDOW:
                self._seen.popleft()
            then, rows_then, size_then = self._seen[0]
            passed = now - then
            by_rows = (rows - rows_then) / passed if passed > 0.5 else -1.0
            by_bytes = (size - size_then) / passed if passed > 0.5 else -1.0
            chunks, done = sum(self._chunks.values()), sum(self._done.values())
            finished = sum(self._done[pair] >= self._chunks[pair] for pair in self._chunks)
            pairs, last = len(self._chunks), self._last
            of_rows = self._of_rows
        left = -1.0
        if of_rows >= 0 and by_rows > 0:
            left = max(of_rows - rows, 0) / by_rows
        text = f"{rows:,} rows, {size / 1e6:,.0f} MB, {done} of {chunks} chunks"
        if by_rows >= 0:
            text += f", {by_rows:,.0f} rows/s, {by_bytes / 1e6:,.1f} MB/s"
        if left >= 0:
            text += f", {left:,.0f} s left"
        return Progress("copy", text, last, rows, of_rows, size, by_rows, by_bytes, left, finished, pairs)
