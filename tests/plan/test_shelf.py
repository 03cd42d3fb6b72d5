"""Plans are found by name and by path: the operator's before the packaged ones."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracseq_migrate
from tests.plan.surroundings import Lab
from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.errors import InvalidInput, InvalidSetup, UsageError
from tracseq_migrate.plan import PlanShelf, folders, packaged

FILES = LocalFiles()


def _write(folder: Path, name: str, week: str, *, title: str = "A", needs: str = "", steps: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    steps = steps or "  - {id: a, services: {up: [storage]}}"
    path.write_text(f"week: {week}\ntitle: {title}\nrisk: low\nneeds: [{needs}]\nsteps:\n{steps}\n")
    return path


def _shelf(*places: Path) -> PlanShelf:
    return PlanShelf(FILES, places, Lab())


def test_a_week_is_found_by_its_name(tmp_path: Path) -> None:
    _write(tmp_path, "week1-safe.yaml", "week1", title="One")
    _write(tmp_path, "week10-late.yml", "week10", title="Ten")
    _write(tmp_path, "week2.yaml", "week2", title="Two", needs="{week: week1}")
    (tmp_path / "notes.txt").write_text("not a plan")
    shelf = _shelf(tmp_path)
    assert [shelf.find(week).title for week in ("week1", "week2", "week10")] == ["One", "Two", "Ten"]
    assert [week.week for week in shelf.all()] == ["week1", "week2", "week10"]
    assert shelf.names() == ("week1", "week2", "week10")


def test_a_path_is_taken_as_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "weeks"
    path = _write(tmp_path, "week7-try.yaml", "week7", title="Seven", needs="{week: week1}")
    _write(inside, "week1.yaml", "week1")
    shelf = _shelf(inside)
    assert shelf.find(str(path)).title == "Seven"
    monkeypatch.chdir(tmp_path)
    assert shelf.find("week7-try.yaml").title == "Seven"
    assert shelf.find("./week7-try.yaml").title == "Seven"
    with pytest.raises(UsageError):
        shelf.find("week7")
    with pytest.raises(InvalidSetup, match=r"^nothing\.yaml cannot be read: No such file or directory$"):
        shelf.find("nothing.yaml")
    with pytest.raises(InvalidSetup, match=r"weeks/ cannot be read: Is a directory|weeks cannot be read"):
        shelf.find("./weeks/")


def test_the_operators_plan_stands_before_the_packaged_one(tmp_path: Path) -> None:
    own, behind = tmp_path / "own", tmp_path / "behind"
    _write(own, "week1-mine.yaml", "week1", title="Mine")
    _write(behind, "week1-safe.yaml", "week1", title="Theirs")
    _write(behind, "week2.yaml", "week2", title="Two")
    assert [week.title for week in _shelf(own, behind).all()] == ["Mine", "Two"]
    assert [week.title for week in _shelf(behind, own).all()] == ["Theirs", "Two"]


def test_a_week_that_is_not_there_is_a_usage_error_with_a_suggestion(tmp_path: Path) -> None:
    _write(tmp_path, "week1.yaml", "week1")
    with pytest.raises(UsageError) as refused:
        _shelf(tmp_path).find("weak1")
    assert (
        refused.value.message == f"there is no plan of a week 'weak1' in {tmp_path} (did you mean 'week1'?)"
    )


def test_a_plan_that_cannot_be_read_is_told_of_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "week3-auth.yaml").write_text("- a list")
    (tmp_path / "week4.yaml").write_text("")
    _write(tmp_path, "week5.yaml", "week6")
    shelf = _shelf(tmp_path)
    with pytest.raises(InvalidInput, match=r"week3-auth\.yaml:1:1: the top of the file is a list"):
        shelf.find("week3")
    with pytest.raises(InvalidInput, match=r"week4\.yaml:1:1: the file is empty"):
        shelf.find("week4")
    with pytest.raises(
        InvalidInput, match=r"week5\.yaml:1:7: the file is called 'week5', but its week is 'week6'"
    ):
        shelf.find("week5")


def test_a_plan_is_checked_when_it_is_found_and_others_do_not_stand_in_its_way(tmp_path: Path) -> None:
    _write(tmp_path, "week1.yaml", "week1")
    _write(
        tmp_path, "week2.yaml", "week2", needs="{week: weak1}", steps="  - {id: a, services: {up: [storag]}}"
    )
    (tmp_path / "week3.yaml").write_text("")
    shelf = _shelf(tmp_path)
    assert shelf.find("week1").week == "week1"
    with pytest.raises(InvalidInput) as refused:
        shelf.find("week2")
    assert [str(finding).partition("week2.yaml:")[2] for finding in refused.value.findings] == [
        "4:16: unknown week 'weak1' (did you mean 'week1'?)",
        "6:29: unknown service 'storag' (did you mean 'storage'?)",
    ]


def test_two_plans_of_one_week_in_a_folder_are_refused(tmp_path: Path) -> None:
    one = _write(tmp_path, "week1-a.yaml", "week1")
    two = _write(tmp_path, "week1-b.yaml", "week1")
    with pytest.raises(InvalidInput) as refused:
        _shelf(tmp_path).find("week1")
    assert (
        refused.value.message
        == f"{two}:1:7: {one} is a plan of 'week1' too (a week has one plan in a folder)"
    )


def test_all_findings_of_all_files_come_at_once(tmp_path: Path) -> None:
    _write(tmp_path, "week1.yaml", "week1", needs="{week: week2}")
    _write(
        tmp_path, "week2.yaml", "week2", needs="{week: week1}", steps="  - {id: a, services: {up: [storag]}}"
    )
    (tmp_path / "week3.yaml").write_bytes(b"week: \xff")
    (tmp_path / "week4.yaml").write_text("week: week4\nweek: week4\n")
    shelf = _shelf(tmp_path)
    assert [str(finding).removeprefix(f"{tmp_path}/") for finding in shelf.inspect()] == [
        "week1.yaml:4:16: the needs go in a circle: week1 -> week2 -> week1 (one of them must go)",
        "week2.yaml:4:16: the needs go in a circle: week2 -> week1 -> week2 (one of them must go)",
        "week2.yaml:6:29: unknown service 'storag' (did you mean 'storage'?)",
        "week3.yaml:1:7: not UTF-8: byte 0xff at offset 6 (save it as UTF-8)",
        "week4.yaml:1:1: missing key 'risk'",
        "week4.yaml:1:1: missing key 'steps'",
        "week4.yaml:1:1: missing key 'title'",
        f"week4.yaml:2:1: the key 'week' stands here twice: first at {tmp_path}/week4.yaml:1:1 (keep one of the two)",
    ]
    with pytest.raises(InvalidInput) as refused:
        shelf.all()
    assert refused.value.findings == tuple(shelf.inspect())
    assert [finding.message for finding in shelf.inspect("week2")] == ["unknown service 'storag'"]


def test_packaged_plans_that_do_not_fit_stand_not_in_the_way_of_the_operators_own(tmp_path: Path) -> None:
    own, behind = tmp_path / "own", tmp_path / "behind"
    _write(behind, "week1.yaml", "week1", steps="  - {id: a, services: {up: [elsewhere]}}")
    _write(behind, "week2.yaml", "week2", title="Theirs")
    alone = _shelf(own, behind)
    assert [finding.message for finding in alone.inspect()] == ["unknown service 'elsewhere'"]
    _write(own, "week3.yaml", "week3", needs="{week: week1}")
    both = _shelf(own, behind)
    assert both.inspect() == []
    assert [week.week for week in both.all()] == ["week2", "week3"]
    assert both.find("week3").week == "week3"
    with pytest.raises(InvalidInput, match="unknown service 'elsewhere'"):
        both.find("week1")


class _Locked(LocalFiles):
    """Files one of which may not be read; a test that runs as root has no other way to meet one."""

    def read(self, path: Path) -> bytes:
        if path.name == "week2.yaml":
            raise PermissionError(13, "Permission denied", str(path))
        return super().read(path)


def test_a_file_that_may_not_be_read_is_a_finding_and_hides_no_other_plan(tmp_path: Path) -> None:
    _write(tmp_path, "week1.yaml", "week1")
    _write(tmp_path, "week2.yaml", "week2")
    shelf = PlanShelf(_Locked(), (tmp_path,), Lab())
    assert shelf.find("week1").week == "week1"
    assert [str(each) for each in shelf.inspect()] == [
        f"{tmp_path}/week2.yaml:1:1: cannot be read: Permission denied"
    ]
    with pytest.raises(InvalidInput, match=r"week2\.yaml:1:1: cannot be read: Permission denied"):
        shelf.find("week2")


def test_folders_are_the_environments_else_beside_it_else_here_and_the_packaged_ones_behind(
    tmp_path: Path,
) -> None:
    beside, cwd, plans = tmp_path / "env", tmp_path / "here", tmp_path / "plans"
    behind = packaged()
    assert behind is not None
    for folder in (beside, cwd):
        folder.mkdir()
        _write(folder / "weeks", "week1.yaml", "week1")
    assert folders(FILES, plans=plans, beside=beside, cwd=cwd) == (plans, behind)
    assert folders(FILES, plans=None, beside=beside, cwd=cwd) == (beside / "weeks", behind)
    assert folders(FILES, plans=None, beside=tmp_path, cwd=cwd) == (cwd / "weeks", behind)
    assert folders(FILES, plans=None, beside=None, cwd=tmp_path) == (behind,)
    assert folders(FILES, plans=behind, beside=None, cwd=tmp_path) == (behind,)


def test_the_packaged_plans_of_a_checkout_are_its_own() -> None:
    behind = packaged()
    assert behind == Path(tracseq_migrate.__file__).parents[2] / "weeks"
    assert (behind / "week1-safe.yaml").is_file()
