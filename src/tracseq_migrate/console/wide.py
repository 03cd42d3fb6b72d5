"""Blocks laid out where there is room for everything and no colour: into a pipe, a file, a build server's log.

Nothing is folded then, and rich, which costs a tenth of a second of a short command to import and to run, is not needed. Whatever
does not fit, or has letters whose width must be looked up, is left to `layout`; where both can, both say the same.
"""

from __future__ import annotations

import re

from tracseq_migrate.console.blocks import (
    Bar,
    Block,
    Command,
    Diff,
    Heading,
    Paragraph,
    Remark,
    Rows,
    Space,
    filled,
)
from tracseq_migrate.console.ink import UNICODE, Ink, Line
from tracseq_migrate.console.terminal import Depth

_MARKS = re.escape(
    "".join(
        {*"".join(getattr(UNICODE, name) for name in UNICODE.__match_args__)}
        | {*"\u2013\u2014\u2018\u2019\u201c\u201d"}
    )
)
_ONE_CELL_EACH = re.compile(f"[\\x20-\\x7e\\xa1-\\xac\\xae-\\u02ff{_MARKS}]*")


def lay_out_wide(blocks: list[Block], ink: Ink, columns: int) -> str | None:
    """The text of the blocks, one line each line of theirs; None where a line would have to be folded, or measured."""
    if ink.depth is not Depth.NONE:
        return None
    lines: list[str] = []
    for block in blocks:
        made = _lines(block, ink, columns)
        if made is None:
            return None
        lines += made
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _lines(block: Block, ink: Ink, columns: int) -> list[str] | None:
    match block:
        case Space():
            return [""]
        case Command():
            text = _one(block.line, ink)
            return None if text is None else [" " * block.indent + text]
        case Remark():
            text = _one((block.text,), ink)
            return None if text is None else _fitting([f"{' ' * block.indent}# {text}"], columns)
        case Heading():
            return _fitting(["", _one((block.text,), ink)], columns)
        case Paragraph():
            mark = "" if block.mark is None else f"{ink.safe(block.mark[0])} "
            text = _one(block.line, ink)
            return None if text is None else _fitting([" " * block.indent + mark + text], columns)
        case Bar():
            return _fitting([ink.plain(filled(block, ink.marks, columns))], columns)
        case Diff():
            indent = " " * block.indent
            safe = [ink.safe(words) for words in block.text.splitlines()]
            return _fitting([indent + words for words in safe], columns) if all(safe) and safe else None
        case Rows():
            return _rows(block, ink, columns)


def _one(line: Line, ink: Ink) -> str | None:
    text = ink.plain(line)
    return None if not text or "\n" in text else text


def _fitting(lines: list[str | None], columns: int) -> list[str] | None:
    fitting = [line for line in lines if line is not None and len(line) <= columns and _narrow(line)]
    return fitting if len(fitting) == len(lines) else None


def _narrow(text: str) -> bool:
    return _ONE_CELL_EACH.fullmatch(text) is not None


def _rows(block: Rows, ink: Ink, columns: int) -> list[str] | None:
    cells = [[ink.plain(cell) for cell in row] for row in block.rows]
    if not all(_narrow(cell) for row in cells for cell in row):
        return None
    used = [index for index in range(len(block.head)) if any(row[index] for row in cells)]
    widths = {i: max(len(block.head[i]), *(len(row[i]) for row in cells)) for i in used}
    if block.indent + sum(widths.values()) + 2 * (len(used) - 1) > columns or (cells and not used):
        return None
    head = [block.head] if any(block.head[i] for i in used) else []
    return [" " * block.indent + "  ".join(row[i].ljust(widths[i]) for i in used) for row in (*head, *cells)]
