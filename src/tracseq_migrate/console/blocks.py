"""What a document is made of, before anybody knows how wide the window is."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate.console.ink import Line, Marks, Tone
from tracseq_migrate.frozen import frozen


@frozen
class Heading:
    text: str


@frozen
class Space:
    """An empty line."""


@frozen
class Paragraph:
    """A text that is folded under itself, to the right of its mark."""

    line: Line
    mark: tuple[str, Tone] | None = None
    indent: int = 0


@frozen
class Command:
    """Something to type. It is never folded: the terminal wraps it, so that it can be copied in one piece."""

    line: Line
    indent: int = 0


@frozen
class Remark:
    """A comment among commands. It is folded, and each of its lines is one, so that all can be copied into a shell."""

    text: str
    indent: int = 0


@frozen
class Rows:
    """A table: the last column may be folded; where the others do not fit either, each row becomes a small list.

    ``head`` names the columns; a column without a name is told by its content alone. An empty cell is left out of a list.
    """

    head: tuple[str, ...]
    rows: Sequence[tuple[Line, ...]]
    indent: int = 2


@frozen
class Bar:
    """How much of the whole is done, in per cent."""

    percent: int
    label: str


@frozen
class Diff:
    """A unified diff; a line is never folded into two that look like two."""

    text: str
    indent: int = 5


def filled(bar: Bar, marks: Marks, columns: int) -> Line:
    """A bar as a line of at most ``columns``, as long as its label leaves it room."""
    width = max(5, min(40, columns - len(bar.label) - 12))
    done = round(width * max(0, min(100, bar.percent)) / 100)
    full, empty = marks.full * done, marks.empty * (width - done)
    return (f"{bar.label}  ", (full, Tone.GOOD), (empty, Tone.MUTED), f"  {bar.percent} %")


Block = Heading | Space | Paragraph | Command | Remark | Rows | Bar | Diff
