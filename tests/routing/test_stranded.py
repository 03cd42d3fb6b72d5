"""What was written on the new side: counted exactly, key by key, whatever kind of write it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracseq_migrate.adapters.memory.databases import MemoryDatabases
from tracseq_migrate.errors import Residue
from tracseq_migrate.ports import Unreachable
from tracseq_migrate.routing import stranded

ROWS: list[dict[str, object]] = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}, {"id": 3, "name": "c"}]


def _databases() -> MemoryDatabases:
    return MemoryDatabases({"storage": {"public.locations": ROWS, "public.empty": []}})


def _since(databases: MemoryDatabases, kept: bytes) -> list[tuple[str, str, str]]:
    losses = stranded.written_since(databases, stranded.unpack(kept), timeout=1.0)
    return [(loss.where, loss.what, loss.key) for loss in losses]


def _kept(databases: MemoryDatabases) -> bytes:
    return stranded.pack(databases.manifest("storage", timeout=1.0))


def test_nothing_written_is_nothing_lost() -> None:
    databases = _databases()
    assert _since(databases, _kept(databases)) == []


def test_each_kind_of_write() -> None:
    databases = _databases()
    kept = _kept(databases)
    rows = databases.tables["storage"]["public.locations"]
    rows[1]["name"] = "changed"
    del rows[0]
    rows.append({"id": 4, "name": "new"})
    databases.tables["storage"]["public.empty"].append({"id": 9})
    where = "storage.public.locations"
    assert _since(databases, kept) == [
        ("storage.public.empty", "inserted", "[9]"),
        (where, "updated", "[2]"),
        (where, "inserted", "[4]"),
        (where, "deleted", "[1]"),
    ]
    losses = stranded.written_since(databases, stranded.unpack(kept), timeout=1.0)
    assert stranded.summary(losses) == [
        "storage.public.empty: 1 inserted",
        "storage.public.locations: 1 deleted, 1 inserted, 1 updated",
    ]
    listed = [json.loads(line) for line in stranded.listing(losses).decode().splitlines()]
    assert [line["row"] for line in listed] == [
        {"id": 9},
        {"id": 2, "name": "changed"},
        {"id": 4, "name": "new"},
        None,
    ]


def test_a_table_that_came_or_went() -> None:
    databases = _databases()
    kept = _kept(databases)
    databases.tables["storage"]["public.new"] = [{"id": 1}]
    del databases.tables["storage"]["public.locations"]
    assert _since(databases, kept) == [
        *(("storage.public.locations", "deleted", f"[{n}]") for n in (1, 2, 3)),
        ("storage.public.new", "inserted", "[1]"),
    ]


def test_a_database_that_cannot_be_asked_is_not_an_empty_one() -> None:
    databases = _databases()
    kept = _kept(databases)
    databases.down["storage"] = "too many connections"
    with pytest.raises(Unreachable, match="too many connections"):
        _since(databases, kept)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"database": "x", "tables": 5}', b'{"database":"x","tables":{"t":{}}}'],
)
def test_a_manifest_that_cannot_be_read_is_a_residue(body: bytes) -> None:
    with pytest.raises(Residue):
        stranded.unpack(body)


TABLES = st.dictionaries(
    st.sampled_from(["public.a", "public.b"]),
    st.dictionaries(st.integers(0, 6), st.text(max_size=3), max_size=5),
)


@given(TABLES, TABLES)
def test_exactly_the_difference_is_lost(before: dict[str, Any], after: dict[str, Any]) -> None:
    def rows(tables: dict[str, dict[int, str]]) -> dict[str, list[dict[str, object]]]:
        return {name: [{"id": k, "v": v} for k, v in inside.items()] for name, inside in tables.items()}

    databases = MemoryDatabases({"storage": rows(before)})
    kept = _kept(databases)
    databases.tables["storage"] = rows(after)
    expected = set()
    for name in {*before, *after}:
        old, new = before.get(name, {}), after.get(name, {})
        for key in {*old, *new}:
            if key not in old:
                expected.add((f"storage.{name}", "inserted", f"[{key}]"))
            elif key not in new:
                expected.add((f"storage.{name}", "deleted", f"[{key}]"))
            elif old[key] != new[key]:
                expected.add((f"storage.{name}", "updated", f"[{key}]"))
    found = _since(databases, kept)
    assert set(found) == expected
    assert len(found) == len(expected)
