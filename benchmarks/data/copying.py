"""The first copy of a table of the users shape, indexes and constraints included, against the tools that people take.

    python benchmarks/data/copying.py [--rows 1000000] [--rounds 3] [--workers 2] [--chunk-mb 32] [--only NAME,NAME]

One server on loopback, of the system's version where it is there (pgcopydb 0.10 knows no newer than 15), two databases, about
250 bytes a row, a random uuid as key, whose order is not the table's. All rows run in turns, and the median counts. Both tables
have a primary key, a unique email, two more indexes and a CHECK.

ours      capture made, copied through the mapping (renames, casts, an enumeration, NULLs replaced, narrowing) by two workers in
          chunks that can be resumed, indexes and constraints put back, analyzed. In a process of its own, whose memory is read.
dump      pg_dump -Fc -Z0 | pg_restore: the table as it is, without a mapping.
pgcopydb  pgcopydb copy table-data and what belongs to it (`clone`), two jobs for tables and two for indexes; where it is found.
raw       psql COPY (mapped select) TO STDOUT BINARY | psql COPY … FROM STDIN BINARY, one stream, into a table that has its
          primary key and its CHECK: what the copy alone (without capture, build and statistics) is measured by.
bare      the same into a table without any index, and the primary key afterwards.

``--profile`` adds where the processor time of the copy went: the tool, the sending and the receiving server processes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the servers are started as the tests start theirs

from tests.replication.databases import SYSTEM, PairOfDatabases, binaries, fresh_pair, server  # noqa: E402

from tracseq_migrate.adapters.postgres.sessions import PostgresSessions  # noqa: E402
from tracseq_migrate.replication import capture  # noqa: E402
from tracseq_migrate.replication.building import build  # noqa: E402
from tracseq_migrate.replication.catalog.reading import read  # noqa: E402
from tracseq_migrate.replication.control import ownership, tables  # noqa: E402
from tracseq_migrate.replication.copying import copy  # noqa: E402
from tracseq_migrate.replication.pair import Mapped, Pair, Replication  # noqa: E402

OLD = """
CREATE TABLE users (
    id uuid PRIMARY KEY, email varchar(255) NOT NULL UNIQUE, given_name varchar(100), family_name varchar(100),
    department varchar(200), position varchar(255), role varchar(30) NOT NULL, status varchar(30) NOT NULL, phone varchar(20),
    password_hash varchar(255), email_verified boolean, failed_login_attempts integer, last_login timestamp,
    created_at timestamp, updated_at timestamp,
    CONSTRAINT users_email_check CHECK (email LIKE '%@%')
);
"""
INDEXES = "CREATE INDEX users_role ON users (role); CREATE INDEX users_status ON users (status);"
NEW = """
CREATE TYPE kind AS ENUM ('lab_administrator', 'lab_technician', 'guest');
CREATE TABLE users (
    id uuid PRIMARY KEY, email varchar(255) NOT NULL UNIQUE, first_name varchar(100) NOT NULL, last_name varchar(100) NOT NULL,
    department varchar(100), position varchar(100), role kind NOT NULL, status varchar(30) NOT NULL, phone varchar(50),
    password_hash varchar(255) NOT NULL, email_verified boolean NOT NULL, failed_login_attempts integer NOT NULL,
    last_login_at timestamptz, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    CONSTRAINT users_email_check CHECK (email LIKE '%@%')
);
"""
FILL = """
INSERT INTO users
SELECT gen_random_uuid(), 'user' || n || '@lab.example.org', 'Given' || n % 997, 'Family' || n % 7919, 'Department of ' || n % 50,
       'Position number ' || n % 40, (ARRAY['admin', 'lab_technician', 'viewer'])[1 + n % 3],
       (ARRAY['active', 'inactive'])[1 + n % 2], '555-' || n, '$2b$12$' || left(md5(n::text) || md5((n + 1)::text), 53),
       n % 2 = 0, n % 5, timestamp '2024-01-01' + n * interval '1 s', timestamp '2023-01-01' + n * interval '7 s',
       timestamp '2025-01-01' + n * interval '3 s'
FROM generate_series(1, {rows}) AS n
"""
COLUMNS = {
    "id": ("a.id", "uuid"),
    "email": ("a.email::text", "text"),
    "first_name": ("coalesce(a.given_name, '')::text", "text"),
    "last_name": ("coalesce(a.family_name, '')::text", "text"),
    "department": ("left(a.department, 100)", "text"),
    "position": ('left(a."position", 100)', "text"),
    "role": (
        "(CASE a.role WHEN 'admin' THEN 'lab_administrator' WHEN 'viewer' THEN 'guest' ELSE a.role END)::text",
        "text",
    ),
    "status": ("a.status::text", "text"),
    "phone": ("a.phone::text", "text"),
    "password_hash": ("coalesce(a.password_hash, '!')::text", "text"),
    "email_verified": ("coalesce(a.email_verified, false)", "boolean"),
    "failed_login_attempts": ("coalesce(a.failed_login_attempts, 0)", "integer"),
    "last_login_at": ("(a.last_login AT TIME ZONE 'UTC')", "timestamp with time zone"),
    "created_at": (
        "coalesce(a.created_at AT TIME ZONE 'UTC', timestamptz 'epoch')",
        "timestamp with time zone",
    ),
    "updated_at": (
        "coalesce(a.updated_at AT TIME ZONE 'UTC', timestamptz 'epoch')",
        "timestamp with time zone",
    ),
}
MAPPED = f"SELECT {', '.join(up for up, _ in COLUMNS.values())} FROM public.users AS a"


def replication(sessions: PostgresSessions) -> Replication:
    with (
        sessions.open("a", purpose="look", timeout=10) as a,
        sessions.open("b", purpose="look", timeout=10) as b,
    ):
        one, two = read(a).tables["users"], read(b).tables["users"]
    mapped = tuple(
        Mapped(column, *COLUMNS[column.name], COLUMNS[column.name][0], f'b."{column.name}"::text')
        for column in two.columns
    )
    return Replication("bench", "a", "b", (Pair("users", one, two, ("id",), ("id",), mapped, ()),), "", {})


def ours(dsn_a: str, dsn_b: str, workers: int, chunk_bytes: int) -> dict[str, float]:
    """In this process: the seconds of each stage, and the memory it took at most."""
    sessions = PostgresSessions({"a": dsn_a, "b": dsn_b})
    moved = replication(sessions)
    began = time.monotonic()
    with sessions.open("a", purpose="x", timeout=10) as a, sessions.open("b", purpose="x", timeout=10) as b:
        tables.install(a, "bench", "a")
        tables.install(b, "bench", "b")
        epoch = ownership.claim(a, b, "bench", by="benchmark").epoch
        capture.create(a, moved, moved.pairs[0], "a")
    captured = time.monotonic()
    copied = copy(sessions, moved, epoch, workers=workers, chunk_bytes=chunk_bytes)
    done = time.monotonic()
    build(sessions, moved, epoch, workers=workers)
    ended = time.monotonic()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": ended - began,
        "capture": captured - began,
        "copy": done - captured,
        "build": ended - done,
        "rows": copied.rows,
        "bytes": copied.bytes,
        "chunks": copied.chunks,
        "memory": used.ru_maxrss / 1024,
        "processor": used.ru_utime + used.ru_stime,
    }


class Arena:
    """The two databases, and every way from one to the other."""

    def __init__(self, databases: PairOfDatabases, rows: int, workers: int, chunk_bytes: int) -> None:
        self.databases, self.rows, self.workers, self.chunk_bytes = databases, rows, workers, chunk_bytes
        self.stages: list[dict[str, float]] = []
        self.profiles: list[dict[str, float]] = []
        databases.run("a", OLD)
        databases.run("a", FILL.format(rows=rows))
        databases.run("a", INDEXES)
        with databases.writer("a") as connection:
            connection.execute("VACUUM (FREEZE, ANALYZE) users")
        self.bytes = databases.rows("a", "SELECT pg_relation_size('users')")[0][0]

    def fresh(self, schema: str) -> None:
        self.databases.run("b", "DROP SCHEMA IF EXISTS tracseq_migrate CASCADE")
        self.databases.run(
            "b", "DROP TABLE IF EXISTS users CASCADE; DROP TYPE IF EXISTS kind; " + (schema or "SELECT 1")
        )
        with self.databases.superuser("b") as connection:
            connection.execute("CHECKPOINT")

    def fine(self) -> None:
        ((count,),) = self.databases.rows("b", "SELECT count(*) FROM users")
        if count != self.rows:
            raise SystemExit(f"{count} rows arrived of {self.rows}")

    def shell(self, command: str) -> float:
        began = time.monotonic()
        subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - began

    def ours(self) -> float:
        self.fresh(NEW + INDEXES)
        self.databases.run("a", "DROP SCHEMA IF EXISTS tracseq_migrate CASCADE")
        command = [sys.executable, __file__, "--inner", self.databases.dsns["a"], self.databases.dsns["b"]]
        command += ["--workers", str(self.workers), "--chunk-mb", str(self.chunk_bytes / (1 << 20))]
        with watched(self.databases) as profile:
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        stages: dict[str, float] = json.loads(done.stdout)
        self.stages.append(stages)
        self.profiles.append(profile)
        self.fine()
        ((objects,),) = self.databases.rows(
            "b", "SELECT count(*) FROM pg_index WHERE indrelid = 'users'::regclass"
        )
        if objects != 4:
            raise SystemExit(f"{objects} indexes are there, and not 4")
        self.databases.run("a", "DROP SCHEMA tracseq_migrate CASCADE")
        return stages["seconds"]

    def dump(self) -> float:
        self.fresh("")
        seconds = self.shell(
            f"pg_dump -Fc -Z0 -t users '{self.databases.dsns['a']}' | pg_restore --no-owner -d '{self.databases.dsns['b']}'"
        )
        self.fine()
        return seconds

    def pgcopydb(self) -> float:
        self.fresh("")
        with tempfile.TemporaryDirectory() as folder:
            filters = Path(folder) / "filters.ini"
            filters.write_text("[include-only-table]\npublic.users\n")
            seconds = self.shell(
                f"pgcopydb clone --dir {folder}/work --source '{self.databases.dsns['a']}' --target '{self.databases.dsns['b']}'"
                f" --table-jobs 2 --index-jobs 2 --no-owner --no-acl --skip-extensions --filters {filters}"
                f" >{folder}/log 2>&1 || {{ cat {folder}/log >&2; false; }}"
            )
        self.fine()
        return seconds

    def raw(self) -> float:
        self.fresh(NEW.replace(" UNIQUE", ""))
        seconds = self.pipe()
        self.fine()
        return seconds

    def bare(self) -> float:
        self.fresh(NEW.replace(" UNIQUE", "").replace("id uuid PRIMARY KEY", "id uuid NOT NULL"))
        seconds = self.pipe()
        began = time.monotonic()
        self.databases.run("b", "ALTER TABLE users ADD PRIMARY KEY (id)")
        return seconds + time.monotonic() - began

    def pipe(self) -> float:
        return self.shell(
            f"psql -qXd '{self.databases.dsns['a']}' -c \"COPY ({MAPPED.replace(chr(34), chr(92) + chr(34))}) TO STDOUT BINARY\""
            f" | psql -qXd '{self.databases.dsns['b']}' -c 'COPY users FROM STDIN BINARY'"
        )


@contextmanager
def watched(databases: PairOfDatabases) -> Iterator[dict[str, float]]:
    """Processor seconds that the servers' processes of each database took, as far as they live for a moment."""
    spent: dict[str, float] = {"a": 0.0, "b": 0.0}
    seen: dict[tuple[str, int], float] = {}
    ended = threading.Event()

    def look() -> None:
        tick = os.sysconf("SC_CLK_TCK")
        with psycopg.connect(databases.dsns["a"], autocommit=True) as connection:
            while not ended.wait(0.1):
                for name, pid in connection.execute(
                    "SELECT datname::text, pid FROM pg_stat_activity"
                    " WHERE application_name LIKE 'tracseq-migrate%' AND datname IS NOT NULL"
                ):
                    try:
                        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                    except OSError:
                        continue
                    seen[name, pid] = (int(fields[11]) + int(fields[12])) / tick

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield spent
    finally:
        ended.set()
        thread.join()
        for (name, _), seconds in seen.items():
            spent["a" if name == databases.names["a"] else "b"] += seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=int(os.environ.get("ROWS", "1000000")))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--chunk-mb", type=float, default=32)
    parser.add_argument("--only", default="")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--inner", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    chunk_bytes = int(asked.chunk_mb * (1 << 20))
    if asked.inner:
        dsn_a, dsn_b = asked.inner
        print(json.dumps(ours(dsn_a, dsn_b, asked.workers, chunk_bytes)))
        return
    found = binaries()
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder) / "server", found.get(SYSTEM) or next(iter(found.values()))) as one,
    ):
        with one.administrator() as connection:
            for setting in ("fsync = on", "max_wal_size = '4GB'", "shared_buffers = '256MB'"):
                connection.execute(f"ALTER SYSTEM SET {setting}".encode())
            connection.execute("SELECT pg_reload_conf()")
        with fresh_pair(one, one) as databases:
            arena = Arena(databases, asked.rows, asked.workers, chunk_bytes)
            print(
                f"PostgreSQL {one.version}, {asked.rows:,} rows, {arena.bytes / asked.rows:.0f} bytes a row"
            )
            ways: dict[str, Callable[[], float]] = {"ours": arena.ours, "dump": arena.dump}
            if shutil.which("pgcopydb"):
                ways["pgcopydb"] = arena.pgcopydb
            ways |= {"raw": arena.raw, "bare": arena.bare}
            chosen = [each for each in ways if not asked.only or each in asked.only.split(",")]
            times: dict[str, list[float]] = {each: [] for each in chosen}
            for _ in range(asked.rounds):
                for each in chosen:
                    times[each].append(ways[each]())
            report(arena, times, profile=asked.profile)


def report(arena: Arena, times: dict[str, list[float]], *, profile: bool) -> None:
    median = {each: statistics.median(seconds) for each, seconds in times.items()}
    for each, seconds in times.items():
        print(f"{each:<9} {median[each]:7.2f} s   ({', '.join(f'{one:.2f}' for one in sorted(seconds))})")
    if not arena.stages:
        return
    of = {name: statistics.median(each[name] for each in arena.stages) for name in arena.stages[0]}
    print(
        f"ours: capture {of['capture']:.2f} s, copy {of['copy']:.2f} s ({of['rows'] / of['copy']:,.0f} rows/s,"
        f" {of['bytes'] / of['copy'] / 1e6:.0f} MB/s, {of['chunks']:.0f} chunks), build {of['build']:.2f} s;"
        f" memory of the tool at most {of['memory']:.0f} MB"
    )
    peers = [each for each in ("dump", "pgcopydb") if each in median]
    if peers:
        best = min(peers, key=median.__getitem__)
        print(f"against the faster peer ({best}): {median[best] / median['ours']:.2f} x as fast (aim 1.2)")
    if "raw" in median:
        print(f"the copy alone against raw: {median['raw'] / of['copy']:.2f} x as fast (aim 0.9)")
    if profile:
        print(
            f"processor seconds: the tool {of['processor']:.2f},"
            f" server for A {statistics.median(each['a'] for each in arena.profiles):.2f},"
            f" server for B {statistics.median(each['b'] for each in arena.profiles):.2f}"
        )


if __name__ == "__main__":
    main()
