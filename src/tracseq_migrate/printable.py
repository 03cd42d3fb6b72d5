"""Text of others made safe to show: nothing in it may steer a terminal, hide a part of a line, or turn its direction."""

from __future__ import annotations

import re

_STEERING = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but newline and tab, DEL, C1
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # unseen, or direction
    "\ud800-\udfff"  # half a character, which cannot be encoded
    "\U000e0000-\U000e007f"  # tags, which no terminal shows
    "]"
)


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def printable(text: str) -> str:
    """``text`` with each steering or invisible character spelled out (``\\x1b``). Newlines and tabs stay."""
    return text if text.isprintable() else _STEERING.sub(_spelled, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """`printable`, on a single line: every run of white space becomes one space."""
    return " ".join(printable(text).split())
