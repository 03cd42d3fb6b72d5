"""A draft says what follows by itself, asks for the rest, and is refused as long as a question is open."""

from __future__ import annotations

import re

import pytest

from tests.replication.databases import PairOfDatabases
from tests.replication.mapping.moving import ROOT, compiled
from tracseq_migrate.errors import InvalidInput
from tracseq_migrate.replication.catalog import reading as catalogs
from tracseq_migrate.replication.mapping.drafting import draft
from tracseq_migrate.sandbox import databases as sandbox


def _drafted(pair: PairOfDatabases, a: str, b: str, *, seeded: int = 0) -> str:
    with pair.open("a") as of_a, pair.open("b") as of_b:
        catalog_a, catalog_b = catalogs.read(of_a), catalogs.read(of_b)
    return draft(catalog_a.tables[a], catalog_b.tables[b], catalog_a, catalog_b, seeded=seeded)


def test_two_tables_of_one_shape_need_no_answer(pair_of_databases: PairOfDatabases) -> None:
    table = (
        "CREATE TYPE mood AS ENUM ('calm', 'busy'); CREATE TABLE t (id uuid PRIMARY KEY, name varchar(9) NOT NULL, mood mood,"
        ' n numeric(9, 2), "Odd name" text, "on" boolean DEFAULT true, at timestamptz NOT NULL DEFAULT now())'
    )
    pair_of_databases.run("a", table)
    pair_of_databases.run("b", table)
    text = _drafted(pair_of_databases, "t", "t")
    assert "TODO" not in re.sub("^#.*$", "", text, flags=re.MULTILINE)
    [pair] = compiled(pair_of_databases, text).pairs
    assert [each.name for each in pair.columns] == ["id", "name", "mood", "n", "Odd name", "on", "at"]
    assert pair.final


@pytest.mark.parametrize(
    ("database", "tables", "asked"),
    [
        ("auth", ("users", "users"), ["admin: TODO", "last_login_at: last_login", "truncate: 100", "unc_pid: {new: TODO}"]),
        ("storage", ("storage_locations", "storage_locations"), ["ids: uuid", "zone_type: {constant: TODO}"]),
        ("sequencing", ("sequencing_jobs", "sequencing_jobs"), ["job_name: name", "pending: TODO", "- sample_sheet_path"]),
        ("spreadsheets", ("spreadsheet_datasets", "spreadsheet_versions"), ["file_size_bytes", "content_hash: {constant: TODO}"]),
    ],
)  # fmt: skip
def test_the_real_tables_leave_questions_and_each_is_marked(
    pair_of_databases: PairOfDatabases, database: str, tables: tuple[str, str], asked: list[str]
) -> None:
    sandbox.create("main", pair_of_databases.dsns["a"], seed=1, users=0)
    sandbox.create(database, pair_of_databases.dsns["b"], seed=1, users=0)
    text = _drafted(pair_of_databases, *tables, seeded=3)
    assert [each for each in asked if each not in text] == []
    # The draft can be read, and every finding that is left is at a line that asks, or right below one that does.
    with pytest.raises(InvalidInput) as refused:
        compiled(pair_of_databases, text)
    lines = text.splitlines()
    for finding in refused.value.findings:
        above = "\n".join(lines[max(0, finding.line - 3) : finding.line])
        assert "TODO" in above, str(finding)


def test_every_shipped_mapping_names_its_schema() -> None:
    files = sorted((ROOT / "weeks" / "mappings").glob("*.yaml"))
    assert len(files) == 6
    for file in files:
        assert file.read_text("utf-8").startswith(
            "# yaml-language-server: $schema=../../schemas/mapping.schema.json\n"
        )
        assert "TODO" not in file.read_text("utf-8")
