"""Databases, as far as flags need them: what is in a service's tables, exactly, to tell later what was written since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tracseq_migrate.frozen import frozen


@frozen
class TableManifest:
    """Every row of a table by key: ``rows`` maps the key (JSON text of its columns in order) to a digest of the row."""

    key: tuple[str, ...]
    rows: Mapping[str, str]


@frozen
class Manifest:
    """A database at one snapshot: schema-qualified table name -> its rows."""

    database: str
    tables: Mapping[str, TableManifest]


class Databases(Protocol):
    @property
    def names(self) -> Sequence[str]: ...

    def manifest(self, database: str, *, timeout: float) -> Manifest:
        """Keys and row digests of all user tables, in one read-only snapshot.

        Raises:
            Unreachable: the database could not be asked, or may not be read in full (row security, missing rights, a table
                without a key, more rows than can be listed): says which.
        """
        ...

    def rows(
        self, database: str, table: str, keys: Sequence[str], *, timeout: float
    ) -> list[dict[str, object]]:
        """The rows with these keys (as `TableManifest.rows` has them), as JSON values, for a person or a later import.

        Raises:
            Unreachable: as `manifest`.
        """
        ...
