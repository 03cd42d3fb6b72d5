"""One reason for which rows of A would not fit B."""

from __future__ import annotations

from typing import Any

from tracseq_migrate.frozen import frozen


@frozen
class Misfit:
    """``code`` is a word for scripts that never changes its meaning.

    ``count`` is how many rows (or, where the rule is about several rows at once, groups of rows) the reason holds for; None where
    it cannot be known before they are loaded, and then ``what`` says why. ``rows`` is how many rows move, -1 where nobody counted
    them. ``samples`` are keys of up to five of them, never their values, which may be personal.
    """

    pair: str
    where: str
    """The column or constraint of B, for people."""
    code: str
    what: str
    count: int | None
    rows: int
    samples: tuple[str, ...]
    remedy: str
    certain: bool = True
    """Whether each of them is known to be refused, or cut, by B; otherwise some of them may fit."""

    @property
    def refused(self) -> bool:
        """Whether it must be mended before anything moves; otherwise it is an open question."""
        return self.count is not None and self.certain

    @property
    def told(self) -> str:
        """All of it but the remedy, as a sentence for people."""
        if self.count is None:
            return f"{self.where}: {self.what}"
        of = f" of {self.rows:,}" if self.rows >= 0 else ""
        many = f"{self.count:,}{of} {'row' if self.count == 1 and not of else 'rows'}"
        keys = (
            f"; {', '.join(self.samples)}{', …' if self.count > len(self.samples) else ''}"
            if self.samples
            else ""
        )
        return f"{self.where}: {many}: {self.what}{keys}"

    def __str__(self) -> str:
        return f"{self.told} ({self.remedy})"

    def document(self) -> dict[str, Any]:
        """In JSON values."""
        return {
            "pair": self.pair,
            "where": self.where,
            "code": self.code,
            "what": self.what,
            "count": self.count,
            "rows": self.rows,
            "samples": list(self.samples),
            "remedy": self.remedy,
            "certain": self.certain,
        }
