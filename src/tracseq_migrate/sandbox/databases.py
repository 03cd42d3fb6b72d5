"""The databases of the embedded TracSeq: the monolith's, and one a service, each with its real tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

DATABASES: Mapping[str, str] = MappingProxyType(
    {
        name: f"tracseq_{name}"
        for name in (
            "main",
            "auth",
            "samples",
            "templates",
            "storage",
            "sequencing",
            "notifications",
            "rag",
            "spreadsheets",
            "dashboard",
            "reports",
        )
    }
)
"""Name in an environment file -> name in PostgreSQL. ``main`` is the monolith's."""

_SCHEMA = Path(__file__).parent / "schema"


def create_all(dsn_of: Callable[[str], str], *, seed: int, users: int) -> None:
    """Make the tables of every database and fill them; the databases exist already and are empty.

    The monolith gets its laboratory: eleven awkward users, ``users`` ordinary ones, and what they work with. A service gets what
    it brings along itself, and nothing of the monolith's. The same seed gives the same rows, whenever it runs.

    Args:
        dsn_of: name -> DSN of the database's owner.
        seed: of everything that looks random.
        users: how many ordinary users, 0 or more.

    Raises:
        psycopg.Error: a database cannot be reached, or is not empty. A database is made whole or not at all.
    """
    for name in DATABASES:
        create(name, dsn_of(name), seed=seed, users=users)


def create(name: str, dsn: str, *, seed: int, users: int) -> None:
    """Make and fill one database in one transaction. Raises as `create_all`, and `KeyError` for a name that is none."""
    import psycopg

    from tracseq_migrate.sandbox.seeds import fill

    if name not in DATABASES:
        raise KeyError(name)
    with psycopg.connect(dsn, options="-c TimeZone=UTC", application_name="tracseq-sandbox") as connection:
        connection.execute((_SCHEMA / f"{name}.sql").read_bytes())
        fill(connection, name, seed=seed, users=users)
