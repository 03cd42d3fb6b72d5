"""Two databases of different shape, with everything on B that a copy has to take off and bring back; and the pairs by hand."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from tests.replication.databases import PairOfDatabases
from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication.catalog.model import Catalog
from tracseq_migrate.replication.catalog.reading import read
from tracseq_migrate.replication.names import ours, quoted
from tracseq_migrate.replication.pair import IdMap, Mapped, Pair, Replication, Seeded

OLD = """
CREATE TABLE people (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email varchar(255) NOT NULL UNIQUE,
    role text NOT NULL DEFAULT 'reader',
    department varchar(200),
    balance numeric,
    factor double precision,
    created_at timestamp NOT NULL DEFAULT '2024-01-02 03:04:05.678901',
    tags text[],
    extra jsonb,
    picture bytea,
    chief uuid REFERENCES people (id),
    badge text
);
CREATE TABLE things (
    id serial PRIMARY KEY,
    owner uuid REFERENCES people (id),
    label text NOT NULL
);
CREATE TABLE marks (
    thing integer NOT NULL REFERENCES things (id),
    place text NOT NULL,
    worth integer,
    PRIMARY KEY (thing, place)
);
"""

NEW = r"""
CREATE TYPE role AS ENUM ('reader', 'writer', 'chief');
CREATE DOMAIN short AS varchar(100) CHECK (value <> 'nowhere');
CREATE TABLE people (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email varchar(255) NOT NULL,
    role role NOT NULL DEFAULT 'reader',
    department short,
    balance numeric(20, 4),
    factor double precision,
    created_at timestamptz NOT NULL,
    tags text[],
    extra jsonb,
    picture bytea,
    chief uuid,
    number bigint GENERATED ALWAYS AS IDENTITY,
    letters integer GENERATED ALWAYS AS (length(email)) STORED,
    CONSTRAINT one_email UNIQUE (email) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT people_chief FOREIGN KEY (chief) REFERENCES people (id) DEFERRABLE,
    CONSTRAINT mail CHECK (email LIKE '%@%')
);
COMMENT ON CONSTRAINT one_email ON people IS 'nobody twice, it''s true';
COMMENT ON CONSTRAINT people_chief ON people IS 'a \ person';
CREATE INDEX people_role ON people (role) WHERE role <> 'reader';
CREATE INDEX people_lower ON people (lower(email) text_pattern_ops DESC NULLS LAST) INCLUDE (department) WITH (fillfactor = 70);
CREATE INDEX people_tags ON people USING gin (tags);
COMMENT ON INDEX people_role IS 'who may';
CREATE UNIQUE INDEX people_replica ON people (id, email);
ALTER TABLE people REPLICA IDENTITY USING INDEX people_replica;
CREATE TABLE things (
    id uuid PRIMARY KEY,
    owner uuid CONSTRAINT things_owner REFERENCES people (id) ON DELETE SET NULL,
    label varchar(100) NOT NULL,
    EXCLUDE USING gist (box(point(length(label), 0), point(length(label), 1)) WITH ~=) WHERE (label = 'alone')
);
CREATE INDEX things_label ON things USING hash (label);
CREATE TABLE marks (
    thing uuid NOT NULL REFERENCES things (id),
    place text NOT NULL,
    worth bigint,
    PRIMARY KEY (thing, place)
);
CREATE INDEX marks_worth ON marks (worth);
CREATE TABLE sessions (
    id serial PRIMARY KEY,
    person uuid NOT NULL REFERENCES people (id) ON DELETE CASCADE
);
COMMENT ON CONSTRAINT sessions_person_fkey ON sessions IS 'whose';
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.label := 'touched'; RETURN NEW; END$$;
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION touched();
CREATE TRIGGER never BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION touched();
ALTER TABLE things DISABLE TRIGGER never;
CREATE TRIGGER always BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION touched();
ALTER TABLE things ENABLE ALWAYS TRIGGER always;
INSERT INTO people (id, email, role, created_at, tags, extra)
VALUES ('00000000-0000-0000-0000-00000000000a', 'admin@lab.local', 'chief', '2020-01-01 00:00:00.000001+00',
        '[2:3]={x,"y,\"z"}', '{"a": 1.50}');
"""

SEEDED = (Seeded("b.email = 'admin@lab.local'", "replace", "the same person by another number"),)


def fill(databases: PairOfDatabases, people: int, *, things: int | None = None) -> None:
    """Rows with awkward values among them."""
    databases.run(
        "a",
        f"""
        INSERT INTO people (id, email, role, department, balance, factor, tags, extra, picture, badge)
        SELECT md5(n::text)::uuid, 'p' || n || '@lab.local', (ARRAY['reader', 'writer', 'boss'])[1 + n % 3],
               CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE E'Dep\\t"' || n || E'",\\n\\\\N ' END,
               CASE n % 7 WHEN 0 THEN NULL ELSE n / 7.0 * 1e3 END, CASE n % 4 WHEN 0 THEN 'NaN' ELSE sqrt(n) END,
               CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '{{}}' ELSE ARRAY['a,b', NULL, '"' || n] END,
               jsonb_build_object('n', n, 'deep', jsonb_build_array(1.10, NULL, 'é')),
               decode(md5(n::text), 'hex'), CASE WHEN n % 2 = 0 THEN 'badge ' || n END
        FROM generate_series(1, {people}) AS n;
        INSERT INTO people (id, email, chief) VALUES ('00000000-0000-0000-0000-00000000000b', 'admin@lab.local', md5('1')::uuid);
        UPDATE people SET chief = md5('2')::uuid WHERE id = md5('1')::uuid;
        INSERT INTO things (owner, label)
        SELECT CASE WHEN n % 4 = 0 THEN NULL ELSE md5((1 + n % {people})::text)::uuid END, 'thing ' || n
        FROM generate_series(1, {people if things is None else things}) AS n;
        INSERT INTO marks SELECT id, p, id * 10 FROM things, unnest(ARRAY['x', 'ä''b']) AS p WHERE id % 2 = 0;
        ANALYZE;
        """,
    )


class Opening(Protocol):
    """Where sessions with ``a`` and ``b`` come from."""

    def open(self, side: str) -> AbstractContextManager[Session]: ...


def catalogs(databases: Opening) -> tuple[Catalog, Catalog]:
    with databases.open("a") as a, databases.open("b") as b:
        return read(a), read(b)


def replication(databases: Opening) -> Replication:
    """The mapping of these tables, compiled by hand against what is there."""
    a, b = catalogs(databases)
    ids = ours("ids_things")
    number = "md5('things ' || a.{0}::text)::uuid"

    def looked_up(column: str) -> str:
        computed = number.format(column)
        known = f"(SELECT i.new FROM {ids} AS i WHERE i.old = a.{column})"
        return f"(CASE WHEN a.{column} IS NOT NULL THEN coalesce({known}, {computed}) END)"

    people = pair(
        a,
        b,
        "people",
        ("id",),
        ("id",),
        {
            "id": ("a.id", "uuid"),
            "email": ("a.email::text", "text"),
            "role": ("(CASE a.role WHEN 'boss' THEN 'chief' ELSE a.role END)", "text"),
            "department": ("left(a.department, 100)", "text"),
            "balance": ("round(a.balance, 4)", "numeric"),
            "factor": ("a.factor", "double precision"),
            "created_at": ("(a.created_at AT TIME ZONE 'UTC')", "timestamp with time zone"),
            "tags": ("a.tags", "text[]"),
            "extra": ("a.extra", "jsonb"),
            "picture": ("a.picture", "bytea"),
            "chief": ("a.chief", "uuid"),
        },
        kept=("department", "badge"),
        seeded=SEEDED,
    )
    things = pair(
        a,
        b,
        "things",
        ("id",),
        ("id",),
        {"id": (looked_up("id"), "uuid"), "owner": ("a.owner", "uuid"), "label": ("a.label", "text")},
        ids=(IdMap("things", "id", "id", ids, '"public"."things_id_seq"', number.format("id")),),
    )
    marks = pair(
        a,
        b,
        "marks",
        ("thing", "place"),
        ("thing", "place"),
        # In the narrower type of A: B's column does not read its binary form, so it takes the way over a stage.
        {
            "thing": (looked_up("thing"), "uuid"),
            "place": ("a.place", "text"),
            "worth": ("a.worth", "integer"),
        },
    )
    return Replication("move", "a", "b", (people, things, marks), "digest", {})


def pair(
    a: Catalog,
    b: Catalog,
    name: str,
    key_a: tuple[str, ...],
    key_b: tuple[str, ...],
    columns: Mapping[str, tuple[str, str]],
    *,
    kept: tuple[str, ...] = (),
    seeded: tuple[Seeded, ...] = (),
    ids: tuple[IdMap, ...] = (),
    binary: bool = True,
    where_a: str = "",
    where_b: str = "",
) -> Pair:
    table_a, table_b = a.tables[name], b.tables[name]
    mapped = []
    for column in table_b.columns:
        if column.name in columns:
            up, wire = columns[column.name]
            mapped.append(Mapped(column, up, wire, f"({up})::text", f"b.{quoted(column.name)}::text"))
    return Pair(
        name,
        table_a,
        table_b,
        key_a,
        key_b,
        tuple(mapped),
        (),
        where_a=where_a,
        where_b=where_b,
        kept=kept,
        side=ours(f"unmapped_{name}") if kept else "",
        seeded=seeded,
        ids=ids,
        binary=binary,
    )
