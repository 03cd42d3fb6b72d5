"""Secrets are taken out of whatever is shown, and nothing else is."""

from __future__ import annotations

import base64
import html
import json
import shlex
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracseq_migrate.redact import MARK, Redactor

# The machine may be busy: how long one example takes proves nothing.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SECRETS = frozenset({"hunter2", "hunter22", "p@ss", "ab", "postgresql://u:hunter2@db/main"})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nothing here", "nothing here"),
        ("it is hunter2.", "it is ***."),
        ("it is hunter22.", "it is ***."),
        ("dsn postgresql://u:hunter2@db/main!", "dsn ***!"),
        ("ab, abc, cab and (ab)", "***, abc, cab and (***)"),
        ("postgres://me:other@host:5432/x?y=1", "postgres://me:***@host:5432/x?y=1"),
        ("postgres://me:o:t@her@host/x", "postgres://me:***@host/x"),
        ("http://host:8089/a and mail@example.org", "http://host:8089/a and mail@example.org"),
        ("https://token@host/", "https://token@host/"),
        ("host=h password=other dbname=d", "host=h password=*** dbname=d"),
        ("host=h password='a \\' b' dbname=d", "host=h password=*** dbname=d"),
        ('PASSWORD = "a b" x', "PASSWORD = *** x"),
        ("PGPASSWORD=x\nPWD=/home", "PGPASSWORD=***\nPWD=/home"),
        ("https://h/?sslpassword=x&y=1", "https://h/?sslpassword=***&y=1"),
    ],
)
def test_a_text_loses_its_secrets(text: str, shown: str) -> None:
    redactor = Redactor(SECRETS)
    assert redactor.text(text) == shown
    assert redactor.text(shown) == shown


def test_a_value_loses_them_at_any_depth_and_in_keys() -> None:
    value = {"a": ["hunter2", {"b": ("x hunter2", 5, None)}], "hunter2": True}
    assert Redactor(SECRETS).value(value) == {"a": ["***", {"b": ("x ***", 5, None)}], "***": True}
    assert value["hunter2"] is True


def test_what_has_no_secret_is_given_back_itself() -> None:
    value = {"a": ["x", {"b": (1, 2.5, True)}], "c": "postgres://host/db"}
    redactor = Redactor(SECRETS)
    assert redactor.value(value) is value
    text = "a text of some length"
    assert redactor.text(text) is text
    assert Redactor().text(text) is text


def test_a_value_in_a_circle_does_not_hang() -> None:
    value: dict[str, Any] = {"a": "hunter2"}
    value["self"] = [value, value]
    assert Redactor(SECRETS).value(value) == {"a": "***", "self": ["***", "***"]}


def test_an_empty_secret_takes_nothing_out() -> None:
    assert Redactor({"", "  "}).text("a b") == "a b"


@_patient
@given(st.sets(st.text(min_size=4, max_size=8).filter(str.strip), min_size=1, max_size=4), st.data())
def test_no_secret_of_four_characters_or_more_remains(secrets: set[str], data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.sampled_from(sorted(secrets)) | st.text(max_size=5), max_size=8))
    # The mark itself may stand next to a remainder; only what lies wholly in the text counts.
    pieces = Redactor(secrets).text(" ".join(parts)).split("***")
    assert not [secret for secret in secrets for piece in pieces if secret in piece and "*" not in secret]


def test_a_long_hostile_text_is_done_soon_enough_to_be_tested() -> None:
    for text in (
        "a." * 40_000 + "://@",
        "password" * 8_000 + "=",
        "x://" * 20_000 + "@",
        "a:" * 40_000 + "://@",
    ):
        assert Redactor(SECRETS).text(text).startswith(text[:50])


AWKWARD = "p@s's w\"or/d+é$(x)"


@pytest.mark.parametrize(
    "written",
    [
        quote(AWKWARD),
        quote(AWKWARD, safe=""),
        quote(AWKWARD, safe="").lower(),
        quote_plus(AWKWARD),
        json.dumps(AWKWARD),
        json.dumps(AWKWARD, ensure_ascii=False),
        json.dumps(json.dumps(AWKWARD)),
        repr(AWKWARD),
        shlex.quote(AWKWARD),
        html.escape(AWKWARD),
        AWKWARD.replace("'", "''"),
        AWKWARD.replace(" ", "\n      "),
        AWKWARD.encode().hex(),
        *(base64.b64encode(b"x" * before + AWKWARD.encode() + b"yz").decode() for before in range(4)),
        base64.urlsafe_b64encode(AWKWARD.encode()).decode(),
    ],
)
def test_a_secret_is_known_however_it_is_written(written: str) -> None:
    shown = Redactor([AWKWARD]).text(f"before {written} behind")
    assert MARK in shown
    assert shown.startswith("before ")
    assert shown.endswith(" behind")
    left = shown.removeprefix("before ").removesuffix(" behind").replace(MARK, "")
    # Of base64 the letters at the edges stay, which hold bits of the neighbours; of quotes, the quotes.
    assert len(left) <= 8


def test_secrets_that_overlap_or_contain_each_other_leave_nothing() -> None:
    redactor = Redactor(["abcdef", "defxyz", "hunter2", "hunter2-long"])
    assert redactor.text("abcdefxyz hunter2-long hunter2") == "*** *** ***"


def test_a_secret_of_several_lines_is_one_in_each_of_them() -> None:
    redactor = Redactor(["BEGIN\nline-one-of-the-key\nline-two-of-the-key\nEND"])
    assert (
        redactor.text("it has line-two-of-the-key in it; BEGIN and END") == "it has *** in it; BEGIN and END"
    )


@pytest.mark.parametrize("mark", ["…", "..."])
def test_the_beginning_of_a_secret_before_a_cut_is_one(mark: str) -> None:
    redactor = Redactor(["correct-horse-battery"])
    assert redactor.text(f"it said correct-ho{mark} and correct-ho") == f"it said ***{mark} and correct-ho"
    assert redactor.text(f"it said cor{mark}") == f"it said cor{mark}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
        ("{'authorization': 'Basic YWJjOmRlZg=='}", "{'authorization': 'Basic ***'}"),
        ("Set-Cookie: session=4711; path=/", "Set-Cookie: ***; path=/"),
        ('{"access_token": "abc", "n": 1}', '{"access_token": "***", "n": 1}'),
        ("API_KEY=abc&x=1", "API_KEY=***&x=1"),
        ("the token is set, and USE_AUTH_SERVICE=true", "the token is set, and USE_AUTH_SERVICE=true"),
        ("the bearer of this", "the bearer of this"),
    ],
)
def test_what_looks_like_a_secret_is_one(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown
    assert Redactor().text(shown) == shown
