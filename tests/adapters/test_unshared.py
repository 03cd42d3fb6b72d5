"""A journal whose shared memory cannot be made is read all the same, and as SQLite itself would read it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tracseq_migrate.adapters.sqlite_journal.unshared import in_memory

ROWS = "SELECT count(*), sum(length(body)), max(number) FROM things"


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A file and its log, as a process that was killed leaves them: several commits, none of them in the file yet."""
    path = tmp_path / "live" / "journal.sqlite3"
    path.parent.mkdir()
    copy = tmp_path / "left" / "journal.sqlite3"
    copy.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE things (number INTEGER, body TEXT)")
        connection.executemany(
            "INSERT INTO things VALUES (?, ?)", [(n, "x" * (n * 7 % 3000)) for n in range(200)]
        )
        connection.execute("DELETE FROM things WHERE number % 3 = 0")
        for name in (path.name, f"{path.name}-wal"):
            shutil.copyfile(path.parent / name, copy.parent / name)
    return copy


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def by_sqlite(path: Path, tmp_path: Path) -> object:
    """What SQLite reads of another copy: reading may change it."""
    folder = tmp_path / "other"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(path.parent, folder)
    with closing(sqlite3.connect(folder / path.name)) as connection:
        return connection.execute(ROWS).fetchone()


def test_the_log_counts_and_nothing_is_changed(left: Path, tmp_path: Path) -> None:
    before = {entry.name: entry.read_bytes() for entry in left.parent.iterdir()}
    with closing(in_memory(left)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute(ROWS).fetchone() == by_sqlite(left, tmp_path) == (133, 92869, 199)
    assert {entry.name: entry.read_bytes() for entry in left.parent.iterdir()} == before


@pytest.mark.parametrize("share", [0.9, 0.5, 0.3, 0.1])
def test_a_torn_log_counts_as_far_as_sqlite_takes_it(left: Path, tmp_path: Path, share: float) -> None:
    log = log_of(left)
    body = log.read_bytes()
    log.write_bytes(body[: int(len(body) * share)])
    with closing(in_memory(left)) as connection:
        assert connection.execute(ROWS).fetchone() == by_sqlite(left, tmp_path)


def test_a_log_with_a_bad_byte_counts_up_to_it(left: Path, tmp_path: Path) -> None:
    log = log_of(left)
    body = bytearray(log.read_bytes())
    body[len(body) * 2 // 3] ^= 0xFF
    log.write_bytes(body)
    with closing(in_memory(left)) as connection:
        assert connection.execute(ROWS).fetchone() == by_sqlite(left, tmp_path)
