"""What a whole database is or lacks."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication.catalog.model import Catalog
from tracseq_migrate.replication.names import SCHEMA, quoted
from tracseq_migrate.replication.pair import Replication
from tracseq_migrate.replication.refusals.refusal import Refusal, Voice

_THE_DATABASE = "the database"


def alone(voice: Voice, catalog: Catalog) -> Iterator[Refusal]:
    """Of one side by itself."""
    if catalog.replica:
        yield voice.refuse(
            "standby",
            _THE_DATABASE,
            "this server is a standby, which takes no triggers and no writes",
            "let the environment file name the primary",
        )
    if not catalog.may_create_schema and not catalog.ours and not catalog.replica:
        yield voice.refuse(
            "no-create",
            _THE_DATABASE,
            f"the role {catalog.role} may not create the schema {SCHEMA}",
            f"GRANT CREATE ON DATABASE {catalog.quoted_name} TO {quoted(catalog.role)}; as the database's owner",
        )
    if catalog.encoding == "SQL_ASCII":
        yield voice.refuse(
            "encoding",
            _THE_DATABASE,
            "its encoding is SQL_ASCII: nobody can say which characters its bytes are",
            "move its rows into a database with ENCODING 'UTF8' first",
        )


def together(replication: Replication, catalog_a: Catalog, catalog_b: Catalog) -> Iterator[Refusal]:
    """Of the two beside each other."""
    voice = Voice("b", catalog_b.database)
    if catalog_a.encoding != catalog_b.encoding and "SQL_ASCII" not in (
        catalog_a.encoding,
        catalog_b.encoding,
    ):
        yield voice.refuse(
            "encoding",
            _THE_DATABASE,
            f"its encoding is {catalog_b.encoding}, and that of {catalog_a.database} is {catalog_a.encoding}:"
            " characters of one may have no place in the other, on the way there or back",
            f"make it anew with ENCODING '{catalog_a.encoding}' TEMPLATE template0",
        )
    size = sum(pair.a.bytes for pair in replication.pairs)
    yield voice.note(
        "disk-space",
        _THE_DATABASE,
        f"about {_amount(size)} of rows are copied to it, indexes not counted; how much room its disk has cannot be asked"
        " through SQL",
        f"see that the server has at least {_amount(3 * size)} free: rows, indexes and the log of writes",
    )


def the_same(
    catalog_a: Catalog, catalog_b: Catalog, session_a: Session, session_b: Session
) -> Iterator[Refusal]:
    """Whether two names lead to one database: what is written down of one side would be taken for the other's."""
    first, second = secrets.randbits(31), secrets.randbits(31)
    session_a.rows("SELECT pg_advisory_lock_shared($1::int, $2::int)", [first, second])
    try:
        seen = session_b.rows(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = $3::int AND objsubid = 2"
            " AND classid = $1::bigint AND objid = $2::bigint"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [first, second, session_a.backend_pid],
        )
    finally:
        session_a.rows("SELECT pg_advisory_unlock_shared($1::int, $2::int)", [first, second])
    if seen:
        yield Voice("b", catalog_b.database).refuse(
            "same-database",
            _THE_DATABASE,
            f"{catalog_a.database} and {catalog_b.database} are one and the same database, and rows move from one to another",
            "let the environment file name another database for one of them",
        )


def _amount(size: int) -> str:
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"
