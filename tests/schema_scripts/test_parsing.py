"""Scripts as files: their parts, their order, and what is wrong with them, each with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracseq_migrate.schema_scripts.lexing import statements, tokens
from tracseq_migrate.schema_scripts.parsing import Script, read_scripts

WHOLE = "-- deploy\nCREATE TABLE t (x int);\n-- verify\nSELECT to_regclass('t') IS NOT NULL;\n-- revert\nDROP TABLE t;\n"


def read(**bodies: str) -> tuple[tuple[Script, ...], list[str]]:
    files = {f"{name.replace('_', '-')}.sql": (f"sql/{name}.sql", body) for name, body in bodies.items()}
    scripts, findings = read_scripts({name.lstrip("s"): each for name, each in files.items()})
    return scripts, [str(each) for each in findings]


def test_the_parts_of_a_script_with_their_lines() -> None:
    body = "-- the first one\n-- requires: 002-b\n\n" + WHOLE
    (first, second), findings = read(s001_a=body, s002_b=WHOLE)
    assert findings == []
    assert (first.name, second.name) == ("002-b", "001-a")  # what is required comes before
    assert second.requires == ("002-b",)
    assert second.in_transaction
    assert [(each.text, each.line) for each in second.deploy] == [("CREATE TABLE t (x int)", 5)]
    assert [each.line for each in second.verify + second.revert] == [7, 9]


def test_a_marker_inside_of_a_body_is_no_marker() -> None:
    body = WHOLE.replace(
        "CREATE TABLE t (x int);",
        "CREATE FUNCTION f() RETURNS text AS $f$ BEGIN\n-- verify\nRETURN ';'; END $f$;\nSELECT '\n-- revert\n';",
    )
    (script,), findings = read(s001_a=body)
    assert findings == []
    assert len(script.deploy) == 2
    assert "-- verify" in script.deploy[0].text


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        (
            WHOLE.replace("-- verify\nSELECT to_regclass('t') IS NOT NULL;\n", ""),
            ":1:1: the part `-- verify` is missing",
        ),
        (WHOLE.replace("DROP TABLE t;\n", ""), ":5:1: the part `-- revert` is empty"),
        (WHOLE + "-- revert\n", ":7:1: a second part `-- revert`"),
        ("SELECT 1;\n" + WHOLE, ":1:1: a statement stands before the first part"),
        (WHOLE.replace("DROP", "COMMIT; DROP"), ":6:1: COMMIT in a script (take it out"),
        (WHOLE.replace("DROP", "begin; DROP"), ":6:1: BEGIN in a script"),
        (
            WHOLE.replace("DROP TABLE t", "DROP INDEX CONCURRENTLY i"),
            ":6:1: CONCURRENTLY does not run in a transaction",
        ),
        (WHOLE.replace("DROP TABLE t;", "\\i other.sql"), ":6:1: a command of psql's"),
        (WHOLE.replace("DROP TABLE t", "COPY t FROM stdin"), ":6:1: COPY … FROM STDIN has no data here"),
        (WHOLE.replace("DROP TABLE t;", "SELECT 'never"), ":6:1: a quote or comment begins here"),
        (WHOLE.replace("DROP TABLE t;", "/* /* */ DROP TABLE t;"), ":6:1: a quote or comment begins here"),
        (
            "-- requires: 009-z\n" + WHOLE,
            ":1:1: it requires 009-z, and there is no such script (there are: 001-a)",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(body: str, finding: str) -> None:
    _, findings = read(s001_a=body)
    assert any(finding in each for each in findings), findings


def test_a_name_without_a_number_and_a_circle_are_refused() -> None:
    _, findings = read_scripts({"users.sql": ("sql/users.sql", WHOLE)})
    assert "a script is called NNN-name.sql" in str(findings[0])
    _, told = read(s001_a="-- requires: 002-b\n" + WHOLE, s002_b="-- requires: 001-a\n" + WHOLE)
    assert any("in a circle: 001-a, 002-b" in each for each in told)


def test_concurrently_is_allowed_where_it_is_said() -> None:
    body = "-- no-transaction\n" + WHOLE.replace("DROP TABLE t", "DROP INDEX CONCURRENTLY IF EXISTS i")
    (script,), findings = read(s001_a=body)
    assert findings == []
    assert not script.in_transaction


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("SELECT ';'; SELECT 2", 2),
        ("SELECT E'\\';'; SELECT 2", 2),
        ('SELECT 1 AS ";"; SELECT 2', 2),
        ("SELECT $a$ ; $$ ; $a$; SELECT 2", 2),
        ("/* ; /* ; */ ; */ SELECT 1; -- ;\nSELECT 2", 2),
        (";;  ; -- nothing\n", 0),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END; SELECT 2",
            2,
        ),
        ("SELECT a$1, $1; SELECT 2", 2),
        ("SELECT 'it''s;'; SELECT 2", 2),
    ],
)
def test_statements_are_cut_where_the_server_cuts_them(text: str, count: int) -> None:
    assert len(statements(text)) == count


@given(st.text(alphabet="ab'\"$;-/*\\\n eE_1", max_size=60))
def test_no_text_is_lost_and_lines_count(text: str) -> None:
    found = list(tokens(text))
    assert "".join(each.text for each in found) == text
    line = 1
    for each in found:
        assert each.line == line
        line += each.text.count("\n")
    statements(text)
