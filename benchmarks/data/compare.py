"""The comparison of two tables of the users shape, against two plain ``sum(md5)`` scans side by side.

    python benchmarks/data/compare.py [--rows 1000000] [--rounds 5] [--kept] [--workers 2]

Two servers on loopback (of two versions where both are there), the monolith's and the service's tables, the mapping that
ships. The peers are what a person would type into two terminals: the sum of the md5 of the table's rows as they are, once on each
side; and the same of the mapped rows on the monolith's side. Neither could say which row differs. All run in turns, on the same
rows, and the median counts. The copy that fills the service's table is no part of any time, and no one writes meanwhile: what the
snapshots cost is measured by the benchmark of the apply.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the servers are started as the tests start theirs

from tests.replication.databases import PairOfDatabases, Server, binaries, fresh_pair, server  # noqa: E402

from tracseq_migrate.replication.catalog.reading import read as read_catalog  # noqa: E402
from tracseq_migrate.replication.comparing import apart, compare  # noqa: E402
from tracseq_migrate.replication.comparing.units import units  # noqa: E402
from tracseq_migrate.replication.mapping.compiling import compile_mapping  # noqa: E402
from tracseq_migrate.replication.mapping.reading import read as read_mapping  # noqa: E402
from tracseq_migrate.replication.names import listed  # noqa: E402
from tracseq_migrate.replication.pair import Replication  # noqa: E402
from tracseq_migrate.sandbox.databases import create  # noqa: E402

_PEOPLE = """
INSERT INTO users (id, unc_pid, email, display_name, affiliation, department, role, status, created_at, updated_at, last_login,
    password_hash, first_name, last_name, lab_affiliation, position, phone, email_verified, failed_login_attempts)
SELECT md5('user' || i)::uuid, 'bench-' || i, 'user' || i || '@lab.example.org', 'User ' || i, 'UNC', 'Department of ' || i % 97,
    (enum_range(NULL::user_role))[1 + i % 10], (enum_range(NULL::user_status))[1 + i % 6],
    '2024-01-01Z'::timestamptz + i * interval '7 s', '2024-06-01Z'::timestamptz + i * interval '3 s',
    CASE WHEN i % 3 = 0 THEN '2025-01-01Z'::timestamptz + i * interval '1.37 s' END, md5(i::text) || md5(i::text),
    'First' || i % 1000, 'Last' || i % 5000, 'Lab ' || i % 300, 'Position ' || i % 50, '+1 919 555 ' || i % 10000, i % 2 = 0,
    i % 4
FROM generate_series(1, {rows}) i
"""
_SUM = "SELECT count(*), sum(('x' || left(md5({row}::text), 15))::bit(60)::bigint) FROM {source}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--workers", type=int, default=2, help="max_parallel_workers_per_gather, of both servers"
    )
    parser.add_argument("--kept", action="store_true", help="with the side table, several rows to each user")
    given = parser.parse_args()
    found = list(binaries().items())
    with tempfile.TemporaryDirectory(prefix="tm-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "0").mkdir()
        with server(folder / "0", found[0][1]) as first:
            if len(found) == 1:
                _on(first, first, given)
                return
            (folder / "1").mkdir()
            with server(folder / "1", found[1][1]) as second:
                _on(first, second, given)


def _on(first: Server, second: Server, given: argparse.Namespace) -> None:
    for each in {first.superuser: first, second.superuser: second}.values():
        with each.administrator() as connection:
            for name, value in (
                ("max_parallel_workers_per_gather", given.workers),
                ("max_wal_size", "'4GB'"),
                ("autovacuum", "off"),
            ):
                connection.execute(f"ALTER SYSTEM SET {name} = {value}".encode())
            connection.execute("SELECT pg_reload_conf()")
    with fresh_pair(first, second) as databases:
        replication = _filled(databases, given.rows, kept=given.kept)
        _measure(databases, replication, given)
        print(
            f"PostgreSQL {first.version} and {second.version}; {given.workers} parallel workers a scan allowed"
        )


def _filled(databases: PairOfDatabases, rows: int, *, kept: bool) -> Replication:
    create("main", databases.dsns["a"], seed=1, users=0)
    create("auth", databases.dsns["b"], seed=1, users=0)
    databases.run("a", f"ALTER TABLE users DISABLE TRIGGER USER; {_PEOPLE.format(rows=rows)}")
    source = read_mapping((ROOT / "weeks/mappings/users.yaml").read_bytes(), "users.yaml")
    with databases.open("a") as a, databases.open("b") as b:
        replication = compile_mapping("users", source, read_catalog(a), read_catalog(b))
        [pair] = replication.pairs
        if not kept:
            pair = dataclasses.replace(pair, kept=(), side="")
        for seeded in pair.seeded:
            if seeded.then == "replace":
                b.execute(f"DELETE FROM {pair.b.relation} b WHERE {seeded.match}")
        if pair.side:
            types = ", ".join(f'"{name}" {pair.mapped(name).column.type.full}' for name in pair.key_b)
            b.execute(
                f"CREATE SCHEMA IF NOT EXISTS tracseq_migrate; CREATE TABLE {pair.side} ({types}, "
                f'"column" text, "value" text, PRIMARY KEY ({listed(pair.key_b)}, "column"))'
            )
        names = listed([each.name for each in pair.columns])
        ups = ", ".join(each.up for each in pair.columns)
        with a.copy_out(f"COPY (SELECT {ups} FROM {pair.a.relation} a) TO STDOUT") as blocks:
            b.copy_in(f"COPY {pair.b.relation} ({names}) FROM STDIN", blocks)
        if pair.side:
            side = units(pair, "forward")[1].a
            with a.copy_out(
                f"COPY (SELECT {', '.join(side.texts)} FROM {side.source} WHERE {side.where}) TO STDOUT"
            ) as blocks:
                b.copy_in(f"COPY {pair.side} FROM STDIN", blocks)
    with databases.writer("a") as a, databases.writer("b") as b:
        a.execute("VACUUM (FREEZE, ANALYZE)")
        b.execute("VACUUM (FREEZE, ANALYZE)")
    return dataclasses.replace(replication, pairs=(pair,))


def _measure(databases: PairOfDatabases, replication: Replication, given: argparse.Namespace) -> None:
    [pair] = replication.pairs
    mapped = f"ROW({', '.join(each.up for each in pair.columns)})"
    kept = [_SUM.format(row="s", source=f"{pair.side} s")] if pair.side else []
    theirs = [_SUM.format(row="b", source=f"{pair.b.relation} b"), *kept]
    plain = partial(_scans, databases, [_SUM.format(row="a", source=f"{pair.a.relation} a")], theirs)
    rows = partial(_scans, databases, [_SUM.format(row=mapped, source=f"{pair.a.relation} a")], theirs)
    runs: dict[str, Callable[[], None]] = {
        "two plain sum(md5) scans, side by side": plain,
        "the same, of the mapped rows": rows,
        "compare": partial(_ours, databases, replication, 0),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(given.rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    databases.run(
        "b", "UPDATE users SET phone = 'planted' WHERE id IN (SELECT id FROM users ORDER BY id LIMIT 10)"
    )
    differing = []
    for _ in range(min(given.rounds, 3)):
        began = time.perf_counter()
        _ours(databases, replication, 10)
        differing.append(time.perf_counter() - began)
    peer = statistics.median(seconds["two plain sum(md5) scans, side by side"])
    print(
        f"{given.rows} users{', and what is kept of them' if given.kept else ''}; median of {given.rounds}, in turns"
    )
    for name, each in seconds.items():
        spread = f"{min(each):.2f} to {max(each):.2f}"
        print(
            f"{name:42} {statistics.median(each):6.2f} s  {statistics.median(each) / peer:5.2f} x  ({spread})"
        )
    found = statistics.median(differing)
    print(f"{'compare, where 10 rows differ (two looks)':42} {found:6.2f} s  {found / peer:5.2f} x")
    print(
        f"memory of this process at its highest: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"
    )


def _scans(databases: PairOfDatabases, first: list[str], second: list[str]) -> None:
    def scan(side: str, statements: list[str]) -> None:
        with psycopg.connect(databases.dsns[side], autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    threads = [threading.Thread(target=scan, args=each) for each in (("a", first), ("b", second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _ours(databases: PairOfDatabases, replication: Replication, differing: int) -> None:
    found = compare(replication, partial(apart, databases.sessions, replication))
    assert sum(table.count for table in found.tables) == differing, found
    assert found.rows > 0


if __name__ == "__main__":
    main()
