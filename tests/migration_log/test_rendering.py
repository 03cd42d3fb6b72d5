"""The rendered log: what it says, that it is reproducible, and what a broken template is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt

from tests.migration_log.stories import ADA, ANY_JOURNAL, DIGEST, TOLD, back, journal, started, verified
from tracseq_migrate.adapters.memory.surroundings import MemoryFiles
from tracseq_migrate.errors import Finding, InvalidInput
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.chain import GENESIS
from tracseq_migrate.migration_log.file import recognise
from tracseq_migrate.migration_log.rendering import render
from tracseq_migrate.migration_log.sections import sections
from tracseq_migrate.migration_log.template import NAME, Template, find_template, packaged_template
from tracseq_migrate.ports import Event

_HEADING = re.compile(r"^## (?=\d+\. )", re.MULTILINE)


def rendered_sections(text: str) -> list[str]:
    """The text of each section, the footer not among it."""
    body = text[: text.rindex("<!-- tracseq-migrate")]
    return [part.rstrip("\n") for part in _HEADING.split(body)[1:]]


def test_a_section_says_who_what_when_and_how_it_ended() -> None:
    text = render(TOLD, environment="sandbox")
    first = rendered_sections(text)[0]
    assert first == (
        "1. run week1: Notifications, storage, RAG\n"
        "\n"
        "**rolled-back** after 11.0 s\n"
        "\n"
        "- id `R1`, began 2026-11-23T15:00:02Z, ended 2026-11-23T15:00:13Z\n"
        f"- environment sandbox, plan `{'d1' * 32}`\n"
        "- tracseq-migrate 0.1.0\n"
        "- 2026-11-23T15:00:02Z began by ada (system): `tracseq-migrate run week1`\n"
        "- 2026-11-23T15:00:09Z a step failed; everything goes back\n"
        "\n"
        "### Preflight\n"
        "\n"
        "| check | verdict | seen |\n"
        "|---|---|---|\n"
        "| **gw** Ask it | pass | 200 |\n"
        "\n"
        "### Signed\n"
        "\n"
        "| item | by | when | evidence | holds until |\n"
        "|---|---|---|---|---|\n"
        "| **backup** A backup was taken | ada (system) as grace | 2026-11-23T15:00:01Z | dump 1 |  |\n"
        "\n"
        "### Steps\n"
        "\n"
        "1. **start** Start services (services, reversible): **done**, 1.2 s\n"
        "   - rag runs\n"
        "   - it answers\n"
        "2. **one** Prove one (services, reversible): **failed**\n"
        "   - attempt 1 failed: the monolith answered (its effect may have come about) (look)\n"
        "\n"
        "### Going back by itself\n"
        "\n"
        "Reason: step one failed\n"
        "\n"
        "1. **start** Start services (services, reversible): **reverted**, 0.5 s\n"
        "   - it is stopped\n"
        "\n"
        "**Accepted loss at step start: 3 writes stay on the other side, listed in `l.json`** "
        f"(sha256 `{'e' * 64}`)\n"
        "\n"
        "- zones: 3"
    )


def test_the_rest_of_the_story() -> None:
    text = render(TOLD, environment="sandbox")
    _, second, third = rendered_sections(text)
    assert "- 2026-11-23T15:00:19Z interrupted by signal 2\n" in second
    assert "Obligations" not in second  # what it opened ended with it
    assert "2. **two**: **waiting**\n   - waited for a person" in second
    assert third.startswith("3. rollback week1: Notifications, storage, RAG\n\n**residue** after 3.0 s\n")
    assert "### Going back\n\nReason: asked for\n\nKept: everything up to and with step start.\n" in third
    assert "   - it hangs (kill it)\n" in third
    assert third.endswith("### Left over: a person must look\n\n- **start: it hangs**")
    assert "| week1 | Notifications, storage, RAG | residue | 2026-11-23T15:00:29Z |\n" in text


def test_a_rollback_tells_of_its_steps_what_the_run_told() -> None:
    said = "the lines hold `a|b` and `./bin/x --all` took it back; *not* `"
    text = render(
        journal(
            [
                started("week1", "R1"),
                v.intent(
                    "week1",
                    "R1",
                    "flags",
                    kind="flags",
                    title="switch `USE_X` on",
                    effect="reversible",
                    undo={},
                    attempt=1,
                ),
                v.obligation_opened("week1", "R1", "flags", name="n", what="run `x`", ends="by itself"),
                verified("week1", "R1", "flags", "on"),
                v.run_finished("week1", "R1", outcome="proven"),
                v.rollback_started(
                    "week1",
                    "B1",
                    of="R1",
                    reason="asked for by command",
                    automatic=False,
                    to="",
                    person=ADA,
                    command="tracseq-migrate rollback week1",
                    version="0.1.0",
                ),
                v.reverted("week1", "B1", "flags", evidence=[{"text": said, "data": {}}], seconds=0.5),
                v.rollback_finished("week1", "B1", outcome="rolled-back", left=[]),
            ]
        ),
        environment="sandbox",
    )
    run, back = rendered_sections(text)
    assert run.endswith("### Obligations\n\n- step flags: run `x` (by itself)")
    assert back.partition("\n\n")[2] == (
        "**rolled-back** after 2.0 s\n"
        "\n"
        "- id `B1`, began 2026-11-23T15:00:06Z, ended 2026-11-23T15:00:08Z\n"
        f"- environment sandbox, plan `{DIGEST}`\n"
        "- tracseq-migrate 0.1.0\n"
        "- 2026-11-23T15:00:06Z began by ada (system): `tracseq-migrate rollback week1`\n"
        "\n"
        "### Going back\n"
        "\n"
        "1. **flags** switch `USE_X` on (flags, reversible): **reverted**, 0.5 s\n"
        "   - the lines hold \\`a\\|b\\` and `./bin/x --all` took it back; \\*not\\* \\`"
    )


def test_going_back_with_nothing_to_do_says_so() -> None:
    looked = v.reverted("week1", "B1", "start", evidence=[], seconds=0.0)
    ended = v.rollback_finished("week1", "B1", outcome="rolled-back", left=[])
    events = [started("week1", "R1"), back("week1", "B1", of="R1", automatic=False), looked, ended]
    text = render(journal(events), environment="sandbox")
    assert text.count("\n\nNothing had to be put back.\n") == 1
    assert "Nothing had" not in render(journal(events[:-1]), environment="sandbox")


def test_an_empty_journal_has_a_log_too() -> None:
    text = render([], environment="prod_uction")
    assert text.startswith("# Migration log of prod_uction\n")
    assert "\nNothing was ever run here.\n" in text
    footer = recognise(text.encode())
    assert footer is not None
    assert (footer.seq, footer.head) == (0, GENESIS)


def test_the_same_journal_gives_the_same_text_and_the_footer_names_its_head() -> None:
    text = render(TOLD, environment="sandbox")
    assert render(iter(TOLD), environment="sandbox") == text
    footer = recognise(text.encode())
    assert footer is not None
    assert (footer.seq, footer.head) == (len(TOLD), TOLD[-1].hash)


@settings(max_examples=25, deadline=None)
@given(ANY_JOURNAL)
def test_the_text_of_a_finished_section_never_changes(events: list[Event]) -> None:
    final = rendered_sections(render(events, environment="sandbox"))
    assert len(final) == len(sections(events))
    for end in {len(events) // 3, len(events) // 2, max(0, len(events) - 1)}:
        told = sections(events[:end])
        shown = rendered_sections(render(events[:end], environment="sandbox"))
        for section, text, later in zip(told, shown, final, strict=False):
            if section.finished:
                assert text == later


def test_every_prefix_of_the_told_journal_keeps_what_was_finished() -> None:
    final = rendered_sections(render(TOLD, environment="sandbox"))
    kept = 0
    for end in range(len(TOLD)):
        for section, text in zip(
            sections(TOLD[:end]), rendered_sections(render(TOLD[:end], environment="sandbox")), strict=True
        ):
            if section.finished:
                assert text == final[section.number - 1]
                kept += 1
    assert kept > 10


def test_hostile_texts_make_no_structure() -> None:
    hostile = "x\n## 9. fake\n<!-- --> <script>alert(1)</script> | [a](http://e) ![i](u) `c` \x1b[31m"
    events = journal([started("week1", "R1"), verified("week1", "R1", "start", hostile)])
    text = render(events, environment=hostile)
    tokens = MarkdownIt("commonmark").enable("table").parse(text[: text.rindex("<!-- tracseq-migrate")])
    assert [t.type for t in tokens if t.type == "html_block"] == []
    kinds = {child.type for t in tokens for child in t.children or []}
    assert kinds <= {"text", "text_special", "code_inline", "strong_open", "strong_close", "softbreak"}
    assert sum(t.type == "heading_open" for t in tokens) == 3
    assert "\x1b" not in text


# Templates


def test_the_operators_template_comes_first_and_the_packaged_one_last() -> None:
    files = MemoryFiles()
    one, two = Path("/one"), Path("/two")
    assert find_template(files, [one, two]) == packaged_template()
    files.write(two / NAME, b"second")
    assert find_template(files, [one, two]) == Template(str(two / NAME), "second")
    files.write(one / NAME, b"first")
    assert find_template(files, [one, two]).text == "first"
    assert "Migration log" in packaged_template().text


def test_a_template_that_is_no_text_is_a_finding() -> None:
    files = MemoryFiles()
    files.write(Path("/one") / NAME, b"abc\xff")
    with pytest.raises(InvalidInput) as caught:
        find_template(files, [Path("/one")])
    assert str(caught.value) == f"/one/{NAME}:1:1: byte 3 is not UTF-8 (save the template as UTF-8)"


def test_values_are_escaped_and_safe_is_not() -> None:
    text = render(
        [], environment="a*b*", template=Template("t", "{{ environment }} {{ '*x*' | safe }} {{ '*' | md }}")
    )
    assert text.startswith("a\\*b\\* *x* \\*\n\n<!-- ")


@pytest.mark.parametrize(
    ("template", "line", "message"),
    [
        ("a\n{% if %}\n", 2, "Expected an expression, got 'end of statement block'"),
        ("a\n\n{{ nothing }}\n", 3, "the template failed: UndefinedError: 'nothing' is undefined"),
        ("{% for s in sections %}\n{{ s.oops }}\n{% endfor %}", 2, "no attribute 'oops'"),
        ("a\n{{ 1 / 0 }}\n", 2, "ZeroDivisionError"),
        ("{{ environment.__class__.__mro__ }}", 1, "SecurityError"),
        ("{{ environment.format.__globals__ }}", 1, "SecurityError"),
        ("{{ range(1000000) | list }}", 1, "OverflowError"),
        ("{% include '/etc/passwd' %}", 1, "TemplateNotFound: /etc/passwd"),
        ("{{ x | nofilter }}", 1, "No filter named 'nofilter'."),
    ],
)
def test_a_broken_template_is_a_finding_with_its_line(template: str, line: int, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        render(TOLD, environment="sandbox", template=Template("mine.md.j2", template))
    (finding,) = caught.value.findings
    assert (finding.file, finding.line) == ("mine.md.j2", line)
    assert message in finding.message
    assert isinstance(finding, Finding)
