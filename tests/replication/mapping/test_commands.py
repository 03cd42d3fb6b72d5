"""``mapping draft`` and ``mapping check`` as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.replication.databases import PairOfDatabases

ENVIRONMENT = """
version: 1
default: test
environments:
  test:
    state: .state
    plans: weeks
    gateway:
      url: http://127.0.0.1:1
      monolith: monolith
      instances: [{name: gateway-1, url: "http://127.0.0.1:1", start: external}]
      flags:
        file: flags.env
        names: {USE_AUTH_SERVICE: {key: auth, prefix: /api/auth, service: auth}}
      reload: {strategy: command, command: ["true"]}
    services:
      monolith: {url: "http://127.0.0.1:1", health: /health, start: external, database: main}
      auth: {url: "http://127.0.0.1:1", health: /health, start: external, database: auth}
    databases:
      main: {dsn: "${MAIN_DSN}"}
      auth: {dsn: "${AUTH_DSN}"}
"""
PLAN = """
week: week1
title: People
risk: low
steps:
  - {id: people, replicate: {from: main, to: auth, mapping: people}}
"""


def _typed(folder: Path, pair: PairOfDatabases, *words: str) -> subprocess.CompletedProcess[str]:
    variables = {
        **os.environ,
        "MAIN_DSN": pair.dsns["a"],
        "AUTH_DSN": pair.dsns["b"],
        "NO_COLOR": "1",
        "COLUMNS": "160",
    }
    command = [sys.executable, "-m", "tracseq_migrate", *words]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def test_from_a_draft_to_a_mapping_that_stands(pair_of_databases: PairOfDatabases, tmp_path: Path) -> None:
    pair_of_databases.run(
        "a", "CREATE TABLE people (id uuid PRIMARY KEY, name varchar(20) NOT NULL, fax text)"
    )
    pair_of_databases.run("b", "CREATE TABLE people (id uuid PRIMARY KEY, name varchar(10) NOT NULL)")
    (tmp_path / "tracseq-migrate.yaml").write_text(ENVIRONMENT)
    (tmp_path / "flags.env").write_text("USE_AUTH_SERVICE=false\n")
    mappings = tmp_path / "weeks" / "mappings"
    mappings.mkdir(parents=True)
    (tmp_path / "weeks" / "week1-people.yaml").write_text(PLAN)
    file = mappings / "people.yaml"

    printed = _typed(
        tmp_path, pair_of_databases, "mapping", "draft", "--from", "main.people", "--to", "auth.people"
    )
    assert (printed.returncode, printed.stderr) == (0, "")
    assert "truncate: 10, keep: true" in printed.stdout
    draft = ("mapping", "draft", "--from", "main.people", "--to", "auth.people", "--output", str(file))
    drafted = _typed(tmp_path, pair_of_databases, "--json", *draft)
    view = json.loads(drafted.stdout)
    assert (drafted.returncode, view["type"], view["questions"]) == (0, "mapping-draft", 2)
    assert view["text"] == file.read_text()
    again = _typed(tmp_path, pair_of_databases, *draft)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)

    # The draft cuts and keeps: that is a decision too. A word that is wrong is found at its place.
    whole = _typed(tmp_path, pair_of_databases, "mapping", "check")
    assert (whole.returncode, whole.stderr) == (0, "")
    assert "people: main.people -> auth.people, 2 columns" in whole.stdout
    assert "kept aside: fax, name" in whole.stdout
    lines = (
        file.read_text()
        .replace("from: name", "expression: nonsense(a.name), back: {name: b.name}")
        .replace(", truncate: 10, keep: true", "")
    )
    file.write_text(lines)
    wrong = _typed(
        tmp_path, pair_of_databases, "--json", "mapping", "check", str(file), "--from", "main", "--to", "auth"
    )
    document = json.loads(wrong.stdout)
    assert (wrong.returncode, document["type"]) == (3, "mapping-check")
    [finding] = document["findings"]
    number = next(n for n, line in enumerate(lines.splitlines(), 1) if "nonsense" in line)
    assert (finding["file"], finding["line"]) == ("weeks/mappings/people.yaml", number)
    assert "function nonsense(character varying) does not exist" in finding["message"]


def test_what_is_typed_wrongly_is_answered(pair_of_databases: PairOfDatabases, tmp_path: Path) -> None:
    pair_of_databases.run("a", "CREATE TABLE people (id uuid PRIMARY KEY)")
    (tmp_path / "tracseq-migrate.yaml").write_text(ENVIRONMENT)
    (tmp_path / "weeks").mkdir()
    (tmp_path / "m.yaml").write_text("version: 1\ntables: []\n")
    tried = {
        ("draft", "--from", "main.peple", "--to", "auth.people"): (
            2,
            "no table 'peple'",
            "Did you mean 'people'?",
        ),
        ("draft", "--from", "people", "--to", "auth.people"): (
            2,
            "names no table of a database",
            "Such as main.users.",
        ),
        ("draft", "--from", "man.people", "--to", "auth.people"): (
            2,
            "no database 'man'",
            "Did you mean 'main'?",
        ),
        ("check", "nowhere.yaml", "--from", "main", "--to", "auth"): (2, "nowhere.yaml cannot be read", ""),
        ("check", "m.yaml"): (2, "between which databases", "Add --from and --to."),
        ("check", "--from", "main"): (2, "need a mapping file", ""),
        ("check", "m.yaml", "--from", "main", "--to", "auth"): (3, "no table moves", ""),
    }
    wrong = []
    for words, (code, what, hint) in tried.items():
        answer = _typed(tmp_path, pair_of_databases, "mapping", *words)
        said = answer.stdout + answer.stderr
        if answer.returncode != code or what not in said or hint not in said or "Traceback" in said:
            wrong.append(f"{words}: {answer.returncode} {said}")
    assert wrong == []
    dead = {"a": "host=127.0.0.1 port=1 dbname=x user=y password=hunter22", "b": pair_of_databases.dsns["b"]}
    unreachable = PairOfDatabases(
        pair_of_databases.servers, pair_of_databases.names, "y", dead, pair_of_databases.sessions
    )
    answer = _typed(tmp_path, unreachable, "mapping", "draft", "--from", "main.people", "--to", "auth.people")
    assert answer.returncode == 1
    assert "hunter22" not in answer.stdout + answer.stderr
