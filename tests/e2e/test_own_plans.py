"""Plans of the operator's own: commands, a person who signs, a stop on the way, retries; and the log in git."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.driving import Tool, world, write_week
from tests.sandbox_fixture import Sandbox

pytestmark = pytest.mark.sandbox

OWN = """\
week: own
title: A week of the operator's own
risk: low
checklist:
  - {id: backup, ask: "A backup was made, and restored once", evidence: required, expires: 1h}
  - {id: team, ask: Everybody knows, evidence: none, yes: true}
steps:
  - id: make
    command: {run: [touch, own/made], verify: [test, -e, own/made], probe: [test, -e, own/made], revert: [rm, own/made]}
  - id: flaky
    command:
      run: [sh, -c, "echo x >> own/tries; test $(wc -l < own/tries) -ge 3"]
      verify: [test, -s, own/tries]
      revert: [rm, -f, own/tries]
    retry: {attempts: 3, wait: 100ms}
  - id: look
    pause: {ask: Somebody looked at what was made}
  - id: health
    http: {target: gateway, path: /health, expect: {status: 200, json: {status: healthy}}}
"""


@pytest.fixture
def made(sandbox: Sandbox) -> Iterator[Path]:
    """The folder that the commands of the plan work in."""
    folder = sandbox.folder / "own"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def commands_in(text: str) -> list[list[str]]:
    """The commands that a message tells one to type, as argument lists without the tool's own name."""
    return [shlex.split(found)[1:] for found in re.findall(r"`(tracseq-migrate [^`]+)`", text)]


def test_a_week_of_the_operators_own_there_and_back_and_there_again(
    sandbox: Sandbox, tool: Tool, made: Path
) -> None:
    write_week(sandbox, OWN, "own.yaml")
    before = world(sandbox)
    tool("validate", "own").expect(0)

    # What the refusal tells one to type is typed as it stands, and that satisfies it.
    refused = tool("run", "own").expect(4)
    told = commands_in(refused.message)
    assert [argv[:3] for argv in told] == [["approve", "own", "backup"], ["approve", "own", "team"]]
    tool("approve", "own", "backup").expect(4, "evidence")
    for argv in told:
        tool(*argv).expect(0)

    # As far as the first step, and no further.
    stopped = tool("run", "own", "--until", "make").expect(9)
    assert "stopped after make" in stopped.message
    assert [path.name for path in made.iterdir()] == ["made"]
    assert tool.state("own") == "waiting"

    # On: the second needs three tries, and then a person is waited for.
    waiting = tool("run", "own").expect(9)
    assert waiting.out.count(" retry ") == 2
    assert (made / "tries").read_text() == "x\n" * 3
    (sign,) = [argv for argv in commands_in(waiting.err) if argv[0] == "approve"]
    assert sign == ["approve", "own", "look"]
    tool("run", "own").expect(9)
    assert tool("status", "--json").expect(0).document["next_command"] == "tracseq-migrate approve own look"
    tool("status", "--exit-code").expect(9)
    # The next thing to type is said after each of them.
    signed = tool.as_("frank")(*sign).expect(0)
    assert "tracseq-migrate run own" in signed.out
    tool("run", "own").expect(0, "own is proven", "signed by frank")
    assert len((made / "tries").read_text().splitlines()) == 3

    tool("rollback", "own").expect(0)
    assert list(made.iterdir()) == []
    assert world(sandbox) == before

    # There again: what was signed for the first run holds no longer, and is confirmed on the way this time.
    tool("run", "own", "--yes").expect(4, "backup")
    tool("run", "own", "--yes", "--confirm", "backup").expect(4, "evidence")
    tool("run", "own", "--yes", "--confirm", "backup=restored on db-test").expect(9, "look")
    tool("rollback", "own").expect(0)
    assert list(made.iterdir()) == []
    log = (sandbox.folder / "MIGRATION_LOG.md").read_text("utf-8")
    assert "restored on db-test" in log
    assert "frank" in log
    tool("log", "verify").expect(0, "whole")


def test_a_command_that_fails_takes_everything_before_it_back(
    sandbox: Sandbox, tool: Tool, made: Path
) -> None:
    write_week(sandbox, OWN.replace("-ge 3", "-ge 9"), "own.yaml")
    message = tool("run", "own", "--yes", "--confirm", "backup=yes").expect(5).message
    assert "step flaky failed" in message
    assert list(made.iterdir()) == []
    assert tool.state("own") == "rolled-back"


def test_an_edited_plan_is_not_run_on_but_goes_back(sandbox: Sandbox, tool: Tool, made: Path) -> None:
    write_week(sandbox, OWN, "own.yaml")
    tool("run", "own", "--yes", "--confirm", "backup=yes").expect(9)
    write_week(sandbox, OWN.replace("own/made", "own/other"), "own.yaml")
    refused = tool("run", "own").expect(4)
    assert "own/other" in refused.message
    tool("resume", "own").expect(4)
    # Comments and white space void nothing.
    write_week(sandbox, f"# a comment\n{OWN}\n\n", "own.yaml")
    tool("run", "own").expect(9)
    (sandbox.folder / "weeks" / "own.yaml").unlink()
    tool("rollback", "own").expect(0)
    assert list(made.iterdir()) == []


def git(folder: Path, *argv: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=Operator", "-c", "user.email=o@example.org", *argv],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def repository(sandbox: Sandbox) -> Iterator[Path]:
    """The sandbox's folder as a repository with a dirty tree and something staged, and a log that is to be committed."""
    folder = sandbox.folder
    git(folder, "init", "--quiet", "--initial-branch=main")
    for name in ("notes.txt", "staged.txt"):
        (folder / name).write_text("as committed\n")
    git(folder, "add", "notes.txt", "staged.txt")
    git(folder, "commit", "--quiet", "-m", "first")
    (folder / "notes.txt").write_text("not yet committed\n")
    (folder / "staged.txt").write_text("staged\n")
    git(folder, "add", "staged.txt")
    text = sandbox.config.read_text("utf-8")
    line = "      file: MIGRATION_LOG.md\n"
    assert line in text
    kept = line + '      git: {commit: true, author: "Migration <migration@example.org>"}\n'
    sandbox.config.write_text(text.replace(line, kept), "utf-8")
    yield folder
    shutil.rmtree(folder / ".git")
    for name in ("notes.txt", "staged.txt"):
        (folder / name).unlink()


def test_the_log_is_committed_and_nothing_else(
    sandbox: Sandbox, tool: Tool, made: Path, repository: Path
) -> None:
    write_week(sandbox, OWN, "own.yaml")
    tool("run", "own", "--yes", "--confirm", "backup=yes", "--until", "make").expect(9)
    tool("rollback", "own").expect(0)

    assert git(repository, "log", "--format=%an <%ae>").splitlines() == [
        "Migration <migration@example.org>",
        "Migration <migration@example.org>",
        "Operator <o@example.org>",
    ]
    assert "own is rolled-back" in git(repository, "log", "-1", "--format=%s")
    for revision in ("HEAD", "HEAD~1"):
        shown = git(repository, "show", "--format=", "--name-only", revision)
        assert shown.split() == ["MIGRATION_LOG.md"]
    assert git(repository, "diff", "--cached", "--name-only").split() == ["staged.txt"]
    assert git(repository, "diff", "--name-only").split() == ["notes.txt"]

    # In the middle of a merge it is left alone, and that is said; the run is not failed for it.
    head = git(repository, "rev-parse", "HEAD")
    (repository / ".git" / "MERGE_HEAD").write_text(head)
    tool("run", "own", "--yes", "--confirm", "backup=yes", "--until", "make").expect(9, "was not committed")
    tool("rollback", "own").expect(0, "was not committed")
    assert git(repository, "rev-parse", "HEAD") == head
    assert list(made.iterdir()) == []
