"""The state is its owner's alone, whatever the umask and whatever was there; and nobody can have it written elsewhere."""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real_parts import wait_until
from tests.security.project import Cage, cage, step
from tracseq_migrate.adapters import durable
from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.adapters.state_folder import make_private
from tracseq_migrate.errors import InvalidSetup


def modes(folder: Path) -> dict[str, int]:
    """Of everything below a folder, and of itself."""
    return {
        str(path.relative_to(folder.parent)): stat.S_IMODE(path.lstat().st_mode)
        for path in (folder, *folder.rglob("*"))
    }


def assert_private(folder: Path) -> None:
    found = modes(folder)
    assert len(found) > 2
    for name, mode in found.items():
        assert mode == (0o700 if (folder.parent / name).is_dir() else 0o600), f"{name} has {mode:o}"


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    with cage(tmp_path) as caged:
        slow = step("slow", "touch begun; sleep 30", verify="test -e done", revert="rm -f begun")
        caged.plan(f"steps:\n{slow}")
        with umask(mask):
            process = caged.start("run", "leak")
            wait_until((tmp_path / "begun").exists, "the program to begin")
            assert_private(tmp_path / ".state")
            process.send_signal(signal.SIGKILL)
            caged.end(process)
            assert (tmp_path / ".state" / "cage" / "journal.sqlite3-wal").exists()
            assert_private(tmp_path / ".state")
            caged.call("rollback", "leak")
            assert_private(tmp_path / ".state")
        # Nothing of ours is left that others could write, the log and its folder among it.
        assert not [name for name, mode in modes(tmp_path / ".state").items() if mode & 0o022]
        assert stat.S_IMODE((tmp_path / "MIGRATION_LOG.md").stat().st_mode) == 0o644


def test_what_was_open_is_closed_and_that_is_said(tmp_path: Path) -> None:
    with cage(tmp_path) as caged:
        caged.plan("steps:\n  - {id: health, http: {target: gateway, path: /health}}\n")
        assert caged.call("run", "leak")[0] == 0
        for path in (tmp_path / ".state", *(tmp_path / ".state").rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        code, said = caged.call("status")
        assert (code, "was open to other users; now it is yours alone" in said) == (0, True), said
        assert_private(tmp_path / ".state")
        assert "open to other users" not in caged.call("status")[1]


def test_a_private_file_has_a_private_folder(tmp_path: Path) -> None:
    with umask(0):
        LocalFiles().write(tmp_path / "losses" / "week1.jsonl", b"{}", private=True)
    assert modes(tmp_path / "losses") == {"losses": 0o700, "losses/week1.jsonl": 0o600}


def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    os.chown(state, 12345, 12345)
    with pytest.raises(InvalidSetup, match="belongs to another user"):
        make_private(state, state / "production")
    os.chown(state, 0, 0)
    (state / "production").mkdir()
    os.chown(state / "production", 12345, 12345)
    with pytest.raises(InvalidSetup, match="belongs to another user"):
        make_private(state, state / "production")


def test_a_link_counts_as_what_it_points_at(tmp_path: Path) -> None:
    real = tmp_path / "open" / "state"
    real.mkdir(parents=True)
    link = tmp_path / "state"
    link.symlink_to(real)
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(InvalidSetup, match="where everybody may put another in its place"):
        make_private(link, link / "production")
    (tmp_path / "open").chmod(0o1777)  # others may make files there, but not take ours away
    real.chmod(0o755)
    assert make_private(link, link / "production")
    assert stat.S_IMODE(real.stat().st_mode) == 0o700
    assert not make_private(link, link / "production")


def test_a_file_in_its_place_is_refused_and_nothing_at_all_is_fine(tmp_path: Path) -> None:
    assert not make_private(tmp_path / "none", tmp_path / "none" / "production")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSetup, match="is not a folder"):
        make_private(tmp_path / "file", tmp_path / "file" / "production")


def test_a_link_that_waits_where_a_file_is_to_be_made_leads_nowhere(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "copy").symlink_to(victim)
    durable.write_new(tmp_path / "copy", b"ours")
    assert (victim.read_text(), (tmp_path / "copy").read_bytes()) == ("untouched", b"ours")
    assert not (tmp_path / "copy").is_symlink()
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600


def test_a_link_among_the_state_is_not_followed_when_rights_are_taken(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("")
    other.chmod(0o644)
    place = tmp_path / "state" / "production"
    place.mkdir(parents=True)
    (place / "link").symlink_to(other)
    make_private(tmp_path / "state", place)
    assert stat.S_IMODE(other.stat().st_mode) == 0o644


def test_python_itself_is_started_without_the_folder_one_stands_in(tmp_path: Path) -> None:
    """A module that somebody left in the project's folder is not ours to run, where a template is rendered apart."""
    with cage(tmp_path) as caged:
        _own_template(caged)
        (tmp_path / "json.py").write_text("raise SystemExit('taken over')")
        caged.plan("steps:\n  - {id: health, http: {target: gateway, path: /health}}\n")
        # `python -m` itself would take the module up; the installed program does not.
        caged.variables["PYTHONSAFEPATH"] = "1"
        code, said = caged.call("run", "leak")
        assert code == 0, said
        assert (tmp_path / "MIGRATION_LOG.md").read_text().startswith("mine: 1\n")


def _own_template(caged: Cage) -> None:
    (caged.folder / "migration-log.md.j2").write_text("mine: {{ sections|length }}\n")
    assert sys.version_info >= (3, 11)
