"""Commits of single files, made without touching the index, the other files or the hooks of a repository.

The commit is put together by plumbing over an index of its own. Hooks do not run and the commit is not signed: a hook that
formats or refuses could otherwise stand in the way of the migration's record. What is staged stays staged.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Committed

if TYPE_CHECKING:
    from git import Repo

_AUTHOR = re.compile(r"\s*([^<>\n]*[^<>\s])\s*<([^<>\s]+)>\s*")
_UNBORN = "0" * 40
_PATIENCE = 60.0

_UNDER_WAY = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or `git am`",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "sequencer": "a cherry-pick or revert",
    "BISECT_LOG": "a bisection",
}


class LocalGit:
    """`Git` in the repository that a file lies in. The variables that are ``withheld`` are empty for git."""

    def __init__(self, *, withheld: Collection[str] = ()) -> None:
        self._withheld = dict.fromkeys((name for name in withheld if name in os.environ), "")

    def commit_file(self, path: Path, message: str, *, author: str) -> Committed:
        who = _AUTHOR.fullmatch(author)
        if not who:
            return Committed(why_not=f"the author {author!r} is not written as `Name <mail>`")
        # The folder's links are followed, the file's own are not: a link is not the file that was meant.
        path = Path(os.path.realpath(path.parent)) / path.name
        if path.is_symlink() or not path.is_file():
            return Committed(why_not=f"{path} is not a file")
        try:
            # GitPython asks for the version when it is imported, and waits for it without an end.
            asking = SubprocessCommands(path.parent, withheld=self._withheld)
            asking.look(["git", "--version"], timeout=_PATIENCE)
        except StepFailed as error:
            return Committed(why_not=error.message.partition(";")[0])
        try:
            with _set_aside(self._withheld):  # it asks once more, in all of our environment
                import git
        except ImportError:
            return Committed(why_not="git is not installed")
        try:
            repository = git.Repo(path.parent, search_parent_directories=True)
        except (git.exc.InvalidGitRepositoryError, git.exc.NoSuchPathError):
            return Committed(why_not=f"{path.parent} is not in a git repository")
        with repository:
            try:
                return _Commit(repository, path, message, who[1], who[2], self._withheld).make()
            except git.exc.GitCommandError as error:
                # GitPython wraps what git said into a text of its own.
                said = str(error.stderr).strip().removeprefix("stderr:").strip().strip("'").strip()
                return Committed(why_not=said.splitlines()[0] if said else f"git exited {error.status}")
            except OSError as error:
                return Committed(why_not=f"git could not be run: {error}")


@contextmanager
def _set_aside(names: Collection[str]) -> Iterator[None]:
    """Take variables out of this process's environment for a moment; nothing else may start programs meanwhile."""
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


class _Commit:
    def __init__(
        self,
        repository: Repo,
        path: Path,
        message: str,
        name: str,
        mail: str,
        withheld: Mapping[str, str],
    ) -> None:
        self._withheld = withheld
        self._repository = repository
        self._path = path
        self._message = message
        self._author = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": mail}
        self._folder = Path(repository.git_dir)
        self._index = self._folder / "index"

    def make(self) -> Committed:
        if self._repository.bare or self._repository.working_tree_dir is None:
            return Committed(why_not="the repository has no work tree")
        tree_folder = Path(os.path.realpath(self._repository.working_tree_dir))
        if not self._path.is_relative_to(tree_folder) or self._path.is_relative_to(self._folder):
            return Committed(why_not=f"{self._path} is outside of the work tree {tree_folder}")
        if why := self._why_not():
            return Committed(why_not=why)
        name = self._path.relative_to(tree_folder).as_posix()
        if self._git("check-ignore", "--", name, accept=(0, 1)):
            return Committed(why_not=f"{name} is ignored by git")
        mode = "100755" if os.access(self._path, os.X_OK) else "100644"
        entry = f"{mode},{self._git('hash-object', '-w', '--', name)},{name}"
        parent = self._git("rev-parse", "--verify", "--quiet", "HEAD^{commit}", accept=(0, 1))
        tree = self._tree(parent, entry)
        if parent and tree == self._git("rev-parse", "--verify", "HEAD^{tree}"):
            return Committed()
        parents = ("-p", parent) if parent else ()
        people = self._author | self._committer()
        commit = self._git("commit-tree", tree, *parents, "-m", self._message, env=people)
        # Moves the branch only if it still is where it was when the tree was read.
        subject = self._message.partition("\n")[0]
        self._git("update-ref", "-m", f"commit: {subject}", "HEAD", commit, parent or _UNBORN, env=people)
        # The index learns of this one entry, or the file would show as a change against its own commit.
        self._git("update-index", "--add", "--cacheinfo", entry)
        return Committed(commit)

    def _why_not(self) -> str:
        for name, what in _UNDER_WAY.items():
            if (self._folder / name).exists():
                return f"{what} is in progress"
        if self._repository.head.is_detached:
            return "HEAD is detached: a commit here would belong to no branch"
        if self._index.with_name("index.lock").exists():
            return "another git process is at work (index.lock)"
        return ""

    def _tree(self, parent: str, entry: str) -> str:
        with tempfile.TemporaryDirectory(prefix="tracseq-migrate-") as folder:
            own = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._git("read-tree", parent or "--empty", env=own)
            self._git("update-index", "--add", "--cacheinfo", entry, env=own)
            return self._git("write-tree", env=own)

    def _committer(self) -> dict[str, str]:
        # git itself is asked: it knows which files of configuration count.
        named = {
            f"GIT_COMMITTER_{part}": os.environ.get(f"GIT_COMMITTER_{part}")
            or self._git("config", "--get", key, accept=(0, 1))
            for part, key in (("NAME", "user.name"), ("EMAIL", "user.email"))
        }
        if all(named.values()):
            return named
        return {
            "GIT_COMMITTER_NAME": self._author["GIT_AUTHOR_NAME"],
            "GIT_COMMITTER_EMAIL": self._author["GIT_AUTHOR_EMAIL"],
        }

    def _git(self, *arguments: str, env: dict[str, str] | None = None, accept: tuple[int, ...] = (0,)) -> str:
        import git

        # Named outright, since a git that runs us (from a hook, say) sets these for its own repository.
        places = {
            "GIT_DIR": str(self._folder),
            "GIT_WORK_TREE": str(self._repository.working_tree_dir),
            "GIT_INDEX_FILE": str(self._index),
        }
        status, out, err = self._repository.git.execute(
            ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", *arguments],
            env={**self._withheld, **places, **(env or {})},
            with_extended_output=True,
            with_exceptions=False,
            kill_after_timeout=_PATIENCE,
        )
        if status not in accept:
            raise git.exc.GitCommandError(["git", *arguments], status, err, out)
        return str(out)
