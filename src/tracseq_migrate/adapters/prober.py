"""A prober of real requests: threads, fresh connections, an open loop."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tracseq_migrate.adapters.http import MAX_BODY, joined
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports import Answer, ProbeReport, ProbeTarget

_MOST_WORKERS = 64
_SERVER_ERROR = 500


@frozen
class Sample:
    """One request: when it was due, when it ended, and how (``kind`` is empty for a good answer)."""

    target: ProbeTarget
    due: float
    ended: float
    kind: str


class ThreadProber:
    """`Prober` by threads.

    Requests go out when they are due, whether earlier ones were answered or not, and time is counted from
    when a request was due: a slow gateway is seen slow, not spared.

    Args:
        targets: name -> base URL.
        timeout: seconds after which a request counts as failed.
    """

    def __init__(self, targets: Mapping[str, str], *, timeout: float = 5.0) -> None:
        self._targets = {name: url.rstrip("/") for name, url in targets.items()}
        self._timeout = timeout

    def start(self, targets: Sequence[ProbeTarget], *, rate: float) -> ThreadProbing:
        """As the port says.

        Raises:
            KeyError: a target's name is not known.
            ValueError: there is no target, or the rate is not positive.
        """
        if not targets:
            raise ValueError("a prober needs something to ask for")
        if rate <= 0:
            raise ValueError("a prober's rate is a positive number of requests a second")
        urls = {target: joined(self._targets[target.target], target.path) for target in targets}
        probing = ThreadProbing(urls, rate=rate, timeout=self._timeout)
        probing.begin()
        return probing


class ThreadProbing:
    """A prober at work; `stop` ends it. Requests under way at `stop` are waited for, and counted."""

    def __init__(self, urls: Mapping[ProbeTarget, str], *, rate: float, timeout: float) -> None:
        self._urls = dict(urls)
        self._order = list(self._urls)
        self._interval = 1 / rate
        self._timeout = timeout
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._answered = threading.Event()
        self._unanswered = set(self._order)
        self._samples: list[Sample] = []
        self._workers: list[threading.Thread] = []
        self._idle = 0
        self._ticks = 0
        self._began = 0.0
        self._report: ProbeReport | None = None
        self._stop_lock = threading.Lock()

    def begin(self) -> None:
        """Begin to ask; returns when every target answered or failed once."""
        from tracseq_migrate.adapters.exchange import exchange  # slow to import; before the clock starts

        self._exchange: Callable[..., Answer] = exchange
        self._began = time.monotonic()
        with self._lock:
            self._hire()
        # Every target is due within one round; then its request ends by its own timeout.
        self._answered.wait(len(self._order) * self._interval + 2 * self._timeout)

    def stop(self) -> ProbeReport:
        with self._stop_lock:
            if self._report is None:
                self._stopping.set()
                while True:
                    with self._lock:
                        workers, self._workers = self._workers, []
                    if not workers:
                        break
                    for worker in workers:
                        worker.join()
                self._report = summarise(self._samples, began=self._began, ended=time.monotonic())
            return self._report

    def _hire(self) -> None:
        """Start one more worker; the lock is held."""
        worker = threading.Thread(target=self._work, name=f"prober-{len(self._workers)}", daemon=True)
        self._workers.append(worker)
        self._idle += 1
        worker.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                tick = self._ticks
                self._ticks += 1
            due = self._began + tick * self._interval
            if self._stopping.wait(max(due - time.monotonic(), 0.0)):
                return
            with self._lock:
                self._idle -= 1
                if self._idle == 0 and len(self._workers) < _MOST_WORKERS:
                    # Somebody must stand ready for the next request while this one waits for its answer.
                    self._hire()
            sample = self._ask(self._order[tick % len(self._order)], due)
            with self._lock:
                self._idle += 1
                self._samples.append(sample)
                self._unanswered.discard(sample.target)
                if not self._unanswered:
                    self._answered.set()

    def _ask(self, target: ProbeTarget, due: float) -> Sample:
        from tracseq_migrate.adapters.reaching import ExchangeError

        try:
            answer = self._exchange(self._urls[target], timeout=self._timeout, max_body=MAX_BODY)
        except ExchangeError as error:
            return Sample(target, due, time.monotonic(), error.kind)
        kind = f"http-{answer.status}" if answer.status >= _SERVER_ERROR else ""
        return Sample(target, due, time.monotonic(), kind)


def summarise(samples: Sequence[Sample], *, began: float, ended: float) -> ProbeReport:
    """What the samples say; a failure that no good answer followed lasts until ``ended``."""
    seconds = sorted(sample.ended - sample.due for sample in samples)
    failed = [sample for sample in samples if sample.kind]
    return ProbeReport(
        requests=len(samples),
        failed=len(failed),
        by_kind=dict(sorted(Counter(sample.kind for sample in failed).items())),
        unavailable=_unavailable(samples, ended),
        median=_quantile(seconds, 0.5),
        p99=_quantile(seconds, 0.99),
        slowest=seconds[-1] if seconds else 0.0,
        elapsed=ended - began,
    )


def _unavailable(samples: Sequence[Sample], ended: float) -> float:
    longest = 0.0
    by_target: dict[ProbeTarget, list[Sample]] = {}
    for sample in sorted(samples, key=lambda each: each.due):
        by_target.setdefault(sample.target, []).append(sample)
    for ordered in by_target.values():
        since: float | None = None
        for sample in ordered:
            if sample.kind:
                since = sample.due if since is None else since
            elif since is not None:
                longest = max(longest, sample.ended - since)
                since = None
        if since is not None:
            longest = max(longest, ended - since)
    return longest


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of them do not exceed."""
    if not ordered:
        return 0.0
    at = -(-len(ordered) * share // 1)
    return ordered[max(int(at) - 1, 0)]
