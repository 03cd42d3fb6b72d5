"""The two words that every port shares: what changes something, and what could not be asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])


def changes(method: F) -> F:
    """Mark a port method as changing something outside of the process."""
    method.__changes__ = True  # type: ignore[attr-defined]
    return method


def is_changing(method: object) -> bool:
    """Whether a port method was marked with `changes`."""
    return bool(getattr(method, "__changes__", False))


class Unreachable(Exception):
    """The question could not be asked, or no answer came in time. Never to be read as an answer.

    ``sent`` is true where a request may have been received by the other side before contact was lost; ``refused`` where
    nothing listens at the address, which is as good as an answer when one asks whether something has stopped.
    """

    def __init__(self, what: str, why: str, *, sent: bool = False, refused: bool = False) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what
        self.why = why
        self.sent = sent
        self.refused = refused
