"""Text of others made safe to show: nothing in it may steer a terminal, hide a part of a line, or turn its direction."""

from __future__ import annotations

import re

_STEERING = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but newline and tab, DEL, C1
    "\u00ad\u034f\u061c\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # unseen, or direction
    "\u115f\u1160\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"  # letters and marks that nobody can see
    "\ud800-\udfff"  # half a character, which cannot be encoded
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # tags and selectors, which no terminal shows
    "]"
)
# What a build server takes for a command of its own where a line begins with it, or has it at all.
_COMMAND = re.compile(r"(?<!\S)::(?=[A-Za-z])|##(?=(?:vso|teamcity)?\[)")


def _spelled(match: re.Match[str]) -> str:
    return _spelled_out(match[0])


def _spelled_out(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def printable(text: str) -> str:
    """``text`` with each steering or invisible character spelled out (``\\x1b``). Newlines and tabs stay.

    So is the beginning of a command to a build server (``::error::``, ``##[error]``), of which every line of output may be one.
    """
    if not (text.isascii() and text.isprintable()):
        text = _STEERING.sub(_spelled, text.replace("\r\n", "\n"))
    return _COMMAND.sub(lambda match: f"{match[0][0]}{_spelled_out(match[0][1])}", text)


def one_line(text: str) -> str:
    """`printable`, on a single line: every run of white space becomes one space."""
    return " ".join(printable(text).split())
