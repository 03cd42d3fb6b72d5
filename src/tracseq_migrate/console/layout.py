"""Blocks laid out for a width, with rich."""

from __future__ import annotations

import io
import textwrap

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

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
from tracseq_migrate.console.ink import Ink, Line, Tone
from tracseq_migrate.console.terminal import Depth

_LAST_COLUMN = 24
"""The narrowest that the last column of a table may become before the table turns into lists."""


def lay_out(blocks: list[Block], ink: Ink, columns: int) -> str:
    """The text of the blocks, no line wider than ``columns``, no blanks at the ends of lines."""
    target = io.StringIO()
    console = Console(
        file=target,
        width=columns,
        force_terminal=ink.depth is not Depth.NONE,
        color_system={Depth.NONE: None, Depth.BASIC: "standard", Depth.FULL: "256"}[ink.depth],
        no_color=False,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
        force_interactive=False,
        _environ={},  # the streams were asked what they can do; variables must not change the answer
    )
    for block in blocks:
        if isinstance(block, Command):
            console.print(_text((" " * block.indent, *block.line), ink), soft_wrap=True)
            continue
        if isinstance(block, Remark):
            for line in _remark(block, columns):
                console.print(_text((line,), ink), soft_wrap=True)
            continue
        for part in _parts(block, ink, columns):
            console.print(part)
    lines = target.getvalue().split("\n")
    return "\n".join(line.rstrip() for line in lines)


def _parts(
    block: Heading | Space | Paragraph | Rows | Bar | Diff, ink: Ink, columns: int
) -> list[RenderableType]:
    match block:
        case Space():
            return [Text("")]
        case Heading():
            return [Text(""), _text(((block.text, Tone.STRONG),), ink)]
        case Paragraph():
            return [_paragraph(block, ink)]
        case Bar():
            return [_text(filled(block, ink.marks, columns), ink)]
        case Diff():
            return [_diff(block, ink)]
        case Rows():
            return _rows(block, ink, columns)


def _remark(block: Remark, columns: int) -> list[str]:
    start = f"{' ' * block.indent}# "
    return textwrap.wrap(
        block.text,
        max(columns, len(start) + _LAST_COLUMN),
        initial_indent=start,
        subsequent_indent=start,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _indented(part: RenderableType, columns: int) -> Padding:
    return Padding(part, (0, 0, 0, columns), expand=False)


def _text(line: Line, ink: Ink) -> Text:
    text = ink.rich(line)
    text.overflow = "fold"
    return text


def _paragraph(block: Paragraph, ink: Ink) -> RenderableType:
    if block.mark is None:
        return _indented(_text(block.line, ink), block.indent)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(_text((block.mark,), ink), _text(block.line, ink))
    return _indented(grid, block.indent)


def _diff(block: Diff, ink: Ink) -> RenderableType:
    tones = {"+": Tone.GOOD, "-": Tone.BAD, "@": Tone.MUTED}
    grid = Table.grid()
    grid.add_column(overflow="fold")
    for words in block.text.splitlines():
        tone = Tone.MUTED if words.startswith(("+++", "---")) else tones.get(words[:1], Tone.PLAIN)
        grid.add_row(_text(((words, tone),), ink))
    return _indented(grid, block.indent)


def _rows(block: Rows, ink: Ink, columns: int) -> list[RenderableType]:
    cells = [[_text(cell, ink) for cell in row] for row in block.rows]
    if not cells:
        return []
    named = [(index, name) for index, name in enumerate(block.head)]
    used = [index for index, _ in named if any(row[index].plain for row in cells)]
    widths = {i: max(len(block.head[i]), *(row[i].cell_len for row in cells)) for i in used}
    room = columns - block.indent - 2 * (len(used) - 1)
    fixed = sum(widths[i] for i in used[:-1])
    if fixed + min(widths[used[-1]], _LAST_COLUMN) > room:
        return [_indented(_listed(row, block, ink, columns - block.indent), block.indent) for row in cells]
    grid = Table.grid(padding=(0, 2))
    for index in used[:-1]:
        grid.add_column(no_wrap=True, min_width=widths[index])
    grid.add_column(overflow="fold")
    if any(block.head[i] for i in used):
        grid.add_row(*(_text(((block.head[i], Tone.MUTED),), ink) for i in used))
    for row in cells:
        grid.add_row(*(row[i] for i in used))
    return [_indented(grid, block.indent)]


def _listed(row: list[Text], block: Rows, ink: Ink, columns: int) -> Table:
    """One row as a list: the nameless cells make its first line, the named ones follow below, folded between two of them."""
    grid = Table.grid()
    grid.add_column(overflow="fold")
    cells = [(name, cell) for cell, name in zip(row, block.head, strict=True) if cell.plain]
    grid.add_row(Text(" ").join(cell for name, cell in cells if not name))
    named = [Text.assemble(_text(((f"{name} ", Tone.MUTED),), ink), cell) for name, cell in cells if name]
    lines: list[Text] = []
    between = f" {ink.marks.dot} "
    for part in named:
        if lines and lines[-1].cell_len + len(between) + part.cell_len <= columns - 3:
            lines[-1] = Text.assemble(lines[-1], between, part)
        else:
            lines.append(part)
    for line in lines:
        line.overflow = "fold"
        grid.add_row(_indented(line, 3))
    return grid
