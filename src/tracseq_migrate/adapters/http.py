"""Http: one request on httpx, or many reads at once on sockets; each on a connection of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tracseq_migrate.adapters.wording import one_line
from tracseq_migrate.ports import Answer, Unreachable

if TYPE_CHECKING:
    from tracseq_migrate.adapters.reaching import ExchangeError

MAX_BODY = 4 * 1024 * 1024


class HttpxHttp:
    """`Http` by target name. Thread-safe: requests share nothing.

    No proxy, no cookie, no redirect, no variable of the process's environment has a say.

    Args:
        targets: name -> base URL; paths are put behind it.
        max_body: bytes of a body that are read at most; a larger answer is `Unreachable`.
    """

    def __init__(self, targets: Mapping[str, str], *, max_body: int = MAX_BODY) -> None:
        self._targets = {name: url.rstrip("/") for name, url in targets.items()}
        self._max_body = max_body

    def url(self, target: str) -> str:
        return self._targets[target]

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
        from tracseq_migrate.adapters.exchange import exchange  # httpx is slow to import
        from tracseq_migrate.adapters.reaching import ExchangeError

        url = joined(self.url(target), path)
        try:
            return exchange(
                url, method=method, headers=headers, json=json, timeout=timeout, max_body=self._max_body
            )
        except ExchangeError as lost:
            raise _unreachable(method, url, target, lost) from lost

    def ask_all(self, asked: Sequence[tuple[str, str]], *, timeout: float) -> list[Answer | Unreachable]:
        from tracseq_migrate.adapters.roundup import ask_all

        urls = [joined(self.url(target), path) for target, path in asked]
        told = ask_all(urls, timeout=timeout, max_body=self._max_body)
        return [
            each if isinstance(each, Answer) else _unreachable("GET", url, target, each)
            for (target, _), url, each in zip(asked, urls, told, strict=True)
        ]


def _unreachable(method: str, url: str, target: str, lost: ExchangeError) -> Unreachable:
    what = f"{method} {one_line(url)} ({target})"
    return Unreachable(what, lost.why, sent=lost.sent, refused=lost.kind == "refused")


def joined(base: str, path: str) -> str:
    """The URL of a path; the slash between is never left out, lest a path be read as part of the host."""
    return base + (path if path.startswith("/") else "/" + path)
