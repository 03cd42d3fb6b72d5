"""A plan fits its environment, and the weeks fit each other, or it is said where they do not."""

from __future__ import annotations

import pytest

from tests.plan.surroundings import Lab
from tracseq_migrate import plan
from tracseq_migrate.plan import WeekPlan, check, check_needs

HEAD = "week: week1\ntitle: A week\nrisk: low\n"


def _partial(text: str, file: str = "weeks/week1-a.yaml") -> WeekPlan:
    found = plan.read(text.encode(), file)
    assert found.partial is not None
    return found.partial


def _findings(text: str, file: str = "weeks/week1-a.yaml") -> list[str]:
    return [str(finding).removeprefix(f"{file}:") for finding in sorted(check(_partial(text, file), Lab()))]


@pytest.mark.parametrize(
    ("steps", "findings"),
    [
        (
            "  - {id: a, services: {up: [storag, rag]}}",
            ["5:29: unknown service 'storag' (did you mean 'storage'?)"],
        ),
        (
            "  - {id: a, flags: {set: {USE_STORAGE: true}, writes: stranded}}",
            ["5:27: unknown flag 'USE_STORAGE' (did you mean 'USE_STORAGE_SERVICE'?)"],
        ),
        (
            "  - {id: a, flags: {set: {USE_RAG_SERVICE: true}, writes: {rga: none}}}",
            [
                "5:13: `writes` does not say what becomes of the data of rag",
                "5:13: `writes` names rga, which no flag of this step turns on",
                "5:60: unknown service 'rga' (did you mean 'rag'?)",
            ],
        ),
        (
            "  - {id: a, http: {target: gatway, path: /}}",
            ["5:28: unknown target 'gatway' (did you mean 'gateway'?)"],
        ),
        (
            "  - {id: a, route: {prefix: /api/rag, answered_by: rga}}",
            ["5:52: unknown service 'rga' (did you mean 'rag'?)"],
        ),
        (
            "  - parallel:\n"
            "    - {id: a, flags: {set: {USE_RAG_SERVICE: true}, writes: stranded}}\n"
            "    - {id: b, flags: {set: {USE_STORAGE_SERVICE: true}, writes: stranded}}\n",
            [
                "7:15: 'a' and 'b' may run at once, and both change the gateway "
                "(take one of them out of the parallel group)"
            ],
        ),
        (
            "  - parallel:\n    - {id: a, services: {up: [rag]}}\n    - {id: b, services: {up: [storage, rag]}}\n",
            [
                "7:15: 'a' and 'b' may run at once, and both change the service 'rag' "
                "(take one of them out of the parallel group)"
            ],
        ),
        (
            "  - {id: a, flags: {set: {USE_RAG_SERVICE: true}, writes: stranded}}\n"
            "  - {id: b, flags: {set: {USE_STORAGE_SERVICE: true}, writes: stranded}}\n",
            [],
        ),
    ],
)
def test_a_step_that_does_not_fit_is_found(steps: str, findings: list[str]) -> None:
    assert _findings(f"{HEAD}steps:\n{steps}") == findings


def test_a_name_is_pointed_at_in_a_step_that_is_wrong_otherwise_too() -> None:
    assert _findings(f"{HEAD}steps:\n  - {{id: A, services: {{up: [storag]}}, timeout: 5}}") == [
        "5:29: unknown service 'storag' (did you mean 'storage'?)"
    ]


def test_the_preflight_holds_checks_only() -> None:
    preflight = "preflight:\n  - services: {up: [rag]}\n  - {id: p, pause: {ask: x}}\n"
    text = f"{HEAD}{preflight}steps:\n  - {{id: a, pause: {{ask: x}}}}"
    assert _findings(text) == [
        "5:5: a 'services' step is not a check, and nothing may change before the preflight is over "
        "(move it to the steps)",
        "6:13: a 'pause' step is not a check, and nothing may change before the preflight is over "
        "(move it to the steps)",
    ]


@pytest.mark.parametrize("file", ["week1.yaml", "a/week1-safe.yaml", "week1_x.yml", "week1safe.yaml"])
def test_a_file_is_called_as_its_week(file: str) -> None:
    assert _findings(f"{HEAD}steps:\n  - {{id: a, pause: {{ask: x}}}}", file) == []


@pytest.mark.parametrize("file", ["week2.yaml", "week10-safe.yaml", "safe.yaml"])
def test_a_file_that_is_called_otherwise_is_a_finding(file: str) -> None:
    (finding,) = _findings(f"{HEAD}steps:\n  - {{id: a, pause: {{ask: x}}}}", file)
    stem = file.rpartition(".")[0]
    assert finding == (
        f"1:7: the file is called '{stem}', but its week is 'week1' "
        "(a plan of this week is found as week1.yaml or week1-SOMETHING.yaml)"
    )


def test_without_an_environment_names_are_not_looked_at() -> None:
    assert check(_partial(f"{HEAD}steps:\n  - {{id: a, services: {{up: [storag]}}}}"), None) == []


def _weeks(**needs: list[str]) -> list[WeekPlan]:
    weeks = []
    for week, others in needs.items():
        listed = ", ".join(f"{{week: {other}}}" for other in others)
        text = f"week: {week}\ntitle: A\nrisk: low\nneeds: [{listed}]\nsteps:\n  - {{id: a, pause: {{ask: x}}}}\n"
        weeks.append(_partial(text, f"{week}.yaml"))
    return weeks


@pytest.mark.parametrize(
    ("needs", "findings"),
    [
        ({"week1": [], "week2": ["week1"], "week3": ["week1", "week2"]}, []),
        ({"week1": ["week1"]}, ["week1.yaml:4:16: 'week1' needs itself (take this need away)"]),
        (
            {"week1": [], "week2": ["weak1"]},
            ["week2.yaml:4:16: unknown week 'weak1' (did you mean 'week1'?)"],
        ),
        (
            {"week1": ["week3"], "week2": ["week1"], "week3": ["week2"], "week4": ["week3"]},
            [
                "week1.yaml:4:16: the needs go in a circle: week1 -> week3 -> week2 -> week1 (one of them must go)",
                "week2.yaml:4:16: the needs go in a circle: week2 -> week1 -> week3 -> week2 (one of them must go)",
                "week3.yaml:4:16: the needs go in a circle: week3 -> week2 -> week1 -> week3 (one of them must go)",
            ],
        ),
        ({"week9": ["week8"]}, ["week9.yaml:4:16: unknown week 'week8' (there are no other weeks here)"]),
    ],
)
def test_needs_name_weeks_and_go_in_no_circle(needs: dict[str, list[str]], findings: list[str]) -> None:
    assert [str(finding) for finding in check_needs(_weeks(**needs))] == findings


def test_a_need_that_may_mean_a_file_that_cannot_be_read_is_not_unknown() -> None:
    assert check_needs(_weeks(week2=["week1"]), unread=["week1-safe"]) == []
