"""The digest changes with what a run would do, and with nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tracseq_migrate import plan
from tracseq_migrate.plan import WeekPlan, digest

TEXT = """\
week: week1
title: A week
risk: low
checklist: [{id: told, ask: Told?}]
steps:
  - {id: start, services: {up: [storage, rag]}, timeout: 120s}
  - {id: flags, flags: {set: {USE_RAG_SERVICE: true}, writes: none}}
"""
ENVIRONMENT: dict[str, Any] = {"name": "lab", "gateway": {"url": "http://a"}}


def _digest(
    text: str = TEXT, scripts: dict[str, bytes] | None = None, view: dict[str, Any] | None = None
) -> str:
    return digest(plan.read(text.encode(), "w.yaml").plan(), scripts or {}, view or ENVIRONMENT)


def test_it_is_a_sha256_and_always_the_same() -> None:
    assert len(_digest()) == 64
    assert _digest() == _digest()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("week: week1\n", "# a comment\nweek:   week1   # and another\n\n"),
        ("timeout: 120s", "timeout: 2m"),
        ("checklist: [{id: told, ask: Told?}]", "checklist:\n  - ask: 'Told?'\n    id: told\n    yes: false"),
        ("title: A week\nrisk: low\n", "risk: low\ntitle: A week\nneeds: []\n"),
    ],
)
def test_what_means_the_same_has_the_same_digest(old: str, new: str) -> None:
    assert old in TEXT
    assert _digest(TEXT.replace(old, new)) == _digest()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Told?", "Told!"),
        ("[storage, rag]", "[rag, storage]"),
        ("USE_RAG_SERVICE: true", "USE_AUTH_SERVICE: true"),
        ("timeout: 120s", "timeout: 121s"),
        ("writes: none", "writes: stranded"),
        ("id: start", "id: begin"),
    ],
)
def test_what_means_something_else_has_another(old: str, new: str) -> None:
    assert old in TEXT
    assert _digest(TEXT.replace(old, new)) != _digest()


def test_scripts_and_the_environment_count() -> None:
    assert _digest(scripts={"sql/a.sql": b"1"}) != _digest()
    assert _digest(scripts={"sql/a.sql": b"1"}) != _digest(scripts={"sql/a.sql": b"2"})
    assert _digest(scripts={"sql/a.sql": b"1"}) != _digest(scripts={"sql/b.sql": b"1"})
    assert _digest(view={**ENVIRONMENT, "name": "other"}) != _digest()
    assert _digest(view=dict(reversed(ENVIRONMENT.items()))) == _digest()


def test_a_plan_from_the_journal_has_the_digest_of_the_file_it_came_from() -> None:
    week = plan.read(TEXT.encode(), "w.yaml").plan()
    assert digest(WeekPlan.from_document(week.document()), {}, ENVIRONMENT) == _digest()
