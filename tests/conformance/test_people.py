"""One suite for every `Identity`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.identity import CommandIdentity, GitIdentity, VariableIdentity
from tracseq_migrate.adapters.memory.people import MemoryIdentity
from tracseq_migrate.errors import InvalidSetup
from tracseq_migrate.ports import Identity, Person

Named = Callable[[str], Identity]
"""Makes an identity for a name; an empty one makes an identity that nobody told."""


@pytest.fixture(params=["variable", "git", "command", "memory"])
def way(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Named]:
    def by_git(name: str) -> Identity:
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
        if name:
            subprocess.run(["git", "-C", tmp_path, "config", "user.name", name], check=True)
        return GitIdentity(tmp_path)

    ways: dict[str, Named] = {
        "variable": lambda name: VariableIdentity({"TRACSEQ_MIGRATE_IDENTITY": name} if name else {}),
        "git": by_git,
        "command": lambda name: CommandIdentity(["echo", name], SubprocessCommands(tmp_path)),
        "memory": lambda name: MemoryIdentity(name, source="memory"),
    }
    return request.param, ways[request.param]


def test_a_name_and_its_source(way: tuple[str, Named]) -> None:
    source, named = way
    assert named("Ada Lovelace").whoami() == Person("Ada Lovelace", source)


def test_no_name_is_no_person(way: tuple[str, Named]) -> None:
    _, named = way
    with pytest.raises(InvalidSetup):
        named("").whoami()
