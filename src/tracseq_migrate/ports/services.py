"""Processes of the system: services, and the gateway's instances too, by the names that the environment gives them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from tracseq_migrate.ports.mark import changes

SYNC = "sync"
"""The name under which the one who keeps `sync run` going is asked for, where the environment has one."""


class ServiceState(StrEnum):
    """What the one who runs the process says; health is asked by HTTP."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPED = "stopped"
    FAILED = "failed"
    EXTERNAL = "external"
    """Somebody else starts and stops it; only its health can be asked."""


class Services(Protocol):
    @property
    def names(self) -> Sequence[str]:
        """Services of the environment, gateway instances not among them."""
        ...

    def state(self, name: str, *, timeout: float) -> ServiceState:
        """Raises `Unreachable` where the one who runs it could not be asked."""
        ...

    @changes
    def up(self, name: str, *, timeout: float) -> None:
        """Start it; harmless where it runs. Returns when the process is up; health is another question.

        Raises:
            StepFailed: it did not start; the message has the last lines that it wrote.
        """
        ...

    @changes
    def down(self, name: str, *, timeout: float) -> None:
        """Stop it, gracefully first; harmless where it is stopped. Returns when it is gone. Raises `StepFailed`."""
        ...

    @changes
    def restart(self, name: str, *, timeout: float) -> None:
        """Stop and start, so that the process reads its surroundings anew. Raises `StepFailed`."""
        ...

    @changes
    def signal(self, name: str, signal: str, *, timeout: float) -> None:
        """Send a signal by name (``HUP``) to its main process. Raises `StepFailed`."""
        ...

    def tail(self, name: str, lines: int) -> str:
        """The last lines that it wrote, for an error message; empty where they cannot be had."""
        ...
