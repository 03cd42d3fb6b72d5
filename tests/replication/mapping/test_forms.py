"""A type that is said to hold all of another does: every pair of types tried with values at their edges, on a real server."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.replication.databases import PairOfDatabases
from tracseq_migrate.replication.catalog import reading as catalogs
from tracseq_migrate.replication.mapping import forms
from tracseq_migrate.replication.mapping.expressions import columns_of, complaints, functions_of
from tracseq_migrate.replication.names import literal

VALUES: Mapping[str, tuple[str, ...]] = {
    "smallint": ("-32768", "32767"),
    "integer": ("-2147483648", "2147483647"),
    "bigint": ("-9223372036854775808", "9007199254740993"),
    "real": ("0.1", "16777216", "NaN", "-0", "1e-45"),
    "double precision": ("0.1", "1e308", "-Infinity"),
    "numeric": ("1.50", "12345678901234567890.123456789", "NaN"),
    "numeric(5,2)": ("999.99", "-0.01", "1.50"),
    "numeric(6,1)": ("99999.9", "1.0"),
    "numeric(12,4)": ("12345678.1234",),
    "text": ("", " x ", "ü" * 300, "a'b\\c"),
    "varchar(5)": ("", "ab   ", "üüüüü"),
    "varchar(10)": ("0123456789",),
    "char(5)": ("ab", ""),
    "uuid": ("00000000-0000-0000-0000-00000000000a",),
    "boolean": ("true", "false"),
    "date": ("2024-02-29", "infinity", "0044-03-15 BC"),
    "timestamp": ("2024-02-29 23:59:59.999999", "-infinity"),
    "timestamp(0)": ("2024-02-29 23:59:59",),
    "timestamptz": ("2024-03-31 01:30:00.5+02",),
    "timestamptz(3)": ("2024-03-31 01:30:00.123+02",),
    "interval": ("1 mon 2 days -03:04:05.6",),
    "json": ('{"b": 1, "a": 1.0, "b": 2}',),
    "jsonb": ('{"b": 1, "a": 1.0}', "null"),
    "inet": ("10.0.0.1/8", "::1"),
    "cidr": ("10.0.0.0/8",),
    "bytea": ("\\x00ff",),
    "bit(3)": ("101",),
    "bit varying(5)": ("10101", ""),
    "small": ("red",),
    "large": ("red", "ultraviolet"),
    "word": ("w", ""),
    "integer[]": ("{1,NULL,2147483647}",),
    "bigint[]": ("{9007199254740993}",),
    "text[]": ('{a,"b,c",NULL}',),
    "varchar(5)[]": ("{abcde}",),
    "numeric(5,2)[]": ("{1.50,NULL,999.99}",),
    "numeric(8,4)[]": ("{1.5,1000}",),
    "small[]": ("{red,NULL}",),
    "large[]": ("{ultraviolet}",),
    "numrange": ("[1.50,2)", "empty"),
}


def test_what_is_said_to_fit_fits(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        "CREATE TYPE small AS ENUM ('red'); CREATE TYPE large AS ENUM ('red', 'ultraviolet'); CREATE DOMAIN word AS varchar(7);"
        f"CREATE TABLE t ({', '.join(f'c{number} {name}' for number, name in enumerate(VALUES))})",
    )
    with pair_of_databases.open("a") as session:
        types = dict(
            zip(VALUES, (each.type for each in catalogs.read(session).tables["t"].columns), strict=True)
        )
        tried, kept, cut = 0, [], []
        for name, values in VALUES.items():
            for other, target in types.items():
                source, wire = types[name], forms.wire_of(target)
                fits = not forms.loses(source, target)
                tried += fits
                for value in values:
                    before = forms.cast(f"{literal(value)}::{source.full}", wire)
                    after = forms.cast(forms.cast(before, target.full), wire)
                    if fits:
                        [(same,)] = session.rows(
                            f"SELECT {forms.text_of(before, wire)} IS NOT DISTINCT FROM {forms.text_of(after, wire)}"
                        )
                        if not same:
                            cut.append(f"{name} -> {other}: {value}")
            kept.append(not forms.loses(types[name], types[name]))
    assert cut == []
    assert all(kept)
    assert tried > 90


def test_what_cuts_or_rounds_is_said_to_do_so(pair_of_databases: PairOfDatabases) -> None:
    pairs = {
        "text": "varchar(5)",
        "varchar(10)": "varchar(5)",
        "text ": "char(5)",
        "bigint": "integer",
        "numeric": "numeric(5,2)",
        "numeric(12,4)": "numeric(8,2)",
        "integer": "numeric(5,2)",
        "double precision": "real",
        "bigint ": "double precision",
        "timestamp": "timestamp(0)",
        "timestamp ": "timestamptz",
        "timestamptz": "date",
        "json": "jsonb",
        "text  ": "uuid",
        "numeric(6,4)[]": "numeric(6,2)[]",
        "inet": "cidr",
        "bit(3)": "bit(5)",
    }
    pair_of_databases.run(
        "a", "CREATE TABLE t (" + ", ".join(f"c{n} {name}" for n, name in enumerate(pairs)) + ")"
    )
    pair_of_databases.run(
        "b", "CREATE TABLE t (" + ", ".join(f"c{n} {name}" for n, name in enumerate(pairs.values())) + ")"
    )
    with pair_of_databases.open("a") as a, pair_of_databases.open("b") as b:
        ours, theirs = catalogs.read(a).tables["t"].columns, catalogs.read(b).tables["t"].columns
    silent = [
        f"{x} -> {y}"
        for (x, y), own, other in zip(pairs.items(), ours, theirs, strict=True)
        if not forms.loses(own.type, other.type)
    ]
    assert silent == []


_PIECES = st.sampled_from(
    [
        "a.name",
        "b.x",
        '"',
        "'",
        "''",
        "$$",
        "$1",
        "(",
        ")",
        "[",
        "]",
        ";",
        "--",
        "/*",
        "E'\\'",
        "now()",
        "select",
        " ",
        "a .b",
        ".",
        "x",
        "1",
    ]
)


@given(st.lists(_PIECES, max_size=12).map("".join) | st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_at_all_is_an_expression_or_is_refused(text: str) -> None:
    told = list(complaints(text, aliases="ab"))
    assert all(message and "\n" not in message[:20] for message, _ in told)
    assert set(columns_of(text)) == {"a", "b"}
    functions_of(text)


def test_what_stands_inside_of_a_text_is_no_column_and_no_command() -> None:
    expression = "'a.x; select -- ' || a.\"Odd \"\"one\" || E'it\\'s b.y' || $q$ a.z $q$ || lower(a.Name) || public.best(a.n)"
    assert columns_of(expression) == {"a": ('Odd "one', "name", "n"), "b": ()}
    assert list(complaints(expression, aliases="a")) == []
    assert functions_of(expression) == [("", "lower"), ("public", "best")]
    assert [message for message, _ in complaints("age(a.x)", aliases="a")] != []
    assert list(complaints("age(a.x, a.y)", aliases="a")) == []
    assert list(complaints("a.now || a.user", aliases="a")) == []
    assert [message for message, _ in complaints("current_date - a.x", aliases="a")] != []
