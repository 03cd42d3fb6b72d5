"""What the gateway says its flags are: every instance, many fresh connections in a row, both maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports import Clock, Gateway, GatewayFlags, Reading, Unreachable

CONNECTIONS = 5
"""Fresh connections in a row that must agree, at each instance; twice as many at the public address."""

STARTED_ANEW = 1.5
"""Patience, in seconds, with a process that was just started anew."""

_PAUSE = 0.2


@frozen
class Disagreement:
    """One instance that does not have a flag as it should be, or does not answer."""

    instance: str
    text: str
    hopeless: bool = False
    """Waiting will not mend it: the gateway does not know the flag, or knows it in one map only."""
    silent: bool = False
    """It did not answer; it may yet."""


def wrong_flags(reading: GatewayFlags, expect: Mapping[str, bool]) -> list[Disagreement]:
    """Where one answer of one instance differs from what is expected; flags with the same trouble share a sentence."""
    troubles: dict[tuple[str, bool], list[str]] = {}
    for flag, want in expect.items():
        trouble = _trouble(reading.readings.get(flag), want)
        if trouble:
            troubles.setdefault(trouble, []).append(flag)
    return [
        Disagreement(reading.instance, text.format(", ".join(flags)), hopeless=hopeless)
        for (text, hopeless), flags in troubles.items()
    ]


def _trouble(now: Reading | None, want: bool) -> tuple[str, bool] | None:
    """What is wrong with a flag, with a place for its name, and whether waiting is hopeless."""
    if now is None or (now.feature is None and now.enabled is None):
        return "does not know {}: in neither map of /routing-status", True
    if now.feature is None or now.enabled is None:
        only = "feature_flags" if now.enabled is None else "routing_configuration"
        return f"knows {{}} in {only} only, and would not route by it", True
    if now.effective is None:
        text = f"feature_flags says {_word(now.feature)}, routing_configuration says {_word(now.enabled)}"
        return f"contradicts itself on {{}}: {text}", False
    if now.effective is not want:
        return f"has {{}} {_word(now.effective)}, not {_word(want)}", False
    return None


def _word(value: bool | None) -> str:
    return {True: "on", False: "off", None: "missing"}[value]


def disagreements(
    gateway: Gateway,
    expect: Mapping[str, bool],
    *,
    instances: Iterable[str | None],
    connections: int,
    timeout: float,
) -> list[Disagreement]:
    """Ask each of the instances (None: the public address) on fresh connections; empty when all agree each time."""
    found: list[Disagreement] = []
    for instance in instances:
        for _ in range(connections * (2 if instance is None else 1)):
            try:
                wrong = wrong_flags(gateway.flags(instance, timeout=timeout), expect)
            except Unreachable as error:
                wrong = [
                    Disagreement(instance or "the gateway", f"cannot be asked: {error.why}", silent=True)
                ]
            if wrong:
                found.extend(wrong)
                break
    return found


def await_flags(
    gateway: Gateway,
    clock: Clock,
    expect: Mapping[str, bool],
    *,
    instances: Iterable[str | None],
    deadline: float,
    connections: int = CONNECTIONS,
    patience: float = float("inf"),
) -> int:
    """Ask until every instance agrees on every connection in a row; returns how many readings agreed.

    ``patience``: seconds after which a wrong answer, given again and again, is believed. A process that was just started
    anew does not change its mind; one that was sent a signal may.

    Raises:
        StepFailed: they did not agree before the deadline (monotonic), or one never can; says which and how.
    """
    asked = list(instances)
    wrong_since: float | None = None
    while True:
        remaining = deadline - clock.monotonic()
        wrong = disagreements(
            gateway,
            expect,
            instances=asked,
            connections=connections,
            timeout=max(0.05, min(5.0, remaining)),
        )
        if not wrong:
            return sum(connections * (2 if instance is None else 1) for instance in asked)
        now = clock.monotonic()
        if any(item.silent for item in wrong):
            wrong_since = None
        elif wrong_since is None:
            wrong_since = now
        believed = wrong_since is not None and now - wrong_since >= patience
        if any(item.hopeless for item in wrong) or believed or now + _PAUSE >= deadline:
            raise StepFailed(describe(wrong), hint=_hint(wrong))
        clock.sleep(_PAUSE)


def describe(wrong: Iterable[Disagreement]) -> str:
    """One sentence for all disagreements; instances with the same trouble share it."""
    instances: dict[str, list[str]] = {}
    for item in wrong:
        names = instances.setdefault(item.text, [])
        if item.instance not in names:
            names.append(item.instance)
    return "; ".join(f"{' and '.join(names)}: {text}" for text, names in instances.items())


def _hint(wrong: Iterable[Disagreement]) -> str:
    if any(item.hopeless for item in wrong):
        return "This gateway's version does not route by that flag; compare its settings with the environment file."
    if any(not item.silent for item in wrong):
        return (
            "The store was changed, but the process does not follow it: look for the same variable in the process's "
            "own environment (it wins over the file), and whether the process reads this file at all."
        )
    return "Look at the gateway's own output for why it does not answer."
