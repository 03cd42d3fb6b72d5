"""A process beside this one, which goes on with a step where this one dies in the middle of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Guardian(Protocol):
    def watching(self, week: str, step: str) -> AbstractContextManager[str]:
        """Inside of the block: where this process dies, the week is gone on with as far as the end of this step, or all the way
        back where it was going back. Leaving the block, by an exception too, ends the watch.

        Yields what watches, for people.

        Raises:
            Unreachable: it could not be started.
        """
        ...


class NoGuardian:
    """Nothing watches."""

    @contextmanager
    def watching(self, week: str, step: str) -> Iterator[str]:
        """Nothing."""
        yield ""
