"""A sandbox comes whole or not at all, and goes without leaving a process, a port, shared memory or a file."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.sandbox_fixture import Sandbox, bring_up, get, take_down, until
from tracseq_migrate.errors import InvalidSetup, Locked, TracseqMigrateError
from tracseq_migrate.sandbox import guards, leftovers, lifecycle, programs
from tracseq_migrate.sandbox.databases import DATABASES
from tracseq_migrate.sandbox.environment_file import flag_file
from tracseq_migrate.sandbox.layout import BLOCK, SERVICES, Layout, State, reserved_ports

pytestmark = pytest.mark.sandbox


TOO_LONG_FOR_A_SOCKET = Path("a-very-long-name-" * 5) / "s"


def silent(line: str) -> None:
    pass


@dataclass
class Traces:
    """What a running sandbox has on this machine, to be looked for after it is gone."""

    state: State
    processes: list[psutil.Process]
    segment: int | None

    @classmethod
    def of(cls, folder: Path) -> Traces:
        state = lifecycle.find(folder)
        return cls(state, leftovers.running(state), programs.cluster(state).shared_memory())

    def assert_gone(self, *, kept: bool = False) -> None:
        alive = [p for p in self.processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        assert alive == []
        assert leftovers.running(self.state) == []
        for name, port in self.state.ports.items():
            assert not listens(port), f"{name} still listens on {port}"
        assert self.segment not in shared_memory_segments()
        if self.state.private_sockets and not kept:
            assert not Path(self.state.socket_folder).exists()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def shared_memory_segments() -> set[int]:
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {int(line.split()[1]) for line in lines}


@contextlib.contextmanager
def own_sandbox(folder: Path, **wishes: Any) -> Iterator[Sandbox]:
    try:
        yield bring_up(folder, users=5, **wishes)
    finally:
        take_down(folder)


def test_the_document_tells_all_there_is(sandbox: Sandbox) -> None:
    # As it is now: other tests have restarted programs since the sandbox came up.
    document = lifecycle.status(sandbox.folder)
    assert document == json.loads(json.dumps(document))
    assert (document["type"], document["format"]) == ("sandbox", "1.0")
    assert list(document["services"]) == list(SERVICES)
    assert list(document["databases"]) == list(DATABASES)
    assert {"supervisord", "postgres", "monolith", "gateway-1", "gateway-2", "proxy"} <= set(document["pids"])
    for pid in document["pids"].values():
        assert psutil.pid_exists(pid)
    for url in (document["gateway"]["url"], document["monolith"]["url"], *sandbox.instances.values()):
        assert get(f"{url}/health")[0] == 200
    for name, dsn in document["databases"].items():
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT current_database(), current_user").fetchone() == (
                (DATABASES[name], DATABASES[name])
            )


def test_no_service_runs_before_its_week(session_sandbox: Sandbox) -> None:
    session_sandbox.reset()
    states = lifecycle.status(session_sandbox.folder)["states"]
    assert {states[name] for name in SERVICES} == {"stopped"}


def test_every_service_starts_and_answers_through_the_gateway_when_its_flag_is_on(sandbox: Sandbox) -> None:
    text = sandbox.flag_file.read_text()
    sandbox.start(*SERVICES)
    sandbox.flag_file.write_text(text.replace("=false", "=true"))
    sandbox.restart(*sandbox.instances)
    for instance in sandbox.instances:
        maps = sandbox.routing(instance)["routing_configuration"]["microservices"]
        by_url = {entry["url"] for entry in maps.values() if entry["enabled"]}
        assert by_url == set(sandbox.document["services"].values())
    for path in (
        "auth/users",
        "samples",
        "templates",
        "storage/locations",
        "sequencing/jobs",
        "notifications",
    ):
        assert get(f"{sandbox.gateway_url}/api/{path}")[0] == 200
    sandbox.reset()
    assert sandbox.flag_file.read_text() == text
    assert {lifecycle.status(sandbox.folder)["states"][name] for name in SERVICES} == {"stopped"}
    assert not any(sandbox.routing("gateway-1")["feature_flags"].values())


def test_the_supervisor_tells_where_logs_are(session_sandbox: Sandbox) -> None:
    for row in session_sandbox.supervisor.call("getAllProcessInfo"):
        path = Path(row["stdout_logfile"])
        assert path.is_absolute()
        assert path.resolve() == session_sandbox.folder.resolve() / "logs" / f"{row['name']}.log"


def test_secrets_are_for_their_owner_alone(session_sandbox: Sandbox) -> None:
    layout = Layout(session_sandbox.folder)
    files = [layout.state, *layout.secrets.iterdir()]
    assert len(files) == len(DATABASES) + 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    for name, dsn in session_sandbox.document["databases"].items():
        password = dsn.split(":")[2].split("@")[0]
        assert len(password) > 16
        assert password not in layout.config.read_text()
        assert name in layout.config.read_text()


def test_the_database_refuses_a_wrong_password_and_other_peoples_databases(session_sandbox: Sandbox) -> None:
    dsns = session_sandbox.document["databases"]
    with pytest.raises(psycopg.OperationalError), psycopg.connect(dsns["auth"].replace("@", "x@")):
        pass
    with (
        pytest.raises(psycopg.OperationalError),
        psycopg.connect(dsns["auth"].replace("/tracseq_auth", "/tracseq_main")),
    ):
        pass


def test_the_database_keeps_fsync_on_and_is_ready_for_replication(session_sandbox: Sandbox) -> None:
    with psycopg.connect(session_sandbox.document["databases"]["main"]) as connection:
        for setting, value in (("fsync", "on"), ("synchronous_commit", "on"), ("wal_level", "logical")):
            assert connection.execute("SELECT current_setting(%s)", (setting,)).fetchone() == (value,)
        addresses = connection.execute("SELECT current_setting('listen_addresses')").fetchone()
    assert addresses == ("127.0.0.1",)


def test_up_on_a_running_one_changes_nothing(session_sandbox: Sandbox) -> None:
    session_sandbox.reset()
    before = lifecycle.status(session_sandbox.folder)
    document, started = lifecycle.up(lifecycle.Wishes(session_sandbox.folder), say=silent)
    assert not started
    assert document == before


@pytest.mark.long
def test_two_side_by_side_and_down_takes_only_its_own(tmp_path: Path) -> None:
    with (
        own_sandbox(tmp_path / TOO_LONG_FOR_A_SOCKET, proxy="haproxy") as one,
        own_sandbox(tmp_path / "a ;b #c 100% 'd", proxy="caddy") as two,
    ):
        first, second = Traces.of(one.folder), Traces.of(two.folder)
        assert not set(first.state.ports.values()) & set(second.state.ports.values())
        assert {p.pid for p in first.processes}.isdisjoint(p.pid for p in second.processes)
        assert len(first.processes) >= 6
        assert first.state.private_sockets
        assert str(first.state.supervisor_socket) in one.config.read_text()
        assert stat.S_IMODE(Path(first.state.socket_folder).stat().st_mode) == 0o700
        two.start("storage")
        assert lifecycle.down(one.folder, keep=False, say=silent) == lifecycle.Taken()
        first.assert_gone()
        assert not one.folder.exists()
        assert get(f"{two.gateway_url}/api/storage/locations")[0] == 200
        assert lifecycle.status(two.folder)["states"]["storage"] == "running"
        assert lifecycle.down(two.folder, keep=False, say=silent) == lifecycle.Taken()
        second.assert_gone()
        assert [path.name for path in tmp_path.iterdir()] == [TOO_LONG_FOR_A_SOCKET.parts[0]]
        assert not lifecycle.down(two.folder, keep=False, say=silent)  # once more does no harm


def test_down_after_supervisor_and_database_were_killed(tmp_path: Path) -> None:
    with own_sandbox(tmp_path / "s") as sandbox:
        sandbox.start("storage", "auth")
        traces = Traces.of(sandbox.folder)
        pids = lifecycle.status(sandbox.folder)["pids"]
        os.kill(pids["supervisord"], signal.SIGKILL)
        os.kill(pids["postgres"], signal.SIGKILL)
        until(lambda: not lifecycle.status(sandbox.folder)["running"], "the supervisor to be gone")
        status = lifecycle.status(sandbox.folder)
        assert pids["monolith"] in status["orphans"]
        assert traces.segment in shared_memory_segments()  # what a killed server leaves behind
        assert lifecycle.down(sandbox.folder, keep=False, say=silent)
        traces.assert_gone()
        assert not sandbox.folder.exists()


@pytest.mark.long
def test_kept_data_is_there_again_and_other_files_stay(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "MIGRATION_LOG.md").write_text("of an earlier one")
    (folder / ".tracseq-migrate").mkdir()
    with own_sandbox(folder, proxy="none") as sandbox:
        (earlier,) = (folder / "earlier").iterdir()
        assert {path.name for path in earlier.iterdir()} == {".tracseq-migrate", "MIGRATION_LOG.md"}
        assert not (folder / "MIGRATION_LOG.md").exists()
        assert sandbox.document["gateway"]["instances"] == [
            {"name": "gateway-1", "url": sandbox.document["gateway"]["url"]}
        ]
        assert "proxy" not in sandbox.document["pids"]
        dsn = sandbox.document["databases"]["main"]
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        sandbox.flag_file.write_text("USE_RAG_SERVICE=true\n")
        sandbox.config.write_text(sandbox.config.read_text() + "# mine\n")
        traces = Traces.of(folder)
        assert lifecycle.down(folder, keep=True, say=silent)
        traces.assert_gone(kept=True)
        assert lifecycle.status(folder)["running"] is False

        document, started = lifecycle.up(lifecycle.Wishes(folder, seed=99), say=silent)
        assert started
        assert {**document, "pids": 0} == {**sandbox.document, "pids": 0}
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
        assert sandbox.routing("gateway-1")["feature_flags"]["rag"] is True

        (folder / "MIGRATION_LOG.md").write_text("log")
        (folder / ".tracseq-migrate").mkdir()
        taken = lifecycle.down(folder, keep=False, say=silent)
        assert taken is not None
        left = {".tracseq-migrate", "MIGRATION_LOG.md", "earlier", "notes.txt"}
        assert {path.name for path in taken.stays} == {path.name for path in folder.iterdir()} == left
        edited, flags = taken.aside
        assert (edited.parent, edited.name) == (flags.parent, "tracseq-migrate.yaml")
        assert edited.parent.parent == folder / "earlier"
        assert edited.parent != earlier
        assert edited.read_text().endswith("# mine\n")
        assert flags.read_text() == "USE_RAG_SERVICE=true\n"


def test_a_taken_port_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    with reserved_ports(None) as ports:
        base = ports["gateway"]
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", base + 3))
        busy.listen()
        with pytest.raises(TracseqMigrateError) as caught:
            bring_up(tmp_path / "s", port_base=base)
    assert caught.value.message == f"port {base + 3} (for monolith) is taken"
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_ports_count_up_from_the_base(tmp_path: Path) -> None:
    with reserved_ports(None) as ports:
        base = ports["gateway"]
        with reserved_ports(None) as others:
            assert abs(others["gateway"] - base) >= BLOCK
    with reserved_ports(base) as ports:
        assert list(ports.values()) == list(range(base, base + len(ports)))


def test_it_overwrites_nothing_and_takes_down_nothing_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "tracseq-migrate.yaml").write_text("mine")
    with pytest.raises(InvalidSetup, match="no sandbox made it"):
        bring_up(tmp_path)
    assert not lifecycle.down(tmp_path, keep=False, say=silent)
    (tmp_path / "sandbox.json").write_text('{"type": "something else"}')
    for act in (bring_up, take_down):
        with pytest.raises(InvalidSetup, match="was not written by"):
            act(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"tracseq-migrate.yaml", "sandbox.json"}


def test_status_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(TracseqMigrateError, match="there is no sandbox in"):
        lifecycle.status(tmp_path)


def test_one_up_or_down_at_a_time(tmp_path: Path) -> None:
    with guards.alone(Layout(tmp_path)), pytest.raises(Locked):
        lifecycle.up(lifecycle.Wishes(tmp_path), say=silent)


_UP = """
import sys
from pathlib import Path
from tracseq_migrate.errors import Interrupted
from tracseq_migrate.sandbox import lifecycle
def say(line):
    print(line, flush=True)
try:
    lifecycle.up(lifecycle.Wishes(Path(sys.argv[1]), users=5), say=say)
except Interrupted as stop:
    sys.exit(stop.code)
"""


def _start_up(folder: Path, **more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}
    return subprocess.Popen(
        [sys.executable, "-c", _UP, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("moment", "number"),
    [("PostgreSQL", signal.SIGINT), ("databases", signal.SIGTERM), ("monolith", signal.SIGHUP)],
)
def test_an_interrupted_up_leaves_nothing(moment: str, number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with _start_up(folder) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith(moment))
        assert line
        traces = Traces.of(folder)
        time.sleep(0.1)
        process.send_signal(number)
        process.stdout.read()
        assert process.wait(60) == 128 + number
    traces.assert_gone()
    assert not folder.exists()


@pytest.mark.long
def test_up_after_an_up_that_was_killed_and_with_flags_in_the_callers_environment(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with _start_up(folder) as process:
        assert process.stdout is not None
        assert next(line for line in process.stdout if line.startswith("monolith"))
        process.kill()
    traces = Traces.of(folder)
    assert traces.processes
    try:
        with _start_up(folder, USE_RAG_SERVICE="true", PGHOST="nowhere", PGUSER="nobody") as process:
            assert process.stdout is not None
            process.stdout.read()
            assert process.wait(60) == 0
        assert lifecycle.find(folder).id != traces.state.id
        assert all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in traces.processes)
        url = lifecycle.status(folder)["gateway"]["url"]
        assert json.loads(get(f"{url}/routing-status")[1])["feature_flags"]["rag"] is False
    finally:
        take_down(folder)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One gateway without a proxy, which a test gives the faults that it wants."""
    with own_sandbox(tmp_path_factory.mktemp("single") / "s", proxy="none") as sandbox:
        yield sandbox


def _set_a_flag_and_stop(sandbox: Sandbox) -> None:
    with sandbox.flag_file.open("a") as file:
        file.write("USE_STORAGE_SERVICE=true\nUSE_AUTH_SERVICE=true\n")
    sandbox.stop("gateway-1")


def _with_faults(sandbox: Sandbox, *names: str) -> None:
    """The gateway's instance as `up` would have started it with these faults; then a flag is set, and it is stopped."""
    state = sandbox.state
    sandbox.stop("gateway-1")
    (state.layout.run / "gateway-1.flags.json").unlink(missing_ok=True)
    state.flag_file.write_bytes(flag_file(state))
    state.gateway_faults = list(names)
    programs.write(state, None)
    sandbox.start("gateway-1")
    _set_a_flag_and_stop(sandbox)


def test_strict_env_has_the_flag_file_where_it_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    with own_sandbox(tmp_path / "s", gateway_faults=("strict-env",), proxy="none") as sandbox:
        assert sandbox.document["gateway"]["faults"] == ["strict-env"]
        assert sandbox.flag_file.name == ".env"
        _set_a_flag_and_stop(sandbox)
        with contextlib.suppress(TracseqMigrateError):
            sandbox.supervisor.start_program("gateway-1")
        until(lambda: sandbox.supervisor.processes()["gateway-1"].state == "fatal", "it to be given up")
        assert "Extra inputs are not permitted" in sandbox.supervisor.tail("gateway-1")


def test_without_a_fault_the_flag_file_changes_something(single: Sandbox) -> None:
    _with_faults(single)
    single.start("gateway-1")
    flags = single.routing("gateway-1")["feature_flags"]
    assert {name for name, on in flags.items() if on} == {"storage", "auth"}


@pytest.mark.parametrize("fault", ["env-shadow", "stuck-flag"])
def test_faults_with_which_the_flag_file_changes_nothing(fault: str, single: Sandbox) -> None:
    _with_faults(single, fault)
    single.start("gateway-1")
    assert not any(single.routing("gateway-1")["feature_flags"].values())
    environment = psutil.Process(single.supervisor.processes()["gateway-1"].pid).environ()
    assert environment.get("USE_STORAGE_SERVICE") == ("false" if fault == "env-shadow" else None)
    assert get(f"{single.gateway_url}/api/storage/locations")[0] == 200  # the monolith's answer


def test_several_faults_at_once(single: Sandbox) -> None:
    _with_faults(single, "slow-start", "unknown-flag", "one-map")
    started = time.monotonic()
    single.start("gateway-1")
    assert time.monotonic() - started >= 5.9
    document = single.routing("gateway-1")
    assert "storage" not in document["feature_flags"]
    assert document["feature_flags"]["templates"] is True
    assert "templates" not in document["routing_configuration"]["microservices"]
    assert get(f"{single.gateway_url}/api/storage/locations")[0] == 200  # the monolith's answer
    assert get(f"{single.gateway_url}/api/auth/users")[0] == 503  # nobody started that service
