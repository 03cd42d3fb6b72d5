"""Where a person's name may come from, and what is no name."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.identity import CommandIdentity, GitIdentity, SystemIdentity, VariableIdentity
from tracseq_migrate.adapters.memory.commands import MemoryCommands
from tracseq_migrate.errors import InvalidSetup
from tracseq_migrate.ports import CommandResult, Person


def test_the_system_user_whatever_the_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("USER", "LOGNAME", "SUDO_USER", "TRACSEQ_MIGRATE_IDENTITY"):
        monkeypatch.setenv(variable, "somebody-else")
    assert SystemIdentity().whoami() == Person(pwd.getpwuid(os.getuid()).pw_name, "system")


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    with pytest.raises(InvalidSetup, match="number 4000000001 has no name"):
        SystemIdentity().whoami()


def test_git_with_a_mail(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "config", "user.name", "Ada"], check=True)
    subprocess.run(["git", "-C", tmp_path, "config", "user.email", "ada@example.org"], check=True)
    assert GitIdentity(tmp_path).whoami() == Person("Ada <ada@example.org>", "git")


def test_git_that_cannot_be_asked(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".git" / "config").write_text("[broken\n")
    with pytest.raises(InvalidSetup, match=r"git could not be asked for user\.name"):
        GitIdentity(tmp_path).whoami()


@pytest.mark.parametrize("name", ["   ", "a\nb", "a\x1b[31mb", "x" * 201, "a\u202eb"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(InvalidSetup):
        VariableIdentity({"TRACSEQ_MIGRATE_IDENTITY": name}).whoami()


def test_a_name_is_trimmed() -> None:
    assert VariableIdentity({"TRACSEQ_MIGRATE_IDENTITY": " ada "}).whoami().name == "ada"


def test_the_first_line_of_a_command(tmp_path: Path) -> None:
    script = ["sh", "-c", "echo ci-bot; echo more; echo noise >&2"]
    assert CommandIdentity(script, SubprocessCommands(tmp_path)).whoami() == Person("ci-bot", "command")


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (CommandResult(1, "ada\n", "warning\ntoken expired\n", 0.0), "exited 1 and said: token expired"),
        (CommandResult(-9, "ada\n", "", 0.0), "exited -9"),
        (CommandResult(0, " \n", "", 0.0), "printed nothing"),
    ],
)
def test_a_command_that_does_not_tell(result: CommandResult, words: str) -> None:
    with pytest.raises(InvalidSetup, match=words) as caught:
        CommandIdentity(["whose-token"], MemoryCommands({"whose-token": result})).whoami()
    assert caught.value.hint


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetup, match="could not be started"):
        CommandIdentity(["./nowhere"], SubprocessCommands(tmp_path)).whoami()
