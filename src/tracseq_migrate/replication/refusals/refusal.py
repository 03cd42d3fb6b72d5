"""One reason why tables cannot move, or that a person should know before they do."""

from __future__ import annotations

from typing import Literal

from tracseq_migrate.frozen import frozen

Grade = Literal["refused", "unknown", "note"]
Side = Literal["a", "b"]


@frozen
class Refusal:
    """``refused``: nothing moves until it is mended. ``unknown``: it could not be asked, which is no pass either. ``note``: it is
    handled, and this says how.

    ``code`` is a word for scripts that never changes its meaning; ``where`` names the thing for people (``users``,
    ``users.id``, a sequence, the database); ``remedy`` is what to type or to decide.
    """

    code: str
    grade: Grade
    side: Side
    database: str
    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.database}, {self.where}: {self.what}" + (f" ({self.remedy})" if self.remedy else "")

    def document(self) -> dict[str, str]:
        """In JSON values."""
        return {
            "code": self.code,
            "grade": self.grade,
            "side": self.side,
            "database": self.database,
            "where": self.where,
            "what": self.what,
            "remedy": self.remedy,
        }


@frozen
class Voice:
    """Speaks of one side."""

    side: Side
    database: str

    def refuse(self, code: str, where: str, what: str, remedy: str) -> Refusal:
        return Refusal(code, "refused", self.side, self.database, where, what, remedy)

    def unknown(self, code: str, where: str, what: str, remedy: str) -> Refusal:
        return Refusal(code, "unknown", self.side, self.database, where, what, remedy)

    def note(self, code: str, where: str, what: str, remedy: str = "") -> Refusal:
        return Refusal(code, "note", self.side, self.database, where, what, remedy)
