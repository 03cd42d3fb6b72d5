"""A resource over one table: what its JSON looks like, and the five things that can be done with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

from aiohttp import web
from psycopg import sql
from psycopg.types.json import Jsonb

from tracseq_migrate.sandbox.apps.connections import Connection, Connections
from tracseq_migrate.sandbox.apps.refusals import Invalid, NotThere, Taken
from tracseq_migrate.sandbox.apps.style import Style

Kind = Literal["text", "whole", "number", "truth", "json", "moment", "uuid"]
Values = dict[str, Any]

_MOST = 500
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a resource's JSON.

    Attributes:
        name: in the JSON.
        kind: what JSON value it takes; a moment is a text in ISO 8601.
        column: where it is stored; the name, unless said otherwise.
        key: for a value that is kept inside of the JSON of ``column``, under this key.
        read: an SQL expression to read it by, over the table as ``t``, where it is not simply the column.
        labels: JSON value -> stored value, for an enum whose labels differ; the stored ones are understood too.
        required: on creation.
        default: what is stored on creation when nothing was sent; a function is called for it.
        writable: whether clients may send it at all; what they send is ignored otherwise.
    """

    name: str
    kind: Kind = "text"
    column: str = ""
    key: str = ""
    read: LiteralString = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    required: bool = False
    default: object | Callable[[], object] = _MISSING
    writable: bool = True

    @property
    def stored_in(self) -> str:
        return self.column or self.name

    def expression(self) -> sql.Composable:
        if self.read:
            return sql.SQL(self.read)
        column = sql.SQL("t.{}").format(sql.Identifier(self.stored_in))
        if self.key:
            return sql.SQL("{} ->> {}").format(column, sql.Literal(self.key))
        return column

    def accept(self, value: object) -> Any:
        """The value for the database. Raises `Invalid` for a JSON value of the wrong type."""
        if value is None:
            return None
        match self.kind:
            case "text" if isinstance(value, str):
                return self.labels.get(value, value)
            case "whole" if isinstance(value, int) and not isinstance(value, bool):
                return value
            case "number" if isinstance(value, int | float) and not isinstance(value, bool):
                return value
            case "truth" if isinstance(value, bool):
                return value
            case "json" if isinstance(value, dict | list):
                return value
            case "moment" if isinstance(value, str):
                return _moment(self.name, value)
            case "uuid" if isinstance(value, str):
                return _uuid(self.name, value)
        raise Invalid(f"{self.name}: {self.kind} expected")

    def present(self, value: object) -> object:
        """The value for the JSON."""
        if self.labels and value is not None:
            return next((label for label, stored in self.labels.items() if stored == value), value)
        return value


STAMPS = (Field("created_at", "moment", writable=False), Field("updated_at", "moment", writable=False))
"""What almost every resource ends with."""


class Resource:
    """One table as a resource. What a table cannot say by itself is said by a subclass in `prepare` and `finish`.

    Args:
        path: without ``/api``, such as ``storage/locations``.
        table: where its rows are.
        key: the field that a client knows a row by.
        fields: besides ``id``.
        serial: whether ids are whole numbers; uuids otherwise.
        enforced: whether the table itself keeps the key unique. Where it does not, creation and renaming take a lock on the
            key and look first: the real tables have no such constraint, and doubles would be nobody's intention.
        append_only: no PATCH and no DELETE.
        touch: whether a change has to set ``updated_at``, for a table that has no trigger to do it.
    """

    def __init__(
        self,
        path: str,
        table: str,
        *,
        key: str,
        fields: Sequence[Field],
        serial: bool = False,
        enforced: bool = True,
        append_only: bool = False,
        touch: bool = False,
    ) -> None:
        self.path = path
        self.table = table
        self.fields = {entry.name: entry for entry in fields}
        self.key = self.fields[key]
        self.serial = serial
        self.enforced = enforced
        self.append_only = append_only
        self.touch = touch
        reads: list[sql.Composable] = [sql.SQL("t.id AS id")]
        reads += [
            sql.SQL("{} AS {}").format(entry.expression(), sql.Identifier(entry.name))
            for entry in fields
            if entry.name != "password"
        ]
        self._select = sql.SQL("SELECT {} FROM {} t").format(sql.SQL(", ").join(reads), sql.Identifier(table))

    async def prepare(self, connection: Connection, values: Values, *, creating: bool) -> Values:
        """A chance to change values on their way into columns; keys are names of fields. Raises `Invalid`."""
        return values

    async def finish(self, connection: Connection, identity: object, values: Values) -> None:
        """A chance to write elsewhere in the same transaction."""

    def listed(self, asked: Mapping[str, str]) -> sql.Composable | None:
        """What a list leaves out by itself, as a condition over ``t``."""
        return None

    def endpoints(self, connections: Connections, style: Style, root: str) -> list[web.AbstractRouteDef]:
        """The routes of this resource below a root (``/api`` or nothing)."""
        serving = Endpoints(self, connections, style)
        many, one = f"{root}/{self.path}", f"{root}/{self.path}/{{id}}"
        routes: list[web.AbstractRouteDef] = [
            web.get(many, serving.list, allow_head=False),
            web.post(many, serving.create),
            web.get(one, serving.get, allow_head=False),
        ]
        if not self.append_only:
            routes += [web.patch(one, serving.patch), web.delete(one, serving.delete)]
        return routes

    def identity(self, text: str) -> object:
        """An id from a path. Raises `NotThere` for what cannot be one."""
        try:
            if self.serial:
                number = int(text)
                if 0 < number < 2**31:
                    return number
            else:
                return UUID(text)
        except ValueError:
            pass
        raise NotThere(f"no {self.path} with id {text}")

    async def fetch(self, connection: Connection, identity: object) -> Values:
        query = sql.SQL("{} WHERE t.id = %s").format(self._select)
        row = await (await connection.execute(query, [identity])).fetchone()
        if row is None:
            raise NotThere(f"no {self.path} with id {identity}")
        return self._present(row)

    async def page(
        self, connection: Connection, asked: Mapping[str, str], limit: int, offset: int
    ) -> tuple[list[Values], int]:
        conditions, parameters = self._conditions(asked)
        where = sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(conditions)) if conditions else sql.SQL("")
        query = sql.SQL("{}{} ORDER BY t.id LIMIT %s OFFSET %s").format(self._select, where)
        rows = await (await connection.execute(query, [*parameters, limit, offset])).fetchall()
        if len(rows) < limit and (rows or not offset):
            total = offset + len(rows)
        else:
            counting = sql.SQL("SELECT count(*) AS n FROM {} t{}").format(sql.Identifier(self.table), where)
            counted = await (await connection.execute(counting, parameters)).fetchone()
            total = counted["n"] if counted else 0
        return [self._present(row) for row in rows], total

    async def insert(self, connection: Connection, sent: Mapping[str, Any]) -> object:
        values = {name: self.fields[name].accept(value) for name, value in self._known(sent).items()}
        for name, entry in self.fields.items():
            if values.get(name) is None and name not in sent and entry.default is not _MISSING:
                values[name] = entry.default() if callable(entry.default) else entry.default
            if entry.required and values.get(name) is None:
                raise Invalid(f"{name}: missing")
        await self._keep_unique(connection, values)
        values = await self.prepare(connection, values, creating=True)
        columns = self._columns(values)
        query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(self.table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
        )
        row = await (await connection.execute(query, list(columns.values()))).fetchone()
        if row is None:
            raise RuntimeError("INSERT ... RETURNING returned nothing")
        await self.finish(connection, row["id"], values)
        return row["id"]

    async def update(self, connection: Connection, identity: object, sent: Mapping[str, Any]) -> None:
        values = {name: self.fields[name].accept(value) for name, value in self._known(sent).items()}
        if self.key.name in values and values[self.key.name] is None:
            raise Invalid(f"{self.key.name}: missing")
        await self._keep_unique(connection, values, identity)
        values = await self.prepare(connection, values, creating=False)
        sets: list[sql.Composable] = []
        parameters: list[Any] = []
        for column, value in self._columns(values).items():
            name = sql.Identifier(column)
            if any(entry.key and entry.stored_in == column for entry in self.fields.values()):
                sets.append(sql.SQL("{} = coalesce({}, '{{}}') || %s").format(name, name))
            else:
                sets.append(sql.SQL("{} = %s").format(name))
            parameters.append(value)
        if sets:
            if self.touch:
                sets.append(sql.SQL("updated_at = now()"))
            query = sql.SQL("UPDATE {} SET {} WHERE id = %s").format(
                sql.Identifier(self.table), sql.SQL(", ").join(sets)
            )
            await connection.execute(query, [*parameters, identity])
        await self.finish(connection, identity, values)

    async def remove(self, connection: Connection, identity: object) -> None:
        query = sql.SQL("DELETE FROM {} WHERE id = %s").format(sql.Identifier(self.table))
        if (await connection.execute(query, [identity])).rowcount == 0:
            raise NotThere(f"no {self.path} with id {identity}")

    def _known(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        return {name: sent[name] for name, entry in self.fields.items() if name in sent and entry.writable}

    def _columns(self, values: Values) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        inside: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            entry = self.fields.get(name, Field(name))
            if entry.key:
                inside.setdefault(entry.stored_in, {})[entry.key] = value
            elif not entry.read or entry.column:
                columns[entry.stored_in] = Jsonb(value) if isinstance(value, dict | list) else value
        return columns | {column: Jsonb(held) for column, held in inside.items()}

    def _present(self, row: Mapping[str, Any]) -> Values:
        return {
            name: self.fields[name].present(value) if name in self.fields else value
            for name, value in row.items()
        }

    def _conditions(self, asked: Mapping[str, str]) -> tuple[list[sql.Composable], list[Any]]:
        conditions: list[sql.Composable] = []
        parameters: list[Any] = []
        for name, text in asked.items():
            entry = self.fields.get(name)
            if entry is None or entry.kind == "json" or name == "password":
                continue
            conditions.append(sql.SQL("({}) = %s").format(entry.expression()))
            parameters.append(entry.labels.get(text, text))
        left_out = self.listed(asked)
        if left_out is not None:
            conditions.append(left_out)
        return conditions, parameters

    async def _keep_unique(
        self, connection: Connection, values: Mapping[str, Any], identity: object | None = None
    ) -> None:
        value = values.get(self.key.name)
        if self.enforced or value is None:
            return
        lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
        await connection.execute(lock, [json.dumps([self.table, value])])
        query = sql.SQL("SELECT 1 FROM {} t WHERE {} = %s AND t.id IS DISTINCT FROM %s LIMIT 1").format(
            sql.Identifier(self.table), self.key.expression()
        )
        if await (await connection.execute(query, [value, identity])).fetchone():
            raise Taken(f"{self.key.name} is taken: {value}")


class Endpoints:
    """The handlers of one resource in one application."""

    def __init__(self, resource: Resource, connections: Connections, style: Style) -> None:
        self._resource = resource
        self._connections = connections
        self._style = style

    async def list(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        limit = _bounded(asked.pop("limit", "50"), "limit", 1, _MOST)
        offset = _bounded(asked.pop("offset", "0"), "offset", 0, 2**31)
        async with self._connections.reading() as connection:
            items, total = await self._resource.page(connection, asked, limit, offset)
        return self._style.answer(200, self._style.page(items, total, limit, offset))

    async def get(self, request: web.Request) -> web.Response:
        identity = self._resource.identity(request.match_info["id"])
        async with self._connections.reading() as connection:
            return self._style.answer(200, await self._resource.fetch(connection, identity))

    async def create(self, request: web.Request) -> web.Response:
        sent = await body_of(request)
        async with self._connections.writing() as connection:
            identity = await self._resource.insert(connection, sent)
            row = await self._resource.fetch(connection, identity)
        return self._style.answer(201, row)

    async def patch(self, request: web.Request) -> web.Response:
        identity = self._resource.identity(request.match_info["id"])
        sent = await body_of(request)
        async with self._connections.writing() as connection:
            await self._resource.fetch(connection, identity)
            await self._resource.update(connection, identity, sent)
            row = await self._resource.fetch(connection, identity)
        return self._style.answer(200, row)

    async def delete(self, request: web.Request) -> web.Response:
        identity = self._resource.identity(request.match_info["id"])
        async with self._connections.writing() as connection:
            await self._resource.remove(connection, identity)
        return web.Response(status=204)


async def body_of(request: web.Request) -> dict[str, Any]:
    """The JSON object that was sent. Raises `Invalid`."""
    raw = await request.read()
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Invalid("the body is not JSON") from None
    if not isinstance(body, dict):
        raise Invalid("the body is not a JSON object")
    return body


def _bounded(text: str, name: str, low: int, high: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise Invalid(f"{name}: whole number expected") from None
    if number < low:
        raise Invalid(f"{name}: at least {low}")
    return min(number, high)


def _moment(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{name}: a time in ISO 8601 expected") from None
    if moment.tzinfo is None:
        raise Invalid(f"{name}: the time needs a zone")
    return moment


def _uuid(name: str, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Invalid(f"{name}: a uuid expected") from None
