"""Ports behind the gate: each method that is marked as changing something rechecks the lease immediately before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from tracseq_migrate.operations.system import Gate
from tracseq_migrate.ports import is_changing
from tracseq_migrate.ports.sql import Session, Sessions

P = TypeVar("P")


def changing_methods(port: type) -> frozenset[str]:
    """The names of a port's methods that change something outside."""
    return frozenset(name for name in dir(port) if is_changing(getattr(port, name, None)))


class _Guarded:
    def __init__(self, inner: object, guarded: frozenset[str], gate: Gate) -> None:
        self._inner = inner
        self._names = guarded
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if name not in self._names:
            return member

        def checked(*args: Any, **kwargs: Any) -> Any:
            self._gate.check()
            return member(*args, **kwargs)

        return checked


def guarded(inner: P, port: type, gate: Gate) -> P:
    """The same adapter, with the gate in front of every method that the port marks as changing something."""
    return cast(P, _Guarded(inner, changing_methods(port), gate))


class GuardedSessions:
    """`Sessions` whose sessions have the gate in front of each statement that may change something, and of each commit."""

    def __init__(self, inner: Sessions, gate: Gate) -> None:
        self._inner = inner
        self._gate = gate

    @property
    def names(self) -> Sequence[str]:
        return self._inner.names

    @contextmanager
    def open(
        self, database: str, *, purpose: str, timeout: float, patience: float | None = None
    ) -> Iterator[Session]:
        with self._inner.open(database, purpose=purpose, timeout=timeout, patience=patience) as session:
            yield guarded(session, Session, self._gate)
