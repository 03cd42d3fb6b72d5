"""The plans that ship, and the examples in their documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.plan.surroundings import Lab
from tracseq_migrate import plan
from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.plan import PlanShelf, WeekPlan
from tracseq_migrate.steps.flags import FlagsStep
from tracseq_migrate.steps.pause import PauseStep
from tracseq_migrate.steps.services import ServicesStep

ROOT = Path(__file__).parents[2]
SHELF = PlanShelf(LocalFiles(), (ROOT / "weeks",), Lab())


def _flags(week: WeekPlan) -> dict[str, bool]:
    steps = [entry.step for entry in week.entries()]
    return {flag: value for step in steps if isinstance(step, FlagsStep) for flag, value in step.set_.items()}


def test_they_fit_tracseq() -> None:
    assert SHELF.inspect() == []
    assert [week.week for week in SHELF.all()][:2] == ["week1", "week2"]


def test_week_one_moves_notifications_storage_and_rag() -> None:
    week = SHELF.find("week1")
    assert (week.risk, week.progress, week.needs) == ("low", 30, ())
    assert _flags(week) == {
        "USE_NOTIFICATION_SERVICE": True,
        "USE_STORAGE_SERVICE": True,
        "USE_RAG_SERVICE": True,
    }


def test_week_two_moves_templates_after_week_one() -> None:
    week = SHELF.find("week2")
    assert (week.risk, week.progress, [need.week for need in week.needs]) == ("medium", 50, ["week1"])
    assert _flags(week) == {"USE_TEMPLATE_SERVICE": True}


@pytest.mark.parametrize("week", SHELF.all(), ids=lambda week: week.week)
def test_each_starts_what_it_turns_on_and_proves_it(week: WeekPlan) -> None:
    lab = Lab()
    ids = [entry.id for entry in week.entries()]
    started = {
        name for entry in week.entries() if isinstance(entry.step, ServicesStep) for name in entry.step.up
    }
    for flag in _flags(week):
        route = lab.routes[flag]
        assert route.service in started
        proofs = [
            entry.id
            for entry in week.entries()
            if entry.document().get("route", {}).get("prefix") == route.prefix
        ]
        assert proofs
        assert ids.index("start") < ids.index("flags") < min(map(ids.index, proofs))


@pytest.mark.parametrize("week", SHELF.all(), ids=lambda week: week.week)
def test_each_asks_something_and_yes_may_answer_it_where_little_can_be_lost(week: WeekPlan) -> None:
    assert week.checklist
    if week.risk == "high":
        assert [item.id for item in week.checklist if item.approvals == 2 and not item.yes] == ["go"]
        assert any(item.evidence == "required" and not item.yes for item in week.checklist)
    else:
        assert all(item.yes and item.approvals == 1 for item in week.checklist)
    assert all(entry.step.yes for entry in week.entries() if isinstance(entry.step, PauseStep))


def _examples(name: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / name).read_text(), re.DOTALL)


@pytest.mark.parametrize("example", _examples("plans.md"), ids=lambda text: text.split("\n")[0])
def test_an_example_of_the_documentation_is_a_plan(example: str) -> None:
    if not re.search("^week:", example, re.MULTILINE):
        example = (
            f"week: week3\ntitle: A\nrisk: low\nsteps:\n{re.sub('^', '  ', example, flags=re.MULTILINE)}"
        )
    found = plan.read(example.encode(), "week3.yaml")
    assert found.findings == ()
    assert plan.check(found.plan(), Lab()) == []
