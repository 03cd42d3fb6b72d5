"""How a long step tells how far it is, and outlives a lost connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tracseq_migrate.ports import Unreachable
from tracseq_migrate.step import StepContext

T = TypeVar("T")

_TOLD_EVERY = 2.0
_PATIENCE = 60.0
_AGAIN = 1.0


class Teller:
    """Says how far it is, at most every two seconds."""

    def __init__(self, ctx: StepContext) -> None:
        self._ctx = ctx
        self._next = 0.0
        self.last = "it had not begun"

    def progress(self, text: str) -> None:
        self.last = text
        now = self._ctx.clock.monotonic()
        if now >= self._next:
            self._next = now + _TOLD_EVERY
            self._ctx.say(text)


class Weather:
    """Does again what a lost connection broke off, as long as the databases come back: all of it goes on where it was."""

    def __init__(self, ctx: StepContext, check: Callable[[], None], told: Teller) -> None:
        self._ctx = ctx
        self._check = check
        self._told = told
        self._stages: set[str] = set()
        self._until: float | None = None

    def reached(self, stage: str) -> None:
        """A stage that is new gives the databases another minute."""
        if stage not in self._stages:
            self._stages.add(stage)
            self._until = None

    def outlived(self, work: Callable[[], T]) -> T:
        """What ``work`` gives. Raises `Unreachable` where a minute brought it no further; else as ``work``."""
        clock = self._ctx.clock
        while True:
            try:
                return work()
            except Unreachable as error:
                now = clock.monotonic()
                self._until = self._until or now + _PATIENCE
                if now >= self._until or self._ctx.late or self._ctx.interrupt.requested:
                    raise
                self._told.progress(f"again in a second: {error}")
            clock.sleep(_AGAIN)
            self._check()
