"""What a flip that moves no data leaves behind: rows written on the new side, counted exactly, key by key.

Before the flip a manifest of the service's database (every key with a digest of its row) is kept beside the journal. Whatever
differs from it later was written since: inserted, updated, deleted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tracseq_migrate.errors import Residue
from tracseq_migrate.ports import Databases, Manifest, TableManifest
from tracseq_migrate.step import Loss

_ROWS_SHOWN = 5000
"""Rows whose content is listed a table; beyond that keys alone."""


def pack(manifest: Manifest) -> bytes:
    """A manifest as bytes to keep."""
    body = {
        "database": manifest.database,
        "tables": {
            name: {"key": list(table.key), "rows": dict(table.rows)}
            for name, table in manifest.tables.items()
        },
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def unpack(body: bytes) -> Manifest:
    """The manifest that `pack` made bytes of.

    Raises:
        Residue: the bytes are no manifest.
    """
    try:
        read = json.loads(body)
        return Manifest(
            read["database"],
            {
                name: TableManifest(tuple(table["key"]), table["rows"])
                for name, table in read["tables"].items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Residue("a manifest that was kept for the way back cannot be read") from error


def written_since(databases: Databases, before: Manifest, *, timeout: float) -> list[Loss]:
    """Everything that was written to a database since the manifest was taken, with the rows as they are now.

    Raises:
        Unreachable: it could not be counted.
    """
    now = databases.manifest(before.database, timeout=timeout)
    losses: list[Loss] = []
    for name in sorted(before.tables.keys() | now.tables.keys()):
        then_rows = before.tables[name].rows if name in before.tables else {}
        table = now.tables.get(name)
        now_rows: Mapping[str, str] = table.rows if table else {}
        where = f"{before.database}.{name}"
        changed = [key for key, digest in now_rows.items() if then_rows.get(key) != digest]
        content: dict[str, Mapping[str, object]] = {}
        if changed:
            shown = changed[:_ROWS_SHOWN]
            rows = databases.rows(before.database, name, shown, timeout=timeout)
            content = dict(zip(shown, rows, strict=False)) if len(rows) == len(shown) else {}
            if not content:  # one of them vanished meanwhile: each is asked for by itself
                for key in shown:
                    one = databases.rows(before.database, name, [key], timeout=timeout)
                    if one:
                        content[key] = one[0]
        for key in changed:
            what = "updated" if key in then_rows else "inserted"
            losses.append(Loss(where, "updated" if what == "updated" else "inserted", key, content.get(key)))
        losses.extend(Loss(where, "deleted", key) for key in then_rows if key not in now_rows)
    return losses


def unknown_before(database: str) -> Manifest:
    """The manifest of a database of which nobody knows any more what was in it: every row that is there counts as written."""
    return Manifest(database, {})


def summary(losses: list[Loss]) -> list[str]:
    """One line a table: ``storage.public.locations: 3 inserted, 1 deleted``."""
    tables: dict[str, dict[str, int]] = {}
    for loss in losses:
        counts = tables.setdefault(loss.where, {})
        counts[loss.what] = counts.get(loss.what, 0) + 1
    return [
        f"{where}: {', '.join(f'{count} {what}' for what, count in sorted(counts.items()))}"
        for where, counts in sorted(tables.items())
    ]


def listing(losses: list[Loss]) -> bytes:
    """The losses as JSON lines, one a row, for a file that a person or a later import reads."""
    lines = [
        json.dumps(
            {"where": x.where, "what": x.what, "key": x.key, "row": x.row}, default=str, sort_keys=True
        )
        for x in losses
    ]
    return ("\n".join(lines) + "\n").encode()
