"""The contract with scripts: each error its exit code and its page, and no two ways to say the same."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tracseq_migrate import errors
from tracseq_migrate.errors import (
    Exit,
    Finding,
    Interrupted,
    InvalidInput,
    StepFailed,
    TracseqMigrateError,
)

CONTRACT = {
    "TracseqMigrateError": 1,
    "CouldNotReach": 1,
    "UsageError": 2,
    "InvalidInput": 3,
    "InvalidSetup": 3,
    "NotAllowed": 4,
    "RolledBack": 5,
    "Residue": 6,
    "InProgress": 7,
    "Locked": 8,
    "Waiting": 9,
    "Different": 11,
    "Declined": 12,
}
CLASSES = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, TracseqMigrateError)
}
RUNBOOK = Path(__file__).parents[1] / "docs" / "runbook.md"


def test_the_codes_are_those_that_scripts_rely_on() -> None:
    assert {
        name: int(kind.exit_code) for name, kind in CLASSES.items() if kind is not Interrupted
    } == CONTRACT
    assert {member.name: int(member) for member in Exit} == {
        "DONE": 0,
        "ERROR": 1,
        "USAGE": 2,
        "INVALID": 3,
        "NOT_ALLOWED": 4,
        "ROLLED_BACK": 5,
        "RESIDUE": 6,
        "IN_PROGRESS": 7,
        "LOCKED": 8,
        "WAITING": 9,
        "CHANGES": 10,
        "DIFFERENT": 11,
        "DECLINED": 12,
        "SIGHUP": 129,
        "SIGINT": 130,
        "SIGTERM": 143,
    }


@pytest.mark.parametrize(("number", "code"), [(1, Exit.SIGHUP), (2, Exit.SIGINT), (15, Exit.SIGTERM)])
def test_an_interruption_ends_as_the_signal_would(number: int, code: int) -> None:
    assert Interrupted(number).code == code


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_every_page_is_there(name: str) -> None:
    kind = CLASSES[name]
    error = InvalidInput([]) if kind is InvalidInput else kind("it failed")
    file, _, anchor = error.page.partition("#")
    assert file == "docs/runbook.md"
    assert re.search(rf'<a id="{anchor}"></a>', RUNBOOK.read_text(encoding="utf-8"))


def test_what_an_error_says() -> None:
    plain = TracseqMigrateError("it failed")
    assert (str(plain), plain.message, plain.state, plain.hint) == (
        "it failed",
        "it failed",
        "Nothing was changed.",
        "",
    )
    told = errors.Residue("it failed", state="half", hint="look")
    assert (told.state, told.hint) == ("half", "look")


def test_only_errors_before_anything_say_that_nothing_was_changed() -> None:
    late = {errors.RolledBack, errors.Residue, errors.InProgress, errors.Waiting, Interrupted}
    for kind in CLASSES.values():
        assert (kind.default_state == "Nothing was changed.") is (kind not in late), kind


def test_findings_are_sorted_by_place() -> None:
    findings = [
        Finding("b.yaml", 1, 1, "third"),
        Finding("a.yaml", 10, 2, "second", "do this"),
        Finding("a.yaml", 9, 5, "first"),
    ]
    error = InvalidInput(findings)
    assert str(error).splitlines() == [
        "a.yaml:9:5: first",
        "a.yaml:10:2: second (do this)",
        "b.yaml:1:1: third",
    ]
    assert error.exit_code == Exit.INVALID


def test_a_failure_of_a_step_is_nothing_that_users_see() -> None:
    assert not issubclass(StepFailed, TracseqMigrateError)
    failure = StepFailed("no", hint="look", unknown=True)
    assert (str(failure), failure.hint, failure.unknown) == ("no", "look", True)
