"""The look-up: each remembered row, through the gateway and by SQL in the database that owns it now."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tracseq_migrate.sandbox.load.connection import Address, Broken, Connection
from tracseq_migrate.sandbox.load.ledger import Ledger, Row, Value
from tracseq_migrate.sandbox.load.ownership import Ownership
from tracseq_migrate.sandbox.load.resource import Resource, Shape, rows_of
from tracseq_migrate.sandbox.load.resources import RESOURCES

_BATCH = 1000
_READERS = 8
_TRIES = 3
_PAUSE = 0.5


class Finding(StrEnum):
    """What can be wrong with an acknowledged row."""

    LOST = "lost"
    """On neither side."""
    WRONG = "wrong"
    """There, with another value than was acknowledged; or there, although its deletion was acknowledged."""
    DOUBLED = "doubled"
    """More than one row of its business key on the side that owns it."""
    ELSEWHERE = "on the other side"
    """Whole, but on the side that does not own it now: stranded by a flip that moved no data."""
    UNVERIFIED = "unverified"
    """It could not be looked up: no statement about it is made."""


@dataclass(frozen=True, slots=True)
class Found:
    """A finding about one row. ``seen`` names the places that were looked into, and what was there."""

    finding: Finding
    row: Row
    why: str
    seen: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Result:
    """What the look-up came to.

    ``through_gateway`` and ``by_sql`` count rows that were found right in that way; ``done_after_all`` the writes of unknown fate
    that turned out to be done, by how their answer was missed.
    """

    rows: int = 0
    verified: int = 0
    through_gateway: int = 0
    by_sql: int = 0
    found: list[Found] = field(default_factory=list)
    done_after_all: Counter[str] = field(default_factory=Counter)

    def count(self, finding: Finding) -> int:
        return sum(1 for each in self.found if each.finding is finding)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What is there of one row. None: could not be asked, ``why`` says why."""

    owner: Sequence[Value] | None
    other: Sequence[Value] | None
    gateway: Sequence[Value] | None
    why: str = ""


class Lookup:
    """Looks rows up. ``databases`` are DSNs by the sandbox's names; ``main`` is the monolith's."""

    def __init__(
        self, gateway: str, databases: Mapping[str, str], ownership: Ownership, *, timeout: float
    ) -> None:
        self._address = Address.of(gateway)
        self._databases = databases
        self._ownership = ownership
        self._timeout = timeout

    async def verify(
        self, ledger: Ledger, result: Result, *, every: Callable[[int], None] | None = None
    ) -> None:
        """Look up everything that the ledger remembers, into ``result``.

        A row that could not be looked up is a finding of its own, never a pass. ``every`` is told now and then how many rows
        are done.
        """
        for resource in RESOURCES.values():
            rows = list(ledger.rows(resource.name))
            for start in range(0, len(rows), _BATCH):
                batch = rows[start : start + _BATCH]
                evidence = await self._gather(resource, batch)
                for row in batch:
                    self._judge(resource, row, evidence[row.key], result)
                if every is not None:
                    every(result.rows)

    async def _gather(self, resource: Resource, rows: Sequence[Row]) -> dict[str, _Evidence]:
        service = self._ownership.service_owns(resource.flag)
        main, own = self._databases.get("main"), self._databases.get(resource.database)
        keys = [row.key for row in rows]
        shown, old, new = await asyncio.gather(
            self._through_gateway(resource, keys),
            asyncio.to_thread(_by_sql, main, resource.old, resource, keys),
            asyncio.to_thread(_by_sql, own, resource.new, resource, keys),
        )
        owner, other = (new, old) if service else (old, new)
        why = "; ".join(side for side in (owner, other) if isinstance(side, str))
        if service is None:
            why = f"the instances of the gateway do not agree on who owns {resource.prefix}"
        gathered = {}
        for key in keys:
            through = shown[key]
            gathered[key] = _Evidence(
                None if service is None or isinstance(owner, str) else owner.get(key, []),
                None if isinstance(other, str) else other.get(key, []),
                None if isinstance(through, str) else through,
                why or (through if isinstance(through, str) else ""),
            )
        return gathered

    async def _through_gateway(self, resource: Resource, keys: Sequence[str]) -> dict[str, list[Value] | str]:
        """The rows of each key as the gateway shows them, or why it could not be asked."""
        left = list(reversed(keys))
        shown: dict[str, list[Value] | str] = {}

        async def reader() -> None:
            connection = Connection(self._address, timeout=self._timeout)
            try:
                while left:
                    key = left.pop()
                    shown[key] = await _read_key(connection, resource, key)
            finally:
                connection.close()

        await asyncio.gather(*(reader() for _ in range(_READERS)))
        return shown

    def _judge(self, resource: Resource, row: Row, evidence: _Evidence, result: Result) -> None:
        result.rows += 1
        acceptable = row.acceptable
        if row.unknown and evidence.owner is not None and not _fits(evidence.owner, [row.sure]):
            result.done_after_all[row.doubt] += _fits(evidence.owner, row.maybe)
        by_sql = evidence.owner is not None and _fits(evidence.owner, acceptable)
        through = evidence.gateway is not None and _fits(evidence.gateway, acceptable)
        result.by_sql += by_sql
        result.through_gateway += through
        if by_sql and through:
            result.verified += 1
            return
        finding, why = self._name(evidence, acceptable)
        seen = {"owner": evidence.owner, "other side": evidence.other, "gateway": evidence.gateway}
        result.found.append(Found(finding, row, why, seen))

    @staticmethod
    def _name(evidence: _Evidence, acceptable: list[Value | None]) -> tuple[Finding, str]:
        owner, other, shown = evidence.owner, evidence.other, evidence.gateway
        if owner is None:
            return Finding.UNVERIFIED, evidence.why
        if len(owner) > 1:
            return Finding.DOUBLED, f"{len(owner)} rows of this key"
        if _fits(owner, acceptable):
            if shown is None:
                return Finding.UNVERIFIED, evidence.why
            if len(shown) > 1:
                return (
                    Finding.DOUBLED,
                    f"the gateway shows {len(shown)} rows of this key, the database has {len(owner)}",
                )
            what = (
                "the database has it, the gateway does not show it"
                if owner and not shown
                else "the gateway shows another value"
            )
            return Finding.WRONG, what
        if not owner:
            if other is None:
                return Finding.UNVERIFIED, evidence.why
            if not other:
                return Finding.LOST, "on neither side"
            if _fits(other, acceptable):
                return Finding.ELSEWHERE, "only on the side that does not own it now"
            return Finding.WRONG, "only on the side that does not own it now, and there with another value"
        if acceptable == [None]:
            return Finding.WRONG, "deleted, and there again"
        if len(acceptable) > 1:
            return Finding.WRONG, "neither as before the write of unknown fate nor as after it"
        if other and _fits(other, acceptable):
            return Finding.WRONG, "another value; the side that does not own it now has the acknowledged one"
        return Finding.WRONG, "another value"


def _fits(rows: Sequence[Value], acceptable: Iterable[Value | None]) -> bool:
    """Whether what is there is one of the acceptable values, None among them standing for nothing there."""
    if len(rows) > 1:
        return False
    there = rows[0] if rows else None
    return any(there == value for value in acceptable)


async def _read_key(connection: Connection, resource: Resource, key: str) -> list[Value] | str:
    """What the gateway shows of one key. The look-up may ask again, the load never does."""
    why = ""
    for attempt in range(_TRIES):
        if attempt:
            await asyncio.sleep(_PAUSE * attempt)
        try:
            reply = await connection.request("GET", resource.path_of_key(key))
            body = reply.json()
        except Broken as broken:
            why = f"through the gateway: {broken}"
            continue
        except ValueError:
            why = f"through the gateway: {reply.status} with something that is not JSON"
            continue
        if reply.status == 200 and isinstance(body, dict) and isinstance(body.get("items"), list):
            found: list[Value] = [
                resource.found(item) for item in rows_of(body) if item.get(resource.key) == key
            ]
            if len(found) == 1 and resource.login is not None:
                return await _try_login(connection, resource.login(found[0]), found[0])
            return found
        why = f"through the gateway: {reply.status} {reply.body[:120]!r}"
    return why


async def _try_login(
    connection: Connection, login: tuple[str, Mapping[str, Any]], found: Value
) -> list[Value] | str:
    """What is never read again is tried: a password that does not fit shows as a field that was not expected."""
    path, body = login
    try:
        reply = await connection.request("POST", path, body)
    except Broken as broken:
        return f"through the gateway: {broken}"
    if reply.status == 200:
        return [found]
    if reply.status == 401:
        return [{**found, "password": "not the one that was set"}]
    return f"through the gateway: {path}: {reply.status} {reply.body[:120]!r}"


def _by_sql(
    dsn: str | None, shape: Shape, resource: Resource, keys: Sequence[str]
) -> dict[str, list[Value]] | str:
    """The rows of the keys in one database, by key, in the words of the API; or why they could not be read."""
    import psycopg
    from psycopg import sql

    if dsn is None:
        return f"the sandbox names no database for {resource.name}"
    # The expressions are written down in `resources`; nothing of them comes from outside.
    columns = [sql.SQL(expression) for expression in (shape.key, *shape.fields.values())]
    query = sql.SQL("SELECT {} FROM {} WHERE {} = ANY(%s)").format(
        sql.SQL(", ").join(columns), sql.SQL(shape.source), sql.SQL(shape.key)
    )
    names = (resource.key, *shape.fields)
    found: dict[str, list[Value]] = {}
    try:
        with psycopg.connect(dsn, connect_timeout=5, autocommit=True) as connection:
            for record in connection.execute(query, (list(keys),)):
                value = resource.value(dict(zip(names, record, strict=True)))
                found.setdefault(value[resource.key], []).append(value)
    except psycopg.Error as error:
        return f"by SQL: {str(error).strip().splitlines()[0]}"
    return found
