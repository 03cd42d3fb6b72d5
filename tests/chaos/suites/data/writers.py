"""People who write to the old side all the time, in every way, and know what they were told was done."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.chaos.suites.data.clusters import Kept

PACE = 0.006
Connection = psycopg.Connection[tuple[Any, ...]]
Key = tuple[str, str]
"""A table and the text of a key."""


class Writer:
    """One of several, each with rows of its own.

    ``known`` is every row of theirs as its last acknowledged transaction left it. A transaction of which nobody knows how it
    ended must have been done whole or not at all: that is looked at as soon as the server is back, and ``strange`` tells where it
    was neither.
    """

    def __init__(self, cluster: Kept, known: Mapping[Key, str], name: str, chance: random.Random) -> None:
        self.known: dict[Key, str] = dict(known)
        self.strange: list[str] = []
        self.acknowledged = 0
        self.in_doubt = 0
        self._cluster, self._name, self._chance = cluster, name, chance
        self._made = 0
        self._doubtful: tuple[dict[Key, str | None], dict[Key, str | None]] | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._ended.clear()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """After this nothing is written any more, and nothing is in doubt; the server must be up."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._cluster.writer() as connection:
            self._settle(connection)

    def _write(self) -> None:
        while not self._ended.is_set():
            try:
                with self._cluster.writer() as connection:
                    self._settle(connection)
                    while not self._ended.wait(PACE * self._chance.random() * 2):
                        self._transaction(connection)
            except psycopg.OperationalError:
                self._ended.wait(0.05)  # killed, or recovering
            except Exception as error:  # noqa: BLE001 - it is told by the one who judges
                self.strange.append(f"{type(error).__name__}: {error}")
                return

    def _settle(self, connection: Connection) -> None:
        if self._doubtful is None:
            return
        before, after = self._doubtful
        seen: dict[Key, str | None] = {}
        for table, key in {**before, **after}:
            found = connection.execute(f"SELECT t::text FROM {table} AS t WHERE id = %s", [key]).fetchone()
            seen[table, key] = found[0] if found else None
        if seen == after:
            self._take(after)
        elif seen != {key: before.get(key) for key in seen}:
            self.strange.append(f"neither before nor after: {seen}; before {before}; after {after}")
        self._doubtful = None

    def _take(self, after: Mapping[Key, str | None]) -> None:
        for key, row in after.items():
            if row is None:
                self.known.pop(key, None)
            else:
                self.known[key] = row

    def _transaction(self, connection: Connection) -> None:
        after: dict[Key, str | None] = {}
        try:
            connection.execute("BEGIN" + self._chance.choice(("", "", " ISOLATION LEVEL SERIALIZABLE")))
            for _ in range(self._chance.choice((1, 1, 2, 5))):
                with self._perhaps_not(connection) as done:
                    done |= self._operation(connection, {**self.known, **after})
                after |= done
            if self._chance.random() < 0.08:
                connection.execute("ROLLBACK")
                return
        except psycopg.errors.SerializationFailure:
            connection.execute("ROLLBACK")
            return
        before = {key: self.known.get(key) for key in after}
        self._doubtful = before, after
        try:
            connection.execute("COMMIT")
        except psycopg.errors.SerializationFailure:
            self._doubtful = None
            return
        except psycopg.OperationalError:
            self.in_doubt += 1
            raise
        self._doubtful = None
        self._take(after)
        self.acknowledged += 1

    @contextmanager
    def _perhaps_not(self, connection: Connection) -> Iterator[dict[Key, str | None]]:
        """Some of it is taken back to a savepoint."""
        done: dict[Key, str | None] = {}
        regretted = self._chance.random() < 0.06
        if regretted:
            connection.execute("SAVEPOINT here")
        yield done
        if regretted:
            connection.execute("ROLLBACK TO SAVEPOINT here")
            done.clear()

    def _operation(self, connection: Connection, now: Mapping[Key, str | None]) -> dict[Key, str | None]:
        chance = self._chance
        # Where they lie in it is the same for the same seed: a dict keeps its order.
        rows = list(self.known)
        table, key = chance.choice(rows)
        while now.get((table, key)) is None:
            table, key = chance.choice(rows)
        self._made += 1
        new = f"{self._name}{self._made}"
        if table == "things":
            return self._thing(connection, key, new, chance.randrange(8))
        return self._person(connection, key, new, chance.randrange(10), now)

    def _thing(self, connection: Connection, key: str, new: str, kind: int) -> dict[Key, str | None]:
        if kind == 0:
            connection.execute("DELETE FROM things WHERE id = %s", [key])
            return {("things", key): None}
        if kind == 1:
            rows = self._rows(
                connection,
                "things",
                "UPDATE things SET id = nextval('things_id_seq') WHERE id = %s",
                [key],
            )
            return {("things", key): None, **rows}
        return self._rows(
            connection,
            "things",
            "UPDATE things SET worth = %s, label = %s, picture = %s WHERE id = %s",
            [self._chance.randrange(10**6), f"thing {new}", self._chance.randbytes(kind * 9), key],
        )

    def _person(
        self, connection: Connection, key: str, new: str, kind: int, now: Mapping[Key, str | None]
    ) -> dict[Key, str | None]:
        chance = self._chance
        if kind == 0:
            owned = connection.execute("SELECT id::text FROM things WHERE owner = %s", [key]).fetchall()
            connection.execute("DELETE FROM people WHERE id = %s", [key])
            return {("people", key): None, **{("things", each): None for (each,) in owned}}
        if kind == 1:
            rows = self._rows(
                connection, "people", "UPDATE people SET id = md5(%s)::uuid WHERE id = %s", [new, key]
            )
            return {("people", key): None, **rows, **self._owned(connection, next(iter(rows))[1])}
        if kind == 2:
            other = self._another(key, now)
            email = "SELECT email FROM people WHERE id = %s"
            mine, theirs = (connection.execute(email, [each]).fetchone() for each in (key, other))
            assert mine is not None
            assert theirs is not None
            set_email = "UPDATE people SET email = %s WHERE id = %s"
            connection.execute(set_email, [f"{new}@between.example", key])
            swapped = self._rows(connection, "people", set_email, [mine[0], other])
            return swapped | self._rows(connection, "people", set_email, [theirs[0], key])
        if kind == 3:
            return self._rows(
                connection,
                "people",
                "INSERT INTO people VALUES (md5(%s)::uuid, %s, %s, %s, %s, %s, %s, NULL, %s, NULL)",
                [
                    f"new {new}",
                    f"{new}@lab.example",
                    chance.choice(("reader", "boss", "somebody")),
                    "é" * chance.randrange(200),
                    chance.randrange(10**6) / 100,
                    "2024-03-31 02:30:00.000001",
                    [new, ""],
                    new * chance.randrange(60),
                ],
            )
        if kind == 4:
            return self._rows(
                connection,
                "things",
                "INSERT INTO things (owner, label, worth) VALUES (%s, %s, %s)",
                [key, f"new {new}", chance.choice((None, 1, -(2**31)))],
            )
        return self._rows(
            connection,
            "people",
            "UPDATE people SET role = %s, department = %s, balance = %s, extra = %s, badge = %s, note = %s WHERE id = %s",
            [
                chance.choice(("reader", "writer", "boss", "nobody")),
                chance.choice((None, "", "x" * 100, "ü" * 199, new)),
                chance.choice((None, 0, 0.5, -12.25)),
                chance.choice((None, "null", '{"a": [1, 2.50, "b"]}')),
                chance.choice((None, "", new)),
                chance.choice((None, "", new * chance.randrange(99))),
                key,
            ],
        )

    def _another(self, key: str, now: Mapping[Key, str | None]) -> str:
        rows = list(self.known)
        while True:
            table, other = self._chance.choice(rows)
            if table == "people" and other != key and now.get((table, other)) is not None:
                return other

    def _owned(self, connection: Connection, owner: str) -> dict[Key, str | None]:
        rows = connection.execute("SELECT id::text, t::text FROM things AS t WHERE owner = %s", [owner])
        return {("things", key): row for key, row in rows.fetchall()}

    @staticmethod
    def _rows(connection: Connection, table: str, statement: str, values: list[Any]) -> dict[Key, str | None]:
        cursor = connection.execute(f"{statement} RETURNING id::text, {table}::text".encode(), values)
        return {(table, key): row for key, row in cursor.fetchall()}


def shared_out(connection: Connection, writers: int) -> list[dict[Key, str]]:
    """All rows of the old side, so that what belongs together is one writer's."""
    shares: list[dict[Key, str]] = [{} for _ in range(writers)]
    of: dict[str, int] = {}
    for number, (key, row) in enumerate(
        connection.execute("SELECT id::text, t::text FROM people AS t ORDER BY id").fetchall()
    ):
        of[key] = number % writers
        shares[of[key]]["people", key] = row
    for key, owner, row in connection.execute(
        "SELECT id::text, owner::text, t::text FROM things AS t ORDER BY id"
    ).fetchall():
        shares[of[owner]]["things", key] = row
    return shares
