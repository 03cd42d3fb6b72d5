"""Text on its way to a stream: nothing steers a terminal, nothing is unreadable, no secret gets through."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracseq_migrate.console.ink import ASCII, BASIC_COLORS, COLORS, UNICODE, Ink, Line, Tone
from tracseq_migrate.console.terminal import Depth
from tracseq_migrate.printable import one_line, printable

SGR = re.compile(r"\x1b\[[0-9;]*m")
ANY = st.text(st.characters(), max_size=60)


def _rgb(number: int) -> tuple[float, float, float]:
    """A colour of the 256, as terminals have them."""
    if number >= 232:
        level = (8 + 10 * (number - 232)) / 255
        return level, level, level
    steps = (0, 95, 135, 175, 215, 255)
    index = number - 16
    return steps[index // 36] / 255, steps[index // 6 % 6] / 255, steps[index % 6] / 255


def _luminance(rgb: tuple[float, float, float]) -> float:
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("tone", sorted(COLORS))
@pytest.mark.parametrize("ground", ["000000", "1e1e1e", "002b36", "ffffff", "fdf6e3"])
def test_each_tone_can_be_read_on_dark_and_light(tone: Tone, ground: str) -> None:
    red, green, blue = (int(ground[i : i + 2], 16) / 255 for i in (0, 2, 4))
    bright, dark = sorted([_luminance(_rgb(COLORS[tone])), _luminance((red, green, blue))], reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 3.0


def test_the_sixteen_colours_leave_out_what_themes_make_unreadable() -> None:
    assert set(BASIC_COLORS.values()) <= {1, 2, 5}


@given(ANY)
def test_nothing_steers_a_terminal(text: str) -> None:
    for depth in Depth:
        shown = SGR.sub("", Ink(depth).text([(text, Tone.BAD), text]))
        kinds = {unicodedata.category(c) for c in shown if c != "\n"}
        assert not kinds & {"Cc", "Cs"}
        assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


@given(ANY)
def test_a_text_without_colours_is_the_text_itself_made_printable(text: str) -> None:
    assert Ink().text([(text, Tone.BAD)]) == printable(text).replace("\t", "    ")
    assert Ink().rich([(text, Tone.BAD)]).plain == Ink().text([text])


def test_markup_is_text() -> None:
    line = "[bold]x[/bold] [link=http://evil]y[/link] :smile:"
    assert Ink(Depth.FULL).rich([line]).plain == line


def test_controls_are_spelled_out() -> None:
    assert printable("a\x1b[31mb\x07\u202ec\ud800") == "a\\x1b[31mb\\x07\\u202ec\\ud800"
    assert printable("a\tb\nc") == "a\tb\nc"
    assert one_line(" a\t b\r\n\u2028c ") == "a b \\u2028c"


def test_secrets_are_taken_out_of_every_form() -> None:
    ink = Ink(Depth.FULL, hide=lambda text: text.replace("hunter2", "***"))
    line: Line = ["password ", ("hunter2", Tone.BAD)]
    for shown in (
        ink.text(line),
        ink.plain(line),
        ink.cut(line, 40),
        ink.rich(line).plain,
        ink.flat("hunter2"),
    ):
        assert "hunter2" not in shown
        assert "***" in shown


@given(ANY, st.integers(1, 30))
def test_a_cut_line_fits(text: str, columns: int) -> None:
    from rich.cells import cell_len

    shown = SGR.sub("", Ink(Depth.FULL).cut([(text, Tone.GOOD), text], columns))
    assert "\n" not in shown
    assert cell_len(shown) <= columns


def test_a_cut_line_keeps_its_spaces_and_says_that_it_was_cut() -> None:
    assert Ink().cut(["  a", ("  b", Tone.MUTED)], 20) == "  a  b"
    assert Ink().cut(["abcdefghij"], 6) == "abcde…"
    assert Ink(marks=ASCII).cut(["abcdefghij"], 6) == "abc..."


def test_marks_for_ascii_are_ascii() -> None:
    for name in ASCII.__match_args__:
        getattr(ASCII, name).encode("ascii")
        assert getattr(UNICODE, name)


def test_without_colours_there_is_no_escape_at_all() -> None:
    assert Ink(Depth.NONE).text([("a", tone) for tone in Tone]) == "a" * len(Tone)
