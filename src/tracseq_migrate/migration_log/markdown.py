"""Text of others inside a Markdown document: nothing in it may become formatting, HTML, a link, or another line."""

from __future__ import annotations

import re
from functools import lru_cache

from tracseq_migrate.printable import one_line

# Readers make links of these by themselves.
_LINK = re.compile(r"(?i)(?<=[a-z]):(?=//)|(?<=\bwww)\.")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SPECIAL = re.compile(r"[&<>]|[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LEADING = re.compile(r"^(?:(\d{1,9})([.)])(?= |$)|([#+=-]))")
_COMMAND = re.compile(r"(?<!`)`([^`|\s](?:[^`|]*[^`|\s])?)`(?!`)")


class Markdown(str):
    """Text that is Markdown already; the templates put anything else through `md` by themselves."""

    __slots__ = ()


def md(value: object) -> Markdown:
    """The value as Markdown that shows it literally, on one line; None is empty."""
    if isinstance(value, Markdown):
        return value
    return Markdown() if value is None else _md(str(value))


@lru_cache(4096)
def _md(text: str) -> Markdown:
    return Markdown(_begun(_literal(one_line(text))))


def prose(value: object) -> Markdown:
    """A sentence in which backticks hold a command: that becomes a code span, and all else is shown literally.

    Fit for table cells too: what holds a bar, which would end the cell, stays literal with its backticks.
    """
    if isinstance(value, Markdown):
        return value
    return Markdown() if value is None else _prose(str(value))


@lru_cache(4096)
def _prose(said: str) -> Markdown:
    text = one_line(said)
    pieces = _COMMAND.split(text)  # text, command, text, command, ..., text
    shown = [_literal(piece) if number % 2 == 0 else f"`{piece}`" for number, piece in enumerate(pieces)]
    return Markdown(_begun(shown[0]) + "".join(shown[1:]))


def _literal(text: str) -> str:
    text = _SPECIAL.sub(lambda match: _ENTITIES.get(match[0]) or f"\\{match[0]}", text)
    return _LINK.sub(r"\\\g<0>", text)


def _begun(text: str) -> str:
    """Without what would make an item, a heading or a rule of it at the beginning of a line."""
    return _LEADING.sub(lambda m: f"\\{m[3]}" if m[3] else f"{m[1]}\\{m[2]}", text)


def code(value: object) -> Markdown:
    """The value as a code span, in a fence longer than any that is inside; empty stays empty. Not for table cells."""
    text = "" if value is None else one_line(str(value))
    if not text:
        return Markdown("")
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text[0] == "`" or text[-1] == "`" else ""
    return Markdown(f"{fence}{pad}{text}{pad}{fence}")
