"""What is read of a YAML file, where it stands, and the exact words for what is refused."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from tracseq_migrate.document import (
    MOST_FINDINGS,
    NAME_PATTERN,
    Document,
    Place,
    closest,
    findings_from,
    first_of,
    inspect,
    read,
)
from tracseq_migrate.document.builder import DEEPEST, MOST_VALUES, Builder
from tracseq_migrate.document.plain import values
from tracseq_migrate.document.text import MOST_BYTES
from tracseq_migrate.errors import InvalidInput

# The machine may be busy: how long one example takes proves nothing.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _read(text: str) -> Document:
    return read(text.encode(), "f.yaml")


def _findings(text: str | bytes) -> list[str]:
    body = text.encode() if isinstance(text, str) else text
    return [str(finding) for finding in sorted(inspect(body, "f.yaml")[1])]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("12", 12),
        ("-7", -7),
        ("0", 0),
        ("0x1F", 31),
        ("0o17", 15),
        ("0777", "0777"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2026-01-01", "2026-01-01"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.2.3", "1.2.3"),
        ("+", "+"),
        ("=", "="),
        ("<<", "<<"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("!!int 12", 12),
        ("!!float 12", 12.0),
        ("! 12", "12"),
    ],
)
def test_a_scalar_is_read_by_the_core_schema(written: str, value: object) -> None:
    found = _read(f"a: {written}").value["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text_whatever_they_look_like() -> None:
    assert _read("200: a\ntrue: b\noff: c\nnull: d").value == {
        "200": "a",
        "true": "b",
        "off": "c",
        "null": "d",
    }


def test_every_key_and_value_has_its_place() -> None:
    document = _read(
        "# a comment\nweek: week1\nsteps:\n  - {id: a, set: {X: true}}\n  -   é: 1\n      b: 2\n"
    )
    places = document.places
    assert places.key(("week",)) == Place(2, 1)
    assert places.value(("week",)) == Place(2, 7)
    assert places.value(("steps",)) == Place(4, 3)
    assert places.key(("steps", 0, "set", "X")) == Place(4, 19)
    assert places.value(("steps", 0, "set", "X")) == Place(4, 22)
    assert places.value(("steps", 1, "é")) == Place(5, 10)
    assert places.key(("steps", 1, "b")) == Place(6, 7)
    assert places.key(("steps", 0, "nothing")) == Place(4, 5)
    assert ("steps", 0, "set") in places
    assert ("steps", 2) not in places
    assert places.known(("steps", 0, "union-label", "set")) == ("steps", 0, "set")


def test_an_alias_stands_for_its_anchor_and_points_there() -> None:
    document = _read("a: &x {k: 1}\nb: [*x, *x]")
    assert document.value == {"a": {"k": 1}, "b": [{"k": 1}, {"k": 1}]}
    assert document.places.value(("b", 1, "k")) == Place(1, 11)


def test_line_ends_of_windows_and_a_mark_of_utf8_are_fine() -> None:
    document = read(b"\xef\xbb\xbfa: 1\r\nb: x\r\n", "f.yaml")
    assert document.value == {"a": 1, "b": "x"}
    assert document.places.key(("b",)) == Place(2, 1)


_BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "f.yaml:1:1: the file is empty (it needs a mapping of keys and values)"),
        (b"# only a comment\n", "f.yaml:1:1: the file is empty (it needs a mapping of keys and values)"),
        (b"---\n...\n", "f.yaml:2:1: the file is empty (it needs a mapping of keys and values)"),
        (
            b"- a\n",
            "f.yaml:1:1: the top of the file is a list, not a mapping "
            "(it needs keys and values, such as 'week: week1')",
        ),
        (
            b"just text",
            "f.yaml:1:1: the top of the file is a single value, not a mapping "
            "(it needs keys and values, such as 'week: week1')",
        ),
        (
            b"a: 1\nb: 2\n a: 3",
            "f.yaml:3:3: not YAML: mapping values are not allowed in this context "
            "(put a text that has ': ' in it into quotes, or mend the indentation)",
        ),
        (
            b"a: 1\nb:\n  a: 2\na: 3",
            "f.yaml:4:1: the key 'a' stands here twice: first at f.yaml:1:1 (keep one of the two)",
        ),
        (b"a: x\n---\nb: y\n", "f.yaml:2:1: a second document begins here (put it into a file of its own)"),
        (b"a: \xff", "f.yaml:1:4: not UTF-8: byte 0xff at offset 3 (save it as UTF-8)"),
        (b"\xc3\xa9: 1\nb: \xc3(", "f.yaml:2:4: not UTF-8: byte 0xc3 at offset 9 (save it as UTF-8)"),
        ("a: 1".encode("utf-16"), "f.yaml:1:1: the file is UTF-16, not UTF-8 (save it as UTF-8)"),
        (
            b"\x7fELF\x02\x00\xff",
            "f.yaml:1:7: not a text file: not UTF-8: byte 0xff at offset 6 (save it as UTF-8)",
        ),
        (b"a\x00b", "f.yaml:1:2: not a text file: a NUL byte (take it out)"),
        (b"a: b\x07", "f.yaml:1:5: the control character U+0007 (take it out)"),
        (
            b"a: !!python/object/apply:os.system [id]",
            "f.yaml:1:4: the tag '!!python/object/apply:os.system' is not allowed (plain values only: take the tag away)",
        ),
        (
            b"a: !secret x",
            "f.yaml:1:4: the tag '!secret' is not allowed (plain values only: take the tag away)",
        ),
        (
            b"a: !!int x",
            "f.yaml:1:4: 'x' is not what its tag says (put it in quotes where it is meant as text)",
        ),
        (
            b"a: .inf",
            "f.yaml:1:4: infinity and not-a-number are not allowed (put it in quotes where it is meant as text)",
        ),
        (b"a: 1e999", "f.yaml:1:4: this number is too large (put it in quotes where it is meant as text)"),
        (
            b"a: " + b"9" * 70,
            "f.yaml:1:4: a number of 70 characters is too long (put it in quotes where it is meant as text)",
        ),
        (b"a: &a [1, *a]", "f.yaml:1:11: the alias *a stands inside what it names (write it out)"),
        (b"a: *b", "f.yaml:1:4: the alias *b has no anchor before it (write &b there)"),
        (b"a: &x k\n*x : 1", "f.yaml:2:1: the alias *x stands where a key must be (write the key out)"),
        (b"? [a]\n: b", "f.yaml:1:3: a key must be plain text (a list or a mapping cannot be a key)"),
        (
            b"a: 'x\nb: 1",
            "f.yaml:2:5: not YAML: found unexpected end of stream while scanning a quoted scalar "
            "(a quote or bracket that is opened must be closed)",
        ),
        (
            b"a: x\n\tb: y",
            "f.yaml:2:1: not YAML: found a tab character that violates indentation while scanning a plain scalar "
            "(indent with spaces, not tabs)",
        ),
        (b"a: " + b"[" * (DEEPEST + 1), f"f.yaml:1:67: more than {DEEPEST} levels of nesting"),
        (
            _BOMB.encode(),
            "f.yaml:5:29: more than 100,000 values, aliases written out (use fewer or smaller aliases)",
        ),
        (b"#" * (MOST_BYTES + 1), "f.yaml:1:1: the file has 1,048,577 bytes; at most 1,048,576 are read"),
    ],
)
def test_bad_input_has_one_clear_finding(body: bytes, text: str) -> None:
    assert _findings(body) == [text]
    with pytest.raises(InvalidInput) as refused:
        read(body, "f.yaml")
    assert str(refused.value) == text
    assert refused.value.exit_code == 3


def test_a_file_of_exactly_the_largest_size_is_read() -> None:
    assert read(b"a: 1\n#" + b"x" * (MOST_BYTES - 6), "f.yaml").value == {"a": 1}


def test_what_is_wrong_in_one_place_does_not_hide_the_others() -> None:
    assert _findings("a: !x 1\nb: .nan\na: 2\nc: [") == [
        "f.yaml:1:4: the tag '!x' is not allowed (plain values only: take the tag away)",
        "f.yaml:2:4: infinity and not-a-number are not allowed (put it in quotes where it is meant as text)",
        "f.yaml:3:1: the key 'a' stands here twice: first at f.yaml:1:1 (keep one of the two)",
        "f.yaml:5:1: not YAML: did not find expected node content while parsing a flow node",
    ]


def test_of_two_equal_keys_the_first_is_kept_for_further_checks() -> None:
    document, findings = inspect(b"a: 1\na: {x: 2}\nb: 3", "f.yaml")
    assert document is not None
    assert document.value == {"a": 1, "b": 3}
    assert len(findings) == 1


# Not in a text of YAML: surrogates, control characters, and what it takes for the end of a line.
_characters = st.characters(
    codec="utf-16", exclude_categories=["Cs", "Cc"], exclude_characters="\x7f\u2028\u2029\ufeff\ufffe\uffff"
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(_characters, max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz é-", max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)


@_patient
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), _json, max_size=4))
def test_whatever_json_can_say_is_read_as_it_was_written(value: dict[str, Any]) -> None:
    assert read(json.dumps(value, ensure_ascii=False).encode(), "f.yaml").value == value
    assert read(json.dumps(value, ensure_ascii=False, indent=1).encode(), "f.yaml").value == value


@_patient
@given(st.binary(max_size=200) | st.text("a:-[]{}&*!|>'\"#,? \n\té0.", max_size=60).map(str.encode))
def test_nothing_makes_the_reader_fail_otherwise(body: bytes) -> None:
    document, findings = inspect(body, "f.yaml")
    assert document is not None or findings
    assert all(finding.line >= 1 and finding.column >= 1 for finding in findings)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    status: int | tuple[int, ...] = 200
    note: str = ""
    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN)] = "x"


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid")
    week: str
    steps: list[_Answer] = Field(default_factory=list)
    flags: dict[str, bool] = Field(default_factory=dict)
    writes: Literal["stranded", "none"] | dict[str, Literal["stranded", "none"]] = "none"
    attempts: int = Field(default=1, ge=1, le=5)
    names: dict[Annotated[str, StringConstraints(pattern=NAME_PATTERN)], _Answer] = Field(
        default_factory=dict
    )


def _refused(text: str) -> list[str]:
    document = _read(text)
    with pytest.raises(ValidationError) as refused:
        _Plan.model_validate_json(json.dumps(document.value), strict=True)
    return [str(finding) for finding in sorted(findings_from(refused.value, document, model=_Plan))]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("week: w\nstpes: []", "f.yaml:2:1: unknown key 'stpes' (did you mean 'steps'?)"),
        (
            "week: w\nzebra: 1",
            "f.yaml:2:1: unknown key 'zebra' (the keys here are: attempts, flags, names, steps, week, writes)",
        ),
        ("week: w\nsteps: [{staus: 1}]", "f.yaml:2:10: unknown key 'staus' (did you mean 'status'?)"),
        ("week: w\nnames: {a: {staus: 1}}", "f.yaml:2:13: unknown key 'staus' (did you mean 'status'?)"),
        (
            "week: w\nnames: {A: {}}",
            "f.yaml:2:9: 'A' is not of the right form (small letters, digits and dashes, a letter first)",
        ),
        ("# c\nflags: {}", "f.yaml:2:1: missing key 'week'"),
        ("week: 5", "f.yaml:1:7: 'week': expected text, found 5 (put it in quotes)"),
        ("week:", "f.yaml:1:6: 'week': expected text, found nothing (give it a value, or take the key away)"),
        (
            "week: w\nflags: {A: yes}",
            "f.yaml:2:12: 'A': expected true or false, found 'yes' (write true or false)",
        ),
        ("week: w\nflags: {A: 1}", "f.yaml:2:12: 'A': expected true or false, found 1"),
        ("week: w\nflags: [A]", "f.yaml:2:8: 'flags': expected a mapping, found a list"),
        ("week: w\nsteps: x", "f.yaml:2:8: 'steps': expected a list, found 'x' (write it as a list: [...])"),
        ("week: w\nsteps: [5]", "f.yaml:2:9: expected a mapping, found 5"),
        (
            "week: w\nattempts: '3'",
            "f.yaml:2:11: 'attempts': expected a whole number, found '3' (take the quotes away)",
        ),
        ("week: w\nattempts: 1.5", "f.yaml:2:11: 'attempts': expected a whole number, found 1.5"),
        ("week: w\nattempts: 0", "f.yaml:2:11: 0 is too small: at least 1"),
        ("week: w\nattempts: 6", "f.yaml:2:11: 6 is too large: at most 5"),
        (
            "week: w\nwrites: strandet",
            "f.yaml:2:9: 'writes': expected one of 'stranded', 'none' or a mapping, found 'strandet' "
            "(did you mean 'stranded'?)",
        ),
        (
            "week: w\nwrites: {a: non}",
            "f.yaml:2:13: 'a': expected one of 'stranded', 'none', found 'non' (did you mean 'none'?)",
        ),
        (
            "week: w\nsteps: [{status: x}]",
            "f.yaml:2:18: 'status': expected a whole number or a list, found 'x'",
        ),
        ("week: w\nsteps: [{status: [1, x]}]", "f.yaml:2:22: expected a whole number, found 'x'"),
    ],
)
def test_what_a_model_refuses_is_said_in_words_at_its_place(text: str, finding: str) -> None:
    assert _refused(text) == [finding]


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("storag", ["storage", "rag"], "storage"),
        ("USE_STORAGE", ["USE_STORAGE_SERVICE", "USE_RAG_SERVICE"], "USE_STORAGE_SERVICE"),
        ("USE_STORAG_SERVICE", ["USE_STORAGE_SERVICE", "USE_RAG_SERVICE"], "USE_STORAGE_SERVICE"),
        ("use_storage_service", ["USE_STORAGE_SERVICE", "USE_RAG_SERVICE"], "USE_STORAGE_SERVICE"),
        ("USE_TEMPLATE_SERVICE", ["USE_STORAGE_SERVICE", "USE_RAG_SERVICE"], ""),
        ("USE_TEMPLATE_SERVICE", ["USE_STORAGE_SERVICE"], ""),
        ("gateway-3", ["gateway-1", "gateway-2", "storage"], "gateway-2"),
        ("x", [], ""),
    ],
)
def test_a_suggestion_is_a_name_that_may_have_been_meant(name: str, known: list[str], near: str) -> None:
    assert closest(name, known) == near


def test_a_value_cannot_bring_control_characters_into_a_message() -> None:
    (finding,) = _refused('week: w\nwrites: "\\e[31m' + "x" * 100 + '"')
    assert "\x1b" not in finding
    assert "'\\x1b[31mxxxx" in finding
    assert len(finding) < 200


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'a: "x\\0"', "f.yaml:1:4: U+0000 cannot stand in a text (take it out)"),
        (b'"a\\x00": 1', "f.yaml:1:1: U+0000 cannot stand in a text (take it out)"),
        (
            b"!!python/name:os.system a: 1",
            "f.yaml:1:1: the tag '!!python/name:os.system' is not allowed (plain values only: take the tag away)",
        ),
        (
            b"a: 1\n\"b\\nc\": 1\n\"b\\nc\": 2",
            "f.yaml:3:1: the key 'b\\nc' stands here twice: first at f.yaml:2:1 (keep one of the two)",
        ),
    ],
)  # fmt: skip
def test_what_escapes_and_tags_smuggle_in_is_refused(body: bytes, text: str) -> None:
    assert _findings(body) == [text]


def test_an_anchor_may_stand_at_a_key() -> None:
    assert _read("&k a: 1\nb: *k").value == {"a": 1, "b": "a"}


def test_no_finding_has_a_line_of_its_own_from_the_file() -> None:
    document = _read("a: 1")
    finding = document.finding(("a",), "unknown name 'x\n::error::y\x1b[2J'")
    assert finding.message == "unknown name 'x :\\x3aerror::y\\x1b[2J'"


def test_of_very_many_findings_the_first_thousand_are_told() -> None:
    body = b"week: w\n" + b"same: 1\n" * 5_000
    findings = inspect(body, "f.yaml")[1]
    assert len(findings) == MOST_FINDINGS + 2
    assert str(findings[-1]) == (
        "f.yaml:1003:1: more than 1,000 findings: the rest was not read (mend those above first)"
    )
    document = _read("week: w\n" + "".join(f"k{number}: 1\n" for number in range(5_000)))
    with pytest.raises(ValidationError) as refused:
        _Plan.model_validate_json(json.dumps(document.value), strict=True)
    told = first_of(findings_from(refused.value, document, model=_Plan))
    assert len(told) == MOST_FINDINGS + 1
    assert (
        str(told[-1])
        == "f.yaml:1002:1: more than 1,000 findings: from here on, they are not told (mend those above first)"
    )
    assert first_of(told[:3]) == told[:3]


def test_thousands_of_wrong_names_are_not_each_held_against_all_right_ones() -> None:
    document, known = _read("a: 1"), [f"service-{number}" for number in range(1_000)]
    remedies = [document.did_you_mean("servise-7", known, what="services") for _ in range(20)]
    assert remedies[0] == "did you mean 'service-7'?"
    assert remedies[-1] == ""


_yaml = st.text("ab:-[]{}&*!|>'\"#,? \n\té0.\\x", max_size=60)


@_patient
@given(
    _yaml | st.lists(st.sampled_from(["a: 1\n", "b:\n", "  c: x\n", "- y\n", "d: [1, {e: ~}]\n", '"f\\0": 2\n'])).map("".join)
)  # fmt: skip
def test_the_short_way_of_reading_accepts_only_what_the_long_way_reads_the_same(text: str) -> None:
    short = values(text, most=MOST_VALUES, deepest=DEEPEST)
    if short is None:
        return
    builder = Builder("f.yaml")
    builder.build(text)
    assert builder.findings == []
    assert builder.root is not None
    assert repr(builder.root[0]) == repr(short)


@pytest.mark.parametrize(
    "text", ["a: 1", "a: [1, [2, {b: c}]]", "a:\n  - b: 'c'\n", "a: on\nb: 0777\nc: 1e3", "a:\n"]
)
def test_a_plain_file_is_read_the_short_way(text: str) -> None:
    assert values(text, most=MOST_VALUES, deepest=DEEPEST) == _read(text).value


@pytest.mark.parametrize(
    "text", ["a: &x 1", "a: !!str 1", "a: 1\na: 2", "[1]", "1", "", "a: 1\n---\nb: 1", "a: .inf", "? [a]\n: b", "a: ["]
)  # fmt: skip
def test_what_is_out_of_the_ordinary_is_left_to_the_long_way(text: str) -> None:
    assert values(text, most=MOST_VALUES, deepest=DEEPEST) is None
    assert values("a: [1, 2, 3]", most=4, deepest=DEEPEST) is None
    assert values("a: {b: {}}", most=MOST_VALUES, deepest=2) is None


def test_the_places_of_a_file_that_was_read_the_short_way_are_found_when_somebody_asks() -> None:
    document = _read("a: 1\nb:\n  - {c: x}\n")
    assert document.places.value(("b", 0, "c")) == Place(3, 9)
    assert document.places is document.places
