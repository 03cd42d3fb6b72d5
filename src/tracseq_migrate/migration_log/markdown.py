"""Text of others inside a Markdown document: nothing in it may become formatting, HTML, a link, or another line."""

from __future__ import annotations

import re

from tracseq_migrate.printable import one_line

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SPECIAL = re.compile(r"[&<>]|[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LEADING = re.compile(r"^(?:(\d{1,9})([.)])(?= |$)|([#+=-]))")


class Markdown(str):
    """Text that is Markdown already; the templates put anything else through `md` by themselves."""

    __slots__ = ()


def md(value: object) -> Markdown:
    """The value as Markdown that shows it literally, on one line; None is empty."""
    if isinstance(value, Markdown):
        return value
    text = "" if value is None else one_line(str(value))
    text = _SPECIAL.sub(lambda match: _ENTITIES.get(match[0]) or f"\\{match[0]}", text)
    return Markdown(_LEADING.sub(lambda m: f"\\{m[3]}" if m[3] else f"{m[1]}\\{m[2]}", text))


def code(value: object) -> Markdown:
    """The value as a code span, in a fence longer than any that is inside; empty stays empty. Not for table cells."""
    text = "" if value is None else one_line(str(value))
    if not text:
        return Markdown("")
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text[0] == "`" or text[-1] == "`" else ""
    return Markdown(f"{fence}{pad}{text}{pad}{fence}")
