"""Whatever a flag file looks like: it is read as python-dotenv reads it, and only what was asked changes."""

from __future__ import annotations

import io
import string
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracseq_migrate.adapters.dotenv.text import EditError, FlagText, folded

FLAGS = ("USE_A", "USE_B", "USE_C")
PREFIX = "FEATURE_FLAGS__"

names = st.sampled_from(
    ["USE_A", "use_a", "Use_A", "USE_B", "use_b", "FEATURE_FLAGS__USE_A", "feature_flags__use_b", "X", "É"]
)
values = st.sampled_from(
    ["true", "false", "", "1", "'true'", '"false"', "' no '", "'open", '"open', "true#c", "a b", "#x", "$X", "'it\\'s'",
     '"a\nb"', "'a\r\nUSE_A=true\r\n'", '"esc\\n\\""', "''", "=", "a=b", "ü"]
)  # fmt: skip
blanks = st.sampled_from(["", "", "", " ", "\t", "  ", "\x0b", "\u00a0"])
breaks = st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n", "\r\n\r\n"])
comments = st.sampled_from(["", "", " # c", "#c", "\t# true", " #'"])


@st.composite
def declarations(draw: st.DrawFn) -> str:
    export = draw(st.sampled_from(["", "", "export ", "export\t"]))
    sign = draw(st.sampled_from(["=", "=", "=", "=", ":", ""]))
    name = draw(names)
    quoted = f"'{name}'" if draw(st.booleans()) and draw(st.booleans()) else name
    parts = [
        draw(blanks),
        export,
        quoted,
        draw(blanks),
        sign,
        draw(blanks),
        draw(values),
        draw(blanks),
        draw(comments),
    ]
    return "".join(parts)


rubbish = st.one_of(
    st.sampled_from(["", "# comment", "   # USE_A=true", "not a line", "- USE_A: true", "''=x", "=x", "'"]),
    st.text(alphabet=string.printable + "é…\u2028\x85\x1c", max_size=12),
)
files = st.builds(
    lambda bom, lines, end: bom + "".join(line + newline for line, newline in lines) + end,
    st.sampled_from(["", "", "", "\ufeff"]),
    st.lists(st.tuples(st.one_of(declarations(), declarations(), rubbish), breaks), max_size=8),
    st.one_of(declarations(), st.just(""), rubbish),
)


def text_of(content: str) -> FlagText:
    return FlagText(content, nested_prefix=PREFIX)


def as_dotenv_reads(content: str) -> dict[str, str]:
    """What the gateway makes of a file: one mapping, then letter case dropped, then the nested names."""
    # As from a file opened as text: every line break is one character.
    stream = io.StringIO(content.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
    found: dict[str, str | None] = {}
    for name, value in dotenv_values(stream=stream, interpolate=False).items():
        found[folded(name)] = value
    given = {name: value for name, value in found.items() if value is not None}
    nested = {name.removeprefix(PREFIX): value for name, value in given.items() if name.startswith(PREFIX)}
    return {name: value for name, value in given.items() if not name.startswith(PREFIX)} | nested


@given(files)
@settings(max_examples=600, deadline=None)
@example('X="a\r\nb"\r\nUSE_A=1\r\n')
@example("USE_A=true\rUSE_B=1")
@example("\ufeff\n  USE_A=true")
def test_reading_agrees_with_dotenv(content: str) -> None:
    assert text_of(content).values() == as_dotenv_reads(content)


@given(files)
@settings(max_examples=300, deadline=None)
def test_lines_are_pieces_of_the_text_in_order(content: str) -> None:
    end = 0
    for line in text_of(content).lines:
        assert end <= line.start < line.end
        assert content[line.start : line.end] == line.own
        before = content[: line.start].replace("\r\n", "\n").replace("\r", "\n")
        assert line.number == 1 + before.count("\n")
        end = line.end


@given(files, st.dictionaries(st.sampled_from(FLAGS), st.sampled_from(["true", "false", None]), min_size=1))
@settings(max_examples=1000, deadline=None)
@example("USE_A='false' # c", {"USE_A": "true", "USE_C": "true"})
@example("X='open\n", {"USE_A": "true"})
def test_only_what_was_asked_changes(content: str, asked: dict[str, str | None]) -> None:
    before = text_of(content)
    try:
        after = before.edited(asked)
    except EditError:
        # Refused is safe; that it is not refused where it need not be is what the next test asks.
        return
    expected = as_dotenv_reads(content)
    found = as_dotenv_reads(after.text)
    for flag, value in asked.items():
        if value is not None:
            assert found[flag] == value
    others = {name: value for name, value in expected.items() if name not in asked}
    assert {name: value for name, value in found.items() if name not in asked} == others
    # And back to the letter.
    back = {flag: before.declared[flag].own if flag in before.declared else None for flag in asked}
    if all(value is not None for value in asked.values()):
        assert after.edited(back).text == content


tame = st.builds(
    lambda lines, end: "".join(lines) + end,
    st.lists(
        st.builds(
            "{}{}={}{}{}".format,
            st.sampled_from(["", "export ", "# "]),
            st.sampled_from([*FLAGS, "use_a", "FEATURE_FLAGS__USE_B", "URL"]),
            st.sampled_from(["true", "'false'", '"on"', "", "0", "a b", '"several\nlines"']),
            st.sampled_from(["", " # c", "  "]),
            st.sampled_from(["\n", "\r\n", "\n\n"]),
        ),
        max_size=8,
    ),
    st.sampled_from(["", "USE_C=no", "# end"]),
)


@given(tame, st.dictionaries(st.sampled_from(FLAGS), st.sampled_from(["true", "false"]), min_size=1))
@settings(max_examples=500, deadline=None)
def test_an_ordinary_file_is_never_refused(content: str, asked: dict[str, str]) -> None:
    before = text_of(content)
    after = before.edited(asked)
    assert {flag: after.values()[flag] for flag in asked} == asked
    back = {flag: before.declared[flag].own if flag in before.declared else None for flag in asked}
    assert after.edited(back).text == content


def test_reading_agrees_with_dotenv_on_the_disk(tmp_path: Path) -> None:
    # The stream above stands for a file opened as text; here is one.
    content = "A=1\r\nexport B=\"x\r\ny\" # c\rC='3'\r\n\r\nD: 4\nE\nF = 6 #7"
    path = tmp_path / "flags.env"
    path.write_bytes(content.encode())
    found = {
        name.upper(): value
        for name, value in dotenv_values(path, interpolate=False).items()
        if value is not None
    }
    assert text_of(content).values() == found == {"A": "1", "B": "x\ny", "C": "3", "F": "6"}


def test_a_name_that_only_looks_like_a_flag_in_capitals_is_another_name() -> None:
    # The long s has the capital S, and is no small s: the gateway compares small letters.
    assert text_of("U\u017fE_A=true\n").values() == {"u\u017fe_a": "true"}
    assert text_of("U\u017fE_A=true\n").edited({"USE_A": "false"}).text == "U\u017fE_A=true\nUSE_A=false\n"
    # The sign of the kelvin has the small letter k.
    assert text_of("\u212aEY=true\n").values() == {"KEY": "true"}


def test_a_name_without_a_sign_declares_nothing_and_hides_what_came_before_it() -> None:
    assert text_of("use_a=true\nUSE_A\n").values() == {}
    assert text_of("USE_A\nuse_a=true\n").values() == {"USE_A": "true"}
    assert text_of("USE_A\n").edited({"USE_A": "true"}).text == "USE_A\nUSE_A=true\n"
    with pytest.raises(EditError, match="another line of the file wins"):
        text_of("USE_A=0\nuse_a\n").edited({"USE_A": "true"})


def test_a_value_from_another_variable_is_read_as_it_is_written(tmp_path: Path) -> None:
    # The one way of reading that is not python-dotenv's own: the variable is the gateway's, and cannot be known here.
    path = tmp_path / "flags.env"
    path.write_text("X=true\nUSE_A=${X}\n")
    assert dotenv_values(path)["USE_A"] == "true"
    assert text_of(path.read_text()).values()["USE_A"] == "${X}"
