"""Bad input and bad surroundings: one clear message, the promised exit code, and everything as before."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.driving import (
    ONLY_START,
    Outcome,
    Tool,
    rag_week,
    states,
    tool_of,
    unhealthy,
    world,
    write_week,
)
from tests.sandbox_fixture import Sandbox
from tracseq_migrate.errors import InvalidSetup

pytestmark = pytest.mark.sandbox


@pytest.fixture
def week(sandbox: Sandbox, tool: Tool) -> Tool:
    """The tool, where the week `try` moves the rag service."""
    write_week(sandbox, rag_week(timeout="20s"))
    return tool


# What is typed


TYPED = [
    (("run", "nope"), 2, "no plan of a week 'nope'"),
    (("run",), 2, "WEEK"),
    (("run", "week1", "--nope"), 2, "--nope"),
    (("nope",), 2, "nope"),
    (("run", "week1", "--confirm", "nope=x"), 2, "backup-confirmed, team-informed, on-call"),
    (("run", "week1", "--until", "nope"), 2, "its steps are: start"),
    (("run", "week1", "--lock-timeout", "soon"), 2, "--lock-timeout"),
    (("run", "week1", "--offline"), 2, "--dry-run"),
    (("approve", "week1", "nope"), 2, "backup-confirmed"),
    (("-e", "nope", "status"), 2, "sandbox"),
    (("rollback", "week1"), 4, "was never run in environment sandbox"),
    (("run", "week2", "--yes"), 4, "`tracseq-migrate run week1` first"),
]


def test_what_cannot_be_done_is_said_once(sandbox: Sandbox, tool: Tool) -> None:
    before = world(sandbox)
    # One after the other would do as well; `run week2` takes the lock, which the others do not come to.
    plain = tool.together(*(argv for argv, _, _ in TYPED))
    as_json = tool.together(*((*argv, "--json") for argv, _, _ in TYPED))
    for (_, code, says), told, streamed in zip(TYPED, plain, as_json, strict=True):
        assert says in told.expect(code).message
        assert told.message.count("✗") == 1
        streamed.expect(code)
        events = streamed.out.startswith('{"')
        last = json.loads(streamed.out.splitlines()[-1]) if events else streamed.document
        assert (last["type"], last["exit_code"]) == ("error", code)
    assert world(sandbox) == before


def test_without_an_environment_file(tmp_path: Path) -> None:
    tool = Tool(tmp_path)
    none, other, as_json = tool.together(
        ("run", "week1", "--yes"), ("-c", "other.yaml", "status"), ("status", "--json")
    )
    assert "tracseq-migrate.yaml" in none.expect(3).message
    assert "no file other.yaml" in other.expect(3).message
    assert as_json.expect(3).document["exit_code"] == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "weeks/bad.yaml:1:1: "),
        (b"- a\n- b\n", "weeks/bad.yaml:1:1: "),
        (b"week: bad\n\x88\x00\xff", "weeks/bad.yaml:2:1: "),
        (rag_week("bad").replace("services:", "servics:").encode(), "weeks/bad.yaml:7:5: "),
    ],
    ids=["empty", "a-list", "binary", "misspelt"],
)
def test_a_plan_that_is_none(sandbox: Sandbox, tool: Tool, body: bytes, place: str) -> None:
    before = world(sandbox)
    write_week(sandbox, body, "bad.yaml")
    *refused, status = tool.together(("run", "weeks/bad.yaml"), ("run", "bad"), ("validate",), ("status",))
    for outcome in refused:
        # Findings are said once: what `validate` finds is its result, what keeps a run from going is its error.
        told = outcome.expect(3).out + outcome.err
        assert [line for line in told.splitlines() if "bad.yaml" in line and line.startswith(place)]
        assert told.count(place) == 1, outcome
    # One that cannot be read does not keep the others from being looked at, and is not passed over in silence.
    status.expect(0, "weeks/bad.yaml", "never-run")
    assert world(sandbox) == before


# The flag file


def refused_by_the_flag_file(sandbox: Sandbox, tool: Tool, says: str) -> None:
    before = world(sandbox)
    assert says in tool("run", "try").expect(4).message
    assert tool.state("try") == "never-run"
    assert world(sandbox) == before


def test_the_flag_file_is_missing(sandbox: Sandbox, week: Tool) -> None:
    sandbox.flag_file.unlink()
    refused_by_the_flag_file(sandbox, week, "flags.env does not exist")
    # One reason for ten flags is said once.
    assert week("status").expect(0).out.count("does not exist") == 1


def test_the_flag_file_is_read_only_to_root_too(sandbox: Sandbox, week: Tool) -> None:
    sandbox.flag_file.chmod(0o444)
    refused_by_the_flag_file(sandbox, week, "read-only")


@pytest.mark.parametrize(
    ("before", "during"),
    [
        pytest.param(
            b"# none of ours\nUSE_AUTH_SERVICE=false",
            b"# none of ours\nUSE_AUTH_SERVICE=false\nUSE_RAG_SERVICE=true\n",
            id="without-the-flag",
        ),
        pytest.param(
            b"OTHER='1 2'\r\n# hi\r\nexport USE_RAG_SERVICE=\"no\" # c\r\nuse_rag_service=no \r\nX=",
            b"OTHER='1 2'\r\n# hi\r\nexport USE_RAG_SERVICE=\"no\" # c\r\nuse_rag_service=true \r\nX=",
            id="crlf-export-duplicate-comment",
        ),
    ],
)
def test_a_flag_file_as_people_write_them(sandbox: Sandbox, week: Tool, before: bytes, during: bytes) -> None:
    sandbox.flag_file.write_bytes(before)
    as_it_was = world(sandbox)

    week("run", "try").expect(0)

    # A file without an end of its last line has none afterwards either, but for a line that was added.
    assert sandbox.flag_file.read_bytes().rstrip() == during.rstrip()
    assert world(sandbox).effective != as_it_was.effective
    week("rollback", "try").expect(0)
    assert world(sandbox) == as_it_was


# The gateway


class Stranger(http.server.BaseHTTPRequestHandler):
    """Another program on an instance's port."""

    kind = "text/html"
    body = b"<html><body>It works!</body></html>"
    delay: threading.Event | None = None

    def do_GET(self) -> None:
        if self.delay is not None:
            self.delay.wait(60)
        with contextlib.suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Type", self.kind)
            self.send_header("Content-Length", str(len(self.body)))
            self.end_headers()
            self.wfile.write(self.body)

    def log_message(self, *arguments: object) -> None:
        """Nobody reads it."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are expected."""


@contextlib.contextmanager
def in_place_of(sandbox: Sandbox, instance: str, **how: object) -> Iterator[None]:
    """Something else at the address of a gateway instance."""
    sandbox.stop(instance)
    port = int(sandbox.instances[instance].rpartition(":")[2])
    server = Server(("127.0.0.1", port), type("Other", (Stranger,), how))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        sandbox.start(instance)


def refused_by_the_gateway(sandbox: Sandbox, tool: Tool, *says: str) -> None:
    bytes_before, services = sandbox.flag_file.read_bytes(), states(sandbox)
    refused, status = tool.together(("run", "try"), ("status", "--json"))
    assert refused.code in (1, 4), refused
    for text in says:
        assert text in refused.expect(refused.code).message
    assert "Nothing was changed." in refused.err
    assert sandbox.flag_file.read_bytes() == bytes_before
    assert states(sandbox) == services
    seen = status.expect(0).document
    assert seen["warnings"], "an instance that cannot be asked is a warning"
    assert {line["effective"] for line in seen["flags"]} == {None}


def test_the_gateway_is_down(sandbox: Sandbox, week: Tool) -> None:
    sandbox.stop(*sandbox.instances)
    refused_by_the_gateway(sandbox, week, "gateway-1 and gateway-2", "connection refused")


def test_an_instance_answers_html(sandbox: Sandbox, week: Tool) -> None:
    with in_place_of(sandbox, "gateway-2"):
        refused_by_the_gateway(sandbox, week, "gateway-2", "HTML")


def test_an_instance_is_another_program(sandbox: Sandbox, week: Tool) -> None:
    body = json.dumps({"status": "healthy", "service": "Fancy Edge"}).encode()
    with in_place_of(sandbox, "gateway-1", kind="application/json", body=body):
        refused_by_the_gateway(sandbox, week, "gateway-1", "Fancy Edge")


def test_an_instance_never_answers(sandbox: Sandbox, week: Tool) -> None:
    over = threading.Event()
    with in_place_of(sandbox, "gateway-1", delay=over):
        refused_by_the_gateway(sandbox, week, "gateway-1")
        over.set()


# The services


def test_a_service_that_needs_five_seconds_to_be_healthy(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, ONLY_START)
    before = world(sandbox)
    fault = unhealthy(sandbox, "rag")
    with tool.working("run", "try") as call:
        call.until_said("start begins")
        time.sleep(5)
        assert call.process.poll() is None
        fault.unlink()
        call.end().expect(0, "try is proven")
    tool("rollback", "try").expect(0)
    assert world(sandbox) == before


def test_a_service_that_is_never_healthy(sandbox: Sandbox, tool: Tool) -> None:
    before = world(sandbox)
    write_week(sandbox, rag_week(timeout="3s"))
    unhealthy(sandbox, "rag")
    message = tool("run", "try").expect(5).message
    assert "rag did not become healthy: GET /health at rag answers 503" in message
    assert "it last wrote:" in message
    assert world(sandbox) == before
    assert tool.state("try") == "rolled-back"


def test_a_service_that_does_not_start_is_told_with_its_last_words(sandbox: Sandbox, week: Tool) -> None:
    before = world(sandbox)
    sandbox.fault("service-dead", on=True, service="rag")
    message = week("run", "try").expect(5).message
    assert "rag: the fault service-dead keeps it from starting" in message
    sandbox.fault("service-dead", on=False, service="rag")
    assert world(sandbox) == before


def test_the_database_of_a_service_is_down(sandbox: Sandbox, week: Tool) -> None:
    before = world(sandbox)
    sandbox.fault("database-down", on=True, database="rag")
    assert "cannot be counted" in week("run", "try").expect(4).message
    assert world(sandbox) == before


def test_the_monolith_answers_for_the_service(sandbox: Sandbox, tool: Tool) -> None:
    before = world(sandbox)
    write_week(sandbox, rag_week(timeout="3s"))
    text = sandbox.config.read_text("utf-8")
    assert sandbox.document["services"]["rag"] in text
    monolith = sandbox.document["monolith"]["url"]
    sandbox.config.write_text(text.replace(sandbox.document["services"]["rag"], monolith), "utf-8")
    assert "the monolith, not rag" in tool("run", "try").expect(5).message
    assert world(sandbox) == before


def test_the_disk_of_the_flag_file_is_full(sandbox: Sandbox, week: Tool) -> None:
    if os.geteuid() != 0:
        pytest.skip("a full disk can be had by root alone")
    before = world(sandbox)
    try:
        sandbox.fault("disk-full", on=True)
    except InvalidSetup as error:
        pytest.skip(f"no full disk here: {error}")
    assert "the disk is full" in week("run", "try").expect(5).message
    sandbox.fault("disk-full", on=False)
    assert world(sandbox) == before


# The streams


def test_nobody_at_the_terminal_is_never_asked(sandbox: Sandbox, tool: Tool) -> None:
    before = world(sandbox)
    commands = [
        f"tracseq-migrate approve week1 {item}" for item in ("backup-confirmed", "team-informed", "on-call")
    ]
    for outcome in (
        tool.shell("$T run week1 <&-"),
        tool.shell("yes | $T run week1; exit ${PIPESTATUS[1]}"),
        tool("run", "week1"),  # /dev/null
    ):
        for command in commands:
            assert command in outcome.expect(4).message
    assert world(sandbox) == before
    assert tool.state("week1") == "never-run"


def test_readers_that_go_away(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, ONLY_START)
    before = world(sandbox)
    lines = (
        "$T status >&-",
        "$T status | head -c 20",
        "$T plan week1 | true",
        "$T status 2>&-",
        "$T status --json 2>&1 | head -c 20",
    )
    with ThreadPoolExecutor(3) as pool:
        for outcome in pool.map(tool.shell, lines):
            assert outcome.err == "", outcome
            assert "Traceback" not in outcome.out
    # A run whose reader goes away comes to its end all the same.
    assert tool.shell("$T run try | head -n 2; exit ${PIPESTATUS[0]}").expect(0).err == ""
    assert tool.state("try") == "proven"
    assert tool.shell("$T rollback try >&- 2>&-").code == 0
    assert world(sandbox) == before


def test_json_is_json_on_stdout_and_nothing_else(sandbox: Sandbox, week: Tool) -> None:
    def one(outcome: Outcome, kind: str) -> None:
        assert outcome.document["type"] == kind, outcome
        assert outcome.document["format"] == "1.0"

    def stream(outcome: Outcome) -> list[str]:
        events = outcome.events
        assert events[0]["format"] == "1.0"
        assert events[-1]["type"] == "finished"
        assert "environment sandbox" in outcome.err
        return [event["type"] for event in events]

    reading = {
        "validate": ("validate",),
        "plan": ("run", "try", "--dry-run", "--offline"),
        "status": ("status",),
        "verify": ("verify",),
        "log": ("log",),
        "log-verify": ("log", "verify"),
    }

    def read(**more: tuple[str, ...]) -> None:
        asked = {**reading, **more}
        outcomes = week.together(*((*argv, "--json") for argv in asked.values()))
        for kind, outcome in zip(asked, outcomes, strict=True):
            one(outcome.expect(0), kind.rstrip("_"))

    read(approve=("approve", "week1", "on-call"), plan_=("plan", "week1"))
    assert "step.done" in stream(week("run", "try", "--json").expect(0))
    stream(week("run", "try", "--json").expect(0))
    stream(week("resume", "--json").expect(0))
    read(status_=("status", "try"), **{"rollback-plan": ("rollback", "try", "--dry-run")})
    assert "step.done" in stream(week("rollback", "try", "--json").expect(0))
    stream(week("rollback", "try", "--json").expect(0))
    one(week("rollback", "try", "--print-manual", "--json").expect(0), "rollback-plan")
    one(week("log", "render", "--json").expect(0), "log")
    one(week("sandbox", "status", "--dir", ".", "--json").expect(0), "sandbox")


def test_a_terminal_is_asked_and_no_is_respected(sandbox: Sandbox) -> None:
    tool = tool_of(sandbox)
    sandbox.reset()
    before = world(sandbox)
    # `script` gives the tool a terminal of its own.
    line = "printf 'n\\n' | script -qec \"$T run week1\" /dev/null"
    if subprocess.run(["which", "script"], capture_output=True, check=False).returncode:
        pytest.skip("no `script` here, which makes a terminal")
    answered = tool.shell(line)
    assert answered.code == 12, answered
    assert "declined" in answered.out
    assert world(sandbox) == before
