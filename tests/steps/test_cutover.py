"""Kind ``cutover``: what is wrong with one before anything is asked, and what it says where nothing can hold writes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.replication.conftest import clusters, pair_of_databases
from tests.replication.cutover.lab import MAPPING, moved
from tests.replication.databases import PairOfDatabases
from tests.steps.real import RealBench
from tracseq_migrate.replication.refusals import live
from tracseq_migrate.step import Concern
from tracseq_migrate.steps.cutover import CutoverStep

__all__ = ["clusters", "pair_of_databases"]

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


def test_a_long_transaction_is_told_before_anything_happens(
    pair_of_databases: PairOfDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LONG", 0)
    step = RealBench(
        {
            "cutover": {
                "replications": [{"from": "a", "to": "b", "mapping": "lab"}],
                "flags": {"USE_RAG_SERVICE": True},
            }
        },
        pair_of_databases.dsns,
        texts={"mappings/lab.yaml": MAPPING},
    )
    moved(pair_of_databases)

    def of_holders() -> list[Concern]:
        return [
            each for each in step.concerns() if "accounts" in each.question or "holds the" in each.question
        ]

    assert [each.verdict for each in of_holders()] == ["pass"]
    with pair_of_databases.writer("a", autocommit=False) as writer:
        writer.execute("DELETE FROM accounts")
        (held,) = of_holders()
        assert (held.verdict, "pg_terminate_backend" in held.remedy) == ("fail", True)
        writer.rollback()
    assert [each.verdict for each in of_holders()] == ["pass"]
