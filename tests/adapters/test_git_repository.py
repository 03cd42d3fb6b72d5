"""Commits of one file in real repositories, whatever else goes on in them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tracseq_migrate.adapters.git import LocalGit
from tracseq_migrate.ports import Committed

AUTHOR = "Ada Lovelace <ada@example.org>"


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Olga Operator")
        self.git("config", "user.email", "olga@example.org")
        self.log = folder / "LOG.md"
        self.write("README", "readme\n")
        self.write("other", "one\n")
        self.git("add", ".")
        self.git("commit", "-q", "-m", "start")

    def git(self, *arguments: str, check: bool = True) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def commit(self, text: str = "log\n", message: str = "tracseq-migrate: week1") -> Committed:
        self.log.write_text(text)
        return LocalGit().commit_file(self.log, message, author=AUTHOR)

    def everything(self) -> tuple[str, str, str]:
        """Branches, status and staged content: all that a commit left alone must not change."""
        return (
            self.git("for-each-ref") + self.git("rev-parse", "HEAD"),
            self.git("status", "--porcelain=v2", "--untracked-files=all"),
            self.git("ls-files", "--stage"),
        )


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    for variable in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return Repository(tmp_path / "repository")


def test_a_commit_of_this_file_alone(repository: Repository) -> None:
    made = repository.commit()
    assert made == Committed(repository.git("rev-parse", "main").strip())
    assert repository.git("show", "--format=%an <%ae>|%cn <%ce>|%s", "--name-status", "HEAD").split("\n") == [
        f"{AUTHOR}|Olga Operator <olga@example.org>|tracseq-migrate: week1",
        "",
        "A\tLOG.md",
        "",
    ]
    assert repository.git("status", "--porcelain") == ""
    assert repository.git("fsck", "--strict") == ""
    assert "commit: tracseq-migrate: week1" in repository.git("reflog")


def test_the_same_content_makes_no_commit(repository: Repository) -> None:
    assert repository.commit().commit
    assert repository.commit() == Committed()
    assert repository.git("rev-list", "--count", "HEAD") == "2\n"


def test_a_message_of_several_lines(repository: Repository) -> None:
    repository.commit(message="-m looks like an option\n\nBody, ä\n# no comment\n")
    assert (
        repository.git("log", "-1", "--format=%B").rstrip("\n")
        == "-m looks like an option\n\nBody, ä\n# no comment"
    )


def test_what_is_staged_and_dirty_stays_so(repository: Repository) -> None:
    repository.write("other", "staged\n")
    repository.write("new", "added\n")
    repository.git("add", "other", "new")
    repository.git("rm", "-q", "--cached", "README")
    repository.write("other", "staged and then edited\n")
    repository.write("untracked", "x\n")
    before = repository.git("status", "--porcelain")
    staged = repository.git("diff", "--cached")
    assert repository.commit().commit
    assert repository.git("status", "--porcelain") == before
    assert repository.git("diff", "--cached") == staged
    assert repository.git("show", "--format=", "--name-only", "HEAD") == "LOG.md\n"


def test_another_version_of_the_file_that_was_staged_gives_way(repository: Repository) -> None:
    repository.commit("one\n")
    repository.log.write_text("staged\n")
    repository.git("add", "LOG.md")
    assert repository.commit("two\n").commit
    assert repository.git("show", "HEAD:LOG.md") == "two\n"
    assert repository.git("status", "--porcelain") == ""


def test_the_first_commit_of_a_repository(tmp_path: Path, repository: Repository) -> None:
    folder = tmp_path / "fresh"
    subprocess.run(["git", "init", "-q", "-b", "main", folder], check=True)
    (folder / "LOG.md").write_text("log\n")
    made = LocalGit().commit_file(folder / "LOG.md", "first", author=AUTHOR)
    log = ["git", "-C", str(folder), "log", "--format=%H %an %cn %P"]
    out = subprocess.run(log, check=True, capture_output=True, text=True).stdout
    # Nobody is configured here, so the author committed it too.
    assert out.strip() == f"{made.commit} Ada Lovelace Ada Lovelace"


def test_below_the_top_with_a_name_that_needs_care(repository: Repository) -> None:
    path = repository.write("deep ä/LOG, [1]*.md", "x\n")
    assert LocalGit().commit_file(path, "m", author=AUTHOR).commit
    assert repository.git("status", "--porcelain") == ""
    assert repository.git("-c", "core.quotePath=false", "ls-files", "deep ä") == "deep ä/LOG, [1]*.md\n"


def test_an_executable_file_stays_one(repository: Repository) -> None:
    path = repository.write("run.sh", "x\n")
    path.chmod(0o755)
    assert LocalGit().commit_file(path, "m", author=AUTHOR).commit
    assert repository.git("status", "--porcelain") == ""


def test_line_endings_follow_the_attributes(repository: Repository) -> None:
    repository.write(".gitattributes", "*.md text eol=crlf\n")
    repository.git("add", ".gitattributes")
    repository.git("commit", "-q", "-m", "attributes")
    assert repository.commit("one\r\ntwo\r\n").commit
    assert repository.git("cat-file", "blob", "HEAD:LOG.md") == "one\ntwo\n"
    assert repository.git("status", "--porcelain") == ""


def test_hooks_do_not_run(repository: Repository) -> None:
    marker = repository.folder / ".git" / "ran"
    for name in ("pre-commit", "commit-msg", "post-commit", "post-index-change", "reference-transaction"):
        hook = repository.folder / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch '{marker}'\nexit 1\n")
        hook.chmod(0o755)
    assert repository.commit().commit
    assert not marker.exists()


def test_run_by_git_itself_it_still_finds_the_right_repository(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repository(tmp_path / "other")
    before = other.everything()
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.folder))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.folder / ".git" / "index"))
    made = repository.commit()
    monkeypatch.undo()
    assert made.commit == repository.git("rev-parse", "HEAD").strip()
    assert repository.git("status", "--porcelain") == ""
    assert other.everything() == before


def test_a_linked_work_tree(repository: Repository, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    repository.git("worktree", "add", "-q", "-b", "side", str(linked))
    (linked / "LOG.md").write_text("x\n")
    made = LocalGit().commit_file(linked / "LOG.md", "m", author=AUTHOR)
    assert made.commit == repository.git("rev-parse", "side").strip()
    assert repository.git("rev-list", "--count", "main") == "1\n"
    assert repository.git("-C", str(linked), "status", "--porcelain") == ""


def conflict(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "side")
    repository.write("other", "side\n")
    repository.git("commit", "-qam", "side")
    repository.git("checkout", "-q", "main")
    repository.write("other", "main\n")
    repository.git("commit", "-qam", "main")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("merge", "side"), "a merge is in progress"),
        (("cherry-pick", "side"), "a cherry-pick is in progress"),
        (("rebase", "side"), "a rebase is in progress"),
        (("rebase", "--apply", "side"), "a rebase or `git am` is in progress"),
        (("revert", "--no-commit", "HEAD"), "a revert is in progress"),
        (("bisect", "start"), "a bisection is in progress"),
        (("checkout", "-q", "--detach"), "HEAD is detached"),
    ],
)
def test_left_alone_while_something_is_in_progress(
    repository: Repository, command: tuple[str, ...], words: str
) -> None:
    conflict(repository)
    repository.git(*command, check=False)
    repository.log.write_text("log\n")
    before = repository.everything()
    made = repository.commit()
    assert made.commit == ""
    assert words in made.why_not
    assert repository.everything() == before


def test_left_alone_while_another_git_writes(repository: Repository) -> None:
    lock = repository.folder / ".git" / "index.lock"
    lock.touch()
    made = repository.commit()
    assert "index.lock" in made.why_not
    assert lock.exists()
    assert repository.git("rev-list", "--count", "HEAD") == "1\n"


def test_left_alone_where_the_branch_is_locked(repository: Repository) -> None:
    lock = repository.folder / ".git" / "refs" / "heads" / "main.lock"
    lock.touch()
    made = repository.commit()
    assert made.commit == ""
    assert "lock" in made.why_not
    lock.unlink()
    assert repository.git("rev-list", "--count", "HEAD") == "1\n"
    assert repository.commit().commit


def test_ignored_and_outside_and_inside_of_git(repository: Repository, tmp_path: Path) -> None:
    git = LocalGit()
    repository.write(".gitignore", "*.log\n")
    ignored = repository.write("a.log", "x\n")
    assert git.commit_file(ignored, "m", author=AUTHOR) == Committed(why_not="a.log is ignored by git")
    # One that is tracked all the same is no longer ignored.
    repository.git("add", "-f", "a.log")
    assert git.commit_file(ignored, "m", author=AUTHOR).commit
    inside = repository.folder / ".git" / "description"
    assert git.commit_file(inside, "m", author=AUTHOR).commit == ""
    assert git.commit_file(inside, "m", author=AUTHOR).why_not
    outside = tmp_path / "outside.md"
    outside.write_text("x\n")
    assert "is not in a git repository" in git.commit_file(outside, "m", author=AUTHOR).why_not


def test_a_link_is_not_the_file(repository: Repository, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.md"
    target.write_text("x\n")
    link = repository.folder / "link.md"
    link.symlink_to(target)
    assert "is not a file" in LocalGit().commit_file(link, "m", author=AUTHOR).why_not
    assert "is not a file" in LocalGit().commit_file(repository.folder, "m", author=AUTHOR).why_not


@pytest.mark.parametrize("author", ["", "Ada", "<ada@example.org>", "Ada <>", "Ada <a b>", "A\nB <a@b>"])
def test_an_author_that_is_none(repository: Repository, author: str) -> None:
    repository.log.write_text("x\n")
    made = LocalGit().commit_file(repository.log, "m", author=author)
    assert made.commit == ""
    assert "`Name <mail>`" in made.why_not
    assert repository.git("rev-list", "--count", "HEAD") == "1\n"


def test_a_bare_repository(tmp_path: Path) -> None:
    folder = tmp_path / "bare.git"
    subprocess.run(["git", "init", "-q", "--bare", folder], check=True)
    (folder / "LOG.md").write_text("x\n")
    made = LocalGit().commit_file(folder / "LOG.md", "m", author=AUTHOR)
    assert made.commit == ""
    assert "no work tree" in made.why_not


def test_a_damaged_repository(repository: Repository) -> None:
    head = repository.git("rev-parse", "HEAD").strip()
    (repository.folder / ".git" / "objects" / head[:2] / head[2:]).unlink()
    made = repository.commit()
    assert made.commit == ""
    assert made.why_not
