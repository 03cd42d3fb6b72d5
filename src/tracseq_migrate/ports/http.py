"""HTTP as steps need it: one request, one answer; and a prober that watches clients' luck while something changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Protocol

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.mark import Unreachable


@frozen
class Answer:
    """An answer that came in whole. ``headers`` keep the order and the letter case in which they came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Http(Protocol):
    """Requests by target: ``gateway``, the name of a service, or the name of a gateway instance."""

    def url(self, target: str) -> str:
        """The base URL of a target. Raises `KeyError` where the environment has none of this name."""
        ...

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
        """One request on a fresh connection; redirects are answers, not followed; bodies are bounded.

        Raises:
            Unreachable: refused, reset, timed out, cut off, larger than the bound.
        """
        ...

    def ask_all(self, asked: Sequence[tuple[str, str]], *, timeout: float) -> list[Answer | Unreachable]:
        """GET each (target, path), all under way together, each within ``timeout`` seconds of its own; the answers, or why
        there is none, in the same order. Raises `KeyError` as `url` does."""
        ...


@frozen
class ProbeTarget:
    """What the prober asks for again and again."""

    target: str
    path: str


@frozen
class ProbeReport:
    """What clients saw while something changed. Seconds throughout.

    A failure is no answer, or a status of 500 and more. ``unavailable`` is the longest time from the start of a failed
    request to the end of the next good one on the same path.
    """

    requests: int
    failed: int
    by_kind: Mapping[str, int] = field(default_factory=dict)
    unavailable: float = 0.0
    median: float = 0.0
    p99: float = 0.0
    slowest: float = 0.0
    elapsed: float = 0.0


class Probing(Protocol):
    """A prober at work."""

    def stop(self) -> ProbeReport:
        """End it, and say what it saw; a second call gives the same report."""
        ...


class Prober(Protocol):
    def start(self, targets: Sequence[ProbeTarget], *, rate: float) -> Probing:
        """Begin to ask, ``rate`` requests a second over all targets, on fresh connections; returns when the first answers
        (or failures) of every target are in."""
        ...
