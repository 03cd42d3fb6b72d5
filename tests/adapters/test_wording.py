"""Texts from outside that stand in messages."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracseq_migrate.adapters.wording import last_lines, one_line


@pytest.mark.parametrize(
    ("hostile", "plain"),
    [
        ("a\r\nb\tc", "a b c"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("left\u202eright", "leftright"),
        ("zero\u200bwidth\x00nul\x9bcsi", "zerowidthnulcsi"),
        ("  many   blanks  ", "many blanks"),
        ("übergrößenträger 日本", "übergrößenträger 日本"),
        ("", ""),
    ],
)
def test_one_line(hostile: str, plain: str) -> None:
    assert one_line(hostile) == plain


def test_a_long_text_is_cut() -> None:
    assert one_line("x" * 300, 10) == "x" * 9 + "…"
    assert one_line("x" * 10, 10) == "x" * 10


def test_last_lines_leave_out_empty_ones() -> None:
    assert last_lines("one\n\n\x1b[0m\ntwo\r\n \nthree\n\n", 2) == "two\nthree"
    assert last_lines("one\ntwo", 0) == ""
    assert last_lines("", 3) == ""


@given(st.text(max_size=400), st.integers(min_value=2, max_value=100))
def test_nothing_hostile_is_left(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert "\n" not in line
    assert not [c for c in line if unicodedata.category(c) in {"Cc", "Cf", "Cs"}]
    assert one_line(line, limit) == line
