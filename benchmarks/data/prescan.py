"""The pre-scan of a table of the users shape, against a query for each of its rules, and against one plain scan.

    python benchmarks/data/prescan.py [--rows 1000000] [--rounds 5] [--workers 0]

The monolith's and the service's tables on real servers, the mapping that ships. The peers: one ``count(*)`` for each rule, as a
person would write them one by one, and a scan that only adds up the length of the mapped rows, which is what reading and
mapping them costs at the least. All run in turns on the same rows, and the median counts. How often the table was read is the
server's own figure.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the servers are started as the tests start theirs

from benchmarks.data.compare import _PEOPLE  # noqa: E402
from tests.replication.databases import PairOfDatabases, binaries, fresh_pair, server  # noqa: E402

from tracseq_migrate.ports.sql import Session  # noqa: E402
from tracseq_migrate.replication.catalog.reading import read as read_catalog  # noqa: E402
from tracseq_migrate.replication.mapping.compiling import compile_mapping  # noqa: E402
from tracseq_migrate.replication.mapping.reading import read as read_mapping  # noqa: E402
from tracseq_migrate.replication.pair import Replication  # noqa: E402
from tracseq_migrate.replication.prescan import checks, prescan, values  # noqa: E402
from tracseq_migrate.replication.prescan.rule import Rows, Rule  # noqa: E402
from tracseq_migrate.sandbox.databases import create  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0, help="max_parallel_workers_per_gather")
    given = parser.parse_args()
    folder_of_binaries = next(iter(binaries().values()))
    with (
        tempfile.TemporaryDirectory(prefix="tm-", dir="/tmp") as name,
        server(Path(name), folder_of_binaries) as running,
    ):
        with running.administrator() as connection:
            for setting, value in (
                ("max_parallel_workers_per_gather", given.workers),
                ("max_wal_size", "'4GB'"),
                ("autovacuum", "off"),
            ):
                connection.execute(f"ALTER SYSTEM SET {setting} = {value}".encode())
            connection.execute("SELECT pg_reload_conf()")
        with fresh_pair(running, running) as databases:
            _measure(databases, given)
        print(f"PostgreSQL {running.version}; {given.workers} parallel workers a scan allowed")


def _measure(databases: PairOfDatabases, given: argparse.Namespace) -> None:
    create("main", databases.dsns["a"], seed=1, users=0)
    create("auth", databases.dsns["b"], seed=1, users=0)
    databases.run("a", f"ALTER TABLE users DISABLE TRIGGER USER; {_PEOPLE.format(rows=given.rows)}")
    with databases.writer("a") as writer:
        writer.execute("VACUUM (FREEZE, ANALYZE)")
    source = read_mapping((ROOT / "weeks/mappings/users.yaml").read_bytes(), "users.yaml")
    with databases.open("a") as a, databases.open("b") as b:
        replication = compile_mapping("users", source, read_catalog(a), read_catalog(b))
        [pair] = replication.pairs
        rows = Rows(pair)
        rules = [*values.rules(pair), *checks.rules(a, b, rows)[0]]
        mapped = ", ".join(each.up for each in pair.columns)
        least = f"SELECT sum(length(ROW({mapped})::text)) FROM {pair.a.relation} AS a"
        runs: dict[str, Callable[[], object]] = {
            "pre-scan": lambda: _prescan(a, b, replication),
            f"{len(rules)} queries, one a rule": lambda: _one_by_one(a, rows, rules),
            "one scan of the mapped rows": lambda: a.rows(least),
        }
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(given.rounds):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                taken[name].append(time.perf_counter() - start)
        before = _scans(databases)
        _prescan(a, b, replication)
    print(f"{given.rows:,} users, {len(rules)} rules about single rows, {given.rounds} rounds in turns")
    own = statistics.median(taken["pre-scan"])
    for name, seconds in taken.items():
        middle = statistics.median(seconds)
        print(
            f"{name:32} {middle:7.2f} s ({min(seconds):.2f}-{max(seconds):.2f}); pre-scan is {own / middle:.2f} of it"
        )
    print(f"the table was read {_scans(databases) - before} times by the pre-scan")


def _prescan(a: Session, b: Session, replication: Replication) -> None:
    found = prescan(a, b, replication)
    if any(each.refused for each in found):
        raise SystemExit("\n".join(map(str, found)))


def _one_by_one(a: Session, rows: Rows, rules: list[Rule]) -> None:
    for rule in rules:
        a.rows(f"SELECT count(*) FROM ({rows.select(rule.columns, rule.more)}) AS m WHERE {rule.condition}")


def _scans(databases: PairOfDatabases) -> int:
    with databases.superuser("a") as superuser:
        superuser.execute("SELECT pg_stat_force_next_flush()")
        row = superuser.execute("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'users'").fetchone()
    return int(row[0]) if row else 0


if __name__ == "__main__":
    main()
