"""One suite for every `Commands`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.memory.commands import Call, MemoryCommands
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import CommandResult, Commands


def cat(call: Call) -> CommandResult:
    return CommandResult(0, call.stdin or "", "", 0.0)


def shell(call: Call) -> CommandResult:
    answers = {
        "echo out; echo err >&2; exit 3": CommandResult(3, "out\n", "err\n", 0.0),
        "kill -9 $$": CommandResult(-9, "", "", 0.0),
        'echo "$GREETING"': CommandResult(0, call.env.get("GREETING", "") + "\n", "", 0.0),
    }
    return answers[call.argv[-1]]


@pytest.fixture(params=["subprocess", "memory"])
def commands(request: pytest.FixtureRequest, tmp_path: Path) -> Commands:
    if request.param == "subprocess":
        return SubprocessCommands(tmp_path)
    slow = StepFailed("`sleep` did not end within 0.2 s and was ended", unknown=True)
    return MemoryCommands({"cat": cat, "sh": shell, "sleep": slow})


def test_texts_and_code(commands: Commands) -> None:
    result = commands.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=30)
    assert (result.code, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert result.seconds >= 0


def test_a_signal_is_negative(commands: Commands) -> None:
    assert commands.run(["sh", "-c", "kill -9 $$"], timeout=30).code == -9


def test_input_reaches_it_and_without_any_it_is_empty(commands: Commands) -> None:
    assert commands.run(["cat"], stdin="line\nä", timeout=30).stdout == "line\nä"
    assert commands.run(["cat"], timeout=30).stdout == ""


def test_variables_are_added(commands: Commands) -> None:
    result = commands.run(["sh", "-c", 'echo "$GREETING"'], env={"GREETING": "hello"}, timeout=30)
    assert result.stdout == "hello\n"
    assert "GREETING" not in os.environ


def test_what_cannot_be_started(commands: Commands) -> None:
    with pytest.raises(StepFailed, match=r"no-such-program.* could not be started: No such file") as caught:
        commands.run(["no-such-program"], timeout=30)
    assert not caught.value.unknown
    for nothing in ([], [""]):
        with pytest.raises(StepFailed, match="no command"):
            commands.run(nothing, timeout=30)


def test_the_timeout_leaves_the_outcome_unknown(commands: Commands) -> None:
    with pytest.raises(StepFailed, match=r"`sleep` did not end within 0\.2 s") as caught:
        commands.run(["sleep", "600"], timeout=0.2)
    assert caught.value.unknown


def test_a_look_answers_as_a_run_does(commands: Commands) -> None:
    result = commands.look(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=30)
    assert (result.code, result.stdout, result.stderr) == (3, "out\n", "err\n")
    with pytest.raises(StepFailed):
        commands.look([], timeout=30)
