"""Plain scalars by YAML 1.2's core schema: what is written without quotes and is not text.

``on``, ``yes``, ``no`` and ``off`` are text, and so are ``1:30`` and ``0777``: the older reading turned them into numbers
that nobody had written.
"""

from __future__ import annotations

import re
from math import isfinite

UNFIT = re.compile("[\0\ud800-\udfff]")
"""What an escape can say and no text may hold: no file, argument or variable takes a NUL, and no encoding half a character."""

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_STARTS = frozenset("0123456789+-.")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONGEST = 64

Scalar = str | int | float | bool | None


def resolve(text: str) -> Scalar:
    """The value of a plain scalar.

    Raises:
        ValueError: it is a number that no file needs: infinite, not a number, or longer than 64 digits.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _DECIMAL.fullmatch(text):
        return int(_short(text))
    if _BASED.fullmatch(text):
        return int(_short(text), 0)
    if _FLOAT.fullmatch(text):
        number = float(_short(text))
        if not isfinite(number):
            raise ValueError("this number is too large")
        return number
    if _NO_NUMBER.fullmatch(text):
        raise ValueError("infinity and not-a-number are not allowed")
    return text


def _short(text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(f"a number of {len(text)} characters is too long")
    return text
