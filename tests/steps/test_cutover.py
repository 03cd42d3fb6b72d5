"""Kind ``cutover``: what is wrong with one before anything is asked, and what it says where nothing can hold writes."""

from __future__ import annotations

from typing import Any

import pytest

from tracseq_migrate.steps.cutover import CutoverStep

USERS = {"from": "main", "to": "auth", "mapping": "users"}


def _step(**fields: Any) -> CutoverStep:
    return CutoverStep.model_validate(
        {"replications": [USERS], "flags": {"USE_AUTH_SERVICE": True}, **fields}
    )


def test_a_plan_says_what_moves_and_who_answers() -> None:
    step = _step()
    assert step.title == "cut users over to auth"
    assert step.findings() == []
    assert step.uses().databases == {"main", "auth"}
    assert step.uses().flags == {"USE_AUTH_SERVICE"}
    assert [each.name for each in step.reads()] == ["mappings/users.yaml"]
    assert step.touches() == {"gateway", "replication:users"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"flags": {"USE_AUTH_SERVICE": False}}, "a cutover turns flags on"),
        ({"replications": [USERS, USERS]}, "users is named twice"),
        (
            {"replications": [USERS, {"from": "other", "to": "samples", "mapping": "samples"}]},
            "come from several databases",
        ),
    ],
)
def test_what_cannot_be_meant(fields: dict[str, Any], said: str) -> None:
    (found,) = _step(**fields).findings()
    assert said in found
