"""A template of the operator's own that means harm: it reads nothing, runs nothing, ends, and the refusal names the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.migration_log.stories import TOLD
from tests.security.project import cage
from tracseq_migrate.adapters.rendering import render_apart
from tracseq_migrate.errors import InvalidInput
from tracseq_migrate.migration_log.rendering import render
from tracseq_migrate.migration_log.template import Template, packaged_template


def refusal(text: str, *, seconds: float = 60.0) -> str:
    with pytest.raises(InvalidInput) as caught:
        render_apart(TOLD, environment="lab", template=Template("mine.md.j2", text), seconds=seconds)
    return str(caught.value)


def test_apart_it_is_rendered_as_it_is_here() -> None:
    ours = packaged_template()
    assert ours.ours
    theirs = Template("mine.md.j2", ours.text)
    assert render_apart(TOLD, environment="lab", template=theirs) == render(TOLD, environment="lab")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n{{ ''.__class__.__mro__[1].__subclasses__() }}", "mine.md.j2:2:1: the template failed: SecurityError"),
        ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "SecurityError"),
        ("{{ sections[0].__init__.__globals__ }}", "SecurityError"),
        ("{{ (md|string).format.__self__ }}", "mine.md.j2:1:1"),
        ("{{ '{0.__class__}'.format(1) }}", "SecurityError"),
        ("\n\n{% include '/etc/passwd' %}", "mine.md.j2:3:1: the template failed: TemplateNotFound"),
        ("{% import 'os' as o %}", "TemplateNotFound"),
        ("{% extends '../../secrets/main.dsn' %}", "TemplateNotFound"),
        ("{{ sections.append(1) }}", "SecurityError"),
        ("{{ sections.clear() }}", "SecurityError"),
        ("{{ range(10**9)|list }}", "Range too big"),
        ("{{ 'x' * 10**11 }}", "MemoryError"),
        ("{{ '%999999999999d'|format(1) }}", "MemoryError"),
        ("{{ 'x'.ljust(10**11) }}", "MemoryError"),
        ("\n{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "mine.md.j2:2:1: the template failed: RecursionError"),
        ("\n{{ nothing }}", "mine.md.j2:2:1: the template failed: UndefinedError"),
        ("\n\n{% for %}", "mine.md.j2:3:1: "),
    ],
)  # fmt: skip
def test_what_it_may_not_do(text: str, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(n=3) %}{% for a in range(60) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ 'x' * 10000 }}{% endfor %}{% endfor %}",
    ],
    ids=["loops", "numbers", "text"],
)
def test_what_has_no_end_is_ended(text: str) -> None:
    said = refusal(text, seconds=3.0)
    assert "not done within 3 s" in said or "MemoryError" in said or "its process ended" in said


def test_the_tool_goes_on_without_its_log(tmp_path: Path) -> None:
    with cage(tmp_path) as caged:
        (tmp_path / "migration-log.md.j2").write_text("# mine\n{{ ''.__class__ }}\n")
        caged.plan("steps:\n  - {id: health, http: {target: gateway, path: /health}}\n")
        code, said = caged.call("run", "leak")
        assert code == 0, said
        assert "migration-log.md.j2:2:1: the template failed: SecurityError" in said
        assert not (tmp_path / "MIGRATION_LOG.md").exists()
        assert caged.call("log", "render")[0] == 3
        (tmp_path / "migration-log.md.j2").write_text("# mine of {{ environment }}\n")
        assert caged.call("log", "render")[0] == 0
        assert (tmp_path / "MIGRATION_LOG.md").read_text().startswith("# mine of cage\n")
