"""HTTP in memory: answers that a test has laid ready, and a prober over them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tracseq_migrate.adapters.http import joined
from tracseq_migrate.adapters.prober import Sample, summarise
from tracseq_migrate.ports import Answer, Http, ProbeReport, ProbeTarget, Unreachable


@dataclass(frozen=True, slots=True)
class Request:
    """A request as `MemoryHttp` got it."""

    target: str
    path: str
    method: str
    headers: Mapping[str, str]
    json: object


class MemoryHttp:
    """`Http` of answers by (target, path).

    ``down`` maps a target to why it does not answer; ``requests`` is what was asked, in order; ``otherwise`` maps a target
    to a function that answers what has no answer laid ready (it may raise `Unreachable`); a target without one answers 404.
    """

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = {name: url.rstrip("/") for name, url in targets.items()}
        self.answers: dict[tuple[str, str], Answer | Callable[[Request], Answer]] = {}
        self.otherwise: dict[str, Callable[[Request], Answer]] = {}
        self.down: dict[str, str] = {}
        self.requests: list[Request] = []

    def url(self, target: str) -> str:
        return self._targets[target]

    def lay(self, target: str, path: str, body: bytes, *, status: int = 200) -> None:
        """Lay an answer ready, in the place of an earlier one."""
        self.answers[target, path] = Answer(status, (("Content-Length", str(len(body))),), body, 0.0)

    def request(
        self,
        target: str,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        json: object = None,
        timeout: float,
    ) -> Answer:
        url = joined(self.url(target), path)
        request = Request(target, path, method, dict(headers or {}), json)
        self.requests.append(request)
        if target in self.down:
            raise Unreachable(f"{method} {url} ({target})", self.down[target], refused=True)
        answer = self.answers.get((target, path))
        if answer is None:
            answer = self.otherwise.get(target, Answer(404, (("Content-Length", "0"),), b"", 0.0))
        return answer(request) if callable(answer) else answer

    def ask_all(self, asked: Sequence[tuple[str, str]], *, timeout: float) -> list[Answer | Unreachable]:
        told: list[Answer | Unreachable] = []
        for target, path in asked:
            try:
                told.append(self.request(target, path, timeout=timeout))
            except Unreachable as error:
                told.append(error)
        return told


class MemoryProber:
    """`Prober` that asks each target once at the start and once at the end."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self.started: list[tuple[ProbeTarget, ...]] = []

    def start(self, targets: Sequence[ProbeTarget], *, rate: float) -> MemoryProbing:
        if not targets:
            raise ValueError("a prober needs something to ask for")
        if rate <= 0:
            raise ValueError("a prober's rate is a positive number of requests a second")
        for target in targets:
            self._http.url(target.target)
        self.started.append(tuple(targets))
        return MemoryProbing(self._http, targets)


class MemoryProbing:
    """See `MemoryProber`."""

    def __init__(self, http: Http, targets: Sequence[ProbeTarget]) -> None:
        self._http = http
        self._targets = tuple(targets)
        self._began = time.monotonic()
        self._samples = self._round()
        self._report: ProbeReport | None = None

    def stop(self) -> ProbeReport:
        if self._report is None:
            self._samples += self._round()
            self._report = summarise(self._samples, began=self._began, ended=time.monotonic())
        return self._report

    def _round(self) -> list[Sample]:
        samples = []
        for target in self._targets:
            due = time.monotonic()
            try:
                status = self._http.request(target.target, target.path, timeout=1.0).status
                kind = f"http-{status}" if status >= 500 else ""
            except Unreachable:
                kind = "unreachable"
            samples.append(Sample(target, due, time.monotonic(), kind))
        return samples
