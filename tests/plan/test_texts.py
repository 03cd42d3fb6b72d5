"""Files that steps read: where they are looked for, what is said when they are not there, and what a digest covers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.errors import InvalidInput
from tracseq_migrate.plan import PlanShelf, WeekPlan, digest, normal

PLAN = """\
week: week3
title: Data
risk: high
steps:
  - id: users
    replicate: {from: main, to: auth, mapping: users}
"""
MAPPING = """\
version: 1
tables:
  - from: users
    to: users
    columns: {id: id, email: email}
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Callable[[], PlanShelf]:
    (tmp_path / "weeks").mkdir()
    (tmp_path / "weeks" / "week3.yaml").write_text(PLAN)
    return lambda: PlanShelf(LocalFiles(), (tmp_path / "weeks",))


def _write(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "users.yaml").write_text(text)


@pytest.mark.parametrize("place", ["weeks/mappings", "mappings"])
def test_a_mapping_is_found_beside_the_plan_or_beside_its_folder(
    tmp_path: Path, shelf: Callable[[], PlanShelf], place: str
) -> None:
    _write(tmp_path / place, MAPPING)
    assert shelf().find("week3").texts == {"mappings/users.yaml": MAPPING}


def test_a_mapping_that_is_nowhere_is_a_finding_at_its_name(shelf: Callable[[], PlanShelf]) -> None:
    with pytest.raises(InvalidInput) as refused:
        shelf().find("week3")
    (finding,) = refused.value.findings
    assert (finding.line, "mappings/users.yaml" in finding.message) == (6, True)


def test_what_is_wrong_in_a_mapping_is_told_at_its_own_place(
    tmp_path: Path, shelf: Callable[[], PlanShelf]
) -> None:
    _write(tmp_path / "weeks" / "mappings", MAPPING.replace("    to: users\n", "    too: users\n"))
    with pytest.raises(InvalidInput) as refused:
        shelf().find("week3")
    assert any(
        each.file.endswith("mappings/users.yaml") and each.line == 4 for each in refused.value.findings
    )


def test_comments_in_a_mapping_change_no_digest_and_its_meaning_does(
    tmp_path: Path, shelf: Callable[[], PlanShelf]
) -> None:
    def of(text: str) -> str:
        _write(tmp_path / "weeks" / "mappings", text)
        plan = shelf().find("week3")
        return digest(plan, normal(plan.texts), {})

    first = of(MAPPING)
    assert (
        of("# who reads this\n" + MAPPING.replace("{id: id, email: email}", "{id: id,   email: email}"))
        == first
    )
    assert of(MAPPING.replace("email: email", "email: mail")) != first


def test_the_journaled_plan_has_the_files_as_they_were(
    tmp_path: Path, shelf: Callable[[], PlanShelf]
) -> None:
    _write(tmp_path / "weeks" / "mappings", MAPPING)
    plan = shelf().find("week3")
    again = WeekPlan.from_document(plan.document())
    assert again == plan
    assert again.texts == plan.texts
