"""Secrets are taken out of whatever is shown, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracseq_migrate.redact import Redactor

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
