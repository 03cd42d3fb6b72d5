"""Who is at the keyboard, and asking them."""

from __future__ import annotations

from typing import Protocol

from tracseq_migrate.frozen import frozen


@frozen
class Person:
    """A name, and where it was taken from (``system``, ``git``, ``variable``, ``command``)."""

    name: str
    source: str


class Identity(Protocol):
    def whoami(self) -> Person:
        """Raises `InvalidSetup` where the environment's way of telling gives no name."""
        ...


class Asker(Protocol):
    @property
    def present(self) -> bool:
        """Whether there is a person at a terminal who can answer. Where not, nothing is ever asked."""
        ...

    def confirm(self, question: str) -> bool:
        """Yes or no. Raises `Declined` when the input ends."""
        ...

    def text(self, question: str) -> str:
        """A line of text, perhaps empty. Raises `Declined` when the input ends."""
        ...
