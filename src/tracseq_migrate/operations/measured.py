"""What earlier runs measured, for forecasts."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.ports import Event


def last_unavailability(events: Sequence[Event], strategy: str) -> float | None:
    """How many seconds clients went without an answer in the newest flip by a strategy; None before the first."""
    for event in reversed(events):
        if event.type not in (v.VERIFIED, v.REVERTED):
            continue
        for line in event.data["evidence"]:
            data = line.get("data", {})
            if data.get("what") == "flip" and data.get("strategy") == strategy:
                return float(data["unavailable_seconds"])
    return None
