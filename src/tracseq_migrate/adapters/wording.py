"""Texts that come from outside, made fit to stand in a message: one line, no control characters, bounded."""

from __future__ import annotations

import re
import unicodedata

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")


def one_line(text: str, limit: int = 200) -> str:
    """The text on one line, without terminal escapes, control and direction characters, cut at ``limit``."""
    plain = _ESCAPES.sub("", text[: limit * 8])
    plain = "".join(" " if c.isspace() else c for c in plain if c.isspace() or _visible(c))
    plain = " ".join(plain.split())
    # The mark also tells those who take out secrets that half of one may stand before it.
    whole = len(plain) <= limit and len(text) <= limit * 8
    return plain if whole else plain[: limit - 1] + "…"


def last_lines(text: str, lines: int, *, width: int = 400) -> str:
    """The last non-empty lines of a program's output, each cleaned by `one_line`."""
    if lines <= 0:
        return ""
    cleaned = [line for raw in text.splitlines()[-lines * 4 :] if (line := one_line(raw, width))]
    return "\n".join(cleaned[-lines:])


def _visible(character: str) -> bool:
    # Cf holds the characters that turn the direction of writing or hide text; Cs are lone surrogates.
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
