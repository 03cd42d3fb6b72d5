"""A small laboratory on two databases: accounts that people write all the time through whatever stands in front."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

import psycopg

from tests.replication.databases import PairOfDatabases
from tracseq_migrate.adapters.clock import SystemClock
from tracseq_migrate.ports.sql import Sessions
from tracseq_migrate.replication.bringing import bring
from tracseq_migrate.replication.opening import open_mapping
from tracseq_migrate.replication.pair import Replication

SCHEMA_A = """
CREATE TABLE accounts (
    id serial PRIMARY KEY, name varchar(80) NOT NULL UNIQUE, balance int NOT NULL, touched int NOT NULL DEFAULT 0,
    nick text NOT NULL DEFAULT 'none');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.touched := coalesce(OLD.touched, 0) + 1; RETURN NEW; END';
CREATE TRIGGER touching BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION touch();
INSERT INTO accounts (name, balance) SELECT 'first ' || i, i FROM generate_series(1, 50) AS i;
"""
SCHEMA_B = """
CREATE TABLE members (
    id serial PRIMARY KEY, full_name varchar(80) NOT NULL UNIQUE, cents bigint NOT NULL, touched int NOT NULL DEFAULT 0);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.touched := coalesce(OLD.touched, 0) + 1; RETURN NEW; END';
CREATE TRIGGER touching BEFORE UPDATE ON members FOR EACH ROW EXECUTE FUNCTION touch();
"""
MAPPING = """
version: 1
tables:
  - from: accounts
    to: members
    columns:
      id: id
      full_name: name
      cents: balance
      touched: touched
    back:
      balance: {unfit: nobody has more than two thousand million}
    kept: [nick]
"""


def moved(databases: PairOfDatabases) -> Replication:
    """The tables made, and following."""
    databases.run("a", SCHEMA_A)
    databases.run("b", SCHEMA_B)
    replication = opened(databases.sessions)
    bring(
        databases.sessions,
        replication,
        jobs=1,
        lag=1.0,
        by="the test",
        clock=SystemClock(),
        check=lambda: None,
        told=lambda text: None,
        reached=lambda stage: None,
    )
    return replication


def opened(sessions: Sessions) -> Replication:
    """As it is now."""
    made = open_mapping(
        sessions, database_a="a", database_b="b", file="mappings/lab.yaml", text=MAPPING, patience=20.0
    )
    return made.replication


@dataclass
class Door:
    """Stands in front: sends writers to one side, and can hold them for a second. Like a real one it lets go by itself."""

    side: str = "a"
    over: str = "b"
    held_until: float = 0.0
    under_way: int = 0
    epoch: int = 0
    lock: threading.Condition = field(default_factory=threading.Condition)

    def prepare(self) -> None:
        return

    def hold(self) -> None:
        with self.lock:
            self.held_until = time.monotonic() + 1.0

    def settle(self, seconds: float) -> int | None:
        with self.lock:
            self.lock.wait_for(lambda: not self.under_way, timeout=seconds)
            return self.under_way

    def switch(self, epoch: int) -> None:
        assert epoch >= self.epoch
        with self.lock:
            self.epoch, self.side = epoch, self.over

    def turn_back(self, epoch: int) -> None:
        with self.lock:
            self.epoch, self.side = epoch, "a" if self.over == "b" else "b"

    def release(self) -> None:
        with self.lock:
            self.held_until = 0.0
            self.lock.notify_all()

    def finish(self) -> None:
        return

    def come_in(self) -> str:
        """A writer comes: where it is sent. It waits while writes are held."""
        with self.lock:
            while (left := self.held_until - time.monotonic()) > 0:
                self.lock.wait(left)
            self.under_way += 1
            return self.side

    def go_out(self) -> None:
        with self.lock:
            self.under_way -= 1
            self.lock.notify_all()


class Writers:
    """People: each writes rows of its own, one after the other, and remembers what was acknowledged."""

    TABLES: ClassVar = {"a": ("accounts", "name", "balance"), "b": ("members", "full_name", "cents")}

    def __init__(self, databases: PairOfDatabases, door: Door, count: int = 4) -> None:
        self._databases = databases
        self._door = door
        self._over = threading.Event()
        self.known: dict[str, int | None] = {}
        self.unsure: set[str] = set()
        self.refused: list[str] = []
        self.acknowledged = 0
        self.errors: list[Exception] = []
        self.slowest = 0.0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(count)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def until(self, more: int) -> None:
        """Until so many more writes were acknowledged."""
        target = self.acknowledged + more
        deadline = time.monotonic() + 30
        while self.acknowledged < target and not self.errors:
            assert time.monotonic() < deadline, "the writers stand still"
            time.sleep(0.01)

    def _work(self, number: int) -> None:
        connections: dict[str, psycopg.Connection] = {}
        try:
            step = 0
            while not self._over.wait(0.002):
                step += 1
                self._write(connections, f"w{number}-{step // 4}", step)
        except Exception as error:  # noqa: BLE001 - told where the writers are joined
            self.errors.append(error)
        finally:
            for connection in connections.values():
                connection.close()

    def _write(self, connections: dict[str, psycopg.Connection], name: str, value: int) -> None:
        began = time.monotonic()
        side = self._door.come_in()
        table, key, column = self.TABLES[side]
        try:
            if side not in connections:
                connections[side] = psycopg.connect(
                    self._databases.dsns[side], autocommit=True, prepare_threshold=None
                )
            connection = connections[side]
            if value % 4 == 3 and value % 8 == 7:
                connection.execute(f"DELETE FROM {table} WHERE {key} = %s", [name])
                result = None
            else:
                connection.execute(
                    f"INSERT INTO {table} ({key}, {column}) VALUES (%s, %s)"
                    f" ON CONFLICT ({key}) DO UPDATE SET {column} = excluded.{column}",
                    [name, value],
                )
                result = value
        except psycopg.errors.SerializationFailure as error:
            self.refused.append(str(error))
            return
        finally:
            self._door.go_out()
        with self._lock:
            self.known[name] = result
            self.acknowledged += 1
            self.slowest = max(self.slowest, time.monotonic() - began)


def wrong(databases: PairOfDatabases, writers: Writers, side: str) -> list[tuple[str, object, object]]:
    """Acknowledged writes that the owner does not have as they were acknowledged: name, what was, what is."""
    table, key, column = Writers.TABLES[side]
    there = dict(databases.rows(side, f"SELECT {key}, {column} FROM {table} WHERE {key} LIKE 'w%'"))
    known = {name: value for name, value in writers.known.items() if value is not None}
    return [
        (name, known.get(name), there.get(name))
        for name in sorted(known.keys() | there.keys())
        if known.get(name) != there.get(name)
    ]


@contextmanager
def writing(databases: PairOfDatabases, door: Door) -> Iterator[Writers]:
    with Writers(databases, door) as writers:
        writers.until(50)
        yield writers
        writers.until(50)
    assert not writers.errors, writers.errors
