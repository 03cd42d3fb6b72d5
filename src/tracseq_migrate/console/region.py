"""The part of a terminal that is painted over and over: some lines at the bottom, below everything that stays.

Rich's own live display counts the lines that it wrote, not the rows that they became; after a window was made narrower it
climbs too few rows and leaves rubbish behind. This one knows the width of each line, so it knows how many rows a
terminal made of it. It never hides the cursor, and leaves it at the beginning of a free line, so there is nothing to put
back however the process ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tracseq_migrate.console.stream import Stream

_SGR = re.compile(r"\x1b\[[0-9;]*m")


class Region:
    """Lines that can be replaced. Not thread-safe: its owner holds a lock."""

    def __init__(self, stream: Stream, size: Callable[[], tuple[int, int]], *, reflows: bool) -> None:
        self._stream, self._size, self._reflows = stream, size, reflows
        self._widths: list[int] = []
        self._painted: list[str] = []
        self._columns = 0

    def paint(self, lines: Sequence[str], above: str = "") -> None:
        """Show ``lines`` (each must fit the window) instead of those before, and ``above`` over them, to stay."""
        from rich.cells import cell_len

        columns, _ = self._size()
        if not above and list(lines) == self._painted and columns == self._columns:
            return
        text = self._erase(columns) + above + "".join(f"{line}\n" for line in lines)
        self._stream.write(text)
        self._painted, self._columns = list(lines), columns
        self._widths = [cell_len(_SGR.sub("", line)) for line in lines]

    def clear(self) -> None:
        """Take the lines away."""
        if self._painted:
            self.paint(())

    def _erase(self, columns: int) -> str:
        if not self._widths:
            return ""
        rows = len(self._widths)
        if self._reflows and columns < self._columns:
            rows = sum(max(1, -(-width // columns)) for width in self._widths)
        return f"\r\x1b[{rows}A\x1b[J"
