"""The oracle: people at work, who remember every write that was acknowledged, and look by SQL whether it is there.

It shares nothing with the tool or with the sandbox's applications but HTTP and the tables: no ledger, no client, no mapping.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import aiohttp
import psycopg
from psycopg.types.json import Jsonb

Value = Mapping[str, Any] | None
"""What is in a row, column by column; None where there is none."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What people write: where they send it, and where it is then."""

    name: str
    path: str
    key: str
    query: str
    """Gives key and the columns in the order of ``columns``; the same words fit both sides."""
    columns: Sequence[str]
    insert: str
    """By which the first rows come to be, at the monolith: its parameters are the key and the word."""

    more: Mapping[str, str] = field(default_factory=dict)
    """What a new row needs besides; not looked at."""

    def changed(self, word: str) -> dict[str, Any]:
        """What a change sends, and what must be in the columns afterwards."""
        return {name: f"{name} {word}" for name in self.columns}

    def made(self, key: str, word: str) -> dict[str, Any]:
        return {self.key: key, **self.more, **self.changed(word)}


KINDS = (
    Kind(
        "users",
        "/api/auth/users",
        "email",
        "SELECT email, first_name, last_name, department FROM users WHERE email LIKE '%@cutover.example'",
        ("first_name", "last_name", "department"),
        "INSERT INTO users (unc_pid, email, password_hash, first_name, last_name, department, role, status)"
        " VALUES ('c-' || %(key)s, %(key)s, '!', 'first_name ' || %(word)s, 'last_name ' || %(word)s,"
        " 'department ' || %(word)s, 'guest', 'active') RETURNING id::text",
        {"password": "Pw-cutover-1!"},
    ),
    Kind(
        "samples",
        "/api/samples",
        "barcode",
        "SELECT barcode, name FROM samples WHERE barcode LIKE '%@cutover.example'",
        ("name",),
        "INSERT INTO samples (barcode, name, status, location)"
        " VALUES (%(key)s, 'name ' || %(word)s, 'pending', 'Freezer ' || %(word)s) RETURNING id::text",
        {"location": "Freezer 7", "status": "pending"},
    ),
    Kind(
        "templates",
        "/api/templates",
        "name",
        "SELECT name, description FROM templates WHERE name LIKE '%@cutover.example'",
        ("description",),
        "INSERT INTO templates (name, description, file_path, file_type)"
        " VALUES (%(key)s, 'description ' || %(word)s, '/nowhere', 'xlsx') RETURNING id::text",
    ),
)


@dataclass(slots=True, eq=False)
class Row:
    """One row as its only writer knows it: it is one of ``can_be``, and where an answer is missing there are two."""

    kind: Kind
    key: str
    id: str
    can_be: list[Value]

    @property
    def certain(self) -> bool:
        return len(self.can_be) == 1


@dataclass(slots=True)
class Seen:
    """Counts since they were last taken; ``writes`` are (kind, sent, answered) of those that were done."""

    counts: Counter[str] = field(default_factory=Counter)
    writes: list[tuple[str, float, float]] = field(default_factory=list)


class Lost(AssertionError):
    """An acknowledged write is not where its owner is, or something is there that nobody left."""


class People:
    """They write as fast as they are answered, each with rows of its own, on kept-alive connections.

    Args:
        gateway: its address: users and samples are sent there.
        monolith: its own address: templates are sent there, past the gateway.
        dsn: of a database, by its name.
        at_work: how many write users, samples, templates.
    """

    def __init__(
        self,
        gateway: str,
        monolith: str,
        dsn: Mapping[str, str],
        *,
        at_work: Sequence[int] = (8, 4, 2),
        rows: int = 24,
        seed: int = 1,
    ) -> None:
        self._urls = {"users": gateway, "samples": gateway, "templates": monolith}
        self._dsn = dsn
        self._random = random.Random(seed)
        self._seen = Seen()
        self._number = 0
        self._resting = threading.Event()
        self._over = threading.Event()
        self._out = 0
        self._rows: list[Row] = []
        self._desks: list[tuple[Kind, list[Row]]] = []
        with psycopg.connect(dsn["main"]) as connection:
            for kind, many in zip(KINDS, at_work, strict=True):
                for _ in range(many):
                    desk = [self._first(connection, kind) for _ in range(rows)]
                    self._desks.append((kind, desk))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), daemon=True)

    def _first(self, connection: psycopg.Connection[Any], kind: Kind) -> Row:
        key, word = self._key(), self._word()
        found = connection.execute(kind.insert.encode(), {"key": key, "word": word}).fetchone()
        assert found is not None
        row = Row(kind, key, found[0], [kind.changed(word)])
        self._rows.append(row)
        return row

    def _word(self) -> str:
        self._number += 1
        return f"w{self._number}"

    def _key(self) -> str:
        return f"{self._word()}@cutover.example"

    def __enter__(self) -> People:
        self._resting.set()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def work(self) -> None:
        self._resting.clear()

    def rest(self) -> None:
        """Returns when nobody waits for an answer any more, and what was given up on has had its time."""
        self._resting.set()
        until = time.monotonic() + 60
        while self._out and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(0.3)

    def taken(self) -> Seen:
        """What was seen since this was asked last."""
        seen, self._seen = self._seen, Seen()
        return seen

    async def _work(self) -> None:
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60), timeout=timeout
        ) as session:
            await asyncio.gather(*(self._at(session, kind, desk) for kind, desk in self._desks))

    async def _at(self, session: aiohttp.ClientSession, kind: Kind, desk: list[Row]) -> None:
        while not self._over.is_set():
            if self._resting.is_set():
                await asyncio.sleep(0.01)
                continue
            self._out += 1
            try:
                done = await self._one(session, kind, desk)
            finally:
                self._out -= 1
            if not done:
                await asyncio.sleep(0.05)

    async def _one(self, session: aiohttp.ClientSession, kind: Kind, desk: list[Row]) -> bool:
        """One write; false where it was not done."""
        url = self._urls[kind.name] + kind.path
        chance = self._random.random()
        word = self._word()
        if len(desk) < 8 or chance < 0.01:
            key = self._key()
            row = Row(kind, key, "", [None])
            self._rows.append(row)
            told = await self._send(
                session, "POST", url, kind.made(key, word), row, kind.changed(word), (200, 201)
            )
            if told is not None:
                row.id = str(told.get("data", told)["id"])
                desk.append(row)
            return told is not None
        row = self._random.choice(desk)
        if chance < 0.02 and len(desk) > 12:
            desk.remove(row)
            return (
                await self._send(session, "DELETE", f"{url}/{row.id}", None, row, None, (200, 204))
                is not None
            )
        told = await self._send(
            session, "PATCH", f"{url}/{row.id}", kind.changed(word), row, kind.changed(word), (200,)
        )
        if not row.certain:
            desk.remove(row)  # what was given up on may still come to be: nobody writes over it
        return told is not None

    async def _send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        body: object,
        row: Row,
        wanted: Value,
        good: tuple[int, ...],
    ) -> dict[str, Any] | None:
        began = time.monotonic()
        counts = self._seen.counts
        try:
            async with session.request(method, url, json=body) as answer:
                text = await answer.read()
                if answer.status in good:
                    told = await answer.json() if text else {}
                    row.can_be = [wanted]
                    counts["acknowledged"] += 1
                    self._seen.writes.append((row.kind.name, began, time.monotonic()))
                    return dict(told) if isinstance(told, dict) else {}
                if answer.status == 503 and "Retry-After" in answer.headers:
                    counts["refused"] += 1  # by the application, which says that it did nothing
                    return None
                counts[f"answered {answer.status}"] += 1
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            counts["broken off" if not isinstance(error, TimeoutError) else "never answered"] += 1
        row.can_be.append(wanted)
        return None

    # -- looking -----------------------------------------------------------------------------------------------------------

    def judge(self, owners: Mapping[str, str]) -> int:
        """Look for every row where it must be; how many there are. Nobody may be at work.

        Args:
            owners: kind -> name of the database that owns its rows.

        Raises:
            Lost: with what is missing, wrong or doubled.
        """
        wrong: list[str] = []
        for kind in KINDS:
            with psycopg.connect(self._dsn[owners[kind.name]]) as connection:
                there: dict[str, list[Value]] = {}
                for key, *values in connection.execute(kind.query.encode()).fetchall():
                    there.setdefault(key, []).append(dict(zip(kind.columns, values, strict=True)))
            for row in [each for each in self._rows if each.kind is kind]:
                found = there.pop(row.key, [])
                if len(found) > 1:
                    wrong.append(f"doubled: {kind.name} {row.key}: {found}")
                elif (found[0] if found else None) not in row.can_be:
                    what = "lost" if row.certain and not found else "wrong"
                    wrong.append(
                        f"{what}: {kind.name} {row.key}: there is {found or 'nothing'}, known: {row.can_be}"
                    )
            wrong += [f"nobody made it: {kind.name} {key}" for key in there]
        # A row that is gone for certain stays gone; those in doubt are looked at to the end.
        self._rows = [row for row in self._rows if row.can_be != [None]]
        if wrong:
            raise Lost(f"{len(wrong)} of {len(self._rows)} rows: " + "\n".join(wrong[:20]))
        return len(self._rows)

    def would_see(self, owners: Mapping[str, str]) -> None:
        """Make a write vanish, and a row, behind everybody's back; each must be seen. Nobody may be at work.

        Raises:
            AssertionError: it was not.
        """
        for kind in KINDS:
            row = next(each for each in self._rows if each.kind is kind and each.certain and each.can_be[0])
            table = kind.query.partition(" FROM ")[2].partition(" ")[0]
            where = f"WHERE {kind.key} = %s"
            for trick in (
                f"UPDATE {table} SET {kind.columns[-1]} = 'vanished' {where}",
                f"DELETE FROM {table} {where}",
            ):
                with psycopg.connect(self._dsn[owners[kind.name]]) as connection:
                    kept = connection.execute(f"SELECT * FROM {table} {where}".encode(), [row.key]).fetchone()
                    assert kept is not None
                    connection.execute(trick.encode(), [row.key])
                try:
                    self.judge(owners)
                except Lost as seen:
                    assert row.key in str(seen), seen
                else:
                    raise AssertionError(f"nobody saw it: {trick} for {row.key}")
                with psycopg.connect(self._dsn[owners[kind.name]]) as connection:
                    connection.execute(f"DELETE FROM {table} {where}".encode(), [row.key])
                    marks = ", ".join(["%s"] * len(kept))
                    values = [Jsonb(value) if isinstance(value, dict | list) else value for value in kept]
                    connection.execute(f"INSERT INTO {table} VALUES ({marks})".encode(), values)
                self.judge(owners)


def in_flight(seen: Seen, kind: str) -> tuple[int, float]:
    """How many writes of a kind were under way in the middle of the longest time in which none of them was answered, and that
    time in seconds. Other kinds go on while this one waits, and would hide it."""
    writes = [(began, ended) for name, began, ended in seen.writes if name == kind]
    ends = sorted(ended for _, ended in writes)
    longest, before = max(((b - a, a) for a, b in pairwise(ends)), default=(0.0, 0.0))
    middle = before + longest / 2
    return sum(began <= middle <= ended for began, ended in writes), longest
