"""What a stream can do: colours, marks beyond ASCII, moving the cursor; and how wide it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import IntEnum
from typing import TextIO

from tracseq_migrate.frozen import frozen

PIPE_COLUMNS = 10_000
"""Nothing is folded in a pipe: a line there belongs to grep, not to a window."""


class Depth(IntEnum):
    """How many colours: none at all (and no bold either), the sixteen that a theme defines, or the 256."""

    NONE = 0
    BASIC = 1
    FULL = 2


@frozen
class Abilities:
    """``moves``: the cursor can be moved. ``reflows``: lines are folded anew when the window is made narrower."""

    terminal: bool
    depth: Depth
    unicode: bool
    moves: bool
    reflows: bool


def is_terminal(stream: TextIO | None) -> bool:
    """False also for a stream that is missing, closed, or has no file behind it."""
    try:
        return stream is not None and stream.isatty()
    except (ValueError, OSError):
        return False


def abilities(stream: TextIO | None, environ: Mapping[str, str], *, no_color: bool) -> Abilities:
    """What ``stream`` can do. ``no_color`` and NO_COLOR win over FORCE_COLOR, which wins over what the stream is.

    Variables that continuous integration sets decide nothing: a pipe is a pipe there too.
    """
    terminal = is_terminal(stream)
    dumb = environ.get("TERM", "") in ("dumb", "unknown")
    return Abilities(
        terminal=terminal,
        depth=_depth(environ, no_color=no_color, able=terminal and not dumb),
        unicode=_encodes(stream, "✓⠋━·"),
        moves=terminal and not dumb and bool(environ.get("TERM")),
        reflows=_reflows(environ),
    )


def _depth(environ: Mapping[str, str], *, no_color: bool, able: bool) -> Depth:
    forced = environ.get("FORCE_COLOR")
    if no_color or environ.get("NO_COLOR"):
        return Depth.NONE
    if forced in ("0", "false"):
        return Depth.NONE
    if not forced and not able:
        return Depth.NONE
    term = environ.get("TERM", "")
    many = "256" in term or "direct" in term or environ.get("COLORTERM", "") in ("truecolor", "24bit")
    return Depth.FULL if many or forced in ("2", "3") else Depth.BASIC


def _encodes(stream: TextIO | None, sample: str) -> bool:
    try:
        sample.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _reflows(environ: Mapping[str, str]) -> bool:
    """xterm, the Linux console and GNU screen cut lines off where nearly all others fold them anew."""
    if environ.get("TMUX"):
        return True
    term = environ.get("TERM", "")
    return not (
        environ.get("XTERM_VERSION") or environ.get("STY") or term == "linux" or term.startswith("vt")
    )


def size(stream: TextIO | None, environ: Mapping[str, str]) -> tuple[int, int]:
    """Columns and lines, at least 10 and 3. A terminal is measured at each call, since windows change."""
    columns, lines = 0, 0
    if stream is not None and is_terminal(stream):
        try:
            columns, lines = os.get_terminal_size(stream.fileno())
        except (OSError, ValueError):
            columns, lines = 0, 0
        columns = columns or 80
    columns = columns or _number(environ.get("COLUMNS", "")) or PIPE_COLUMNS
    return max(10, columns), max(3, lines or 24)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else 0
