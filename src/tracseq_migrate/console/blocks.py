"""What a document is made of, before anybody knows how wide the window is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracseq_migrate.console.ink import Line, Tone


@dataclass(frozen=True, slots=True)
class Heading:
    text: str


@dataclass(frozen=True, slots=True)
class Space:
    """An empty line."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A text that is folded under itself, to the right of its mark."""

    line: Line
    mark: tuple[str, Tone] | None = None
    indent: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """Something to type. It is never folded: the terminal wraps it, so that it can be copied in one piece."""

    line: Line
    indent: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """A table: the last column may be folded; where the others do not fit either, each row becomes a small list.

    ``head`` names the columns; a column without a name is told by its content alone. An empty cell is left out of a list.
    """

    head: tuple[str, ...]
    rows: Sequence[tuple[Line, ...]]
    indent: int = 2


@dataclass(frozen=True, slots=True)
class Bar:
    """How much of the whole is done, in per cent."""

    percent: int
    label: str


@dataclass(frozen=True, slots=True)
class Diff:
    """A unified diff; a line is never folded into two that look like two."""

    text: str
    indent: int = 5


Block = Heading | Space | Paragraph | Command | Rows | Bar | Diff
