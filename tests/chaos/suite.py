"""What a long suite is: named cases in a fixed order, each of which a seed makes again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Tally:
    """What a case came to: how many things were tried in it, and what of them is worth counting, by name."""

    tried: int = 1
    counts: dict[str, int] = field(default_factory=dict)


class Wrong(AssertionError):
    """The case showed the tool at fault; the message says what was seen."""


class Bench(Protocol):
    """What the cases of one worker share: a running sandbox, say."""

    def carry_out(self, case: str) -> Tally:
        """Carry one case out.

        Raises:
            AssertionError: the tool did wrong.
        """
        ...


class Suite(Protocol):
    """A suite of cases."""

    @property
    def name(self) -> str:
        """As ``make chaos SUITE=`` wants it."""
        ...

    def cases(self, seed: int) -> Iterator[str]:
        """The names of the cases, in order, the same for the same seed; with an end, or without one.

        A name says all that is needed to make the case again, the seed included where it plays a part.
        """
        ...

    def bench(self, folder: Path) -> AbstractContextManager[Bench]:
        """What a worker needs, made in an empty folder, and taken away at the end."""
        ...
