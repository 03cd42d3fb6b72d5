"""The two sides of the cases that kill: their tables, the mapping as an operator writes it, and the plan with its one step."""

from __future__ import annotations

from pathlib import Path

PEOPLE, THINGS = 12_000, 9_000

OLD = f"""
CREATE TABLE people (
    id uuid PRIMARY KEY,
    email varchar(200) NOT NULL UNIQUE,
    role text NOT NULL,
    department varchar(200),
    balance numeric(12, 2),
    created_at timestamp NOT NULL,
    tags text[],
    extra jsonb,
    note text,
    badge text
);
CREATE TABLE things (
    id serial PRIMARY KEY,
    owner uuid NOT NULL REFERENCES people (id) ON UPDATE CASCADE ON DELETE CASCADE,
    label varchar(80) NOT NULL UNIQUE,
    worth integer,
    picture bytea
);
CREATE INDEX things_owner ON things (owner);
INSERT INTO people
SELECT md5(n::text)::uuid, 'p' || n || '@lab.example', (ARRAY['reader', 'writer', 'boss', 'keeper'])[1 + n % 4],
       CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE repeat('Dép"' || n || E'",\\n\\\\N ', 1 + n % 8) END,
       CASE n % 7 WHEN 0 THEN NULL ELSE n / 7.0 END, timestamp '2001-02-03 04:05:06.789' + n * interval '11 hours 7 us',
       CASE n % 3 WHEN 0 THEN ARRAY['a,"b', 'NULL', '', n::text] END,
       CASE n % 4 WHEN 1 THEN jsonb_build_object('n', n, 'deep', jsonb_build_array(1.50, NULL, 'x')) END,
       repeat(md5(n::text), n % 9), CASE n % 6 WHEN 2 THEN 'badge ' || n END
FROM generate_series(1, {PEOPLE}) AS n;
INSERT INTO things (owner, label, worth, picture)
SELECT md5((1 + n * 7 % {PEOPLE})::text)::uuid, 'thing ' || n, CASE n % 8 WHEN 3 THEN NULL ELSE n END, decode(md5(n::text), 'hex')
FROM generate_series(1, {THINGS}) AS n;
"""

NEW = """
CREATE TYPE role AS ENUM ('reader', 'writer', 'chief');
CREATE TABLE people (
    id uuid PRIMARY KEY,
    email varchar(200) NOT NULL CONSTRAINT one_email UNIQUE CONSTRAINT mail CHECK (email LIKE '%@%'),
    role role NOT NULL DEFAULT 'reader',
    department varchar(100),
    balance numeric(12, 2),
    created_at timestamptz NOT NULL,
    tags text[],
    extra jsonb,
    note text,
    letters integer GENERATED ALWAYS AS (length(email)) STORED
);
CREATE INDEX people_role ON people (role) WHERE role <> 'reader';
CREATE INDEX people_lower ON people (lower(email) text_pattern_ops DESC) INCLUDE (department);
CREATE INDEX people_tags ON people USING gin (tags);
CREATE INDEX people_extra ON people USING gin (extra);
CREATE INDEX people_since ON people (created_at DESC NULLS LAST) WITH (fillfactor = 70);
CREATE TABLE things (
    id uuid PRIMARY KEY,
    owner uuid NOT NULL CONSTRAINT things_owner REFERENCES people (id) ON DELETE CASCADE,
    label varchar(80) NOT NULL CONSTRAINT one_label UNIQUE,
    worth integer,
    picture bytea
);
CREATE INDEX things_worth ON things (worth, label);
CREATE INDEX things_owned ON things (owner);
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.note := 'touched'; RETURN NEW; END$$;
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION touched();
ALTER TABLE people DISABLE TRIGGER touch;
INSERT INTO people (id, email, role, created_at, tags, note)
VALUES ('00000000-0000-0000-0000-00000000000a', 'p1@lab.example', 'chief', '2020-01-01 00:00:00.000001+00', '{x}', 'seed');
ALTER TABLE people ENABLE TRIGGER touch;
"""

MAPPING = """\
version: 1
tables:
  - from: people
    to: people
    columns:
      id: id
      email: email
      role: {from: role, keep: true, values: {reader: reader, writer: writer, boss: chief}, else: reader}
      department: {from: department, truncate: 100, keep: true}
      balance: balance
      created_at: {from: created_at, zone: UTC}
      tags: tags
      extra: extra
      note: note
    back:
      role: {values: {reader: reader, writer: writer, chief: boss}}
    kept: [badge]
    seeded:
      - {match: "b.email = 'p1@lab.example'", then: replace, because: the same person by another id}
  - from: things
    to: things
    columns:
      id: {from: id, ids: uuid}
      owner: owner
      label: label
      worth: worth
      picture: picture
"""

PLAN = """\
week: try
title: People follow
risk: low
steps:
  - id: people
    replicate: {from: old, to: new, mapping: people}
    timeout: 10m
"""

ENVIRONMENT = """\
version: 1
default: data
environments:
  data:
    sandbox: true
    identity: variable
    gateway:
      url: http://127.0.0.1:9
      monolith: monolith
      instances: [{name: gateway-1, url: "http://127.0.0.1:9"}]
      flags: {file: flags.env}
      reload: {strategy: command, command: ["true"]}
    services:
      monolith: {url: "http://127.0.0.1:9"}
    databases:
      old: {dsn: "file:old.dsn"}
      new: {dsn: "file:new.dsn"}
"""


def write(folder: Path, old: str, new: str) -> None:
    """An operator's folder, in which the tool is typed; nothing has been done yet."""
    (folder / "weeks" / "mappings").mkdir(parents=True)
    for name, text in (
        ("tracseq-migrate.yaml", ENVIRONMENT),
        ("weeks/try.yaml", PLAN),
        ("weeks/mappings/people.yaml", MAPPING),
        ("flags.env", ""),
        ("old.dsn", old + "\n"),
        ("new.dsn", new + "\n"),
    ):
        path = folder / name
        path.write_text(text, "utf-8")
        path.chmod(0o600)
