"""Durations as people write them (``90s``, ``2m``, ``1h30m``, ``250ms``) and as people read them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
PATTERN = r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"


def parse(text: str) -> float:
    """Seconds of a written duration.

    Raises:
        ValueError: the text is no duration; a bare number is refused, since nobody can tell its unit.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; write it with units, such as 30s, 5m, 1h30m or 250ms")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def show(seconds: float) -> str:
    """A duration in at most two units, as a tired person reads it: ``0.4 ms``, ``3.2 s``, ``2m 5s``, ``1d 4h``."""
    if seconds < 0:
        return "-" + show(-seconds)
    if seconds < 0.0995:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, smaller, smaller_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit}{name} {rest}{smaller_name}" if rest else f"{whole // unit}{name}"
    return f"{whole} s"


def write(seconds: float) -> str:
    """A short written form that `parse` reads back to exactly the same number."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if seconds >= _UNITS[unit] and (seconds / _UNITS[unit]).is_integer():
            return f"{int(seconds / _UNITS[unit])}{unit}"
    short = f"{seconds * 1000:g}ms" if seconds < 1 else f"{seconds:g}s"
    if _WHOLE.fullmatch(short) and parse(short) == seconds:
        return short
    return f"{format(Decimal(repr(seconds)), 'f')}s"


def _validate(value: Any) -> float:
    if isinstance(value, str):
        return parse(value)
    raise ValueError("write a duration with its unit, such as 30s, 5m or 48h")


Duration = Annotated[
    float,
    BeforeValidator(_validate),
    PlainSerializer(write, return_type=str),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["30s", "5m", "48h"]}),
]
"""A pydantic type: written with units in YAML, seconds in Python."""
