"""Services: what every implementation promises, over the fake, real supervisord and real commands."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real_parts import supervisord, wait_until
from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.memory.services import MemoryServices
from tracseq_migrate.adapters.processes import CommandStarter, ExternalStarter, ProcessServices
from tracseq_migrate.adapters.supervisor import SupervisorProgram
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Services, ServiceState, Unreachable

LONG = 20.0

DAEMON = textwrap.dedent(
    """
    import os, signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with open(sys.argv[1], "a") as pids:
        pids.write(f"{os.getpid()}\\n")
    while True:
        time.sleep(0.05)
    """
)
BROKEN = "import sys; print('first'); print('USE_X_SERVICE: not a boolean', file=sys.stderr); sys.exit(1)"


@dataclass
class World:
    """``steady`` runs when it is started, ``broken`` dies at its start, ``remote`` is somebody else's."""

    services: Services
    pids: Callable[[], list[int]] | None


def control(folder: Path) -> Path:
    """A program that starts, stops and tells of a daemon, as an operator's own would: ``control.py VERB``."""
    path = folder / "control.py"
    path.write_text(
        textwrap.dedent(
            f"""
            import os, pathlib, signal, subprocess, sys, time
            pidfile = pathlib.Path({str(folder / "pid")!r})
            def alive():
                if not pidfile.exists():
                    return None
                pid = int(pidfile.read_text())
                try:
                    os.kill(pid, 0)
                except ProcessLookupError:
                    return None
                return pid
            verb = sys.argv[1]
            if verb == "up" and not alive():
                daemon = [sys.executable, {str(folder / "daemon.py")!r}, {str(folder / "pids")!r}]
                child = subprocess.Popen(
                    ["setsid", "--fork", "sh", "-c", 'echo $$ > "$0"; exec "$@"', str(pidfile), *daemon],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )
                child.wait()
                while not alive():
                    time.sleep(0.01)
            if verb == "down" and (pid := alive()):
                os.kill(pid, signal.SIGTERM)
                while alive():
                    time.sleep(0.01)
            if verb == "status":
                sys.exit(0 if alive() else 3)
            """
        )
    )
    return path


@pytest.fixture(params=["memory", "supervisor", "command"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    names = ["steady", "broken", "remote"]
    if request.param == "memory":
        fake = MemoryServices(names, ["gateway-1"])
        fake.failing["broken"] = "USE_X_SERVICE: not a boolean"
        fake.states["remote"] = ServiceState.EXTERNAL
        yield World(fake, None)
        return
    (tmp_path / "daemon.py").write_text(DAEMON)
    (tmp_path / "pids").touch()

    def pids() -> list[int]:
        return [int(line) for line in (tmp_path / "pids").read_text().split()]

    external = ExternalStarter("remote")
    if request.param == "supervisor":
        (tmp_path / "broken.py").write_text(BROKEN)
        daemon = f"{sys.executable} {tmp_path / 'daemon.py'} {tmp_path / 'pids'}"
        programs = {
            "steady": {"command": daemon, "startsecs": "0", "autorestart": "false"},
            "broken": {"command": f"{sys.executable} {tmp_path / 'broken.py'}", "startretries": "0"},
            "gateway-1": {"command": daemon, "startsecs": "0"},
        }
        with supervisord(programs) as (path, _):
            starters = {name: SupervisorProgram(path, name) for name in programs}
            yield World(ProcessServices({**starters, "remote": external}, names), pids)
        return
    commands, program = SubprocessCommands(tmp_path), str(control(tmp_path))
    verbs = {verb: [sys.executable, program, verb] for verb in ("up", "down", "status")}
    steady = CommandStarter(commands, "steady", up=verbs["up"], down=verbs["down"], status=verbs["status"])
    broken = CommandStarter(
        commands,
        "broken",
        up=[sys.executable, "-c", BROKEN],
        down=["true"],
        status=["sh", "-c", "exit 3"],
    )
    try:
        yield World(ProcessServices({"steady": steady, "broken": broken, "remote": external}, names), pids)
    finally:
        subprocess.run(verbs["down"], check=True)


def test_gateway_instances_are_not_among_the_names(world: World) -> None:
    assert list(world.services.names) == ["steady", "broken", "remote"]


def test_up_and_down_and_up_again(world: World) -> None:
    services = world.services
    assert services.state("steady", timeout=LONG) is ServiceState.STOPPED
    for started in (1, 2):
        services.up("steady", timeout=LONG)
        assert services.state("steady", timeout=LONG) is ServiceState.RUNNING
        if world.pids is not None:
            pids = world.pids
            wait_until(lambda: len(pids()) == started, "the daemon runs")  # noqa: B023 - used at once
            os.kill(pids()[-1], 0)
        services.down("steady", timeout=LONG)
        assert services.state("steady", timeout=LONG) is ServiceState.STOPPED
    if world.pids is not None:
        with pytest.raises(ProcessLookupError):
            os.kill(world.pids()[-1], 0)


def test_up_of_a_running_and_down_of_a_stopped_one_are_harmless(world: World) -> None:
    services = world.services
    services.down("steady", timeout=LONG)
    services.up("steady", timeout=LONG)
    if world.pids is not None:
        wait_until(lambda: bool(world.pids and world.pids()), "the daemon runs")
    services.up("steady", timeout=LONG)
    assert services.state("steady", timeout=LONG) is ServiceState.RUNNING
    if world.pids is not None:
        assert len(world.pids()) == 1
    services.down("steady", timeout=LONG)
    services.down("steady", timeout=LONG)
    assert services.state("steady", timeout=LONG) is ServiceState.STOPPED


def test_restart_is_another_process(world: World) -> None:
    services = world.services
    services.up("steady", timeout=LONG)
    if world.pids is not None:
        wait_until(lambda: bool(world.pids and world.pids()), "the daemon runs")
    services.restart("steady", timeout=LONG)
    assert services.state("steady", timeout=LONG) is ServiceState.RUNNING
    if world.pids is not None:
        pids = world.pids
        wait_until(lambda: len(pids()) == 2, "the daemon runs anew")
        assert len(set(pids())) == 2
        with pytest.raises(ProcessLookupError):
            os.kill(pids()[0], 0)


def test_a_service_that_dies_at_its_start_fails_with_its_last_lines(world: World) -> None:
    with pytest.raises(StepFailed, match="USE_X_SERVICE: not a boolean"):
        world.services.up("broken", timeout=LONG)
    assert world.services.state("broken", timeout=LONG) in (ServiceState.FAILED, ServiceState.STOPPED)
    assert "not a boolean" in world.services.tail("broken", 3)
    assert world.services.tail("broken", 0) == ""


def test_what_somebody_else_runs_is_not_touched(world: World) -> None:
    services = world.services
    assert services.state("remote", timeout=LONG) is ServiceState.EXTERNAL
    for call in (services.up, services.down, services.restart):
        with pytest.raises(StepFailed, match=r"remote.*somebody else"):
            call("remote", timeout=LONG)


def test_a_name_that_the_environment_does_not_know(world: World) -> None:
    with pytest.raises(Unreachable, match="none of this name"):
        world.services.state("stranger", timeout=LONG)
    for call in (world.services.up, world.services.down, world.services.restart):
        with pytest.raises(StepFailed, match="none of this name"):
            call("stranger", timeout=LONG)
    assert world.services.tail("stranger", 5) == ""


def test_a_signal_to_what_does_not_run_fails(world: World) -> None:
    with pytest.raises(StepFailed, match="no signal"):
        world.services.signal("steady", "HUP", timeout=LONG)
