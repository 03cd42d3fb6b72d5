"""Every exit code has its section, and every error links to one that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tracseq_migrate import errors
from tracseq_migrate.console.failures import render_error
from tracseq_migrate.console.ink import Ink
from tracseq_migrate.errors import Exit, TracseqMigrateError

RUNBOOK = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
ANCHORS = set(re.findall(r'<a id="([^"]+)"></a>', RUNBOOK))


@pytest.mark.parametrize("code", list(Exit))
def test_each_exit_code_has_a_section(code: Exit) -> None:
    assert f"exit-{int(code)}" in ANCHORS
    (section,) = [part for part in RUNBOOK.split("\n## ")[1:] if re.match(rf"Exit[^:]*\b{int(code)}\b", part)]
    assert "**Next" in section or "```" in section
    assert "**State" in section or code is Exit.RESIDUE


def test_links_inside_the_page_lead_somewhere() -> None:
    assert set(re.findall(r"\(#([^)]+)\)", RUNBOOK)) <= ANCHORS


def _made(kind: type[TracseqMigrateError]) -> TracseqMigrateError:
    if kind is errors.InvalidInput:
        return errors.InvalidInput([errors.Finding("w.yaml", 1, 1, "wrong")])
    if kind is errors.Interrupted:
        return errors.Interrupted(15)
    return kind("wrong")


def _kinds(kind: type[TracseqMigrateError]) -> list[type[TracseqMigrateError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in _kinds(below))]


@pytest.mark.parametrize("kind", _kinds(TracseqMigrateError))
def test_each_error_links_to_a_section_that_is_there(kind: type[TracseqMigrateError]) -> None:
    shown = render_error(_made(kind), Ink())
    (anchor,) = re.findall(r"docs/runbook\.md#(\S+)", shown)
    assert anchor in ANCHORS
