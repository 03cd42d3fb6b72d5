"""What stands in front of the tables that move, as far as this room knows it."""

from __future__ import annotations

from typing import Protocol


class Front(Protocol):
    """Holds requests for a moment, and sends them to one owner or the other. It is handed in; no flag is known here."""

    def prepare(self) -> None:
        """Do everything that can be done before anybody has to wait. Raises `StepFailed`."""
        ...

    def hold(self) -> None:
        """Writes wait from here on; they are let go by themselves after a second. Nothing where nobody can hold."""
        ...

    def settle(self, seconds: float) -> int | None:
        """Wait until no write is under way, at most so long; how many still are, None where nobody can tell."""
        ...

    def switch(self, epoch: int) -> None:
        """Send requests to the new owner; idempotent. Refused where somebody has switched under a later epoch."""
        ...

    def turn_back(self, epoch: int) -> None:
        """Send requests to the present owner, who stays it; idempotent."""
        ...

    def release(self) -> None:
        """Let held writes go; harmless at any time."""
        ...

    def finish(self) -> None:
        """Whatever is left to do when requests go on: old instances end, and take up what is new."""
        ...
