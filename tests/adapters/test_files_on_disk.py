"""What is particular to files on a disk."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tracseq_migrate.adapters.files import LocalFiles


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_modes_whatever_the_umask(tmp_path: Path) -> None:
    files = LocalFiles()
    before = os.umask(0o000)
    try:
        files.write(tmp_path / "secret", b"x", private=True)
        files.write(tmp_path / "open", b"x")
    finally:
        os.umask(before)
    assert mode(tmp_path / "secret") == 0o600
    assert mode(tmp_path / "open") == 0o644


def test_an_existing_file_keeps_its_mode_unless_it_becomes_private(tmp_path: Path) -> None:
    files, path = LocalFiles(), tmp_path / "a"
    path.write_bytes(b"")
    path.chmod(0o664)
    files.write(path, b"x")
    assert mode(path) == 0o664
    files.write(path, b"y", private=True)
    assert mode(path) == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "real.md", tmp_path / "link.md"
    target.write_bytes(b"old")
    link.symlink_to(target)
    LocalFiles().write(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "inside").write_bytes(b"old")
    with pytest.raises(OSError, match="directory"):
        LocalFiles().write(folder, b"new")
    with pytest.raises(FileExistsError):
        LocalFiles().write(folder / "inside" / "file", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert (folder / "inside").read_bytes() == b"old"


def test_a_kill_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "LOG.md"
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tracseq_migrate.adapters.files import LocalFiles\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for letter in b'ab':\n"
        "        LocalFiles().write(Path(sys.argv[1]), bytes([letter]) * 200_000)\n"
    )
    LocalFiles().write(path, b"a" * 200_000)
    for round_ in range(5):
        with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.003 * round_)
            process.send_signal(signal.SIGKILL)
        assert path.read_bytes() in (b"a" * 200_000, b"b" * 200_000)
    # The next write removes what the kill left.
    LocalFiles().write(path, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["LOG.md"]


def test_list_leaves_folders_out(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "file.yaml").touch()
    assert LocalFiles().list(tmp_path, ".yaml") == [tmp_path / "file.yaml"]


def test_keep_aside_of_a_folder_leaves_it(tmp_path: Path) -> None:
    folder = tmp_path / "LOG.md"
    folder.mkdir()
    with pytest.raises(OSError, match="directory"):
        LocalFiles().keep_aside(folder)
    assert [entry.name for entry in tmp_path.iterdir()] == ["LOG.md"]


def test_names_that_another_takes_meanwhile_are_left_to_it(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "print('ready', flush=True)\n"
        "for number in range(1, 400):\n"
        "    try:\n"
        "        with open(Path(sys.argv[1]) / f'LOG.aside-{number}.md', 'x') as file:\n"
        "            file.write('theirs')\n"
        "        print('took', flush=True)\n"
        "    except FileExistsError:\n"
        "        pass\n"
    )
    files, path = LocalFiles(), tmp_path / "LOG.md"
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for number in range(40):
            path.write_text(f"ours {number}")
            files.keep_aside(path)
        theirs = len(process.stdout.read().splitlines())
    bodies = sorted(entry.read_text() for entry in tmp_path.iterdir())
    assert bodies == sorted([f"ours {number}" for number in range(40)] + ["theirs"] * theirs)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null"])
def test_what_is_no_regular_file_is_not_read(path: str) -> None:
    with pytest.raises(OSError, match="it is not a regular file"):
        LocalFiles().read(Path(path))


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is not a regular file"):
        LocalFiles().read(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        LocalFiles().read(tmp_path)


def test_a_file_that_is_too_large_is_not_taken_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 * 1024**2 + 1)
    with pytest.raises(OSError, match="it is larger than 64 MiB"):
        LocalFiles().read(tmp_path / "large")


def test_a_name_that_no_file_can_have_is_that_of_no_file() -> None:
    files = LocalFiles()
    with pytest.raises(OSError, match="NUL byte"):
        files.read(Path("a\0b"))
    assert not files.exists(Path("a\0b"))
    assert not files.exists(Path("a" * 5_000))
