"""Words with tones, and the one place where they become text for a stream.

A *line* is a sequence of bits; a bit is text, or text with a tone. Whatever the text is and whoever wrote it, on its way out
secrets are taken out and terminal controls are spelled out; there is no markup language that it could speak.

The tones are chosen for contrast on black and on white alike (a test computes it), and no meaning hangs on a tone alone: a
mark or a word always says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tracseq_migrate.console.terminal import Depth
from tracseq_migrate.frozen import frozen
from tracseq_migrate.printable import one_line, printable

if TYPE_CHECKING:
    from rich.text import Text


class Tone(StrEnum):
    PLAIN = "plain"
    STRONG = "strong"
    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    DOUBT = "doubt"
    INFO = "info"
    MUTED = "muted"


Bit = str | tuple[str, Tone]
Line = tuple[Bit, ...] | list[Bit]

COLORS: Final[dict[Tone, int]] = {
    Tone.GOOD: 28,
    Tone.BAD: 196,
    Tone.WARN: 166,
    Tone.DOUBT: 133,
    Tone.INFO: 31,
    Tone.MUTED: 244,
}
"""Of the 256: the only ones used, where a terminal has them."""

# A theme decides what the sixteen look like; yellow, cyan, blue and the greys are unreadable in many, so they are not used.
BASIC_COLORS: Final[dict[Tone, int]] = {Tone.GOOD: 2, Tone.BAD: 1, Tone.WARN: 5, Tone.DOUBT: 5}
_BOLD: Final = frozenset({Tone.STRONG, Tone.BAD})


@frozen
class Marks:
    """Signs with a meaning; each has a form for streams that take ASCII only."""

    passed: str = "✓"
    failed: str = "✗"
    unknown: str = "?"
    pending: str = "·"
    waiting: str = "◷"
    back: str = "←"
    warn: str = "!"
    next: str = "→"
    dot: str = "·"
    bullet: str = "·"
    more: str = "…"
    full: str = "━"
    empty: str = "╌"
    frames: str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


UNICODE: Final = Marks()
ASCII: Final = Marks("ok", "XX", "??", "..", "~~", "<-", "!!", "->", "|", "-", "...", "#", "-", "|/-\\")

GIST: Final = 160
"""Characters of a sentence that only reminds of what was told in full elsewhere."""


def bits(line: Line | str) -> Iterable[tuple[str, Tone]]:
    for bit in (line,) if isinstance(line, str) else line:
        yield (bit, Tone.PLAIN) if isinstance(bit, str) else bit


@frozen
class Ink:
    """How lines become text: with how many colours, with which marks, without which secrets."""

    depth: Depth = Depth.NONE
    marks: Marks = UNICODE
    hide: Callable[[str], str] = str

    def safe(self, text: str) -> str:
        """Text of others as it may be shown; newlines stay, tabs become spaces."""
        return printable(self.hide(text)).replace("\t", "    ")

    def flat(self, text: str) -> str:
        """The same on one line."""
        return one_line(self.hide(text))

    def gist(self, text: str, longest: int = GIST) -> str:
        """The first line of a text of others, at most ``longest`` characters; a sign says where more was said.

        Secrets are taken out of the whole before anything is cut, so that no half of one is left.
        """
        first, more, _ = self.safe(text).strip().partition("\n")
        if more and first.endswith(":"):  # it announces the lines that are left out: so that goes too
            first = first.rpartition("; ")[0] or first.removesuffix(":")
        if len(first) > longest:
            first = first[: longest - len(self.marks.more)] + self.marks.more
        return self.flat(first)

    def plain(self, line: Line | str) -> str:
        return "".join(self.safe(text) for text, _ in bits(line))

    def text(self, line: Line | str) -> str:
        """With colours where there are any; nothing is folded or cut."""
        return "".join(self._toned(self.safe(text), tone) for text, tone in bits(line))

    def cut(self, line: Line | str, columns: int) -> str:
        """On one line and at most ``columns`` wide; what does not fit is cut off, and a sign says so."""
        from rich.cells import cell_len, set_cell_size

        pieces = [(self.safe(text).replace("\n", " "), tone) for text, tone in bits(line)]
        if sum(cell_len(text) for text, _ in pieces) > columns:
            room, kept = max(0, columns - len(self.marks.more)), []
            for text, tone in pieces:
                width = cell_len(text)
                kept.append((text if width <= room else set_cell_size(text, room), tone))
                room -= min(width, room)
            pieces = [*kept, (self.marks.more[: max(0, columns)], Tone.PLAIN)]
        return "".join(self._toned(text, tone) for text, tone in pieces if text)

    def rich(self, line: Line | str) -> Text:
        """For laying out. The text carries styles, never markup."""
        from rich.text import Text

        text = Text(end="")
        for words, tone in bits(line):
            text.append(self.safe(words), style=self.style(tone) or None)
        return text

    def style(self, tone: Tone) -> str:
        """A tone in rich's words; empty where it looks like any other text."""
        if self.depth is Depth.NONE:
            return ""
        color = (COLORS if self.depth is Depth.FULL else BASIC_COLORS).get(tone)
        words = ["bold"] if tone in _BOLD else []
        return " ".join(words if color is None else [*words, f"color({color})"])

    def _toned(self, text: str, tone: Tone) -> str:
        if self.depth is Depth.NONE or not text:
            return text
        codes = ["1"] if tone in _BOLD else []
        if self.depth is Depth.FULL and tone in COLORS:
            codes.append(f"38;5;{COLORS[tone]}")
        elif self.depth is Depth.BASIC and tone in BASIC_COLORS:
            codes.append(f"3{BASIC_COLORS[tone]}")
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if codes else text
