"""The schema that editors complete environment files from is generated, kept equal, and agrees with the loader."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.json_schema import complaints
from tracseq_migrate import config
from tracseq_migrate.adapters.memory.surroundings import MemoryFiles
from tracseq_migrate.config.schema import environment_schema
from tracseq_migrate.document import read
from tracseq_migrate.document.schema import text

ROOT = Path(__file__).parents[2]
FILE = ROOT / "schemas" / "environment.schema.json"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "environment.md").read_text(), re.DOTALL)


def _refuses(body: str) -> bool:
    return bool(
        list(complaints(read(body.encode(), "e.yaml").value, environment_schema(), environment_schema()))
    )


def _inspect(body: str) -> config.Inspection:
    files = MemoryFiles()
    files.bodies[Path("/e.yaml")] = body.encode()
    return config.inspect(Path("/e.yaml"), files, {}, offline=True)


def test_the_file_is_what_the_models_say_now() -> None:
    assert FILE.read_text() == text(environment_schema()), (
        "run: python -m tracseq_migrate.config.schema schemas"
    )


def test_the_module_prints_it_and_writes_it(tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "tracseq_migrate.config.schema"], capture_output=True, text=True, check=True
    )
    assert printed.stdout == FILE.read_text()
    assert printed.stderr == ""
    module = [sys.executable, "-m", "tracseq_migrate.config.schema"]
    written = subprocess.run([*module, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (written.stdout, written.stderr) == ("", "")
    assert (tmp_path / FILE.name).read_text() == FILE.read_text()


def test_fields_say_what_they_mean() -> None:
    section = environment_schema()["$defs"]["EnvironmentSection"]["properties"]
    assert section["state"]["description"] == "The folder of the journal."


def test_the_example_of_the_documentation_is_whole() -> None:
    whole = EXAMPLES[0]
    assert _inspect(whole).findings == ()
    assert not _refuses(whole)


def test_the_flags_of_the_documentation_fit_into_it() -> None:
    named = "".join(f"      {line}\n" for line in EXAMPLES[1].splitlines())
    services = "".join(f'      {name}: {{url: "http://a"}}\n' for name in ("orders", "stock"))
    whole = (
        EXAMPLES[0].split("      flags:\n")[0]
        + named
        + "      reload:\n"
        + EXAMPLES[0].split("      reload:\n")[1]
    )
    whole = whole.replace("    services:\n", f"    services:\n{services}", 1)
    looked = _inspect(whole)
    assert looked.findings == ()
    assert looked.environment is not None
    assert [route.prefix for route in looked.environment.routes.values()] == ["/v1/orders", "/v1/stock"]
    assert not _refuses(whole)


def test_the_table_of_flags_in_the_documentation_is_the_one_of_the_code() -> None:
    rows = re.findall(
        r"^\| `(USE_\w+)` \| (\w+) \| `(\S+)` \| (\w+) \|$", (ROOT / "docs/environment.md").read_text(), re.M
    )
    assert rows == [(route.flag, route.key, route.prefix, route.service) for route in config.TRACSEQ_ROUTES]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 2"),
        ("strategy: proxy", "strategy: proxi"),
        ("start: 30s", "start: 30"),
        ("identity: git", "identity: gti"),
        ("write: auto", "write: always"),
        ("start: {supervisor: storage}", "start: {supervisr: storage}"),
        ("start: external", "start: internal"),
        ("confirm: true", "confirm: yes"),
        ("      storage: {url", "      Storage: {url"),
        ("    databases:", "    datbases:"),
        ("up: [bin/rag, start], ", ""),
    ],
)
def test_what_the_schema_refuses_the_loader_refuses_too(old: str, new: str) -> None:
    assert old in EXAMPLES[0]
    changed = EXAMPLES[0].replace(old, new)
    assert _inspect(changed).findings
    assert _refuses(changed)
