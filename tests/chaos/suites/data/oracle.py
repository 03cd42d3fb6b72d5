"""What the new side must be, reckoned in Python from the rows of the old one; and what both were like before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Any

from tests.chaos.suite import Wrong
from tests.chaos.suites.data.clusters import Kept
from tests.chaos.suites.data.writers import Key

Rows = dict[Any, tuple[Any, ...]]
_ROLES = {"reader": "reader", "writer": "writer", "boss": "chief"}
_OTHERS = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
# What a catalog holds that a copy takes off, puts back, adds or moves.
_SHAPE = {
    "relations": f"""
        SELECT c.relkind::text, n.nspname, c.relname, c.relpersistence::text, c.reloptions::text, c.relreplident::text
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OTHERS}""",
    "columns": f"""
        SELECT n.nspname, c.relname, a.attnum::int, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid), a.attgenerated::text, a.attstattarget::text
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE {_OTHERS} AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r'""",
    "indexes": f"""
        SELECT pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready, i.indisreplident, i.indisclustered
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OTHERS}""",
    "constraints": f"""
        SELECT c.conname, c.conrelid::regclass::text, pg_get_constraintdef(c.oid), c.convalidated
        FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE {_OTHERS}""",
    "triggers": """
        SELECT pg_get_triggerdef(t.oid), t.tgenabled::text FROM pg_trigger t WHERE NOT t.tgisinternal""",
    "functions": f"""
        SELECT p.oid::regprocedure::text, p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {_OTHERS}""",
    "schemas": f"SELECT n.nspname, n.nspacl::text FROM pg_namespace n WHERE {_OTHERS}",
    "types": f"SELECT n.nspname, t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {_OTHERS}",
}


def shape(cluster: Kept) -> dict[str, list[tuple[Any, ...]]]:
    """What the catalog says, without numbers that mean nothing."""
    with cluster.looking() as connection:
        connection.execute("SET search_path = pg_catalog")
        return {
            name: sorted(connection.execute(query.encode()).fetchall(), key=repr)
            for name, query in _SHAPE.items()
        }


def same_shape(was: Mapping[str, list[tuple[Any, ...]]], cluster: Kept) -> None:
    """Raises `Wrong`, naming what is not as it was."""
    now = shape(cluster)
    for name, rows in was.items():
        gone = [row for row in rows if row not in now[name]]
        new = [row for row in now[name] if row not in rows]
        if gone or new:
            raise Wrong(f"{cluster.database}: {name}: gone {gone[:3]}, new {new[:3]}")


def nothing_lost(cluster: Kept, known: Iterable[Mapping[Key, str]]) -> int:
    """Every row of the old side is as its writer knows it, and there is no other; how many. Raises `Wrong`."""
    wanted: dict[Key, str] = {}
    for each in known:
        wanted |= each
    have: dict[Key, str] = {}
    with cluster.looking() as connection:
        for table in ("people", "things"):
            rows = connection.execute(f"SELECT id::text, t::text FROM {table} AS t").fetchall()
            have |= {(table, key): row for key, row in rows}
    _same("the old side and what its writers were told", wanted, have)
    return len(have)


def mapped(old: Kept, new: Kept) -> int:
    """Every row of the new side is what the mapping says, and there is no other; how many. Raises `Wrong`."""
    with old.looking() as a, new.looking() as b:
        for connection in (a, b):
            connection.execute("SET TimeZone = 'UTC'")
        people: Rows = {}
        aside: Rows = {}
        for row in a.execute(
            "SELECT id, email, role, department, balance, created_at, tags, extra::text, note, badge FROM people"
        ).fetchall():
            key, email, role, department, balance, created, tags, extra, note, badge = row
            short = None if department is None else department[:100]
            since = created.replace(tzinfo=UTC)
            people[key] = (
                email,
                _ROLES.get(role, "reader"),
                short,
                balance,
                since,
                tags,
                extra,
                note,
                len(email),
            )
            for column, value in (("role", role), ("department", department), ("badge", badge)):
                if value is not None:
                    aside[key, column] = (value,)
        things: Rows = {
            _uuid("things", number): tuple(rest)
            for number, *rest in a.execute(
                "SELECT id, owner, label, worth::bigint, picture FROM things"
            ).fetchall()
        }
        have_people: Rows = {
            key: tuple(rest)
            for key, *rest in b.execute(
                "SELECT id, email, role::text, department, balance, created_at, tags, extra::text, note, letters FROM people"
            ).fetchall()
        }
        have_things: Rows = {
            str(key): tuple(rest)
            for key, *rest in b.execute("SELECT id, owner, label, worth, picture FROM things").fetchall()
        }
        have_aside: Rows = {
            (key, column): (value,)
            for key, column, value in b.execute(
                'SELECT id, "column", "value" FROM tracseq_migrate.unmapped_people'
            ).fetchall()
        }
        total = 0
        for what, wanted, have in (
            ("people", people, have_people),
            ("things", things, have_things),
            ("unmapped_people", aside, have_aside),
        ):
            _same(what, wanted, have)
            total += len(have)
        return total


def rows_of(cluster: Kept) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the new side, as text."""
    with cluster.looking() as connection:
        return {
            table: connection.execute(f"SELECT t::text FROM {table} AS t ORDER BY id").fetchall()
            for table in ("people", "things")
        }


def _uuid(name: str, number: int) -> str:
    """As docs/mappings.md says that a number becomes a uuid."""
    digest = hashlib.md5(f"{name}:{number}".encode(), usedforsecurity=False).hexdigest()
    digest = f"{digest[:12]}8{digest[13:16]}8{digest[17:]}"
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:]))


def _same(what: str, wanted: Mapping[Any, Any], have: Mapping[Any, Any]) -> None:
    if wanted == have:
        return
    missing = [key for key in wanted if key not in have]
    extra = [key for key in have if key not in wanted]
    other = [(key, wanted[key], have[key]) for key in wanted if key in have and wanted[key] != have[key]]
    raise Wrong(
        f"{what}: {len(missing)} rows are missing ({missing[:3]}), {len(extra)} are too many ({extra[:3]}),"
        f" {len(other)} differ: {other[:2]}"
    )
