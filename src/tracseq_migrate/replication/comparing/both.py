"""Both sides at once: a thread each, and one who waits for the two and can call them off."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Any, TypeVar

from tracseq_migrate.ports.sql import Session, SqlFailed, Unreachable

T = TypeVar("T")
Row = tuple[Any, ...]
Rows = Iterator[Row]
_GLANCE = 0.2
_BATCH = 5_000


class Both:
    """Asks A and B side by side. As a context: at its end no statement runs any more.

    ``check`` is called several times a second while something runs; what it raises ends both statements, and comes out.
    """

    def __init__(self, a: Session, b: Session, check: Callable[[], None]) -> None:
        self._sessions = (a, b)
        self._check = check
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="compare")
        self._pending: set[Future[Any]] = set()
        self._streams: list[Rows] = []

    def __enter__(self) -> Both:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A cancel that comes before its statement is lost, so it is asked for until nothing runs.
        while self._pending:
            for session in self._sessions:
                session.cancel()
            self._pending = wait(self._pending, timeout=_GLANCE).not_done
        self._threads.shutdown()
        for stream in self._streams:
            if isinstance(stream, Generator):
                with suppress(SqlFailed, Unreachable):
                    stream.close()

    def ask(self, a: Callable[[Session], T], b: Callable[[Session], T]) -> tuple[T, T]:
        """What the two answer. Raises what the first of them raises."""
        asked = [
            self._start(question, session) for question, session in zip((a, b), self._sessions, strict=True)
        ]
        return self._done(asked[0]), self._done(asked[1])

    def rows(self, statement_a: str, statement_b: str, parameters: Sequence[object]) -> tuple[Rows, Rows]:
        """Both answers as streams; the next rows of each are fetched while the last are looked at."""
        streams = [
            session.stream(statement, parameters, batch=_BATCH)
            for statement, session in zip((statement_a, statement_b), self._sessions, strict=True)
        ]
        self._streams += streams
        a, b = (_Ahead(self, stream) for stream in streams)
        return iter(a), iter(b)

    def _start(self, task: Callable[..., T], *arguments: object) -> Future[T]:
        future = self._threads.submit(task, *arguments)
        self._pending.add(future)
        return future

    def _done(self, future: Future[T]) -> T:
        while not future.done():
            self._check()
            done = wait(self._pending, timeout=_GLANCE, return_when=FIRST_EXCEPTION).done
            failed = next((each for each in done if each.exception() is not None), None)
            if failed is not None and failed is not future:
                self._pending.discard(failed)
                failed.result()
        self._check()
        self._pending.discard(future)
        return future.result()


class _Ahead:
    def __init__(self, both: Both, rows: Rows) -> None:
        self._both = both
        self._rows = rows
        self._next = both._start(self._fetch)

    def _fetch(self) -> list[Row]:
        return list(islice(self._rows, _BATCH))

    def __iter__(self) -> Rows:
        while batch := self._both._done(self._next):
            self._next = self._both._start(self._fetch)
            yield from batch
