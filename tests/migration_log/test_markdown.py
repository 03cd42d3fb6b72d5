"""Text of others in Markdown, read back by a real Markdown parser."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tracseq_migrate.migration_log.markdown import Markdown, code, md, prose
from tracseq_migrate.printable import one_line

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
# Characters that mean something somewhere in Markdown or HTML come up often; any other may come up too.
NASTY = st.text(
    st.one_of(st.sampled_from("\\`*_{}[]()<>#+-.!|~&=$:;/ \n\t0123456789ax\"'\x1b"), st.characters()),
    max_size=40,
)


def _text(token: Token) -> str:
    """The text of an inline token that holds nothing but text."""
    assert token.type == "inline"
    for child in token.children or []:
        assert child.type in ("text", "text_special"), f"{child.type}: {child.content or child.markup!r}"
    return "".join(child.content for child in token.children or [])


@given(NASTY)
@example("<!-- x -->")
@example("&lt;&#35;")
@example("![x](http://evil)")
@example("1. x")
@example("- x")
@example("===")
@example("~~x~~")
@example("_a_ a_b_c __x__")
def test_it_is_read_back_as_the_text_it_was(text: str) -> None:
    wanted = one_line(text)
    for before, after in (("", ""), ("x ", " y")):
        tokens = READER.parse(f"{before}{md(text)}{after}")
        if not wanted and not before:
            assert tokens == []
            continue
        assert [t.type for t in tokens] == ["paragraph_open", "inline", "paragraph_close"]
        assert _text(tokens[1]) == f"{before}{wanted}{after}"


@given(NASTY)
def test_a_table_keeps_its_cells(text: str) -> None:
    tokens = READER.parse(f"| a | b |\n|---|---|\n| {md(text)} | end |\n")
    cells = [_text(t) for t in tokens if t.type == "inline"]
    assert cells == ["a", "b", one_line(text), "end"]


@given(NASTY)
def test_a_list_keeps_its_items(text: str) -> None:
    tokens = READER.parse(f"- first\n- x {md(text)}\n- last\n")
    assert [t.type for t in tokens].count("list_item_open") == 3
    assert [_text(t) for t in tokens if t.type == "inline"] == [
        "first",
        f"x {one_line(text)}".strip(),
        "last",
    ]


@given(NASTY)
@example("`a` `b`")
@example("``a`` `b")
@example("\\\\`a`")
@example("`a|b`")
@example("# `a`_b_")
@example("1. `<b>`")
def test_prose_is_text_and_code_spans_and_nothing_else(text: str) -> None:
    wanted = one_line(text)
    for before, after in (("", ""), ("x ", " y"), ("| a |\n|---|\n| ", " |")):
        tokens = READER.parse(f"{before}{prose(text)}{after}")
        inline = [t for t in tokens if t.type == "inline"][-1:] if wanted else []
        for token in inline:
            children = token.children or []
            assert {child.type for child in children} <= {"text", "text_special", "code_inline"}
            told = "".join(f"`{c.content}`" if c.type == "code_inline" else c.content for c in children)
            assert told == wanted if before != "x " else told == f"x {wanted} y"
        assert not any(t.type.startswith(("heading", "html", "bullet", "ordered", "fence")) for t in tokens)


def test_what_stands_in_backticks_is_a_command() -> None:
    assert prose("run `ls -l` now, or `id`") == "run `ls -l` now, or `id`"
    assert prose("a ` b, `` c ``, `d|e`") == r"a \` b, \`\` c \`\`, \`d\|e\`"
    assert prose(Markdown("**x**")) == "**x**"
    assert prose(None) == ""


@given(NASTY)
def test_a_code_span_is_one_code_span(text: str) -> None:
    wanted = one_line(text)
    tokens = READER.parse(f"- id {code(text)} end")
    (inline,) = [t for t in tokens if t.type == "inline"]
    kinds = [child.type for child in inline.children or []]
    if not wanted:
        assert kinds == ["text"]
        return
    assert kinds == ["text", "code_inline", "text"]
    assert (inline.children or [])[1].content == wanted


def test_what_people_read_most_stays_readable() -> None:
    for text in (
        "USE_STORAGE_SERVICE is on",
        "/api/storage answered 200 in 1.2 s",
        "2026-11-23T15:00:00Z",
        "a-b (c)",
    ):
        assert md(text) == text


@pytest.mark.parametrize(
    ("value", "shown"), [(None, ""), (3, "3"), (True, "True"), (Markdown("**x**"), "**x**")]
)
def test_values(value: object, shown: str) -> None:
    assert md(value) == shown
