"""What a mapping may not say, and what it comes to where it is right: on two real catalogs."""

from __future__ import annotations

import re

import pytest

from tests.replication.databases import PairOfDatabases
from tests.replication.mapping.moving import come_back, compiled, make_ids, move, rows_of, texts
from tracseq_migrate.errors import InvalidInput
from tracseq_migrate.replication.catalog import reading as catalogs
from tracseq_migrate.replication.mapping import compile_mapping, read
from tracseq_migrate.replication.mapping.trying import try_mapping

OLD = """
CREATE TYPE mood AS ENUM ('calm', 'busy', 'lost');
CREATE DOMAIN short AS varchar(8) CHECK (VALUE <> '');
CREATE TABLE firms (id uuid PRIMARY KEY);
CREATE TABLE people (
    id integer PRIMARY KEY, name varchar(20) NOT NULL UNIQUE, mood mood NOT NULL, note text, born timestamp,
    amount numeric(12, 4), level smallint NOT NULL DEFAULT 1, firm uuid REFERENCES firms (id),
    CONSTRAINT level_positive CHECK (level > 0)
);
"""
NEW = """
CREATE TYPE mood AS ENUM ('calm', 'busy', 'gone');
CREATE TABLE persons (
    id integer PRIMARY KEY, full_name varchar(10) NOT NULL, mood mood NOT NULL, note varchar(5), born timestamptz,
    amount numeric(8, 2), level integer, firm uuid, rank text NOT NULL, extra text DEFAULT 'x',
    total integer GENERATED ALWAYS AS (level) STORED
);
"""
RIGHT: dict[str, str] = {
    "id": "id",
    "full_name": "{from: name, truncate: 10, keep: true}",
    "mood": "{from: mood, values: {calm: calm, busy: busy, lost: calm}}",
    "note": "{from: note, truncate: 5}",
    "born": "{from: born, zone: UTC}",
    "amount": "{expression: 'round(a.amount, 2)', back: {amount: b.amount}}",
    "level": "level",
    "firm": "firm",
    "rank": "{constant: \"'none'\"}",
}
BACK: dict[str, str] = {
    "mood": "{values: {gone: refuse}, unfit: nobody comes back from there}",
    "level": "{unfit: more than anybody needs}",
    "firm": "{unfit: firms are made in the old system}",
}
REST = """
    own_defaults: [extra]
    collisions: {people_name_key: names are only shown}
"""


def _text(columns: dict[str, str | None], back: dict[str, str | None], rest: str) -> str:
    lines = ["version: 1", "tables:", "  - from: people", "    to: persons", "    columns:"]
    lines += [f"      {name}: {entry}" for name, entry in columns.items() if entry is not None]
    kept = [(name, entry) for name, entry in back.items() if entry is not None]
    lines += ["    back:"] * bool(kept) + [f"      {name}: {entry}" for name, entry in kept]
    return "\n".join(lines) + rest


WRONG: list[tuple[dict[str, str | None], dict[str, str | None], str, str]] = [
    # (other columns, other ways back, other rest, what must be found)
    (
        {"full_name": "name"},
        {},
        REST,
        r"name \(character varying\(20\)\) does not fit full_name: .* only 10 .*truncate: 10",
    ),
    ({"full_name": "{from: name, truncate: 11}"}, {}, REST, r"holds 10 characters \(truncate: 10\)"),
    ({"full_name": "nam"}, {}, REST, r"A's table people has no column 'nam' \(did you mean 'name'\?\)"),
    (
        {"ful_name": "name"},
        {},
        REST,
        r"B's table persons has no column 'ful_name' \(did you mean 'full_name'\?\)",
    ),
    ({"mood": "mood"}, {}, REST, r"mood has no 'lost' \(map them"),
    (
        {"mood": "{from: mood, values: {calm: calm, busy: busy}}"},
        {},
        REST,
        r"not total: nothing is said of lost",
    ),
    (
        {"mood": "{from: mood, values: {calm: calm, bussy: busy}, else: calm}"},
        {},
        REST,
        r"'bussy' is no value of A's mood",
    ),
    (
        {"mood": "{from: mood, values: {calm: clam}, else: busy}"},
        {},
        REST,
        r"'clam' is no value of B's mood \(did you mean 'calm'",
    ),
    ({}, {"mood": None}, REST, r"no way back for mood: 'gone' of B has no counterpart"),
    (
        {},
        {"mood": "{values: {gone: lost}, unfit: none does}"},
        REST,
        r"'gone' would come back as 'lost', which is 'calm' on B",
    ),
    (
        {"born": "born"},
        {},
        REST,
        r"a timestamp without a zone means a moment only once its zone is said \(say it",
    ),
    ({"amount": "amount"}, {}, REST, r"rounds to 2 places"),
    ({"level": "{from: level, zone: UTC}"}, {}, REST, r"a zone is what a timestamp without one needs"),
    ({}, {"level": None}, REST, r"no way back for level: level \(integer\) does not fit smallint"),
    ({}, {"firm": None}, REST, r"no way back for firm: A's people_firm_fkey demands a row of"),
    ({"note": None}, {}, REST, r"nothing is said of A's column 'note' \(text\): its values would be lost"),
    ({"rank": None}, {}, REST, r"B's column 'rank' \(text\) needs a value"),
    (
        {},
        {},
        "\n    collisions: {people_name_key: names are only shown}\n",
        r"nothing is said of B's column 'extra'",
    ),
    (
        {},
        {},
        "\n    own_defaults: [extra]\n",
        r"A's people_name_key allows no two rows with the same name, and B does",
    ),
    ({"total": "level"}, {}, REST, r"B computes 'total' itself"),
    (
        {"id": "{from: id, default: '1'}"},
        {},
        REST,
        r"the key column id must come of A's id, alone and one to one",
    ),
    ({"rank": "{constant: now()}"}, {}, REST, r"now gives another value each time"),
    ({"rank": "{constant: \"'a' || a.name\"}"}, {}, REST, r"a\.name is of a row that is not there"),
    (
        {"rank": '{expression: "(SELECT max(name) FROM people)", own: none}'},
        {},
        REST,
        r"SELECT reads other rows than its own",
    ),
    (
        {"rank": '{expression: "a.name || a.nose", own: none}'},
        {},
        REST,
        r"no column 'nose' \(did you mean 'note'",
    ),
    (
        {"rank": '{expression: "a.name; DROP TABLE people", own: none}'},
        {},
        REST,
        r"a semicolon ends a statement",
    ),
    ({"rank": '{expression: "lower(a.name", own: none}'}, {}, REST, r"a \( is opened and never closed"),
    ({"rank": '{expression: "a.name -- hm", own: none}'}, {}, REST, r"a comment stands in an expression"),
    ({"rank": '{expression: "a.name || $1", own: none}'}, {}, REST, r"\$1 is a parameter"),
    (
        {"rank": "{expression: lower(a.name)}"},
        {},
        REST,
        r"no way back for rank: changes made to it on B go nowhere",
    ),
    (
        {"rank": "{from: note, own: none}"},
        {},
        REST,
        r"note can be null, and rank cannot \(say what a null becomes",
    ),
    ({"rank": "{from: note, expression: a.note}"}, {}, REST, r"'from' and 'expression' stand side by side"),
    ({"rank": "{keep: true}"}, {}, REST, r"it does not say where it comes from"),
    ({"rank": "TODO"}, {}, REST, r"this is still to be decided"),
    ({}, {"note": "b.nothing"}, REST, r"B's table persons has no column 'nothing'"),
    ({}, {"note": "b.extra"}, REST, r"b\.extra does not travel back"),
    ({}, {"note": "{refuse: b.note IS NULL}"}, REST, r"a refusal needs a reason"),
    ({}, {}, REST + "    kept: [nose]\n", r"A's table people has no column 'nose'"),
    ({}, {}, REST + "    left_behind: {note: not wanted}\n", r"note is mapped as well"),
    ({}, {}, REST + "    one_way: too old to go back\n", r"there is no way back: `one_way` says so"),
    ({}, {}, REST + "    shared: true\n", r"no other entry owns the rows of people"),
    ({}, {}, REST + "    colums: {}\n", r"unknown key 'colums' \(did you mean 'columns'\?\)"),
    (
        {},
        {},
        REST + "    key: {full_name: name}\n",
        r"nothing makes \(full_name\) unique in B's table persons",
    ),
]


def test_every_mistake_is_named_at_its_place(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run("a", OLD)
    pair_of_databases.run("b", NEW)
    with pair_of_databases.open("a") as a, pair_of_databases.open("b") as b:
        of_a, of_b = catalogs.read(a), catalogs.read(b)
    missed = []
    for columns, back, rest, expected in WRONG:
        text = _text({**RIGHT, **columns}, {**BACK, **back}, rest)
        try:
            compile_mapping("people", read(text.encode(), "m.yaml"), of_a, of_b)
        except InvalidInput as error:
            told = error.message
        else:
            told = "(nothing)"
        if not re.search(expected, told):
            missed.append(f"{expected}\n  but: {told}")
    assert missed == []
    with pytest.raises(InvalidInput, match="no table moves"):
        read(b"version: 1\ntables: []\n", "m.yaml")


def test_findings_stand_where_the_mistake_is(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run("a", OLD)
    pair_of_databases.run("b", NEW)
    text = _text({**RIGHT, "full_name": "nam", "born": "born"}, {**BACK}, REST)
    with pytest.raises(InvalidInput) as refused:
        compiled(pair_of_databases, text)
    lines = text.splitlines()
    places = {(each.line, each.column) for each in refused.value.findings}
    name, born = lines.index("      full_name: nam"), lines.index("      born: born")
    assert (name + 1, len("      full_name: ") + 1) in places
    assert (born + 1, len("      born: ") + 1) in places


def test_all_kinds_of_columns_there_and_back(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run("a", OLD)
    pair_of_databases.run("b", NEW)
    pair_of_databases.run(
        "a",
        "INSERT INTO firms VALUES ('00000000-0000-0000-0000-00000000000a');"
        "INSERT INTO people VALUES (1, 'a name of nineteen', 'lost', 'it''s, long', "
        "'2024-02-30'::date - 1 + time '23:59:59.123456',"
        " 1234.5678, 7, '00000000-0000-0000-0000-00000000000a'), (2, '', 'busy', NULL, NULL, NULL, 1, NULL),"
        " (3, 'ü\\\"{}', 'calm', '', 'infinity', 0, 32767, NULL)".replace(
            "'2024-02-30'::date - 1", "date '2024-02-29'"
        ),
    )
    replication = compiled(pair_of_databases, _text(dict(RIGHT), dict(BACK), REST))
    [pair] = replication.pairs
    assert pair.kept == ("name",)
    assert [each.name for each in pair.columns if each.forward_only] == ["rank"]
    before = rows_of(pair_of_databases, pair)
    move(pair_of_databases, pair)
    of_a, of_b = texts(pair_of_databases, pair)
    assert of_a == of_b
    back, refused = come_back(pair_of_databases, pair)
    assert refused == []
    assert sorted(map(repr, back)) == sorted(map(repr, before))
    # Changed on B: what was changed comes back, and what cannot is refused with its reason.
    pair_of_databases.run("b", "UPDATE persons SET amount = 9.99, mood = 'busy' WHERE id = 1")
    pair_of_databases.run(
        "b",
        "UPDATE persons SET level = 40000, mood = 'gone', firm = '00000000-0000-0000-0000-00000000000b' WHERE id = 2;"
        "UPDATE persons SET level = 0 WHERE id = 3",
    )
    with pair_of_databases.open("a") as a, pytest.raises(Exception, match="out of range"):
        a.rows("SELECT 40000::smallint")
    pair_of_databases.run("b", "DELETE FROM persons WHERE id = 2")
    back, refused = come_back(pair_of_databases, pair)
    rows = {row["id"]: row for row in back}
    assert (rows["1"]["amount"], rows["1"]["mood"], rows["1"]["name"]) == (
        "9.9900",
        "busy",
        "a name of nineteen",
    )
    assert [(name, "level_positive" in why) for name, why in refused] == [("level", True)]


def test_equal_values_have_equal_texts_whatever_their_columns_are(pair_of_databases: PairOfDatabases) -> None:
    """Every type that travels, in columns that are as far apart as a mapping allows without a word."""
    pair_of_databases.run(
        "a",
        "CREATE TYPE colour AS ENUM ('red', 'green'); CREATE DOMAIN word AS varchar(30); CREATE TYPE spot AS (x integer, y text);"
        "CREATE TABLE t (id bigint PRIMARY KEY, n numeric(10, 2), ns numeric(6, 1)[], i smallint, r real, c char(5), e colour,"
        " es colour[], w word, j jsonb, ts timestamptz(3), iv interval, by bytea, u uuid, ip inet, ar text[], va varchar(9)[],"
        " ra numrange, b bit(5), p spot, d date, tm timetz, js json, m money)",
    )
    pair_of_databases.run(
        "b",
        "CREATE TYPE colour AS ENUM ('green', 'blue', 'red'); CREATE TYPE spot AS (x integer, y text);"
        "CREATE TABLE t (id bigint PRIMARY KEY, n numeric(20, 7), ns numeric(9, 4)[], i bigint, "
        "r double precision, c text, e colour,"
        " es colour[], w text, j jsonb, ts timestamptz, iv interval, by bytea, u uuid, ip inet, ar text[], va varchar(12)[],"
        " ra numrange, b bit(5), p spot, d date, tm timetz, js json, m money)",
    )
    pair_of_databases.run(
        "a",
        "INSERT INTO t VALUES (1, 1.50, '{1.0,2.5,NULL}', 3, 0.1, 'ab', 'red', '{red,NULL,green}', 'w', "
        '\'{"a": 1.0, "b": null}\','
        " '2024-03-31 01:30:00.123+02', '1 mon 2 days -03:04:05.6', '\\\\x00ff27', "
        "'00000000-0000-0000-0000-00000000000a', '10.0.0.1/8',"
        " '{a,\"b,c\",NULL,\"\"}', '{x}', '[1.50,2)', B'10101', '(1,\"a,b\")', 'infinity', '12:00+05', '{\"x\" : 1}', 12.34),"
        " (2, 0, '{}', -3, 'NaN', '', 'green', '{}', '', 'null', '-infinity', '00:00', '', NULL, '::1', "
        "'{}', '{}', 'empty', B'00000',"
        " '(,)', '-infinity', '00:00:00+00', '[]', -1),"
        " (3)".replace("(3)", "(3" + ", NULL" * 23 + ")"),
    )
    names = "id n ns i r c e es w j ts iv by u ip ar va ra b p d tm js m".split()  # noqa: SIM905 - a list of 24 words
    unfit = dict.fromkeys(("i", "c", "w"), "{unfit: what is larger over there stays there}")
    lines = ["version: 1", "tables:", "  - from: t", "    to: t", "    columns:"] + [
        f"      {name}: {name}" for name in names
    ]
    lines += ["    back:", *(f"      {name}: {entry}" for name, entry in unfit.items())]
    lines += [
        "      e: {values: {blue: refuse}, because: there is no blue}",
        *(
            f"      {name}: {{expression: b.{name}, refuse: 'false', because: tried}}"
            for name in ("n", "ns", "r", "es", "ts", "va")
        ),
    ]
    text = "\n".join(lines).replace("      c: {unfit: what", "      c: {refuse: 'false', because: what")
    replication = compiled(pair_of_databases, text, name="t")
    [pair] = replication.pairs
    assert not pair.binary  # an array of an enum, and a composite, are read back from texts
    move(pair_of_databases, pair)
    of_a, of_b = texts(pair_of_databases, pair)
    assert of_a == of_b
    assert len(of_a) == 3
    # And unequal values have unequal texts: each column is changed, and each change is seen.
    pair_of_databases.run(
        "b",
        "UPDATE t SET n = 1.5000001, ns = '{1.0,2.5001,NULL}', r = 0.1, c = 'ab ', ts = ts + interval '1 us' WHERE id = 1",
    )
    for name in ("n", "ns", "r", "c", "ts"):
        of_a, of_b = texts(pair_of_databases, pair, only=("id", name))
        assert of_a != of_b, name


def test_number_to_uuid_and_back(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a", "CREATE TABLE boxes (id serial PRIMARY KEY, inside integer REFERENCES boxes, label text)"
    )
    pair_of_databases.run(
        "b", "CREATE TABLE boxes (id uuid PRIMARY KEY, inside uuid REFERENCES boxes, label text)"
    )
    pair_of_databases.run(
        "a", "INSERT INTO boxes (inside, label) VALUES (NULL, 'one'), (1, 'two'), (2, NULL)"
    )
    text = (
        "version: 1\ntables:\n  - from: boxes\n    to: boxes\n    columns:\n      id: {from: id, ids: uuid}\n"
        "      inside: {from: inside, ids: boxes}\n      label: label\n"
    )
    replication = compiled(pair_of_databases, text, name="boxes")
    [pair] = replication.pairs
    [ids] = pair.ids
    assert (ids.column_a, ids.sequence) == ("id", '"public"."boxes_id_seq"')
    make_ids(pair_of_databases, replication)
    before = rows_of(pair_of_databases, pair)
    move(pair_of_databases, pair)
    assert texts(pair_of_databases, pair)[0] == texts(pair_of_databases, pair)[1]
    back, refused = come_back(pair_of_databases, pair)
    assert (sorted(map(repr, back)), refused) == (sorted(map(repr, before)), [])
    versions = pair_of_databases.rows(
        "b", "SELECT DISTINCT substr(id::text, 15, 1) || substr(id::text, 20, 1) FROM boxes"
    )
    assert versions == [("88",)]
    # The same computation, before the map is there: what was copied early and late is the same row.
    with pair_of_databases.open("a") as a:
        plain = a.rows(
            f"SELECT {pair.mapped('id').plain}::text FROM boxes a ORDER BY a.id".replace(
                "FROM boxes", "FROM public.boxes"
            )
        )
        mapped = a.rows(f"SELECT ({pair.mapped('id').up})::text FROM public.boxes a ORDER BY a.id")
    assert plain == mapped


def test_the_servers_have_the_last_word(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run("a", OLD)
    pair_of_databases.run(
        "a",
        "CREATE FUNCTION best() RETURNS text LANGUAGE sql STABLE AS 'SELECT max(name) FROM public.people'",
    )
    pair_of_databases.run("b", NEW)
    tried = {
        "nosuch(a.name)": r"A's server refuses it: function nosuch",
        "a.name || public.best()": r"public\.best\(\) is not IMMUTABLE",
        "a.name || txid_current_if_assigned()": r"",
    }
    found = {}
    for expression in tried:
        text = _text({**RIGHT, "rank": f'{{expression: "{expression}", own: tried here}}'}, dict(BACK), REST)
        source = read(text.encode(), "m.yaml")
        replication = compiled(pair_of_databases, source)
        with pair_of_databases.open("a") as a, pair_of_databases.open("b") as b:
            found[expression] = " ".join(map(str, try_mapping(source, replication, a, b)))
    for expression, expected in tried.items():
        assert re.search(expected, found[expression]), found[expression]
    text = _text(
        {**RIGHT, "level": "{expression: 'a.level * 1.5', back: {level: b.level}}"}, dict(BACK), REST
    )
    source = read(text.encode(), "m.yaml")
    replication = compiled(pair_of_databases, source)
    with pair_of_databases.open("a") as a, pair_of_databases.open("b") as b:
        [finding] = try_mapping(source, replication, a, b)
    assert "is a numeric, and level a integer: what does not fit would be lost unseen" in finding.message


def test_the_digest_is_of_meaning_and_columns(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run("a", OLD)
    pair_of_databases.run("b", NEW)
    text = _text(dict(RIGHT), dict(BACK), REST)
    first = compiled(pair_of_databases, text).digest
    assert compiled(pair_of_databases, "# said\n" + text.replace("id: id", "id:   id # key")).digest == first
    assert compiled(pair_of_databases, text.replace("'none'", "'low'")).digest != first
    pair_of_databases.run("b", "CREATE INDEX ON persons (rank)")
    assert compiled(pair_of_databases, text).digest == first  # put away and back while rows move
    pair_of_databases.run("b", "ALTER TABLE persons ALTER rank TYPE varchar(90)")
    assert compiled(pair_of_databases, text).digest != first
