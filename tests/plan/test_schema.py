"""The schema that editors complete plans from is generated, kept equal, and agrees with the loader."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.json_schema import complaints
from tracseq_migrate import plan
from tracseq_migrate.document import read
from tracseq_migrate.document.schema import text
from tracseq_migrate.plan.schema import week_plan_schema
from tracseq_migrate.steps import kinds

ROOT = Path(__file__).parents[2]
FILE = ROOT / "schemas" / "week-plan.schema.json"

HEAD = "week: week1\ntitle: A\nrisk: low\n"


def _refuses(body: str) -> bool:
    return bool(list(complaints(read(body.encode(), "w.yaml").value, week_plan_schema(), week_plan_schema())))


def test_the_file_is_what_the_models_say_now() -> None:
    assert FILE.read_text() == text(week_plan_schema()), "run: python -m tracseq_migrate.plan.schema schemas"


def test_the_module_prints_it_and_writes_it(tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "tracseq_migrate.plan.schema"], capture_output=True, text=True, check=True
    )
    assert printed.stdout == FILE.read_text()
    assert printed.stderr == ""
    module = [sys.executable, "-m", "tracseq_migrate.plan.schema"]
    written = subprocess.run([*module, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (written.stdout, written.stderr) == ("", "")
    assert (tmp_path / FILE.name).read_text() == FILE.read_text()


def test_every_kind_is_a_choice_and_checks_alone_are_in_the_preflight() -> None:
    schema = json.loads(FILE.read_text())
    step, check = schema["$defs"]["Step"], schema["$defs"]["Check"]
    assert [member["required"] for member in step["oneOf"]] == [[kind] for kind in kinds()]
    assert [member["required"] for member in check["oneOf"]] == [
        [name] for name, kind in kinds().items() if kind.checks
    ]
    assert step["required"] == ["id"]
    assert check["required"] == []


def test_fields_say_what_they_mean() -> None:
    schema = week_plan_schema()
    assert schema["properties"]["risk"]["description"] == "How much users would feel a failure."
    assert schema["$defs"]["Step"]["properties"]["timeout"]["description"].startswith("How long it may take")
    assert schema["$defs"]["CommandStep"]["properties"]["verify"]["description"].startswith("Exits 0 when")
    assert {kind.summary for kind in kinds().values()} <= {
        definition.get("description") for definition in schema["$defs"].values()
    }


@pytest.mark.parametrize("path", sorted((ROOT / "weeks").glob("*.yaml")), ids=lambda path: path.name)
def test_the_shipped_plans_fit(path: Path) -> None:
    assert not _refuses(path.read_text())
    assert path.read_text().startswith("# yaml-language-server: $schema=../schemas/week-plan.schema.json\n")
    assert (path.parent / "../schemas/week-plan.schema.json").resolve() == FILE


@pytest.mark.parametrize(
    "steps",
    [
        "[{id: a, pause: {ask: x}}]",
        "[{parallel: [{id: a, pause: {ask: x}}]}]",
        "[{id: a, http: {target: gateway, path: /x, expect: {status: [200, 404]}, within: 1m30s}, timeout: 2m}]",
        "[{id: a, command: {run: [x], verify: [y], irreversible: z, env: {A: b}}, retry: {attempts: 2, wait: 1s}}]",
        "[{id: a, flags: {set: {X: true}, writes: {storage: none}}}]",
    ],
)
def test_what_the_loader_reads_the_schema_lets_pass(steps: str) -> None:
    body = f"{HEAD}steps: {steps}\n"
    assert plan.read(body.encode(), "week1.yaml").findings == ()
    assert not _refuses(body)


@pytest.mark.parametrize(
    "rest",
    [
        "steps: []",
        "steps: [{id: a}]",
        "steps: [{pause: {ask: x}}]",
        "steps: [{id: a, pause: {ask: x}, services: {up: [b]}}]",
        "steps: [{id: a, puase: {ask: x}}]",
        "steps: [{id: A, pause: {ask: x}}]",
        "steps: [{id: a, pause: {ask: x}, timeout: 5}]",
        "steps: [{id: a, pause: {ask: x}, retry: {attempts: 0}}]",
        "steps: [{parallel: []}]",
        "steps: [{id: a, flags: {set: {X: yes}, writes: stranded}}]",
        "steps: [{id: a, pause: {ask: x}}]\nprogress: 101",
        "steps: [{id: a, pause: {ask: x}}]\npreflight: [{pause: {ask: x}}]",
        "steps: [{id: a, pause: {ask: x}}]\nchecklist: [{id: b, ask: c, evidence: maybe}]",
    ],
)
def test_what_the_schema_refuses_the_loader_refuses_too(rest: str) -> None:
    body = f"{HEAD}{rest}\n"
    found = plan.read(body.encode(), "week1.yaml")
    assert found.partial is not None
    assert found.findings or plan.check(found.partial, None)
    assert _refuses(body)
