"""`Dumps` in memory: what was asked to be kept, without its rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports.dumps import Dump, Told

_BEGAN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class MemoryDumps:
    """``databases`` maps each database to the rows of its tables; ``damaged`` names backups that cannot be read any more."""

    def __init__(self, databases: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.databases = {name: dict(tables) for name, tables in (databases or {}).items()}
        self.dumps: list[Dump] = []
        self.damaged: set[str] = set()
        self.space = 1 << 40
        self._made = 0

    @property
    def folder(self) -> str:
        return "memory"

    def known(self) -> list[Dump]:
        return list(self.dumps)

    def free(self) -> int:
        return self.space

    def size(self, database: str, *, timeout: float) -> int:
        return 1000 * (1 + sum(self.databases.get(database, {}).values()))

    def fits(self, database: str, *, timeout: float) -> str:
        return "pg_dump 15 (memory)"

    def dump(self, database: str, *, by: str, counted: bool, timeout: float, told: Told) -> Dump:
        self._made += 1
        rows = dict(self.databases.get(database, {}))
        size = self.size(database, timeout=timeout)
        told(size)
        made = Dump(
            f"{database}-{self._made:06}.dump",
            database,
            _BEGAN + timedelta(minutes=self._made),
            size,
            "0" * 64,
            "PostgreSQL 15, pg_dump 15",
            by,
            rows if counted else {},
        )
        self.dumps.append(made)
        return made

    def examine(self, dump: Dump, *, timeout: float) -> list[str]:
        if dump not in self.dumps or dump.name in self.damaged:
            raise StepFailed(f"{dump.name} cannot be read")
        return sorted(dump.rows or self.databases.get(dump.database, {}))

    def try_out(self, dump: Dump, *, through: str, timeout: float, told: Told) -> dict[str, int]:
        self.examine(dump, timeout=timeout)
        return dict(dump.rows)

    def restore(self, dump: Dump, *, timeout: float, told: Told) -> None:
        self.examine(dump, timeout=timeout)
        self.databases[dump.database] = dict(dump.rows)

    def remove(self, dump: Dump) -> None:
        self.dumps = [each for each in self.dumps if each.name != dump.name]
