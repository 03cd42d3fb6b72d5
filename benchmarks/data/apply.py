"""Applying of changes against native logical replication, and what capture costs those who write.

    python -P benchmarks/data/apply.py [--rows 200000] [--changes 60000] [--rounds 3] [--only apply|lag|writers|triggers]

Two servers on loopback (of two versions, where both are on the machine). The shape is the users' of the sandbox, in short: about
250 bytes a row, two secondary indexes, a mapping that renames, trims, maps an enumeration and adds a zone.

apply     A backlog of single-row updates and inserts, committed one by one, is applied: by the key log, and by a publication and
          a subscription whose target has a table of the source's shape, with a row trigger (ENABLE ALWAYS) that writes the mapped
          row into the real one. Both have the same backlog; the clock runs until the destination has all of it.
lag       Four writers make 2,000 changes a second for ten seconds while the applier runs; how old the oldest change is that each
          batch finds.
writers   pgbench, 4 clients: single-row updates and inserts with and without capture, in turns.
triggers  One statement over many rows, and many statements of one row: the row trigger against statement triggers with transition
          tables.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the servers are started as the tests start theirs

from tests.replication.applying.pairs import Stage, Wanted, set_up  # noqa: E402
from tests.replication.databases import PairOfDatabases, Server, binaries, fresh_pair, server  # noqa: E402

from tracseq_migrate.replication import capture  # noqa: E402
from tracseq_migrate.replication.applying import applier  # noqa: E402

SCHEMA_A = """
CREATE TYPE role AS ENUM ('admin', 'manager', 'viewer', 'guest');
CREATE TABLE users (
    id int PRIMARY KEY, email varchar(255) NOT NULL UNIQUE, name text, department varchar(200), role role NOT NULL,
    phone text, hash text, logins int NOT NULL DEFAULT 0, seen timestamp, created timestamp NOT NULL
);
CREATE INDEX users_role ON users (role);
"""
SCHEMA_B = """
CREATE TYPE kind AS ENUM ('chief', 'member');
CREATE TABLE users (
    id int PRIMARY KEY, email varchar(255) NOT NULL UNIQUE, full_name text NOT NULL, department varchar(100), kind kind NOT NULL,
    phone text, password_hash text NOT NULL, logins int NOT NULL, seen_at timestamptz, created_at timestamptz NOT NULL
);
CREATE INDEX users_kind ON users (kind);
"""
COLUMNS = {
    "id": "id",
    "email": "email",
    "full_name": "coalesce(a.name, '')",
    "department": "left(a.department, 100)",
    "kind": "CASE WHEN a.role IN ('admin', 'manager') THEN 'chief' ELSE 'member' END",
    "phone": "phone",
    "password_hash": "coalesce(a.hash, '!')",
    "logins": "logins",
    "seen_at": "a.seen AT TIME ZONE 'UTC'",
    "created_at": "a.created AT TIME ZONE 'UTC'",
}
FILL = """
INSERT INTO users SELECT i, 'user' || i || '@lab.example.org', 'First' || i % 1000 || ' Last' || i % 5000,
    'Department of ' || repeat('x', 20) || i % 97, (enum_range(NULL::role))[1 + i % 4], '+1 919 555 ' || i % 10000,
    md5(i::text) || md5(i::text), i % 9, '2024-06-01'::timestamp + i * interval '3 s',
    '2024-01-01'::timestamp + i * interval '7 s'
FROM generate_series({first}, {last}) i
"""
# The same mapping, as a trigger on a table of the source's shape on the destination.
NATIVE = """
CREATE TYPE role AS ENUM ('admin', 'manager', 'viewer', 'guest');
CREATE TABLE native_target (LIKE users INCLUDING ALL);
ALTER TABLE users RENAME TO users_by_log;
CREATE TABLE users (
    id int PRIMARY KEY, email varchar(255) NOT NULL, name text, department varchar(200), role role NOT NULL,
    phone text, hash text, logins int NOT NULL DEFAULT 0, seen timestamp, created timestamp NOT NULL
);
CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND OLD.id IS DISTINCT FROM NEW.id) THEN
        DELETE FROM public.native_target WHERE id = OLD.id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO public.native_target VALUES (NEW.id, NEW.email, coalesce(NEW.name, ''), left(NEW.department, 100),
            (CASE WHEN NEW.role IN ('admin', 'manager') THEN 'chief' ELSE 'member' END)::public.kind, NEW.phone,
            coalesce(NEW.hash, '!'), NEW.logins, NEW.seen AT TIME ZONE 'UTC', NEW.created AT TIME ZONE 'UTC')
        ON CONFLICT (id) DO UPDATE SET email = excluded.email, full_name = excluded.full_name,
            department = excluded.department, kind = excluded.kind, phone = excluded.phone,
            password_hash = excluded.password_hash, logins = excluded.logins, seen_at = excluded.seen_at,
            created_at = excluded.created_at;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON users FOR EACH ROW EXECUTE FUNCTION carry();
ALTER TABLE users ENABLE ALWAYS TRIGGER carry;
"""
DSN_IN = re.compile(r"(?:user|password|host|port|dbname)=\S+")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--changes", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--only", choices=["apply", "lag", "writers", "triggers"])
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
    print(f"PostgreSQL {first.version} -> {second.version}, {os.cpu_count()} CPUs, {given.rows:,} rows")
    parts: dict[str, Callable[[PairOfDatabases, argparse.Namespace], None]] = {
        "apply": _apply,
        "lag": _lag,
        "writers": _writers,
        "triggers": _triggers,
    }
    for name, part in parts.items():
        if given.only in (None, name):
            with fresh_pair(first, second) as databases:
                part(databases, given)


def _stage(databases: PairOfDatabases, rows: int) -> Stage:
    """Both tables, equal, with capture on."""
    stage = set_up(databases, SCHEMA_A, SCHEMA_B, [Wanted("users", "users", COLUMNS)])
    databases.run("a", FILL.format(first=1, last=rows))
    stage.drain(limit=100_000)
    for side in ("a", "b"):
        databases.run(side, "VACUUM ANALYZE")
    return stage


def _changes(databases: PairOfDatabases, changes: int, start: int) -> None:
    """A backlog: five updates of one row for each insert, a transaction each."""
    with databases.writer("a") as writer:
        writer.execute("SET synchronous_commit = off")
        writer.execute(
            f"""
            DO $$ BEGIN FOR step IN 1..{changes} LOOP
                IF step % 6 = 0 THEN {FILL.format(first=f"{start} + step", last=f"{start} + step")};
                ELSE UPDATE users SET logins = logins + 1, seen = clock_timestamp()
                    WHERE id = 1 + (step::bigint * 7919) % {start}; END IF;
                COMMIT;
            END LOOP; END $$
            """.encode()
        )


def _apply(databases: PairOfDatabases, given: argparse.Namespace) -> None:
    stage = _stage(databases, given.rows)
    with databases.superuser("a") as a:
        a.execute(
            b"ALTER TABLE users REPLICA IDENTITY DEFAULT; CREATE PUBLICATION everything FOR TABLE users"
        )
        a.execute("SELECT pg_create_logical_replication_slot('bench', 'pgoutput')")
    with databases.superuser("b") as b:
        b.execute(NATIVE.encode())
        b.execute("INSERT INTO native_target SELECT * FROM users_by_log")
        b.execute("ALTER TABLE users DISABLE TRIGGER carry; ANALYZE")
        dsn = psycopg.conninfo.make_conninfo(databases.servers["a"].superuser, dbname=databases.names["a"])
        with databases.superuser("a") as a:
            rows = a.execute(
                "SELECT id, email, name, department, role::text, phone, hash, logins, seen, created FROM users"
            )
            with b.cursor().copy("COPY users FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        b.execute("ALTER TABLE users ENABLE ALWAYS TRIGGER carry; ANALYZE")
        b.execute(
            f"CREATE SUBSCRIPTION bench CONNECTION '{dsn}' PUBLICATION everything"
            " WITH (create_slot = false, slot_name = 'bench', copy_data = false, enabled = false)".encode()
        )
        try:
            ours, theirs, lined = [], [], given.rows
            for _ in range(given.rounds):
                _changes(databases, given.changes, lined)
                lined += given.changes
                b.execute(
                    "ALTER TABLE users RENAME TO users_native; ALTER TABLE users_by_log RENAME TO users"
                )
                with applier(databases.sessions, stage.replication, "forward", 1) as one:
                    begun = time.monotonic()
                    done = one.drain(rounds=1_000)
                    ours.append(done.read / (time.monotonic() - begun))
                b.execute(
                    "ALTER TABLE users RENAME TO users_by_log; ALTER TABLE users_native RENAME TO users"
                )
                theirs.append(done.read / _native(databases, b))
                same = b.execute(
                    "SELECT count(*) FROM (SELECT * FROM native_target EXCEPT SELECT * FROM users_by_log) d"
                ).fetchone()
                assert same == (0,), same
        finally:
            b.execute("ALTER SUBSCRIPTION bench DISABLE")
            b.execute("DROP SUBSCRIPTION bench")
    print(
        f"apply    key log {statistics.median(ours):,.0f} changes/s, native with a transforming trigger"
        f" {statistics.median(theirs):,.0f}: {statistics.median(ours) / statistics.median(theirs):.2f} x"
        f"   (rounds {[round(x) for x in ours]} / {[round(x) for x in theirs]}, {given.changes:,} changes each)"
    )


def _native(databases: PairOfDatabases, b: psycopg.Connection[tuple[object, ...]]) -> float:
    with databases.superuser("a") as a:
        target = a.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        assert target is not None
        begun = time.monotonic()
        b.execute("ALTER SUBSCRIPTION bench ENABLE")
        query = "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = 'bench'"
        marks = "SELECT pg_logical_emit_message(false, 'bench', '')"
        count = a.execute("SELECT count(*) FROM users").fetchone()
        while True:
            seen = b.execute("SELECT count(*) FROM native_target").fetchone()
            if seen == count:
                break
            time.sleep(0.02)
        # The last changes are updates or an insert; the slot's position tells of all of them.
        took = time.monotonic() - begun
        while True:
            a.execute(marks)
            reached = a.execute(query, target).fetchone()
            if reached == (True,):
                break
            time.sleep(0.05)
        b.execute("ALTER SUBSCRIPTION bench DISABLE")
        while a.execute("SELECT active FROM pg_replication_slots WHERE slot_name = 'bench'").fetchone() != (
            False,
        ):
            time.sleep(0.02)
    return took


def _lag(databases: PairOfDatabases, given: argparse.Namespace) -> None:
    stage = _stage(databases, given.rows)
    stop, wrote = threading.Event(), [0] * 4

    def write(number: int) -> None:
        with databases.writer("a") as writer:
            begun, done = time.monotonic(), 0
            while not stop.is_set():
                key = 1 + (done * 7919 + number * 50_021) % given.rows
                writer.execute("UPDATE users SET logins = logins + 1, seen = now() WHERE id = %s", (key,))
                done += 1
                wrote[number] = done
                ahead = done / 500 - (time.monotonic() - begun)
                if ahead > 0:
                    time.sleep(ahead)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    ages, read, rounds = [], 0, 0
    try:
        with applier(databases.sessions, stage.replication, "forward", 1) as one:
            one.batch()
            begun, before = time.monotonic(), sum(wrote)
            while time.monotonic() - begun < given.seconds:
                began = time.monotonic()
                batch = one.batch()
                ages.append(batch.oldest_seconds + time.monotonic() - began)
                read += batch.read
                rounds += 1
            rate = (sum(wrote) - before) / (time.monotonic() - begun)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    ages.sort()
    print(
        f"lag      at {rate:,.0f} changes/s: median {statistics.median(ages) * 1000:.0f} ms,"
        f" p99 {ages[int(len(ages) * 0.99)] * 1000:.0f} ms, most {ages[-1] * 1000:.0f} ms"
        f" ({read:,} changes in {rounds} batches; from the change to the commit on the destination)"
    )


def _writers(databases: PairOfDatabases, given: argparse.Namespace) -> None:
    stage = _stage(databases, given.rows)
    pair = stage.replication.pairs[0]
    with tempfile.TemporaryDirectory(prefix="tm-") as folder:
        scripts = {
            "update": f"\\set k random(1, {given.rows})\nUPDATE users SET logins = logins + 1 WHERE id = :k;\n",
            "insert": "INSERT INTO users (id, email, role, created) SELECT v, v || '@x', 'guest', now()"
            " FROM nextval('numbers') v;\n",
        }
        databases.run("a", f"CREATE SEQUENCE numbers START {given.rows + 1}")
        for name, text in scripts.items():
            script = Path(folder) / name
            script.write_text(text, "utf-8")
            rates: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(given.rounds):
                for captured in (False, True):
                    with databases.open("a") as session:
                        (capture.enable if captured else capture.disable)(
                            session, stage.replication, pair, "a"
                        )
                        session.execute(f"TRUNCATE {capture.log_table(stage.replication, pair)}")
                    rates[captured].append(_pgbench(databases, script, given.seconds))
            bare, with_capture = statistics.median(rates[False]), statistics.median(rates[True])
            print(
                f"writers  {name}: {bare:,.0f}/s without capture, {with_capture:,.0f}/s with it:"
                f" {with_capture / bare:.2f} x (4 clients, a transaction each, fsync off: the worst case for capture)"
            )


def _pgbench(databases: PairOfDatabases, script: Path, seconds: int) -> float:
    program = next(
        (each / "pgbench" for each in binaries().values() if (each / "pgbench").exists()), Path("pgbench")
    )
    done = subprocess.run(
        [
            str(program),
            "-n",
            "-M",
            "prepared",
            "-c",
            "4",
            "-j",
            "2",
            "-T",
            str(seconds),
            "-f",
            str(script),
            databases.dsns["a"],
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found.group(1))


STATEMENT_TRIGGERS = """
CREATE FUNCTION log_new() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN INSERT INTO {log} (key_1) SELECT n.id FROM n; RETURN NULL; END $$;
CREATE FUNCTION log_both() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN INSERT INTO {log} (key_1) SELECT n.id FROM n UNION SELECT o.id FROM o; RETURN NULL; END $$;
CREATE TRIGGER log_new AFTER INSERT ON users REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION log_new();
CREATE TRIGGER log_both AFTER UPDATE ON users REFERENCING OLD TABLE AS o NEW TABLE AS n
    FOR EACH STATEMENT EXECUTE FUNCTION log_both();
"""


def _triggers(databases: PairOfDatabases, given: argparse.Namespace) -> None:
    stage = _stage(databases, given.rows)
    pair = stage.replication.pairs[0]
    log = capture.log_table(stage.replication, pair)
    databases.run("a", STATEMENT_TRIGGERS.format(log=log))
    many = min(given.rows, 100_000)
    works = {
        f"{many:,} rows in one update": (
            f"UPDATE users SET logins = logins + 1 WHERE id <= {many}",
            1,
        ),
        "20,000 updates of one row": (
            "DO $$ BEGIN FOR i IN 1..20000 LOOP UPDATE users SET logins = logins + 1 WHERE id = i; END LOOP; END $$",
            1,
        ),
    }
    for name, (work, _) in works.items():
        times: dict[str, list[float]] = {"none": [], "row": [], "statement": []}
        for _ in range(given.rounds):
            for kind, found in times.items():
                with databases.open("a") as session:
                    (capture.enable if kind == "row" else capture.disable)(
                        session, stage.replication, pair, "a"
                    )
                    for trigger in ("log_new", "log_both"):
                        session.execute(
                            f"ALTER TABLE public.users {'ENABLE ALWAYS' if kind == 'statement' else 'DISABLE'} TRIGGER {trigger}"
                        )
                    session.execute(f"TRUNCATE {log}")
                databases.run("a", "VACUUM users")
                begun = time.monotonic()
                databases.run("a", work)
                found.append(time.monotonic() - begun)
        bare, row, statement = (statistics.median(times[kind]) for kind in ("none", "row", "statement"))
        print(
            f"triggers {name}: {bare:.2f} s without, row trigger {row:.2f} s ({row / bare:.2f} x),"
            f" statement trigger {statement:.2f} s ({statement / bare:.2f} x)"
        )


if __name__ == "__main__":
    main()
