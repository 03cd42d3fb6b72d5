"""What a database knows of its own scripts: one row each, written in the transaction that deploys it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, transaction
from tracseq_migrate.replication.control.tables import drop_schema_if_empty, ensure_schema
from tracseq_migrate.replication.names import ours
from tracseq_migrate.schema_scripts.parsing import Script

SCRIPT = ours("script")

State = tuple[int, str]
"""Of a table's rows: how many, and a sum over all of them."""

_USER_TABLES = """
SELECT c.oid::bigint, pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
  AND n.nspname NOT IN ('information_schema', 'tracseq_migrate')
ORDER BY 2
"""


@frozen
class Row:
    """A script that is deployed. ``made``: the tables that it made; ``rows``: how it left those that it touched."""

    name: str
    checksum: str
    body: str
    deployed_at: datetime
    deployed_by: str
    made: tuple[str, ...]
    rows: Mapping[str, State]


def there(session: Session) -> bool:
    return bool(session.rows("SELECT 1 WHERE pg_catalog.to_regclass($1) IS NOT NULL", [SCRIPT]))


def read(session: Session, folder: str) -> list[Row]:
    """The scripts of a folder that are deployed, in the order in which they were."""
    if not there(session):
        return []
    rows = session.rows(
        f"SELECT name, checksum, body, deployed_at, deployed_by, made, rows::text FROM {SCRIPT} WHERE folder = $1 ORDER BY place",
        [folder],
    )
    return [
        Row(
            name,
            digest,
            body,
            at,
            by,
            tuple(made),
            {key: (int(n), str(s)) for key, (n, s) in json.loads(states).items()},
        )
        for name, digest, body, at, by, made, states in rows
    ]


def make(session: Session) -> None:
    """Make the registry, where it is not there. One transaction."""
    if there(session):
        return
    with transaction(session):
        ensure_schema(session)
        session.execute(
            f"""CREATE TABLE IF NOT EXISTS {SCRIPT} (
                folder text NOT NULL,
                name text NOT NULL,
                place bigint GENERATED ALWAYS AS IDENTITY,
                checksum text NOT NULL,
                body text NOT NULL,
                deployed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                deployed_by text NOT NULL,
                made text[] NOT NULL,
                rows jsonb NOT NULL,
                PRIMARY KEY (folder, name))"""
        )


def remove_if_empty(session: Session) -> None:
    """Drop the registry with its last row, and the schema where nothing else is in it. One transaction."""
    if not there(session):
        return
    with transaction(session):
        session.execute(f"LOCK TABLE {SCRIPT} IN ACCESS EXCLUSIVE MODE")
        if not session.rows(f"SELECT 1 FROM {SCRIPT} LIMIT 1"):
            session.execute(f"DROP TABLE {SCRIPT}")
            drop_schema_if_empty(session)


def write(
    session: Session, folder: str, script: Script, by: str, made: Sequence[str], rows: Mapping[str, State]
) -> None:
    """Note a script as deployed, within the open transaction or in one of its own."""
    session.execute(
        f"INSERT INTO {SCRIPT} (folder, name, checksum, body, deployed_by, made, rows)"
        " VALUES ($1, $2, $3, $4, $5, $6::text[], $7::jsonb)",
        [folder, script.name, script.checksum, script.body, by, list(made), json.dumps(dict(rows))],
    )


def forget(session: Session, folder: str, name: str) -> None:
    """Note a script as taken back, within the open transaction or in one of its own."""
    session.execute(f"DELETE FROM {SCRIPT} WHERE folder = $1 AND name = $2", [folder, name])


def drifted(rows: Sequence[Row], scripts: Sequence[Script]) -> str:
    """What differs between what was deployed and the files, in words; empty where nothing does."""
    files = {script.name: script for script in scripts}
    for row in rows:
        script = files.get(row.name)
        if script is None:
            return f"{row.name} is deployed since {row.deployed_at:%Y-%m-%d %H:%M} UTC, and its file is gone"
        if script.checksum != row.checksum:
            return (
                f"{script.file}:{_first_difference(row.body, script.body)}: {row.name} was edited after it was deployed"
                f" ({row.deployed_at:%Y-%m-%d %H:%M} UTC by {row.deployed_by})"
            )
    return ""


def refuse_drift(session: Session, rows: Sequence[Row], scripts: Sequence[Script]) -> None:
    """Raises `StepFailed` where a deployed script is not as its file is now."""
    if why := drifted(rows, scripts):
        raise StepFailed(
            f"{session.what}: {why}",
            hint="Put the file back as it was, and write what is to change as a script of its own, with a higher number.",
        )


def tables(session: Session) -> dict[int, str]:
    """The user's tables by number: quoted and qualified names."""
    return {int(oid): str(relation) for oid, relation in session.rows(_USER_TABLES)}


def touched(session: Session) -> set[int]:
    """The numbers of the tables whose rows the open transaction has changed."""
    rows = session.rows(
        "SELECT relid::bigint FROM pg_catalog.pg_stat_xact_user_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0"
    )
    return {int(oid) for (oid,) in rows}


def state(session: Session, relation: str) -> State:
    """Of a table's rows as they are now."""
    ((count, total),) = session.rows(
        "SELECT count(*), coalesce(sum(pg_catalog.hashtextextended(tracseq_migrate_row::text, 0)::numeric), 0)::text"
        f" FROM ONLY {relation} AS tracseq_migrate_row"
    )
    return int(count), str(total)


def left_by_scripts(rows: Sequence[Row]) -> dict[str, State]:
    """The state in which the scripts left each table that one of them made: the newest that says so counts."""
    made = {relation for row in rows for relation in row.made}
    known: dict[str, State] = dict.fromkeys(made, (0, "0"))
    for row in rows:
        known |= {relation: each for relation, each in row.rows.items() if relation in made}
    return known


def _first_difference(before: str, now: str) -> int:
    """The first line, counted from 1, that is not as it was."""
    old, new = before.splitlines(), now.splitlines()
    for number, (one, other) in enumerate(zip(old, new, strict=False), start=1):
        if one != other:
            return number
    return max(min(len(old), len(new)), 1)
