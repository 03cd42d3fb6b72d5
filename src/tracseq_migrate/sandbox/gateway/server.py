"""The gateway's HTTP side: its own three paths, and all else passed on to the monolith or a service."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

PROGRAM = "TracSeq API Gateway (Monolith Router)"
VERSION = "2.1.0"

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
        "expect",
    }
)
# Only headers of the content pass back: whatever else an upstream says of itself would tell who answered.
_PASSED_BACK = frozenset(
    {
        "content-type",
        "content-encoding",
        "content-language",
        "content-disposition",
        "content-range",
        "accept-ranges",
        "cache-control",
        "expires",
        "etag",
        "last-modified",
        "location",
        "link",
        "vary",
        "allow",
        "retry-after",
        "set-cookie",
        "www-authenticate",
    }
)


@dataclass(frozen=True, slots=True)
class Route:
    """One prefix. ``listed``: /routing-status has it under ``microservices``; only then it is ever routed."""

    key: str
    prefix: str
    url: str
    feature: bool
    listed: bool = True

    @property
    def on(self) -> bool:
        return self.feature and self.listed


class GatewayServer:
    """Answers requests until it is told to stop; then finishes those under way.

    Args:
        routes: in the order in which prefixes are tried.
        monolith: where everything else goes.
        timeout: seconds until an upstream counts as slow (504).
    """

    def __init__(self, routes: Sequence[Route], *, monolith: str, timeout: float) -> None:
        self._routes = tuple(routes)
        self._monolith = monolith.rstrip("/")
        self._timeout = timeout
        self._started = time.time()
        self._counts: Counter[tuple[str, str, str, int]] = Counter()
        self._stopping = False
        self._in_flight = 0
        self._session: aiohttp.ClientSession | None = None

    async def serve(self, listener: socket.socket) -> None:
        """Serve on a bound socket until SIGTERM or SIGINT; returns when what was under way is answered."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        self._session = aiohttp.ClientSession(
            # Shorter than the upstreams' own keep-alive: a pooled connection is never one that just closed.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=10),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        # aiohttp sends a DELETE or PUT again when a kept connection breaks; a gateway must not.
        self._session._retry_connection = False
        runner = web.ServerRunner(
            web.Server(self._handle, access_log=None, keepalive_timeout=75.0),
            shutdown_timeout=self._timeout + 5,
        )
        await runner.setup()
        try:
            site = web.SockSite(runner, listener, backlog=512)
            await site.start()
            await stop.wait()
            self._stopping = True
            await site.stop()
            # Once its runner stops, aiohttp reads nothing more on any connection: a body half sent would never be whole.
            deadline = loop.time() + self._timeout + 5
            while self._in_flight and loop.time() < deadline:
                await asyncio.sleep(0.01)
        finally:
            await runner.cleanup()
            await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._in_flight += 1
        try:
            own = self._own(request)
            response = own if own is not None else await self._forward(request)
        finally:
            self._in_flight -= 1
        response.headers["Server"] = "tracseq-gateway"
        if self._stopping:
            response.force_close()
        return response

    def _own(self, request: web.BaseRequest) -> web.Response | None:
        if request.method != "GET":
            return None
        match request.path:
            case "/health":
                return _json(
                    200,
                    {
                        "status": "healthy",
                        "service": PROGRAM,
                        "version": VERSION,
                        "timestamp": datetime.now(UTC).isoformat(),
                        "monolith_url": self._monolith,
                    },
                )
            case "/routing-status":
                return _json(200, self.routing_status())
            case "/metrics":
                return web.Response(text=self._metrics(), content_type="text/plain", charset="utf-8")
        return None

    def routing_status(self) -> dict[str, object]:
        """The two maps; a service's url is null while its flag is off."""
        return {
            "routing_configuration": {
                "microservices": {
                    route.key: {"enabled": route.on, "url": route.url if route.on else None}
                    for route in self._routes
                    if route.listed
                }
            },
            "feature_flags": {route.key: route.feature for route in self._routes},
        }

    def _metrics(self) -> str:
        lines = [
            "# HELP gateway_requests_total Requests passed on, by public prefix and by side.",
            "# TYPE gateway_requests_total counter",
        ]
        for (prefix, side, method, status), count in sorted(self._counts.items()):
            labels = f'prefix="{prefix}",side="{side}",method="{method}",status="{status}"'
            lines.append(f"gateway_requests_total{{{labels}}} {count}")
        lines += [
            "# HELP process_start_time_seconds Start of this process, in seconds since the epoch.",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {self._started:.3f}",
        ]
        return "\n".join(lines) + "\n"

    async def _forward(self, request: web.BaseRequest) -> web.Response:
        path = request.path
        raw = request.raw_path if request.raw_path.startswith("/") else request.rel_url.raw_path_qs
        # A bare prefix match, as the real gateway does it: /api/templatesX goes to the templates service too.
        route = next((r for r in self._routes if path.startswith(r.prefix)), None)
        prefix = route.prefix if route else "other"
        if route is not None and route.on:
            side, target = "microservice", route.url.rstrip("/")
            if not raw.startswith("/api"):  # an encoded letter in the prefix: it matched when decoded
                query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
                raw = quote(path, safe="/%:@!$&'()*+,;=~-._") + query
            raw = raw.removeprefix("/api")
        else:
            side, target = "monolith", self._monolith
        response = await self._ask(request, target + raw, side)
        self._counts[
            (prefix, "service" if side == "microservice" else side, request.method, response.status)
        ] += 1
        return response

    async def _ask(self, request: web.BaseRequest, url: str, side: str) -> web.Response:
        assert self._session is not None  # noqa: S101  # serve() made it; for the type checker
        headers = CIMultiDict(
            (name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP
        )
        body = await request.content.read() if request.can_read_body else None
        try:
            async with self._session.request(
                request.method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
            ) as answer:
                content = await answer.read()
                return _passed_back(request.method, answer, content)
        except aiohttp.ClientConnectorError:
            return _json(503, {"detail": f"Service unavailable: {side}"})
        except TimeoutError:
            return _json(504, {"detail": f"Gateway timeout: {side}"})
        except (aiohttp.ClientError, ValueError):
            return _json(502, {"detail": f"Bad gateway: {side}"})


def _passed_back(method: str, answer: aiohttp.ClientResponse, content: bytes) -> web.Response:
    headers = CIMultiDict(
        (name, value) for name, value in answer.headers.items() if name.lower() in _PASSED_BACK
    )
    if method == "HEAD" and "Content-Length" in answer.headers:
        headers["Content-Length"] = answer.headers["Content-Length"]
    return web.Response(status=answer.status, reason=answer.reason, body=content or None, headers=headers)


def _json(status: int, body: Mapping[str, object]) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(body, separators=(",", ":")).encode(), content_type="application/json"
    )
