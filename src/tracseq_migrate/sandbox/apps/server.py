"""What every application does alike: arguments, the way through a request, health, metrics, starting and stopping."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from aiohttp import web

from tracseq_migrate import __version__
from tracseq_migrate.sandbox.apps.connections import Connections
from tracseq_migrate.sandbox.apps.faults import FaultFile
from tracseq_migrate.sandbox.apps.metrics import Metrics
from tracseq_migrate.sandbox.apps.refusals import NotThere, Refused, Unavailable, refusal_of
from tracseq_migrate.sandbox.apps.style import Style

_log = logging.getLogger("tracseq_migrate.sandbox.apps")

_MONITORING = frozenset({"/health", "/metrics"})
_HEALTH_SECONDS = 2.0
_SHUTDOWN_SECONDS = 30.0
_MOST_BYTES = 1024 * 1024
RETRY_AFTER = 1
"""Seconds after which a client may try again what the database would not take."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Routes = Callable[[Connections, Style], Sequence[web.AbstractRouteDef]]


@dataclass(frozen=True, slots=True)
class Settings:
    """Where an application listens and where it finds what it needs."""

    port: int
    dsn_file: Path
    fault_file: Path | None


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every application."""
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument(
        "--dsn-file", type=Path, required=True, help="holds the database's DSN; read at each connect"
    )
    parser.add_argument("--fault-file", type=Path, help="JSON with orders to misbehave; absent means none")


def settings_of(parsed: argparse.Namespace) -> Settings:
    return Settings(parsed.port, parsed.dsn_file, parsed.fault_file)


class Application:
    """One application: its name, its style and its routes, served until it is told to stop."""

    def __init__(self, name: str, style: Style, routes: Routes, settings: Settings) -> None:
        self._name = name
        self._style = style
        self._settings = settings
        self._faults = FaultFile(settings.fault_file)
        self._metrics = Metrics(name, __version__, strips_api=style.service)
        self._connections = Connections(lambda: settings.dsn_file.read_text().strip(), name=name)
        self._abandoned: set[asyncio.Task[str]] = set()
        self._app = web.Application(middlewares=[self._way], client_max_size=_MOST_BYTES)
        self._app.add_routes(
            [
                web.get("/health", self._health, allow_head=False),
                web.get("/metrics", self._show_metrics, allow_head=False),
                *routes(self._connections, style),
            ]
        )

    async def serve(self) -> None:
        """Listen on loopback; at SIGTERM or SIGINT stop listening, finish what is under way, and return.

        Raises:
            OSError: the port is taken.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._settings.port, backlog=256).start()
            _log.info("%s listens on 127.0.0.1:%d", self._name, self._settings.port)
            await stop.wait()
            _log.info("%s stops", self._name)
        finally:
            await runner.cleanup()
            await self._connections.close()

    @web.middleware
    async def _way(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in _MONITORING:
            return await handler(request)
        began = time.perf_counter()
        self._metrics.in_flight += 1
        status = 500
        try:
            response = await self._answer(request, handler)
            status = response.status
            return response
        finally:
            self._metrics.in_flight -= 1
            self._metrics.count(request.path, request.method, status, time.perf_counter() - began)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        orders = self._faults.orders()
        if orders.delay:
            await asyncio.sleep(orders.delay)
        if orders.status:
            return self._style.answer(orders.status, self._style.problem(Refused("out of order")))
        try:
            return await handler(request)
        except Refused as refused:
            return self._refuse(refused)
        except web.HTTPNotFound:
            return self._style.answer(404, self._style.problem(NotThere(f"nothing at {request.path}")))
        except web.HTTPException as error:
            said = Refused(error.reason)
            said.title = error.reason
            answer = self._style.answer(error.status, self._style.problem(said))
            if "Allow" in error.headers:
                answer.headers["Allow"] = error.headers["Allow"]
            return answer
        except psycopg.Error as error:
            translated = refusal_of(error, deleting=request.method == "DELETE")
            if translated is None:
                _log.exception("%s %s", request.method, request.path)
                translated = Refused("unexpected")
            return self._refuse(translated)
        except OSError:
            # The file with the DSN is gone: the same to a client as a database that is down.
            _log.exception("%s %s", request.method, request.path)
            return self._refuse(Unavailable("the database cannot be asked now"))
        except Exception:  # noqa: BLE001  the last door of a server: logged, and the client gets an answer in our style
            _log.exception("%s %s", request.method, request.path)
            return self._style.answer(500, self._style.problem(Refused("unexpected")))

    def _refuse(self, refused: Refused) -> web.Response:
        answer = self._style.answer(refused.status, self._style.problem(refused))
        if isinstance(refused, Unavailable):
            # A fence refuses writes for a moment only: a client that waits so long will find them taken again.
            answer.headers["Retry-After"] = str(RETRY_AFTER)
        return answer

    async def _health(self, request: web.Request) -> web.Response:
        orders = self._faults.orders()
        if orders.delay:
            await asyncio.sleep(orders.delay)
        reason = "out of order" if orders.health is False else ""
        if orders.health is None:
            reason = await self._database_trouble()
        body = {
            "service": self._name,
            "version": __version__,
            "timestamp": self._style.moment(datetime.now(UTC)),
        }
        if reason:
            return self._style.answer(503, {"status": "unhealthy", **body, "reason": reason})
        return self._style.answer(200, {"status": "healthy", **body})

    async def _database_trouble(self) -> str:
        asking = asyncio.create_task(self._ask_database())
        done, _ = await asyncio.wait({asking}, timeout=_HEALTH_SECONDS)
        if done:
            return asking.result()
        # Cancelling asks a server that does not answer to answer; whoever waits for /health does not wait for that.
        asking.cancel()
        self._abandoned.add(asking)
        asking.add_done_callback(self._abandoned.discard)
        return "the database does not answer"

    async def _ask_database(self) -> str:
        try:
            async with self._connections.reading() as connection:
                await connection.execute("SELECT 1")
        except Unavailable as error:
            return error.message
        except (psycopg.Error, OSError):
            return "the database does not answer"
        return ""

    async def _show_metrics(self, request: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.text().encode(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )


def run(application: Application) -> int:
    """Serve in this process; the exit code: 0 after a stop that was asked for, 1 where it could not listen."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(application.serve())
    except OSError as error:
        _log.error("cannot listen: %s", error)
        return 1
    return 0
