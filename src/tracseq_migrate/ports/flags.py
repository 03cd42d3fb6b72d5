"""The store that flags are declared in: read, and changed by compare-and-swap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.mark import changes


@frozen
class FlagFile:
    """What the store held at one moment.

    ``values`` maps each declared flag to the text as written (unquoted), by the store's own rules of which entry wins;
    ``digest`` is of the bytes, for compare-and-swap; ``entries`` maps each flag to the exact entry that wins, so that it can
    be put back to the letter (None stands for "was not there").
    """

    location: str
    digest: str
    values: Mapping[str, str]
    entries: Mapping[str, str]
    lines: Mapping[str, int]


@frozen
class FlagChange:
    """What a write would do: the store's text before and after, as a unified diff for people."""

    before: str
    after: str
    diff: str


class FlagStore(Protocol):
    """Where a gateway's flags are declared."""

    @property
    def location(self) -> str: ...

    def read(self) -> FlagFile:
        """The store as it is now.

        Raises:
            InvalidSetup: it is missing, unreadable, or not text that the gateway would accept; says which and what to do.
        """
        ...

    def preview(self, entries: Mapping[str, str | None]) -> FlagChange:
        """What `write` would change, without changing it."""
        ...

    @changes
    def write(self, entries: Mapping[str, str | None], *, expected: str) -> FlagFile:
        """Change only the named flags, atomically and durably, if the store's digest is still ``expected``.

        Args:
            entries: flag -> either a bare value (``true``), or a whole entry as `FlagFile.entries` gave it (it contains
                ``=``), or None to take the flag's entry away.

        Raises:
            StepFailed: the store changed meanwhile, is read-only, or the disk is full; the bytes are as they were.
        """
        ...

    def findings(self, names: Mapping[str, bool]) -> list[str]:
        """What would make setting these flags a no-op or stop the gateway, seen from the store alone; empty when nothing."""
        ...
