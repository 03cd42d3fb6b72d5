"""Each fault of a running sandbox: it is there when it is on, and nothing of it is left when it is off."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import psycopg
import pytest

from tests.sandbox_fixture import Sandbox, get, until
from tracseq_migrate.errors import CouldNotReach, InvalidSetup, TracseqMigrateError, UsageError
from tracseq_migrate.sandbox import faults, lifecycle
from tracseq_migrate.sandbox.layout import SERVICES

pytestmark = pytest.mark.sandbox


def state_of(sandbox: Sandbox, program: str) -> str:
    return sandbox.supervisor.processes()[program].state


def test_service_500_answers_that_to_everything_but_health(sandbox: Sandbox) -> None:
    sandbox.start("storage", "auth")
    url, other = (sandbox.document["services"][name] for name in ("storage", "auth"))
    assert sandbox.fault("service-500", on=True, service="storage") == ["service-500:storage"]
    assert get(f"{url}/storage/locations")[0] == 500
    assert get(f"{url}/health")[0] == 200
    assert get(f"{other}/auth/users")[0] == 200
    assert lifecycle.status(sandbox.folder)["faults"] == ["service-500:storage"]
    assert sandbox.fault("service-500", on=False) == []
    assert get(f"{url}/storage/locations")[0] == 200


def test_the_monolith_may_have_it_too_and_together_with_another(sandbox: Sandbox) -> None:
    sandbox.fault("service-500", on=True, service="monolith")
    on = sandbox.fault("service-slow", on=True, service="monolith", seconds=0.01)
    assert on == ["service-500:monolith", "service-slow:monolith"]
    orders = sandbox.state.layout.fault_file("monolith")
    assert json.loads(orders.read_text()) == {"status": 500, "delay": 0.01}
    assert get(f"{sandbox.gateway_url}/api/samples")[0] == 500
    sandbox.fault("service-500", on=False, service="monolith")
    assert json.loads(orders.read_text()) == {"delay": 0.01}
    assert get(f"{sandbox.gateway_url}/api/samples")[0] == 200
    sandbox.fault("service-slow", on=False, service="monolith")
    assert not orders.exists()


def test_service_slow_is_slow(sandbox: Sandbox) -> None:
    sandbox.start("rag")
    url = sandbox.document["services"]["rag"]
    sandbox.fault("service-slow", on=True, service="rag", seconds=3.0)
    with pytest.raises(TimeoutError):
        get(f"{url}/rag", timeout=0.5)
    sandbox.fault("service-slow", on=False, service="rag")
    assert get(f"{url}/rag")[0] == 200


def test_without_a_name_every_service_has_it(sandbox: Sandbox) -> None:
    on = sandbox.fault("service-500", on=True)
    assert on == sorted(f"service-500:{name}" for name in SERVICES)
    sandbox.reset()
    assert lifecycle.status(sandbox.folder)["faults"] == []
    assert list(sandbox.state.layout.faults.iterdir()) == []


def test_service_dead_dies_and_cannot_be_started(sandbox: Sandbox) -> None:
    sandbox.start("storage")
    url = sandbox.document["services"]["storage"]
    sandbox.fault("service-dead", on=True, service="storage")
    assert state_of(sandbox, "storage") == "fatal"
    with pytest.raises(ConnectionRefusedError):
        get(f"{url}/health")
    with pytest.raises(
        TracseqMigrateError, match=r"storage did not start: .*the fault service-dead keeps it"
    ):
        sandbox.supervisor.start_program("storage")
    sandbox.fault("service-dead", on=True, service="storage")  # twice on is once on
    sandbox.fault("service-dead", on=False, service="storage")
    until(lambda: state_of(sandbox, "storage") == "running", "storage to run again")
    sandbox.start("storage")
    assert get(f"{url}/storage/locations")[0] == 200


def test_a_dead_service_that_never_ran_is_not_started_by_off(sandbox: Sandbox) -> None:
    sandbox.fault("service-dead", on=True, service="reports")
    sandbox.fault("service-dead", on=False, service="reports")
    assert state_of(sandbox, "reports") == "stopped"
    sandbox.start("reports")


def test_gateway_no_start_lets_running_ones_run(sandbox: Sandbox) -> None:
    sandbox.fault("gateway-no-start", on=True)
    assert get(f"{sandbox.gateway_url}/health")[0] == 200
    sandbox.stop("gateway-2")
    with pytest.raises(TracseqMigrateError, match="gateway-2 did not start"):
        sandbox.supervisor.start_program("gateway-2")
    assert get(f"{sandbox.gateway_url}/health")[0] == 200
    assert sandbox.fault("gateway-no-start", on=False) == []
    sandbox.start("gateway-2")


def test_one_database_down_and_the_others_not(sandbox: Sandbox) -> None:
    dsns = sandbox.document["databases"]
    with psycopg.connect(dsns["main"], autocommit=True) as before:
        sandbox.fault("database-down", on=True, database="main")
        with pytest.raises(psycopg.OperationalError):
            before.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError), psycopg.connect(dsns["main"]):
        pass
    with psycopg.connect(dsns["auth"]) as other:
        assert other.execute("SELECT 1").fetchone() == (1,)
    assert get(f"{sandbox.document['monolith']['url']}/health")[0] == 503
    assert get(f"{sandbox.gateway_url}/api/samples")[0] == 503
    sandbox.fault("database-down", on=False, database="main")
    until(lambda: get(f"{sandbox.gateway_url}/api/samples")[0] == 200, "the monolith to be well again")


def test_the_whole_server_down(sandbox: Sandbox) -> None:
    sandbox.fault("database-down", on=True)
    with pytest.raises(psycopg.OperationalError), psycopg.connect(sandbox.document["databases"]["auth"]):
        pass
    assert get(f"{sandbox.gateway_url}/health")[0] == 200
    assert get(f"{sandbox.gateway_url}/api/samples")[0] == 503
    sandbox.fault("database-down", on=False)
    until(lambda: get(f"{sandbox.gateway_url}/api/samples")[0] == 200, "the monolith to be well again")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")
def test_a_full_disk_refuses_a_new_file_and_keeps_the_old(sandbox: Sandbox) -> None:
    body = sandbox.flag_file.read_bytes()
    try:
        sandbox.fault("disk-full", on=True)
    except InvalidSetup as refused:
        pytest.skip(refused.message)
    assert sandbox.flag_file.read_bytes() == body
    new = sandbox.flag_file.with_name("flags.env.new")
    with pytest.raises(OSError) as full, new.open("wb") as file:
        file.write(body)
        file.flush()
    assert full.value.errno == errno.ENOSPC
    new.unlink(missing_ok=True)
    sandbox.restart("gateway-2")  # works in there, and must not hold it
    with sandbox.flag_file.open("r+b") as file:
        file.write(b"#")  # within the file there is room
    sandbox.fault("disk-full", on=False)
    assert not sandbox.flag_file.parent.is_mount()
    assert sandbox.flag_file.read_bytes() == b"#" + body[1:]
    assert [path.name for path in sandbox.flag_file.parent.iterdir()] == ["flags.env"]
    new.write_bytes(body)
    new.unlink()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("service-600", {}),
        ("service-500", {"service": "nobody"}),
        ("database-down", {"service": "auth"}),
        ("database-down", {"database": "nobody"}),
        ("disk-full", {"database": "auth"}),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, options: dict[str, str], session_sandbox: Sandbox) -> None:
    with pytest.raises(UsageError):
        session_sandbox.fault(name, on=True, **options)


def test_a_fault_needs_a_running_sandbox(tmp_path: Path, session_sandbox: Sandbox) -> None:
    state = session_sandbox.state
    state.socket_folder = str(tmp_path)
    with pytest.raises(CouldNotReach, match="does not run"):
        faults.switch(state, "disk-full", on=True)
