"""CommandStarter: what the exit codes of a status command mean, and what a failing command leaves in the message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from tracseq_migrate.adapters.processes import CommandStarter, ProcessServices
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import CommandResult, ServiceState, Unreachable


class Scripted:
    """`Commands` whose answers a test has laid ready by the program's name; ``calls`` are the names in order."""

    def __init__(self, **codes: int | StepFailed) -> None:
        self.codes = codes
        self.calls: list[str] = []

    def run(
        self,
        argv: Sequence[str],
        *,
        shell: bool = False,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout: float,
    ) -> CommandResult:
        assert not shell, "a starter's commands are argument lists"
        self.calls.append(argv[0])
        code = self.codes[argv[0]]
        if isinstance(code, StepFailed):
            raise code
        return CommandResult(
            code, "first line\n", f"{argv[0]}: \x1b[31mno such unit\x1b[0m\n" if code else "", 0.1
        )

    def look(
        self,
        argv: Sequence[str],
        *,
        shell: bool = False,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float,
    ) -> CommandResult:
        return self.run(argv, shell=shell, cwd=cwd, env=env, timeout=timeout)


def starter(commands: Scripted, *, status: bool = True) -> CommandStarter:
    return CommandStarter(
        commands,
        "storage",
        up=["start", "storage"],
        down=["stop", "storage"],
        status=["status"] if status else None,
    )


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (0, ServiceState.RUNNING),
        (3, ServiceState.STOPPED),
        (1, ServiceState.FAILED),
        (2, ServiceState.FAILED),
    ],
)
def test_the_exit_codes_of_a_status_command(code: int, state: ServiceState) -> None:
    assert starter(Scripted(status=code)).state(timeout=1) is state


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (4, "could not tell .exit 4."),
        (-9, "could not tell .signal 9."),
        (StepFailed("did not end in 1 s"), "did not end"),
    ],
)
def test_a_status_command_that_cannot_tell_is_unreachable(outcome: int | StepFailed, message: str) -> None:
    with pytest.raises(Unreachable, match=message):
        starter(Scripted(status=outcome)).state(timeout=1)


def test_without_a_status_command_the_state_cannot_be_asked() -> None:
    with pytest.raises(Unreachable, match="gives no status command"):
        starter(Scripted(), status=False).state(timeout=1)


def test_without_a_status_command_the_commands_are_run_all_the_same() -> None:
    commands = Scripted(start=0, stop=0)
    for verb in ("up", "down", "restart"):
        getattr(starter(commands, status=False), verb)(timeout=1)
    assert commands.calls == ["start", "stop", "stop", "start"]


def test_a_running_one_is_not_started_again_and_a_stopped_one_not_stopped() -> None:
    running, stopped = Scripted(status=0, start=0, stop=0), Scripted(status=3, start=0, stop=0)
    starter(running).up(timeout=1)
    starter(stopped).down(timeout=1)
    assert (running.calls, stopped.calls) == (["status"], ["status"])
    starter(running).down(timeout=1)
    starter(stopped).up(timeout=1)
    assert (running.calls, stopped.calls) == (["status", "status", "stop"], ["status", "status", "start"])


def test_a_command_that_fails_says_what_it_wrote() -> None:
    commands = Scripted(status=3, start=5)
    broken = starter(commands)
    with pytest.raises(StepFailed) as caught:
        broken.up(timeout=1)
    assert "its up command exited 5: start storage" in caught.value.message
    assert "first line\n  start: no such unit" in caught.value.message
    assert "\x1b" not in caught.value.message
    assert broken.tail(1) == "start: no such unit"


def test_a_command_ended_by_a_signal_says_so() -> None:
    with pytest.raises(StepFailed, match="down command was ended by signal 15"):
        starter(Scripted(stop=-15), status=False).down(timeout=1)


def test_a_command_can_send_no_signal() -> None:
    with pytest.raises(StepFailed, match="no signal HUP was sent") as caught:
        starter(Scripted()).signal("HUP", timeout=1)
    assert "supervisord" in caught.value.hint


def test_names_are_those_given() -> None:
    services = ProcessServices(
        {"storage": starter(Scripted()), "gateway-1": starter(Scripted())}, ["storage"]
    )
    assert list(services.names) == ["storage"]
