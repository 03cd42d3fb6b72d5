"""Users, signing in, and who a token belongs to: in the monolith, and in the authentication service."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import LiteralString

from aiohttp import web
from psycopg.types.json import Jsonb

from tracseq_migrate.sandbox.apps.connections import Connection, Connections
from tracseq_migrate.sandbox.apps.passwords import check_password, hash_password
from tracseq_migrate.sandbox.apps.refusals import Invalid, NotThere, Unauthorized
from tracseq_migrate.sandbox.apps.resource import STAMPS, Field, Resource, Values, body_of
from tracseq_migrate.sandbox.apps.style import Style

_SESSION = timedelta(hours=12)
_MONOLITH_SESSION: LiteralString = """
    SELECT user_id FROM user_sessions WHERE token_hash = %s AND expires_at > now()
"""
_SERVICE_SESSION: LiteralString = """
    SELECT user_id FROM user_sessions WHERE token_hash = %s AND expires_at > now() AND NOT revoked
"""
_MONOLITH_LET_IN: LiteralString = """
    UPDATE users SET last_login = now(), failed_login_attempts = 0 WHERE id = %s
"""
_SERVICE_LET_IN: LiteralString = """
    UPDATE users SET last_login_at = now(), failed_login_attempts = 0 WHERE id = %s
"""


class _Users(Resource):
    async def prepare(self, connection: Connection, values: Values, *, creating: bool) -> Values:
        password = values.pop("password", None)
        if password is not None:
            if not password:
                raise Invalid("password: empty")
            values["password_hash"] = await asyncio.to_thread(hash_password, password)
            values["password_changed_at"] = datetime.now(UTC)
        return values


def monolith_users(path: str = "auth/users") -> Resource:
    """Nothing but an address is needed: who comes by single sign-on has no password and perhaps no name."""
    return _Users(
        path,
        "users",
        key="email",
        fields=[
            Field("email", required=True),
            Field("password", writable=True),
            Field("first_name"),
            Field("last_name"),
            Field("role", default="guest"),
            Field("status", default="active"),
            Field("department"),
            Field("position"),
            Field("lab_affiliation"),
            Field("phone"),
            Field("email_verified", "truth", default=False),
            Field("unc_pid", default=lambda: f"local-{secrets.token_hex(8)}"),
            Field("given_name"),
            Field("family_name"),
            Field("display_name"),
            Field("title"),
            Field("office_location"),
            Field("created_by", "uuid"),
            Field("last_login", "moment", writable=False),
            *STAMPS,
        ],
    )


def service_users() -> Resource:
    return _Users(
        "auth/users",
        "users",
        key="email",
        fields=[
            Field("email", required=True),
            Field("password", required=True),
            Field("first_name", required=True),
            Field("last_name", required=True),
            Field("role", default="guest"),
            Field("status", default="active"),
            Field("department"),
            Field("position"),
            Field("lab_affiliation"),
            Field("phone"),
            Field("email_verified", "truth", default=False),
            Field("last_login", "moment", column="last_login_at", writable=False),
            Field("locked_until", "moment", writable=False),
            *STAMPS,
        ],
    )


class SigningIn:
    """``POST auth/login`` and ``GET auth/me``. A token is worth something only where it was issued."""

    def __init__(self, users: Resource, connections: Connections, style: Style) -> None:
        self._users = users
        self._connections = connections
        self._style = style

    def endpoints(self, root: str) -> list[web.AbstractRouteDef]:
        return [
            web.post(f"{root}/auth/login", self.login),
            web.get(f"{root}/auth/me", self.me, allow_head=False),
        ]

    async def login(self, request: web.Request) -> web.Response:
        sent = await body_of(request)
        email, password = sent.get("email"), sent.get("password")
        if not isinstance(email, str) or not isinstance(password, str):
            raise Invalid("email and password: text expected")
        async with self._connections.writing() as connection:
            found = await connection.execute(
                "SELECT id, password_hash, status::text, locked_until > now() AS locked FROM users WHERE email = %s",
                [email],
            )
            user = await found.fetchone()
            stored = user["password_hash"] if user else None
            right = await asyncio.to_thread(check_password, password, stored)
            if user and not right:
                await connection.execute(
                    "UPDATE users SET failed_login_attempts = coalesce(failed_login_attempts, 0) + 1 WHERE id = %s",
                    [user["id"]],
                )
            if user and right and user["status"] == "active" and not user["locked"]:
                answer = await self._let_in(connection, user["id"])
            else:
                answer = None  # raised below, outside of the transaction that counts the attempt
        if answer is None:
            raise Unauthorized("wrong address or password, or not an active account")
        return self._style.answer(200, answer)

    async def me(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise Unauthorized("no token")
        async with self._connections.reading() as connection:
            found = await connection.execute(
                _SERVICE_SESSION if self._style.service else _MONOLITH_SESSION,
                [_digest(token)],
            )
            session = await found.fetchone()
            if session is None:
                raise Unauthorized("this token is not one of ours")
            try:
                user = await self._users.fetch(connection, session["user_id"])
            except NotThere:
                raise Unauthorized("this token is not one of ours") from None
        return self._style.answer(200, user)

    async def _let_in(self, connection: Connection, user_id: object) -> Values:
        token = secrets.token_urlsafe(32)
        expires = datetime.now(UTC) + _SESSION
        device = {"client": "api"}
        await connection.execute(
            "INSERT INTO user_sessions (user_id, token_hash, device_info, expires_at) VALUES (%s, %s, %s, %s)",
            [user_id, _digest(token), Jsonb(device) if self._style.service else "api", expires],
        )
        await connection.execute(
            _SERVICE_LET_IN if self._style.service else _MONOLITH_LET_IN,
            [user_id],
        )
        user = await self._users.fetch(connection, user_id)
        kind = {"token_type": "Bearer"} if self._style.service else {}
        return {"token": token, **kind, "expires_at": expires, "user": user}


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
