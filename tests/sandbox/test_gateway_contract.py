"""Each fact of the real gateway's contract, asked of the sandbox's gateway as a process, with two real upstreams."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox_fixture import until
from tracseq_migrate.sandbox.gateway.flags import FLAGS

KEYS = [flag.key for flag in FLAGS]


@dataclass
class Upstream:
    """A real HTTP server that says who it is, what it was asked, and a lot about itself in its headers."""

    name: str
    port: int
    seen: list[tuple[str, str, bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def upstream(name: str) -> Iterator[Upstream]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = f"{name}/9"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            here.seen.append((self.command, self.path, body))
            if "/slow" in self.path:
                time.sleep(1.5)
            if "/hang-up" in self.path:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status = int(self.path.partition("status=")[2] or 200)
            content = b"" if status == 204 else f'{{"who":"{name}","path":"{self.path}"}} \n'.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("X-Powered-By", name)
            self.send_header("X-Served-By", name)
            self.send_header("Via", name)
            self.send_header("ETag", '"e1"')
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Upstream(name, server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield here
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(port: int, monolith: str, service: str, *more: str) -> list[str]:
    services = [word for key in KEYS for word in ("--service", f"{key}={service}")]
    base = [
        sys.executable,
        "-m",
        "tracseq_migrate.sandbox.gateway",
        "--port",
        str(port),
        "--monolith",
        monolith,
    ]
    return [*base, *services, *more]


def environment(more: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}


@dataclass
class Gateway:
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def ask(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        return json.loads(self.ask("GET", path)[2])

    def who(self, path: str) -> str:
        return str(self.json(path)["who"])

    def flags(self) -> dict[str, bool]:
        """The effective flags; both maps must agree."""
        document = self.json("/routing-status")
        enabled = {k: v["enabled"] for k, v in document["routing_configuration"]["microservices"].items()}
        assert enabled == document["feature_flags"]
        return enabled


class Starter:
    """Starts gateways, and ends them all."""

    def __init__(self, folder: Path, monolith: str, service: str) -> None:
        self.folder = folder
        self.monolith = monolith
        self.service = service
        self.started: list[Gateway] = []

    def __call__(
        self,
        text: str | bytes | None = None,
        *,
        env: Mapping[str, str] | None = None,
        more: Sequence[str] = (),
        monolith: str | None = None,
        service: str | None = None,
        port: int | None = None,
        wait: bool = True,
        beside: str | None = None,
    ) -> Gateway:
        """Start one; ``text`` is its env file, ``beside`` the .env in its working directory."""
        port = port or free_port()
        here = self.folder / f"{port}-{len(self.started)}"
        here.mkdir()
        arguments = list(more)
        if text is not None:
            file = here / "flags.env"
            file.write_bytes(text.encode() if isinstance(text, str) else text)
            arguments += ["--env-file", str(file)]
        if beside is not None:
            (here / ".env").write_text(beside)
        log = here / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command(port, monolith or self.monolith, service or self.service, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment(env or {}),
                cwd=here,
            )
        gateway = Gateway(port, process, log)
        self.started.append(gateway)
        if wait:
            until(lambda: listens(port) or process.poll() is not None, "the gateway to listen")
            assert process.poll() is None, log.read_text()
        return gateway

    def fails(self, text: str | bytes | None = None, **options: Any) -> tuple[int, str]:
        """Start one that ends by itself: its exit code and what it wrote."""
        gateway = self(text, wait=False, **options)
        return gateway.process.wait(30), gateway.log.read_text()

    def end(self) -> None:
        for gateway in self.started:
            if gateway.process.poll() is None:
                gateway.process.kill()
            gateway.process.wait(10)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def monolith() -> Iterator[Upstream]:
    with upstream("monolith") as server:
        yield server


@pytest.fixture(scope="module")
def service() -> Iterator[Upstream]:
    with upstream("service") as server:
        yield server


@pytest.fixture
def start(tmp_path: Path, monolith: Upstream, service: Upstream) -> Iterator[Starter]:
    starter = Starter(tmp_path, monolith.url, service.url)
    yield starter
    starter.end()


@pytest.fixture(scope="module")
def lasting(
    tmp_path_factory: pytest.TempPathFactory, monolith: Upstream, service: Upstream
) -> Iterator[Starter]:
    starter = Starter(tmp_path_factory.mktemp("gateways"), monolith.url, service.url)
    yield starter
    starter.end()


@pytest.fixture(scope="module")
def all_on(lasting: Starter) -> Gateway:
    return lasting("".join(f"{flag.variable}=true\n" for flag in FLAGS))


@pytest.fixture(scope="module")
def all_off(lasting: Starter) -> Gateway:
    return lasting("")


# --- its own paths -----------------------------------------------------------------------------------------------


def test_health_names_program_and_monolith(all_off: Gateway, monolith: Upstream) -> None:
    status, headers, body = all_off.ask("GET", "/health")
    document = json.loads(body)
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert list(document) == ["status", "service", "version", "timestamp", "monolith_url"]
    assert document["status"] == "healthy"
    assert document["service"] == "TracSeq API Gateway (Monolith Router)"
    assert document["monolith_url"] == monolith.url


def test_health_is_200_when_the_monolith_is_down(start: Starter) -> None:
    gateway = start("", monolith=f"http://127.0.0.1:{free_port()}")
    assert gateway.ask("GET", "/health")[0] == 200


def test_routing_status_with_all_off_has_two_maps_and_no_url(all_off: Gateway) -> None:
    document = all_off.json("/routing-status")
    maps = document["routing_configuration"]["microservices"]
    assert maps == {key: {"enabled": False, "url": None} for key in KEYS}
    assert document["feature_flags"] == dict.fromkeys(KEYS, False)


def test_routing_status_with_all_on_has_the_urls(all_on: Gateway, service: Upstream) -> None:
    document = all_on.json("/routing-status")
    maps = document["routing_configuration"]["microservices"]
    assert maps == {key: {"enabled": True, "url": service.url} for key in KEYS}
    assert document["feature_flags"] == dict.fromkeys(KEYS, True)


def test_the_ten_variables_keys_and_prefixes() -> None:
    assert {(flag.variable, flag.key, flag.prefix) for flag in FLAGS} == {
        ("USE_AUTH_SERVICE", "auth", "/api/auth"),
        ("USE_SAMPLE_SERVICE", "samples", "/api/samples"),
        ("USE_TEMPLATE_SERVICE", "templates", "/api/templates"),
        ("USE_STORAGE_SERVICE", "storage", "/api/storage"),
        ("USE_SEQUENCING_SERVICE", "sequencing", "/api/sequencing"),
        ("USE_NOTIFICATION_SERVICE", "notifications", "/api/notifications"),
        ("USE_RAG_SERVICE", "rag", "/api/rag"),
        ("USE_SPREADSHEET_SERVICE", "spreadsheet", "/api/spreadsheets"),
        ("USE_DASHBOARD_SERVICE", "dashboard", "/api/dashboard"),
        ("USE_REPORTS_SERVICE", "reports", "/api/reports"),
    }


def test_metrics_count_requests_by_prefix_and_side(start: Starter) -> None:
    gateway = start("USE_RAG_SERVICE=true")
    for path in ("/api/rag/query", "/api/rag", "/api/samples", "/elsewhere"):
        gateway.ask("GET", path)
    text = gateway.ask("GET", "/metrics")[2].decode()
    assert 'gateway_requests_total{prefix="/api/rag",side="service",method="GET",status="200"} 2' in text
    assert 'gateway_requests_total{prefix="/api/samples",side="monolith",method="GET",status="200"} 1' in text
    assert 'gateway_requests_total{prefix="other",side="monolith",method="GET",status="200"} 1' in text


# --- routing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", FLAGS, ids=KEYS)
def test_each_flag_moves_its_prefix_and_the_path_loses_api(
    flag: Any, all_on: Gateway, all_off: Gateway
) -> None:
    there = all_on.json(f"{flag.prefix}/7?limit=2&q=a%20b")
    here = all_off.json(f"{flag.prefix}/7?limit=2&q=a%20b")
    assert there == {"who": "service", "path": f"{flag.prefix.removeprefix('/api')}/7?limit=2&q=a%20b"}
    assert here == {"who": "monolith", "path": f"{flag.prefix}/7?limit=2&q=a%20b"}


@pytest.mark.parametrize(
    ("path", "arrives"),
    [
        ("/api/templatesX", "/templatesX"),
        ("/api/authors", "/authors"),
        ("/api/templates", "/templates"),
        ("/api/templates/", "/templates/"),
        ("/api/%74emplates/1", "/%74emplates/1"),
        ("/%61pi/templates/a%20b?x=%2F", "/templates/a%20b?x=%2F"),
        ("/api/templates/a%2Fb", "/templates/a%2Fb"),
        ("/api/templates/../x", "/templates/../x"),
    ],
)
def test_a_bare_prefix_match_goes_to_the_service(path: str, arrives: str, all_on: Gateway) -> None:
    assert all_on.json(path) == {"who": "service", "path": arrives}


@pytest.mark.parametrize(
    "path",
    [
        "/API/templates",
        "/api/Templates",
        "/api//templates",
        "/templates",
        "/auth/login",
        "/api/users/1",
        "/api",
        "/",
        "/health/",
        "/routing-status/x",
    ],
)
def test_paths_that_stay_on_the_monolith_whatever_the_flags(path: str, all_on: Gateway) -> None:
    assert all_on.json(path) == {"who": "monolith", "path": path}


def test_only_get_asks_the_gateway_itself(all_on: Gateway, monolith: Upstream) -> None:
    assert json.loads(all_on.ask("POST", "/health", body=b"x")[2])["who"] == "monolith"
    assert monolith.seen[-1] == ("POST", "/health", b"x")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_method_and_body_arrive_unchanged(method: str, all_on: Gateway, service: Upstream) -> None:
    body = bytes(range(256)) * 20_000  # 5 MB, more than servers take unasked
    all_on.ask(method, "/api/samples", body=body, headers={"Content-Type": "application/octet-stream"})
    assert service.seen[-1] == (method, "/samples", body)


def test_a_chunked_body_arrives_whole(all_on: Gateway, service: Upstream) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", all_on.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", "/api/samples", body=iter([b"one ", b"two"]), encode_chunked=True)
        assert connection.getresponse().status == 200
    assert service.seen[-1][1] == "/samples"


@pytest.mark.parametrize("status", [200, 201, 204, 404, 409, 422, 500])
def test_status_and_body_pass_back_unchanged(status: int, all_on: Gateway) -> None:
    code, headers, body = all_on.ask("GET", f"/api/samples?status={status}")
    assert code == status
    assert headers["etag"] == '"e1"'
    expected = b"" if status == 204 else f'{{"who":"service","path":"/samples?status={status}"}} \n'.encode()
    assert body == expected
    if status != 204:
        assert headers["content-type"] == "application/json; charset=utf-8"


def test_head_has_the_length_and_no_body(all_on: Gateway) -> None:
    code, headers, body = all_on.ask("HEAD", "/api/samples")
    assert (code, body) == (200, b"")
    assert int(headers["content-length"]) == len(all_on.ask("GET", "/api/samples")[2])


def test_no_header_tells_who_answered(all_on: Gateway, all_off: Gateway) -> None:
    sets = []
    for gateway in (all_on, all_off):
        headers = gateway.ask("GET", "/api/samples")[1]
        for varying in ("date", "content-length"):
            headers.pop(varying)
        sets.append(headers)
    assert sets[0] == sets[1]
    assert "service" not in str(sets[0])
    assert not {"via", "x-powered-by", "x-served-by"} & set(sets[0])


def test_connections_are_kept_alive(all_on: Gateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", all_on.port, timeout=20)
    with contextlib.closing(connection):
        connection.connect()
        first = connection.sock.getsockname()
        for path in ("/api/samples", "/health", "/api/auth", "/nowhere"):
            connection.request("GET", path)
            assert connection.getresponse().read()
            assert connection.sock is not None and connection.sock.getsockname() == first


# --- upstreams that fail -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "side"), [("/api/samples", "microservice"), ("/api/users/1", "monolith"), ("/", "monolith")]
)
def test_an_upstream_that_is_down_is_503_without_fallback(path: str, side: str, start: Starter) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    gateway = start(
        "USE_SAMPLE_SERVICE=true",
        service=nobody if side == "microservice" else None,
        monolith=nobody if side == "monolith" else None,
    )
    status, _, body = gateway.ask("GET", path)
    assert (status, body) == (503, f'{{"detail":"Service unavailable: {side}"}}'.encode())


def test_a_slow_upstream_is_504(start: Starter) -> None:
    gateway = start("USE_RAG_SERVICE=true", more=["--timeout", "0.4"])
    assert gateway.ask("GET", "/api/rag/slow")[0] == 504
    assert gateway.ask("GET", "/slow")[0] == 504
    assert gateway.ask("GET", "/api/rag/quick")[0] == 200


def test_the_timeout_is_thirty_seconds_unless_told() -> None:
    from tracseq_migrate.sandbox.gateway.__main__ import _parse

    assert _parse(["--port", "1", "--monolith", "http://m"]).timeout == 30.0


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_upstream_that_hangs_up_is_502_and_is_asked_once(
    method: str, all_on: Gateway, service: Upstream
) -> None:
    all_on.ask("GET", "/api/rag/warm")  # so that the connection is a kept one, as with most requests
    before = len(service.seen)
    assert all_on.ask(method, "/api/rag/hang-up")[0] == 502
    assert [(m, p) for m, p, _ in service.seen[before:]] == [(method, "/rag/hang-up")]


# --- how flags arrive --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "means"),
    [(v, True) for v in ("true", "TRUE", "True", "1", "yes", "on", "t", "y")]
    + [(v, False) for v in ("false", "FALSE", "0", "no", "off")],
)
def test_values_in_the_environment(value: str, means: bool, start: Starter) -> None:
    assert start(env={"USE_RAG_SERVICE": value}).flags()["rag"] is means


@pytest.mark.parametrize("value", ["", '"true"', " true", "true ", "true # c", "true\r", "2", "enabled"])
def test_values_in_the_environment_that_crash_it(value: str, start: Starter) -> None:
    code, said = start.fails(env={"USE_RAG_SERVICE": value})
    assert code == 1
    assert "ValidationError: 1 validation error" in said
    assert "use_rag_service" in said
    assert "valid boolean" in said


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("USE_RAG_SERVICE=true\r\nUSE_AUTH_SERVICE=true\r\n", {"rag", "auth"}),
        ("export USE_RAG_SERVICE=true\n", {"rag"}),
        ("USE_RAG_SERVICE=\"true\"\nUSE_AUTH_SERVICE='yes'\n", {"rag", "auth"}),
        ("# head\n\nUSE_RAG_SERVICE=true # why\n", {"rag"}),
        ("USE_RAG_SERVICE = true\n", {"rag"}),
        ("USE_RAG_SERVICE=false\nUSE_RAG_SERVICE=true\n", {"rag"}),
        ("USE_RAG_SERVICE=true\nUSE_RAG_SERVICE=false\n", set()),
        ("USE_RAG_SERVICE=true\nuse_rag_service=false\n", set()),
        ("use_rag_service=false\nUse_Rag_Service=true\n", {"rag"}),
        ("USE_RAG_SERVICE: true\nUSE_AUTH_SERVICE=true\n", {"auth"}),
        ("FEATURE_FLAGS__USE_RAG_SERVICE=true\nUSE_RAG_SERVICE=false\n", {"rag"}),
        ("FEATURE_FLAGS__USE_RAG_SERVICE=false\nUSE_RAG_SERVICE=true\n", set()),
        ("USE_BARCODE_SERVICE=true\nNOBODY_KNOWS=7\n", set()),
        ("USE_RAG_SERVICE=true", {"rag"}),
        ("ON=true\nUSE_RAG_SERVICE=${ON}\n", {"rag"}),
        ("USE_RAG_SERVICE\n", set()),
    ],
)
def test_the_file(text: str, on: set[str], start: Starter) -> None:
    flags = start(text).flags()
    assert {key for key, value in flags.items() if value} == on


@pytest.mark.parametrize(
    "text",
    [
        b"USE_RAG_SERVICE=true#c\n",
        b"USE_RAG_SERVICE=\n",
        b"USE_RAG_SERVICE=enabled\n",
        "USE_RAG_SERVICE=true\n".encode("utf-16"),
        "USE_RAG_SERVICE=true\n".encode("utf-16-le"),
    ],
)
def test_a_file_that_crashes_it(text: bytes, start: Starter) -> None:
    code, said = start.fails(text)
    assert code == 1
    assert "Error" in said


def test_a_crash_at_start_leaves_the_port_alone(start: Starter) -> None:
    port = free_port()
    assert start.fails("USE_RAG_SERVICE=2", port=port)[0] == 1
    assert not listens(port)


@pytest.mark.parametrize(
    ("env", "text", "on"),
    [
        ({"USE_RAG_SERVICE": "false"}, "USE_RAG_SERVICE=true", False),
        ({"USE_RAG_SERVICE": "true"}, "USE_RAG_SERVICE=false", True),
        ({"use_rag_service": "true"}, "USE_RAG_SERVICE=false", True),
        ({"FEATURE_FLAGS__USE_RAG_SERVICE": "true", "USE_RAG_SERVICE": "false"}, None, True),
        ({"FEATURE_FLAGS__USE_RAG_SERVICE": "false"}, "FEATURE_FLAGS__USE_RAG_SERVICE=true", False),
    ],
)
def test_the_environment_wins_over_the_file(
    env: dict[str, str], text: str | None, on: bool, start: Starter
) -> None:
    assert start(text, env=env).flags()["rag"] is on


def test_a_dotenv_beside_it_is_read_but_the_env_file_wins(start: Starter) -> None:
    gateway = start("USE_AUTH_SERVICE=false", beside="USE_RAG_SERVICE=true\nUSE_AUTH_SERVICE=true\nANY=x\n")
    flags = gateway.flags()
    assert (flags["rag"], flags["auth"]) == (True, False)


def test_no_hot_reload(start: Starter) -> None:
    gateway = start("USE_RAG_SERVICE=false")
    file = gateway.log.with_name("flags.env")
    file.write_text("USE_RAG_SERVICE=true")
    assert gateway.flags()["rag"] is False
    assert gateway.who("/api/rag/x") == "monolith"


# --- starting and stopping ---------------------------------------------------------------------------------------


def test_a_second_one_on_the_port_exits_3_and_the_first_answers_on(start: Starter) -> None:
    first = start("")
    code, said = start.fails("USE_RAG_SERVICE=true", port=first.port)
    assert code == 3
    assert "ddress already in use" in said
    assert first.flags()["rag"] is False


def test_sigterm_refuses_new_connections_and_finishes_what_is_under_way(
    start: Starter, monolith: Upstream
) -> None:
    gateway = start("")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(gateway.ask, "GET", "/slow-one")
        until(lambda: any(path == "/slow-one" for _, path, _ in monolith.seen), "the request to be under way")
        gateway.process.terminate()
        until(lambda: not listens(gateway.port), "the port to be closed")
        assert gateway.process.poll() is None  # it is still finishing
        status, _, body = slow.result(20)
    assert (status, json.loads(body)["who"]) == (200, "monolith")
    assert gateway.process.wait(20) == 0


def test_sigterm_ends_it_at_once_when_clients_only_keep_connections(start: Starter) -> None:
    gateway = start("")
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/health")
        connection.getresponse().read()
        gateway.process.terminate()
        assert gateway.process.wait(20) == 0


# --- faults ------------------------------------------------------------------------------------------------------


def test_strict_env_refuses_any_name_in_a_dotenv_beside_it(start: Starter) -> None:
    fault = ["--fault", "strict-env"]
    code, said = start.fails(more=fault, beside="USE_RAG_SERVICE=true\n")
    assert code == 1
    assert "use_rag_service" in said
    assert "Extra inputs are not permitted" in said
    assert start.fails(more=fault, beside="ANY=thing\n")[0] == 1
    assert start(more=fault, beside="# only a comment\n\n").flags() == dict.fromkeys(KEYS, False)
    assert start("USE_RAG_SERVICE=true", more=fault).flags()["rag"] is True


def test_stuck_flag_keeps_the_values_of_its_first_start(start: Starter, tmp_path: Path) -> None:
    more = ["--fault", "stuck-flag", "--remember", str(tmp_path / "seen.json")]
    assert start("USE_RAG_SERVICE=false", more=more).flags()["rag"] is False
    again = start("USE_RAG_SERVICE=true", more=more)
    assert again.flags()["rag"] is False
    assert again.who("/api/rag") == "monolith"


def test_slow_start_refuses_connections_until_it_listens(start: Starter) -> None:
    gateway = start("USE_RAG_SERVICE=true", more=["--fault", "slow-start=1.5"], wait=False)
    started = time.monotonic()
    until(lambda: listens(gateway.port), "the slow gateway")
    assert time.monotonic() - started >= 1.4
    assert gateway.flags()["rag"] is True


def test_unknown_flag_ignores_two_flags_in_silence(start: Starter) -> None:
    gateway = start(
        "USE_STORAGE_SERVICE=true\nUSE_RAG_SERVICE=nonsense\nUSE_AUTH_SERVICE=true\n",
        more=["--fault", "unknown-flag"],
    )
    flags = gateway.flags()
    assert not {"storage", "rag"} & set(flags)
    assert len(flags) == len(KEYS) - 2
    assert gateway.who("/api/storage/x") == "monolith"
    assert gateway.who("/api/auth/x") == "service"


def test_one_map_says_true_while_the_monolith_answers(start: Starter) -> None:
    gateway = start("USE_STORAGE_SERVICE=true\nUSE_AUTH_SERVICE=true\n", more=["--fault", "one-map"])
    document = gateway.json("/routing-status")
    maps = document["routing_configuration"]["microservices"]
    for key in ("storage", "templates"):
        assert document["feature_flags"][key] is True
        assert key not in maps
        assert gateway.who(f"/api/{key}/x") == "monolith"
    assert maps["auth"]["enabled"] is True
    assert gateway.who("/api/auth/x") == "service"
