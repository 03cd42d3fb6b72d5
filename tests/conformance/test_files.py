"""One suite for every `Files`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.adapters.memory.surroundings import MemoryFiles
from tracseq_migrate.ports import Files


@pytest.fixture(params=[LocalFiles, MemoryFiles], ids=["disk", "memory"])
def files(request: pytest.FixtureRequest) -> Files:
    made: Files = request.param()
    return made


def test_write_and_read(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    assert not files.exists(path)
    with pytest.raises(FileNotFoundError):
        files.read(path)
    files.write(path, b"one\r\n\xff")
    assert files.exists(path)
    assert files.read(path) == b"one\r\n\xff"
    files.write(path, b"")
    assert files.read(path) == b""


def test_write_makes_the_folder(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.md"
    files.write(path, b"x")
    assert files.read(path) == b"x"
    assert files.exists(tmp_path / "deep")


def test_list(files: Files, tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "c.md", "deep/d.yaml"):
        files.write(tmp_path / name, b"")
    assert files.list(tmp_path, ".yaml") == [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    assert files.list(tmp_path, ".txt") == []
    assert files.list(tmp_path / "nowhere", ".yaml") == []
    assert files.list(tmp_path / "c.md", ".yaml") == []


def test_keep_aside_never_over_another(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "LOG.md"
    kept = []
    for number in range(3):
        files.write(path, f"body {number}".encode())
        kept.append(files.keep_aside(path))
        assert not files.exists(path)
    assert len(set(kept)) == 3
    assert [files.read(aside) for aside in kept] == [b"body 0", b"body 1", b"body 2"]
    assert {aside.parent for aside in kept} == {tmp_path}
    assert files.list(tmp_path, ".md") == sorted(kept)


def test_keep_aside_of_what_is_not_there(files: Files, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.keep_aside(tmp_path / "LOG.md")
    assert files.list(tmp_path, "") == []
