"""The examples in the documentation are read by the program itself, and fit each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.operations.validate import validate

ROOT = Path(__file__).parents[1]


def _examples(page: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.M | re.S)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_plans_of_the_pages_fit_the_environment_file_of_the_page(
    environment: str, tmp_path: Path
) -> None:
    (tmp_path / "tracseq-migrate.yaml").write_text(_examples("environment.md")[0])
    weeks = tmp_path / "weeks"
    weeks.mkdir()
    whole, *kinds = _examples("plans.md")
    (weeks / "week3-samples.yaml").write_text(whole)
    steps = "".join(kinds)
    (weeks / "week4-kinds.yaml").write_text(f"week: week4\ntitle: Every kind\nrisk: low\nsteps:\n{steps}")
    view, findings = validate(
        LocalFiles(),
        {},
        config=tmp_path / "tracseq-migrate.yaml",
        cwd=tmp_path,
        environment=environment,
        week=None,
        offline=True,
    )
    assert findings == []
    assert set(view.files) >= {"week3", "week4"}
    assert len(set(re.findall(r"^- id: (.+)$", steps, re.M))) == len(kinds) >= 9


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    links = [
        (page, link) for page in pages for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    ]
    assert len(links) > 5
    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []
