"""Programs of the operator's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.mark import changes


@frozen
class CommandResult:
    """``code`` is negative for a signal; the texts are cut to their last 64 KiB, secrets taken out."""

    code: int
    stdout: str
    stderr: str
    seconds: float


class Commands(Protocol):
    @changes
    def run(
        self,
        argv: Sequence[str],
        *,
        shell: bool = False,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout: float,
    ) -> CommandResult:
        """Run a program in its own process group, below the project's folder; the whole group ends at the timeout.

        Raises:
            StepFailed: it could not be started, or did not end in time.
        """
        ...

    def look(
        self,
        argv: Sequence[str],
        *,
        shell: bool = False,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float,
    ) -> CommandResult:
        """As `run`, for a program that only looks: allowed to whoever may ask, without the lease. Raises as `run`."""
        ...
