"""`Founding` where there is no server: what is there is a table of names."""

from __future__ import annotations

from tracseq_migrate.ports.founding import Foundation


class MemoryFounding:
    """``there`` holds the databases that exist, each with a role of the same name."""

    def __init__(self, there: set[str] | None = None) -> None:
        self.there = set(there or ())

    def look(self, database: str, *, through: str, timeout: float) -> Foundation:
        known = database in self.there
        return Foundation(database, database, known, known)

    def found(self, database: str, *, through: str, timeout: float) -> Foundation:
        before = self.look(database, through=through, timeout=timeout)
        self.there.add(database)
        return before

    def remove(self, database: str, *, through: str, name: bool, role: bool, timeout: float) -> None:
        if name:
            self.there.discard(database)
