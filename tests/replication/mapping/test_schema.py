"""The schema that editors complete mappings from is generated, kept equal, and agrees with the loader; and so does the page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.json_schema import complaints
from tests.replication.mapping.moving import ROOT
from tracseq_migrate.document import read
from tracseq_migrate.document.schema import text
from tracseq_migrate.errors import InvalidInput
from tracseq_migrate.replication.mapping import read as read_mapping
from tracseq_migrate.replication.mapping.model import BackEntry, ColumnEntry, TableEntry
from tracseq_migrate.replication.mapping.schema import mapping_schema

FILE = ROOT / "schemas" / "mapping.schema.json"
PAGE = ROOT / "docs" / "mappings.md"


def test_the_file_is_what_the_models_say_now(tmp_path: Path) -> None:
    assert FILE.read_text() == text(mapping_schema()), (
        "run: python -m tracseq_migrate.replication.mapping.schema schemas"
    )
    module = [sys.executable, "-m", "tracseq_migrate.replication.mapping.schema", str(tmp_path)]
    written = subprocess.run(module, capture_output=True, text=True, check=True)
    assert (written.stdout, written.stderr) == ("", "")
    assert (tmp_path / FILE.name).read_text() == FILE.read_text()


@pytest.mark.parametrize(
    "file", sorted((ROOT / "weeks" / "mappings").glob("*.yaml")), ids=lambda file: str(file.stem)
)
def test_the_shipped_mappings_fit_it(file: Path) -> None:
    assert (
        list(complaints(read(file.read_bytes(), file.name).value, mapping_schema(), mapping_schema())) == []
    )


@pytest.mark.parametrize(
    "wrong",
    [
        "{from: a, to: b}",
        "{from: a, to: b, columns: {x: [y]}}",
        "{from: a, to: b, columns: {x: y}, seeded: [{match: b.x, then: drop, because: why not}]}",
        "{from: a, to: b, columns: {x: y}, left_behind: {z: ''}}",
        "{from: a, to: 'b;c', columns: {x: y}}",
        "{from: a, to: b, columns: {x: y}, edges: [{table: c, column: d, then: stays}]}",
    ],
)
def test_it_refuses_what_the_loader_refuses(wrong: str) -> None:
    body = f"version: 1\ntables:\n  - {wrong}\n".encode()
    with pytest.raises(InvalidInput):
        read_mapping(body, "m.yaml")
    assert list(complaints(read(body, "m.yaml").value, mapping_schema(), mapping_schema())) != []


def test_the_page_shows_a_mapping_that_can_be_read_and_names_every_key() -> None:
    page = PAGE.read_text("utf-8")
    [example] = re.findall(r"^```yaml-mapping\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert read_mapping(example.encode(), "docs/mappings.md").mapping.tables[0].kept == ("number", "remarks")
    keys = {
        field.alias or name
        for model in (TableEntry, ColumnEntry, BackEntry)
        for name, field in model.model_fields.items()
    }
    missing = [key for key in sorted(keys - {"name", "reads"}) if not re.search(rf"`?\b{key}\b`?:?", page)]
    assert missing == []
