"""How an application writes its answers: two styles, because two teams wrote the monolith and the services."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from aiohttp import web

from tracseq_migrate.sandbox.apps.refusals import Refused


@dataclass(frozen=True, slots=True)
class Style:
    """The monolith's style, and by ``service`` the services'.

    The bodies of errors, the way that time stamps end and the paging of lists differ, so that an answer tells an attentive
    reader who gave it; statuses and the names of fields do not.
    """

    service: bool

    def problem(self, refused: Refused) -> dict[str, Any]:
        if self.service:
            return {"detail": refused.message, "code": refused.title.lower().replace(" ", "_")}
        return {"error": refused.title, "message": refused.message}

    def page(self, items: Sequence[Mapping[str, Any]], total: int, limit: int, offset: int) -> dict[str, Any]:
        if self.service:
            page = {"limit": limit, "offset": offset, "has_more": offset + len(items) < total}
            return {"items": items, "total": total, "page": page}
        return {"items": items, "total": total, "limit": limit, "offset": offset}

    def answer(self, status: int, body: object) -> web.Response:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=self._plain)
        return web.Response(status=status, body=text.encode(), content_type="application/json")

    def moment(self, at: datetime) -> str:
        text = at.astimezone(UTC).isoformat(timespec="microseconds")
        return text if self.service else text.replace("+00:00", "Z")

    def _plain(self, value: object) -> object:
        if isinstance(value, datetime):
            return self.moment(value)
        if isinstance(value, UUID):
            return str(value)
        if isinstance(value, Decimal):
            return float(value)
        raise TypeError(f"{type(value).__name__} does not go into JSON")


MONOLITH = Style(service=False)
SERVICE = Style(service=True)
