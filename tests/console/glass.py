"""A small terminal: enough of one to see what a person would see, with and without folding lines anew on a resize."""

from __future__ import annotations

import io
import re

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\r\n|\n|\r)|([^\x1b\r\n])")


class Glass(io.StringIO):
    """Rows of characters, the last ``height`` of which can be written over; anything it does not know is an error."""

    encoding = "utf-8"

    def __init__(self, columns: int, height: int = 24, *, reflows: bool = True) -> None:
        super().__init__()
        self.columns, self.height, self.reflows = columns, height, reflows
        self.rows: list[str] = [""]
        self.joined: list[bool] = [False]  # whether a row goes on in the next, because it was too long
        self.row = self.column = 0
        self.raw = ""

    def isatty(self) -> bool:
        return True

    def size(self) -> tuple[int, int]:
        return self.columns, self.height

    def write(self, text: str) -> int:
        self.raw += text
        end = 0
        for match in _TOKEN.finditer(text):
            assert match.start() == end, f"unknown sequence at {text[end : end + 10]!r}"
            end = match.end()
            digits, letter, newline, character = match.groups()
            if letter:
                self._control(digits, letter)
            elif newline:
                self._newline(newline)
            else:
                self._put(character)
        assert end == len(text), f"unknown sequence at {text[end : end + 10]!r}"
        return len(text)

    def _control(self, digits: str, letter: str) -> None:
        if letter == "A":
            top = max(0, len(self.rows) - self.height)
            self.row = max(top, self.row - int(digits or 1))
        elif letter == "J" and digits in ("", "0"):
            self.rows[self.row] = self.rows[self.row][: self.column]
            del self.rows[self.row + 1 :], self.joined[self.row + 1 :]
            self.joined[self.row] = False
        else:
            assert letter == "m", f"nobody expects CSI {digits}{letter}"

    def _newline(self, newline: str) -> None:
        self.column = 0
        if newline == "\r":
            return
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")
            self.joined.append(False)

    def _put(self, character: str) -> None:
        if self.column == self.columns:
            self.joined[self.row] = True
            self._newline("\n")
        line = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    def resize(self, columns: int) -> None:
        """As most terminals do it: lines are folded anew. As some others do it: they are cut."""
        self.columns = columns
        if not self.reflows:
            self.rows = [row[:columns] for row in self.rows]
            return
        logical: list[str] = []
        whole = ""
        for row, joined in zip(self.rows, self.joined, strict=True):
            whole += row
            if not joined:
                logical.append(whole)
                whole = ""
        at_end = self.row == len(self.rows) - 1 and self.column == 0
        assert at_end, "the cursor rests below everything"
        self.rows, self.joined = [], []
        for line in logical:
            pieces = [line[i : i + columns] for i in range(0, len(line), columns)] or [""]
            self.rows += pieces
            self.joined += [True] * (len(pieces) - 1) + [False]
        self.row = len(self.rows) - 1

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self.rows)
