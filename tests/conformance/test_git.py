"""One suite for every `Git`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.adapters.git import LocalGit
from tracseq_migrate.adapters.memory.surroundings import MemoryFiles, MemoryGit
from tracseq_migrate.ports import Files, Git

AUTHOR = "Ada Lovelace <ada@example.org>"

Commits = Callable[[], list[tuple[str, str]]]


@pytest.fixture(params=["git", "memory"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Git, Files, Commits]:
    """Git, files to commit, and how to list the commits (message, author), newest first."""
    if request.param == "memory":
        files = MemoryFiles()
        fake = MemoryGit(files)
        return fake, files, lambda: [(made.message, made.author) for made in reversed(fake.commits)]
    subprocess.run(["git", "init", "-q", "-b", "main", tmp_path], check=True)

    def commits() -> list[tuple[str, str]]:
        log = ["git", "-C", str(tmp_path), "log", "--format=%s\t%an <%ae>"]
        lines = subprocess.run(log, check=True, capture_output=True, text=True).stdout.splitlines()
        return [(line.split("\t")[0], line.split("\t")[1]) for line in lines]

    return LocalGit(), LocalFiles(), commits


def test_commits_what_changed_and_nothing_else(world: tuple[Git, Files, Commits], tmp_path: Path) -> None:
    git, files, commits = world
    path = tmp_path / "LOG.md"
    files.write(path, b"one\n")
    first = git.commit_file(path, "first", author=AUTHOR)
    assert first.commit
    assert not first.why_not
    assert git.commit_file(path, "again", author=AUTHOR).commit == ""
    assert git.commit_file(path, "again", author=AUTHOR).why_not == ""
    files.write(path, b"two\n")
    second = git.commit_file(path, "second", author=AUTHOR)
    assert second.commit not in ("", first.commit)
    assert commits() == [("second", AUTHOR), ("first", AUTHOR)]


def test_a_file_that_is_not_there_is_left_alone(world: tuple[Git, Files, Commits], tmp_path: Path) -> None:
    git, _, _ = world
    made = git.commit_file(tmp_path / "LOG.md", "message", author=AUTHOR)
    assert made.commit == ""
    assert "is not a file" in made.why_not
