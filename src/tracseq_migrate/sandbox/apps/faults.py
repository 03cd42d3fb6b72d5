"""Faults that the sandbox can order: a small JSON file beside the application, read again whenever it changes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Orders:
    """What is wrong on purpose.

    Attributes:
        status: answer this status to every request; 0 for none. /health and /metrics go on.
        delay: seconds to wait before answering anything but /metrics.
        health: what /health has to say; None for the truth.
    """

    status: int = 0
    delay: float = 0.0
    health: bool | None = None


class FaultFile:
    """The orders of a file. None, or one that is missing, empty or not JSON of this kind: no fault."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._orders = Orders()

    def orders(self) -> Orders:
        if self._path is None:
            return self._orders
        try:
            stat = self._path.stat()
        except OSError:
            self._seen, self._orders = None, Orders()
            return self._orders
        seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if seen != self._seen:
            self._orders = _read(self._path)
            self._seen = seen
        return self._orders


def _read(path: Path) -> Orders:
    try:
        said: Any = json.loads(path.read_bytes())
        health = said.get("health")
        return Orders(
            status=int(said.get("status", 0)),
            delay=max(0.0, float(said.get("delay", 0))),
            health=None if health is None else bool(health),
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return Orders()
