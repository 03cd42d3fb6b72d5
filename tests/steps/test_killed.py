"""Steps of kind `sql` and `backup` whose process is killed, again and again, at any moment: nothing is ever half there."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.replication.conftest import clusters, pair_of_databases
from tests.replication.databases import PairOfDatabases
from tests.steps.real import RealBench
from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.postgres.dumps import PostgresDumps
from tracseq_migrate.step import Found

__all__ = ["clusters", "pair_of_databases"]

SCRIPTS = {
    f"sql/auth/{number:03}-t.sql": f"-- deploy\nCREATE TABLE t{number} AS SELECT generate_series(1, 20000) AS x;\n"
    f"CREATE INDEX t{number}_x ON t{number} (x);\n-- verify\nSELECT count(*) = 20000 FROM t{number};\n"
    f"SELECT to_regclass('t{number}_x') IS NOT NULL;\n-- revert\nDROP TABLE t{number};\n"
    for number in range(12)
}
SQL = {"sql": {"database": "b", "scripts": "sql/auth"}}
BACKUP = {"backup": {"databases": ["b"]}}

VICTIM = """
import json, sys
from pathlib import Path
from tests.steps.real import RealBench
from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.postgres.dumps import PostgresDumps
given = json.loads(sys.argv[1])
folder = Path(given["folder"])
commands = SubprocessCommands(folder.parent)
bench = RealBench(
    given["step"], given["dsns"], texts=given["texts"], dumps=lambda dsns: PostgresDumps(dsns, folder, commands)
)
bench.undo = given["undo"]
print("ready", flush=True)
getattr(bench, given["verb"])()
print("done", flush=True)
"""


def killed(given: dict[str, object], after: float) -> bool:
    """Run a verb in a process of its own, and kill that ``after`` seconds from when it begins; whether it was done before."""
    process = subprocess.Popen(
        [sys.executable, "-c", VICTIM, json.dumps(given)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == "ready\n"
        time.sleep(after)
        process.kill()
        done = "done" in said.read()
    process.wait()
    return done


def test_schema_scripts_are_never_half_there(pair_of_databases: PairOfDatabases, tmp_path: Path) -> None:
    pair, chance = pair_of_databases, random.Random(7)
    bench = RealBench(SQL, pair.dsns, texts=SCRIPTS)
    given: dict[str, object] = {
        "step": SQL,
        "dsns": dict(pair.dsns),
        "texts": SCRIPTS,
        "folder": str(tmp_path / "x"),
    }
    for verb, ended in (("apply", Found.DONE), ("back", Found.NOT_DONE)):
        undo = bench.prepare() if verb == "apply" else bench.undo
        for _ in range(6):
            done = killed({**given, "undo": undo, "verb": verb}, chance.uniform(0.05, 0.6))
            rows = pair.rows(
                "b",
                "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^t[0-9]' UNION ALL"
                " SELECT count(*) FROM pg_class WHERE relkind = 'i' AND relname ~ '^t[0-9]'",
            )
            assert rows[0] == rows[1]
            if pair.rows("b", "SELECT to_regclass('tracseq_migrate.script') IS NOT NULL") == [(True,)]:
                assert pair.rows("b", "SELECT count(*) FROM tracseq_migrate.script") == rows[:1]
            if done:
                break
        getattr(bench, verb)()
        assert bench.probe().found is ended
        if verb == "apply":
            assert bench.verify()


@pytest.mark.parametrize("after", [0.1, 0.4])
def test_a_backup_counts_only_when_it_is_whole(
    pair_of_databases: PairOfDatabases, tmp_path: Path, after: float
) -> None:
    pair, folder = pair_of_databases, tmp_path / "backups"
    pair.run("b", "CREATE TABLE t AS SELECT i, md5(i::text) AS x FROM generate_series(1, 200000) i")
    bench = RealBench(
        BACKUP, pair.dsns, dumps=lambda dsns: PostgresDumps(dsns, folder, SubprocessCommands(tmp_path))
    )
    undo = bench.prepare()
    given: dict[str, object] = {"step": BACKUP, "dsns": dict(pair.dsns), "texts": {}, "folder": str(folder)}
    killed({**given, "undo": undo, "verb": "apply"}, after)
    if bench.probe().found is Found.DONE:
        assert bench.verify()
    bench.apply()
    assert bench.verify()
    assert len(bench.world.dumps.known()) == 1
