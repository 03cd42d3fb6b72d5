"""What the clients saw: counts, failures by kind, waiting times. All times are seconds of the monotonic clock."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tracseq_migrate.sandbox.load.connection import Kind

_SAMPLES = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that is over. ``kind`` is None where it went well, ``missing`` where the side asked has no such row."""

    method: str
    path: str
    prefix: str
    write: bool
    due: float
    began: float
    ended: float
    kind: Kind | None = None
    why: str = ""
    missing: bool = False
    unread: bool = False


@dataclass(frozen=True, slots=True)
class Latency:
    """How long clients waited for an answer or a failure, counted from when the request was due, not from when it was sent."""

    count: int = 0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> Latency:
        if not values:
            return cls()
        ordered = sorted(values)

        def percentile(share: float) -> float:
            # Nearest rank: a value that a client has really seen.
            return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]

        return cls(len(ordered), percentile(50), percentile(95), percentile(99), ordered[-1])


@dataclass(slots=True)
class _Outage:
    since: float | None = None
    longest: float = 0.0


@dataclass(slots=True)
class Tally:
    """Counts while the load runs. ``began`` and ``ended`` bound the load itself, without the look-up.

    After ``sent_until`` nothing new is sent, so that no success after it is no sign of anything.
    """

    began: float
    sent_until: float = math.inf
    ended: float = 0.0
    reads: int = 0
    writes: int = 0
    failures: Counter[Kind] = field(default_factory=Counter)
    failed: list[Seen] = field(default_factory=list)
    missing_reads: int = 0
    missing_writes: int = 0
    given_up: int = 0
    reused_unread: int = 0
    unsent: int = 0
    opened: int = 0
    closed_idle: int = 0
    _waits: dict[bool, array[float]] = field(default_factory=lambda: {False: array("d"), True: array("d")})
    _last_success: float | None = None
    _longest_gap: float = 0.0
    _outages: dict[str, _Outage] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        return self.reads + self.writes

    def record(self, seen: Seen) -> None:
        """Take in one request that is over."""
        if seen.write:
            self.writes += 1
            self.missing_writes += seen.missing
        else:
            self.reads += 1
            self.missing_reads += seen.missing
        self._waits[seen.write].append(seen.ended - seen.due)
        outage = self._outages.setdefault(seen.prefix, _Outage())
        if seen.kind is not None:
            self.failures[seen.kind] += 1
            self.reused_unread += seen.unread and seen.kind is Kind.RESET_REUSED
            if len(self.failed) < _SAMPLES:
                self.failed.append(seen)
            if outage.since is None or seen.began < outage.since:
                outage.since = seen.began
            return
        self._close_gap(seen.ended)
        if outage.since is not None and seen.began >= outage.since:
            outage.longest = max(outage.longest, seen.ended - outage.since)
            outage.since = None

    def not_missing_but_wrong(self, seen: Seen) -> None:
        """Correct the count of a request recorded as missing: the row was there, its answer was wrong."""
        if seen.write:
            self.missing_writes -= 1
        else:
            self.missing_reads -= 1
        self.failures[Kind.WRONG_ANSWER] += 1
        if len(self.failed) < _SAMPLES:
            self.failed.append(replace(seen, kind=Kind.WRONG_ANSWER, missing=False))

    def end(self, now: float) -> None:
        """The load is over; what is still out counts as out until now."""
        self.ended = now
        self._close_gap(now)
        for outage in self._outages.values():
            if outage.since is not None:
                outage.longest = max(outage.longest, now - outage.since)

    def _close_gap(self, now: float) -> None:
        now = min(now, self.sent_until)
        before = self.began if self._last_success is None else self._last_success
        self._longest_gap = max(self._longest_gap, now - before)
        self._last_success = max(now, before)

    @property
    def longest_without_success(self) -> float:
        return self._longest_gap

    @property
    def rate(self) -> float:
        """Requests a second that were reached, while requests were sent."""
        elapsed = min(self.ended, self.sent_until) - self.began
        return self.requests / elapsed if elapsed > 0 else 0.0

    @property
    def unavailable(self) -> dict[str, float]:
        """By prefix: the longest time from the beginning of a failed request to the end of the next good one."""
        return {prefix: outage.longest for prefix, outage in sorted(self._outages.items())}

    def latency(self, *, write: bool) -> Latency:
        return Latency.of(self._waits[write])
