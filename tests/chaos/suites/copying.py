"""Killed while rows are brought over, indexes are built, and everything is taken back: the tool, or either PostgreSQL.

A case ``kill SEED NUMBER`` has two databases of its own and somebody who writes all the time. What dies, and when, the seed says.
Afterwards it is begun again, until it is done; then every row must be equal, what had been copied before a kill must not have
been copied again, and after the way back both databases must be as they were.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.suite import Tally, Wrong
from tests.replication.copying import people
from tests.replication.copying.mover import started
from tests.replication.databases import PairOfDatabases, Server, binaries, fresh_pair, server
from tracseq_migrate.replication.applying import applier
from tracseq_migrate.replication.catalog.shape import differences
from tracseq_migrate.replication.control import ownership
from tracseq_migrate.replication.pair import Replication

PEOPLE = 3_000
CHUNK = 48 << 10
KILLS = 9
"""At most, on the way there; and two on the way back."""

CASES = 400
_VICTIMS = ("tool", "tool", "a", "b")
_SETTLED = 2.0
"""Seconds after which a commit that waited for no disk has reached it."""

Chunks = dict[tuple[str, int], Any]


class _Writer:
    """Somebody who changes A all the time, in every way, and does not mind errors."""

    def __init__(self, databases: PairOfDatabases, chance: random.Random) -> None:
        self._databases, self._chance = databases, chance
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self.written = 0

    def __enter__(self) -> _Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._ended.is_set():
            try:
                with self._databases.writer("a") as connection:
                    while not self._ended.wait(0.004):
                        try:
                            connection.execute(self._statement().encode())
                            self.written += 1
                        except psycopg.IntegrityError:
                            continue
            except psycopg.Error:
                self._ended.wait(0.1)  # the server is recovering

    def _statement(self) -> str:
        chance = self._chance
        one, two = (f"md5('{chance.randrange(1, PEOPLE)}')::uuid" for _ in range(2))
        new = chance.randrange(10**9)
        thing = chance.randrange(1, PEOPLE)
        return chance.choice(
            (
                f"UPDATE people SET badge = 'b{new}', balance = {new % 1000} WHERE id = {one}",
                f"UPDATE people SET badge = NULL, department = repeat('é', {new % 190}) WHERE id = {one}",
                f"INSERT INTO people (email, role, chief) VALUES ('n{new}@lab.local', 'boss', {one})",
                f"UPDATE people SET id = gen_random_uuid() WHERE id = {one}",
                f"DELETE FROM people WHERE id = {one}",
                f"BEGIN; UPDATE people SET email = 'tmp{new}@x' WHERE id = {one};"
                f" UPDATE people p SET email = 'sw{new}@x' WHERE id = {two}; COMMIT",
                f"INSERT INTO things (owner, label) SELECT id, 'new {new}' FROM people WHERE id = {one}",
                f"UPDATE things SET label = 'l{new}' WHERE id = {thing}",
                f"DELETE FROM marks WHERE thing = {thing}",
                f"INSERT INTO marks SELECT id, 'm{new}', {new} FROM things WHERE id = {thing}",
                f"UPDATE things SET id = nextval('things_id_seq') WHERE id = {thing}",
                "TRUNCATE marks"
                if new % 40 == 0
                else f"UPDATE marks SET worth = {new % 77} WHERE thing = {thing}",
            )
        )


class _Bench:
    def __init__(self, servers: Mapping[str, Server]) -> None:
        self._servers = servers
        self._long = {"bring": 2.0, "back": 0.7}

    def carry_out(self, case: str) -> Tally:
        chance = random.Random(case)
        names = list(self._servers)
        first, second = (names[0], names[-1]) if chance.random() < 0.5 else (names[-1], names[0])
        counts: Counter[str] = Counter()
        with fresh_pair(self._servers[first], self._servers[second]) as databases:
            databases.run("a", people.OLD)
            databases.run("b", people.NEW)
            people.fill(databases, PEOPLE)
            before = [catalog.shape() for catalog in people.catalogs(databases)]
            seeded = databases.rows("b", "SELECT people::text FROM people")
            with _Writer(databases, chance) as writer:
                self._until_done(databases, "bring", chance, chance.randint(4, KILLS), counts)
            counts["written meanwhile"] = writer.written
            moved = people.replication(databases)
            counts["rows equal"] = _equal(databases, moved)
            self._until_done(databases, "back", chance, 2, counts)
            after = [catalog.shape() for catalog in people.catalogs(databases)]
            # Sequences of A went on with its writer.
            apart = differences({**before[0], "sequences": {}}, {**after[0], "sequences": {}})
            apart += differences(before[1], after[1])
            if apart:
                raise Wrong(f"not as it was: {apart}")
            if databases.rows("b", "SELECT people::text FROM people") != seeded:
                raise Wrong("the seeded row is not what it was")
            left = [catalog.ours for catalog in people.catalogs(databases)]
            if any(left):
                raise Wrong(f"left behind: {left}")
        return Tally(sum(counts[each] for each in counts if each.startswith("killed")), dict(counts))

    def _until_done(
        self, databases: PairOfDatabases, what: str, chance: random.Random, kills: int, counts: Counter[str]
    ) -> None:
        chunks: Chunks = {}
        for attempt in range(kills + 30):
            began = time.monotonic()
            victim = chance.choice(_VICTIMS) if attempt < kills else ""
            process = started(what, dict(databases.dsns), CHUNK)
            with process:
                stages = _Lines(process)
                stages.wait_for("ready")
                if victim:
                    time.sleep(chance.random() * self._long[what])
                    if process.poll() is None and _kill(databases, victim, process):
                        counts[f"killed {victim} ({what}, {stages.last})"] += 1
                try:
                    process.wait(120)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise Wrong(f"{what} stands still at {stages.last}") from None
                stages.join()
                said = stages.errors
            _recovered(databases)
            if what == "bring":
                chunks = _kept(databases, chunks, crashed=victim == "b")
            if process.returncode == 0:
                if not victim:
                    self._long[what] = 0.7 * self._long[what] + 0.3 * (time.monotonic() - began)
                if attempt >= kills:
                    return
            elif process.returncode > 0 and not victim and "Unreachable" not in said:
                raise Wrong(f"{what} failed: {said[-1500:]}")
        raise Wrong(f"{what} does not come to an end")


class _Lines:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.last = ""
        self.errors = ""
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._complaints, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.last = line.strip()
                self._changed.notify_all()

    def _complaints(self) -> None:
        assert self._process.stderr is not None
        self.errors = self._process.stderr.read()

    def wait_for(self, line: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.last == line or self._process.poll() is not None, timeout=60)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def _kill(databases: PairOfDatabases, victim: str, process: subprocess.Popen[str]) -> bool:
    if victim == "tool":
        process.send_signal(signal.SIGKILL)
        return True
    with databases.superuser(victim) as connection:
        pids = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'tracseq-migrate:%'"
            " AND datname = current_database() ORDER BY random() LIMIT 1"
        ).fetchall()
    for (pid,) in pids:
        # One of its processes killed like that, and PostgreSQL ends all of them and recovers from its log.
        os.kill(pid, signal.SIGKILL)
    return bool(pids)


def _recovered(databases: PairOfDatabases) -> None:
    for side in ("a", "b"):
        until = time.monotonic() + 60
        while True:
            try:
                databases.rows(side, "SELECT 1")
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise Wrong(f"{side} does not recover") from None
                time.sleep(0.1)
            else:
                break


def _kept(databases: PairOfDatabases, before: Chunks, *, crashed: bool) -> Chunks:
    """The chunks that are done; none that was done before may have been done again."""
    if not databases.rows("b", "SELECT 1 WHERE to_regclass('tracseq_migrate.chunk') IS NOT NULL"):
        return {}
    now: Chunks = {
        (pair, number): at
        for pair, number, at in databases.rows(
            "b", "SELECT pair, number, at FROM tracseq_migrate.chunk WHERE at IS NOT NULL"
        )
    }
    latest = max(before.values(), default=None)
    for chunk, at in before.items():
        if now.get(chunk) != at and not (crashed and (latest - at).total_seconds() < _SETTLED):
            raise Wrong(f"chunk {chunk} was done at {at}, and again at {now.get(chunk)}")
    return now


def _equal(databases: PairOfDatabases, moved: Replication) -> int:
    with databases.open("b") as b:
        row = ownership.read(b, moved.name)
    if row is None:
        raise Wrong("nothing is installed")
    with applier(databases.sessions, moved, "forward", row.epoch) as one:
        while one.batch().read:
            pass
    rows = 0
    for pair in moved.pairs:
        with databases.open("a") as a, databases.open("b") as b:
            there = a.rows(
                f"SELECT {', '.join(each.text_a for each in pair.columns)} FROM {pair.a.relation} AS a"
            )
            here = b.rows(
                f"SELECT {', '.join(each.text_b for each in pair.columns)} FROM {pair.b.relation} AS b"
            )
            kept = (
                a.rows(
                    f"SELECT {', '.join(f'a.{name}' for name in pair.key_a)}, v.c, v.v FROM {pair.a.relation} AS a,"
                    f" LATERAL (VALUES {', '.join(f'({name!r}, a.{name}::text)' for name in pair.kept)}) AS v(c, v)"
                    " WHERE v.v IS NOT NULL"
                )
                if pair.kept
                else []
            )
            side = b.rows(f"SELECT * FROM {pair.side}") if pair.side else []
        if Counter(there) != Counter(here):
            raise Wrong(
                f"{pair.name}: only on A {list((Counter(there) - Counter(here)).elements())[:3]},"
                f" only on B {list((Counter(here) - Counter(there)).elements())[:3]}"
            )
        if Counter(kept) != Counter(side):
            raise Wrong(f"{pair.side} is not what has no home: {len(kept)} and {len(side)} rows")
        rows += len(here) + len(side)
    return rows


class _Suite:
    name = "copying"

    def cases(self, seed: int) -> Iterator[str]:
        for number in range(CASES):
            yield f"kill {seed} {number}"

    @contextmanager
    def bench(self, folder: Path) -> Iterator[_Bench]:
        with ExitStack() as stack:
            yield _Bench(
                {
                    name: stack.enter_context(server(folder / name, where))
                    for name, where in binaries().items()
                }
            )


SUITE = _Suite()
