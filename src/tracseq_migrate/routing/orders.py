"""In which order a cutover is made: what becomes of writes in the moment of the change."""

from __future__ import annotations

from typing import Literal

from tracseq_migrate import duration
from tracseq_migrate.ports import Rollout

Order = Literal["hold", "plain", "reload"]
Asked = Literal["auto", "hold", "plain", "reload"]


def chosen(rollout: Rollout, asked: Asked) -> Order | None:
    """The order that is made; None where what is asked for cannot be had here. Raises `Unreachable`."""
    if asked in ("auto", "hold") and rollout.holds:
        return "hold"
    if asked in ("auto", "plain") and rollout.swaps:
        return "plain"
    return "reload" if asked in ("auto", "reload") else None


def price(order: Order, rollout: Rollout, most: float) -> str:
    """What people notice, in a sentence; ``most`` is the gap in seconds that the plan allows."""
    if order == "hold":
        return (
            f"order hold: writes wait in the proxy for the moment of the change, at most {duration.show(most)}, and none is"
            " refused; reads go on"
        )
    if order == "plain":
        return (
            "order plain: the proxy switches and cannot hold, so that writes are refused from the old side's fence until it has"
            " switched; reads go on"
        )
    return f"order reload: writes are refused for as long as the gateway takes; {rollout.forecast()}"
