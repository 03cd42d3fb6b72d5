"""Answers that mean harm: whatever they hold, what is shown and kept of them is text, on its lines, of a bounded length."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.console.samples import NOW
from tests.real_parts import Exchange
from tests.security.project import cage, step
from tracseq_migrate.console.ink import Ink
from tracseq_migrate.console.jsonlines import JsonObserver, dump
from tracseq_migrate.console.plain import PlainObserver
from tracseq_migrate.console.stream import Stream
from tracseq_migrate.migration_log.markdown import code, md, prose
from tracseq_migrate.operations.observer import CheckDone, StepFailedNote, Warned
from tracseq_migrate.printable import one_line, printable

EVIL = (
    "\x1b[2J\x1b[H", "\x1b]0;title\x07", "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07", "\x9b31m", "\x9d52;c;eA==\x9c", "\x90q\x9c", "\r", "\x08\x08", "\x7f",
    "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\x85", "\u3164", "\ufe0f", "\U000e0041", "\ud800",
    "::error file=a::b", "::set-output name=x::y", "\n::add-mask::x", "##[error]x", "##vso[task.complete]",
    "##teamcity[x]", "::stop-commands::x", "[bold red]", "[/]", "[link=http://evil]",
    "<script>alert(1)</script>", "<!-- ", "-->", "![x](http://evil)", "[x](javascript:x)",
    "http://evil.example", "www.evil.example", "```\n", "~~~\n", "| a | b |", "# title", "- item", "---",
    "a\n===", "&lt;", "\\", "`", "{{ 7 * 7 }}", "{% raw %}", "key: value", "- !!python/x",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(EVIL) | st.text(max_size=8), max_size=8).map("".join)
_COMMAND = re.compile(r"^\s*::[A-Za-z]|##(?:vso|teamcity)?\[", re.MULTILINE)
# Letters and marks without a shape of their own.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(c) for c in range(0xFE00, 0xFE10)
}


def assert_harmless(text: str) -> None:
    """No control but newlines, nothing unseen, nothing that turns the direction, no command to a build server."""
    for character in text:
        assert character == "\n" or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}, (
            repr(text)
        )
        assert character not in _UNSEEN, repr(text)
    assert not _COMMAND.search(text), repr(text)


@given(TEXTS)
@example("".join(EVIL))
def test_what_is_printable_is_harmless(text: str) -> None:
    assert_harmless(printable(text).replace("\t", " "))
    assert_harmless(one_line(text))
    assert "\n" not in one_line(text)


@given(TEXTS)
@example("\n".join(EVIL))
def test_lines_of_a_run(text: str) -> None:
    shown = io.StringIO()
    observer = PlainObserver(Stream(shown), Ink(), verbose=True)
    observer.emit(CheckDone(NOW, "a", text, "fail", text, text))
    observer.emit(StepFailedNote(NOW, "a", text, "apply", text, text, 1.0))
    observer.emit(Warned(NOW, text))
    observer.close()
    written = shown.getvalue()
    assert_harmless(written)
    # A line of somebody else is never taken for one of ours, which begins with its time.
    begun = [line for line in written.splitlines() if not line.startswith(" " * 29)]
    assert len(begun) == 3


@given(TEXTS)
@example("".join(EVIL))
def test_lines_of_json(text: str) -> None:
    shown = io.StringIO()
    observer = JsonObserver(Stream(shown), str)
    observer.emit(Warned(NOW, text))
    lines = shown.getvalue().split("\n")
    assert len(lines) == 3
    assert lines[2] == ""
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert not _COMMAND.search(shown.getvalue())
    assert json.loads(lines[1])["text"].encode("utf-8", "replace") == text.encode("utf-8", "replace")


@pytest.mark.parametrize(
    "value",
    [10**400, -(10**400), 1e308, float("nan"), float("inf"), "x" * 10**6, {"\n": ["\r"]}, [[[]]] * 100],
)
def test_odd_values_stay_on_one_line(value: object) -> None:
    text = dump({"value": value}, str)
    assert "\n" not in text
    if not isinstance(value, int):  # Python reads no number of so many digits back
        assert set(json.loads(text)) == {"value"}


@given(TEXTS)
@example("".join(EVIL))
@example("see http://evil.example or www.evil.example")
def test_the_log_has_no_link_no_picture_no_html(text: str) -> None:
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for made in (md(text), prose(text), code(text)):
        assert_harmless(made)
        for before in ("", "- ", "x "):
            for token in reader.parse(f"{before}{made}\n"):
                assert not token.type.startswith(("html", "fence", "code_block", "heading", "hr", "table")), (
                    made
                )
                for child in token.children or []:
                    assert child.type in {"text", "text_special", "code_inline"}, made
    # Readers that make links by themselves look for these.
    for made in (md(text), prose(text)):
        outside = re.sub(r"(`+)[^`].*?\1", "", made)
        assert not re.search(r"(?i)\b(?:https?|ftp)://|\bwww\.", outside), made


def _flood(exchange: Exchange) -> None:
    exchange.say(
        200, json.dumps({"status": "x" * 3_000_000, "evil": "".join(e for e in EVIL if e != "\ud800")})
    )


def _huge(exchange: Exchange) -> None:
    exchange.say(200, b"y" * 10_000_000)


def test_floods_are_bounded_wherever_they_are_kept(tmp_path: Path) -> None:
    with cage(tmp_path) as caged:
        caged.server.routes |= {"/flood": _flood, "/huge": _huge}
        loud = (
            "head -c 10000000 /dev/zero | tr '\\\\0' z; echo; echo '::error::x'; printf '\\\\033[2J'; exit 1"
        )
        for text in (
            "steps:\n  - {id: a, http: {target: gateway, path: /flood, expect: {json: {status: y, evil: no}}}}\n",
            "steps:\n  - {id: a, http: {target: gateway, path: /huge, expect: {json: {status: y}}}}\n",
            "steps:\n" + step("a", loud.replace("\\\\", "\\")),
        ):
            caged.plan(text)
            for options in (["-v"], ["--json"]):
                code, said = caged.call("run", "leak", *options)
                assert code == 5, said[-2000:]
                assert len(said) < 50_000
                assert "\x1b" not in said
                assert not _COMMAND.search(said)
        assert len((tmp_path / "MIGRATION_LOG.md").read_bytes()) < 200_000
        assert sum(path.stat().st_size for path in (tmp_path / ".state").rglob("journal*")) < 2_000_000
