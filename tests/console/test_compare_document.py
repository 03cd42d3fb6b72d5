"""What people read of a comparison."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.console.samples import HEADER, HOSTILE, NOW
from tracseq_migrate.console.documents import Look, blocks_of
from tracseq_migrate.console.ink import UNICODE, Ink
from tracseq_migrate.console.layout import lay_out
from tracseq_migrate.operations.views import Compared, CompareView
from tracseq_migrate.replication.comparing import Comparison, Difference, DifferingColumn, TableComparison

USERS = TableComparison("users", "users", "users", "users", 12_000, 12_000, "ab", "ab", seconds=0.4)
SAMPLES = TableComparison(
    "samples",
    "samples",
    "samples",
    "samples",
    500,
    480,
    "cd",
    "ce",
    missing=21,
    extra=1,
    different=1,
    settled=1,
    looks=2,
    differences=(
        Difference("missing", {"id": "7", "place": None}),
        Difference("extra", {"id": "8", "place": HOSTILE}),
        Difference("different", {"id": "9", "place": "x"}, (DifferingColumn("name", "Ada", None),)),
    ),
)
EQUAL = Comparison("users", True, NOW, 1.5, (USERS,))
DIFFERENT = Comparison(
    "users", True, NOW, 1.5, (USERS, SAMPLES), writers=("lab from 10.0.0.9, nightly (pid 7)",)
)


def view(*comparisons: Comparison, note: str = "") -> CompareView:
    return CompareView(
        HEADER, "week3", [Compared("users", "main", "auth", each, note) for each in comparisons]
    )


def shown(what: CompareView, columns: int = 120) -> str:
    return lay_out(blocks_of(what, Look(UNICODE, NOW)), Ink(), columns)


def test_equal_is_said_with_how_much() -> None:
    text = shown(view(EQUAL))
    assert "users: main -> auth" in text
    assert f"{UNICODE.passed}  users  12,000" in text
    assert f"\n{UNICODE.passed} equal: 12,000 rows in 1 table" in text


def test_rows_that_differ_are_named_by_key_and_column_and_never_by_value() -> None:
    text = shown(view(DIFFERENT))
    assert f"{UNICODE.failed} samples id=7, place=NULL: missing in auth" in text
    assert "samples id=8, place=\\x1b]0;owned" in text
    assert "samples id=9, place=x: differs in name" in text
    assert "and 20 more in samples" in text
    assert "1 row differed at first and did not when looked at again" in text
    assert "others are writing these tables: lab from 10.0.0.9, nightly (pid 7)" in text
    assert f"\n{UNICODE.failed} the two sides differ" in text
    assert "Ada" not in text
    assert "Ada" not in json.dumps(view(DIFFERENT).as_json())


def test_values_stand_there_where_they_were_asked_for() -> None:
    text = shown(view(replace(DIFFERENT, values=True)))
    assert "samples id=9, place=x: name 'Ada' in main, NULL in auth" in text


def test_what_nothing_aligned_is_no_difference() -> None:
    text = shown(view(replace(DIFFERENT, exact=False), note="nothing is carried over between the two yet"))
    assert UNICODE.failed not in text
    assert "nothing is carried over between the two yet" in text
    assert f"\n{UNICODE.unknown} not known" in text


def test_the_worst_of_several_counts() -> None:
    unsure = replace(DIFFERENT, exact=False)
    assert view(EQUAL, EQUAL).verdict == "equal"
    assert view(EQUAL, unsure).verdict == "unknown"
    assert view(unsure, EQUAL, DIFFERENT).verdict == "different"


def test_the_document_for_scripts() -> None:
    document = view(DIFFERENT, note="so").as_json()
    assert (document["type"], document["format"], document["week"], document["verdict"]) == (
        "compare",
        "1.0",
        "week3",
        "different",
    )
    [replication] = document["replications"]
    assert replication["at"] == "2026-11-23T15:00:00.000000Z"
    assert (replication["origin"], replication["destination"], replication["note"]) == ("main", "auth", "so")
    samples = replication["tables"][1]
    assert samples["equal"] is False
    assert samples["differences"][2] == {
        "kind": "different",
        "key": {"id": "9", "place": "x"},
        "columns": [{"name": "name"}],
    }
