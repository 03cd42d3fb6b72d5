"""What is particular to the journal in SQLite: crashes, other processes, and files that are not as they should be."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tracseq_migrate.adapters.sqlite_journal import SqliteJournal, SqliteLease, store
from tracseq_migrate.errors import InvalidSetup, Residue, TracseqMigrateError
from tracseq_migrate.journal import chain
from tracseq_migrate.ports import Draft, Event

AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

APPEND_FOR_EVER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal
from tracseq_migrate.ports import Draft
journal = SqliteJournal(Path(sys.argv[1]), environment="test")
number = 0
while number < int(sys.argv[3]):
    number += 1
    drafts = [Draft(sys.argv[2], data={"n": number}), Draft(sys.argv[2] + "+", data={"n": number, "fill": "x" * 3000})]
    journal.append(drafts, epoch=None, at=datetime.now(UTC))
    print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "test.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    made = SqliteJournal(path, environment="test")
    yield made
    made.close()


def fill(path: Path, count: int = 3) -> None:
    journal = SqliteJournal(path, environment="test")
    journal.append([Draft(f"n{number}") for number in range(count)], epoch=None, at=AT)
    journal.close()


def read_all(journal: SqliteJournal) -> list[Event]:
    return list(journal.read())


def append_one(journal: SqliteJournal) -> list[Event]:
    return journal.append([Draft("x")], epoch=None, at=AT)


def run(script: str, *arguments: object, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_reading_makes_no_file(journal: SqliteJournal, path: Path) -> None:
    assert list(journal.read()) == []
    with pytest.raises(KeyError):
        journal.attachment("0" * 64)
    assert not path.parent.exists()


@pytest.mark.parametrize("umask", [0o000, 0o277])
def test_only_the_owner_may_read_it_whatever_the_umask(
    journal: SqliteJournal, path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        journal.append([Draft("x")], epoch=None, at=AT)
        lease = SqliteLease(path, environment="test")
        lease.show()
        lease.release(1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    files = sorted(path.parent.iterdir())
    assert path in files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    lease.close()


def test_a_file_that_others_can_read_is_closed_to_them(path: Path, journal: SqliteJournal) -> None:
    fill(path)
    path.chmod(0o644)
    journal.append([Draft("x")], epoch=None, at=AT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_commit_is_synced(path: Path, journal: SqliteJournal) -> None:
    journal.append([Draft("x")], epoch=None, at=AT)
    connection = journal._connection()
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_events_outlive_their_process(path: Path, journal: SqliteJournal) -> None:
    done = run(APPEND_FOR_EVER, path, "a", 3)
    assert done.returncode == 0, done.stderr
    assert [event.type for event in journal.read()] == ["a", "a+"] * 3
    # Nothing is left of the making of the file.
    assert [file.name for file in path.parent.iterdir() if file.name.startswith(".")] == []


def test_what_a_death_in_the_making_has_left_is_removed_once_it_is_old(
    path: Path, journal: SqliteJournal
) -> None:
    path.parent.mkdir()
    old, young = (path.with_name(f".{path.name}.{token}.new") for token in ("0123456789ab", "ba9876543210"))
    for left in (old, young):
        left.write_bytes(b"half of one")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    append_one(journal)
    assert not old.exists()
    assert young.exists()  # somebody may be making one at this moment


def test_processes_append_one_chain(path: Path, journal: SqliteJournal) -> None:
    command = [sys.executable, "-c", APPEND_FOR_EVER, str(path)]
    # Started at once where no file is yet, so that they also make it at once.
    running = [subprocess.Popen([*command, name, "15"], stdout=subprocess.DEVNULL) for name in "abc"]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    events = list(journal.read())
    assert len(events) == 90
    assert chain.verify(events).broken is None


def test_a_kill_loses_nothing_that_was_acknowledged(path: Path, journal: SqliteJournal) -> None:
    acknowledged = 0
    for round_ in range(5):
        command = [sys.executable, "-c", APPEND_FOR_EVER, str(path), f"r{round_}", "1000000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.01 * round_)
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().splitlines()
        acknowledged = 1 + len([line for line in rest if line])
        events = list(journal.read())
        assert chain.verify(events).broken is None
        mine = [event for event in events if event.type.startswith(f"r{round_}")]
        # Both of a pair or neither; and at most one pair more than was said to be kept.
        assert len(mine) % 2 == 0
        assert acknowledged <= len(mine) // 2 <= acknowledged + 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET type = 'forged' WHERE seq = 2",
        "DELETE FROM events WHERE seq = 3",
        "INSERT OR REPLACE INTO events SELECT seq, at, 'forged', week, run_id, step, data, previous, 'h' FROM events",
        "INSERT INTO events SELECT 9, at, type, week, run_id, step, data, previous, 'h' FROM events WHERE seq = 1",
        "UPDATE attachments SET body = x'00'",
        "DELETE FROM attachments",
    ],
)
def test_the_file_itself_refuses_changes(path: Path, journal: SqliteJournal, statement: str) -> None:
    fill(path)
    journal.attach(b"body")
    before = list(journal.read())
    connection = sqlite3.connect(path)
    try:
        with pytest.raises(sqlite3.IntegrityError, match=r"append-only|only grows at its end"):
            connection.execute(statement)
    finally:
        connection.close()
    assert list(journal.read()) == before


def forge(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for (trigger,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


def test_hashes_end_where_a_number_is_missing(
    path: Path, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_HASHES_AT_ONCE", 2)
    hashes = [e.hash.encode() for e in journal.append([Draft("n")] * 5, epoch=None, at=AT)]
    assert list(journal.hashes(5)) == [hashes[0] + hashes[1], hashes[2] + hashes[3], hashes[4]]
    forge(path, "DELETE FROM events WHERE seq = 3")
    assert list(journal.hashes(5)) == [hashes[0] + hashes[1]]


def test_a_forged_head_is_not_built_upon(path: Path, journal: SqliteJournal) -> None:
    fill(path)
    forge(path, "UPDATE events SET type = 'forged' WHERE seq = 3")
    with pytest.raises(Residue, match=r"event 3 .* changed after it was written"):
        journal.append([Draft("x")], epoch=None, at=AT)
    events = list(journal.read())
    assert len(events) == 3
    verdict = chain.verify(events)
    assert verdict.broken is not None
    assert verdict.broken.seq == 3


@pytest.mark.parametrize("column", ["data = '{'", "at = 'yesterday'", "data = 7.5, at = 3"])
def test_an_event_that_cannot_be_read_is_named(path: Path, journal: SqliteJournal, column: str) -> None:
    fill(path)
    forge(path, f"UPDATE events SET {column} WHERE seq = 2")
    with pytest.raises(Residue, match=r"event 2 .* cannot be read"):
        list(journal.read())


def test_a_forged_attachment_is_refused(path: Path, journal: SqliteJournal) -> None:
    digest = journal.attach(b"body")
    forge(path, "UPDATE attachments SET body = 'forged'")
    with pytest.raises(Residue, match="attachment"):
        journal.attachment(digest)


def test_an_empty_file_is_a_lost_journal(path: Path, journal: SqliteJournal) -> None:
    path.parent.mkdir()
    path.write_bytes(b"")
    for ask in (read_all, append_one):
        with pytest.raises(Residue, match="is empty"):
            ask(journal)
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    "body", [b"not a database, but long enough to be looked at\n" * 40, b"\0" * 4096, b"short"]
)
def test_a_file_that_is_no_database_is_kept(path: Path, journal: SqliteJournal, body: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(body)
    for ask in (read_all, append_one):
        with pytest.raises(Residue, match=r"is damaged|is empty"):
            ask(journal)
    assert path.read_bytes() == body


def test_damage_in_the_middle_is_found(path: Path, journal: SqliteJournal) -> None:
    journal.append([Draft("x", data={"fill": "y" * 20000})], epoch=None, at=AT)
    journal.close()
    body = bytearray(path.read_bytes())
    for place in range(4096, len(body) - 4096, 512):
        body[place : place + 64] = b"\xff" * 64
    path.write_bytes(body)
    with pytest.raises(Residue):
        list(journal.read())
    with pytest.raises(Residue):
        journal.append([Draft("x")], epoch=None, at=AT)


def test_the_database_of_another_program_is_kept(path: Path, journal: SqliteJournal) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    for ask in (read_all, append_one):
        with pytest.raises(InvalidSetup, match="of another program"):
            ask(journal)
    assert path.read_bytes() == before


def test_the_journal_of_another_environment_is_refused(path: Path) -> None:
    fill(path)
    other = SqliteJournal(path, environment="production")
    with pytest.raises(InvalidSetup, match="is of the environment 'test', not of 'production'"):
        list(other.read())
    with pytest.raises(InvalidSetup):
        other.append([Draft("x")], epoch=None, at=AT)


def test_a_newer_format_is_refused(path: Path, journal: SqliteJournal) -> None:
    fill(path)
    forge(path, "PRAGMA user_version = 99")
    with pytest.raises(InvalidSetup, match=r"newer .*format 99"):
        list(journal.read())


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_vanishes_in_use_is_noticed(
    path: Path, tmp_path: Path, journal: SqliteJournal, replaced: bool
) -> None:
    journal.append([Draft("x")], epoch=None, at=AT)
    fill(tmp_path / "other")
    path.unlink()
    if replaced:
        (tmp_path / "other").rename(path)
    with pytest.raises(Residue, match="removed or replaced while it was in use"):
        journal.append([Draft("y")], epoch=None, at=AT)


def test_readers_and_a_writer_do_not_wait_for_each_other(path: Path) -> None:
    fill(path)
    impatient = SqliteJournal(path, environment="test", busy=0.05)
    writer = sqlite3.connect(path, isolation_level=None)
    try:
        writer.execute("BEGIN IMMEDIATE")
        assert len(list(impatient.read())) == 3
        with pytest.raises(TracseqMigrateError, match=r"kept it busy for more than 0\.05 s") as caught:
            impatient.append([Draft("x")], epoch=None, at=AT)
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        writer.execute("ROLLBACK")
        writer.execute("BEGIN")
        assert writer.execute("SELECT count(*) FROM events").fetchone() == (3,)
        impatient.append([Draft("x")], epoch=None, at=AT)
    finally:
        writer.close()
        impatient.close()


READ = """
import sys
from pathlib import Path
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal, SqliteLease
print(len(list(SqliteJournal(Path(sys.argv[1]), environment="test").read())))
print(SqliteLease(Path(sys.argv[1]), environment="test").show())
"""
WRITE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal
from tracseq_migrate.errors import TracseqMigrateError
from tracseq_migrate.ports import Draft
journal = SqliteJournal(Path(sys.argv[1]), environment="test")
count = 0
try:
    while count < 200:
        journal.append([Draft("x", data={"fill": "y" * 5000})], epoch=None, at=datetime.now(UTC))
        count += 1
except TracseqMigrateError as error:
    print(error.message, error.exit_code, sep="|")
print(count, len(list(journal.read())))
"""


def private_mounts() -> tuple[str, ...]:
    """The prefix that gives a command mounts of its own; skips where the system does not let us."""
    prefix = ("unshare", "--map-root-user", "--mount")
    if (
        shutil.which("unshare") is None
        or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("private mounts need unshare(1) and a system that allows user namespaces")
    return prefix


@pytest.mark.parametrize("open_writer", [False, True])
def test_a_folder_that_cannot_be_written_can_be_read(
    path: Path, journal: SqliteJournal, open_writer: bool
) -> None:
    fill(path)
    if open_writer:
        # Its log and shared memory lie beside the file, with an event that is in the log alone.
        journal.append([Draft("in the log")], epoch=None, at=AT)
    mount = f'mount --bind "{path.parent}" "{path.parent}" && mount -o remount,bind,ro "{path.parent}" && exec "$@"'
    prefix = (*private_mounts(), "sh", "-c", mount, "sh")
    done = run(READ, path, prefix=prefix)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["4" if open_writer else "3", "None"]
    refused = run(WRITE, path, prefix=prefix)
    assert refused.returncode == 0, refused.stderr
    assert "|1\n" in refused.stdout
    assert "read-only" in refused.stdout or "cannot be opened" in refused.stdout


def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=400k none "{tmp_path}" && exec "$@"'
    done = run(WRITE, tmp_path / "state" / "j", prefix=(*private_mounts(), "sh", "-c", mount, "sh"))
    assert done.returncode == 0, done.stderr
    error, counts = done.stdout.splitlines()
    assert "could not write the journal" in error
    assert "the disk is full|1" in error
    written, kept = map(int, counts.split())
    assert 0 < written == kept


def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    path = tmp_path / "a ? # % 'é'" / "j ? %41.db"
    fill(path)
    assert len(list(SqliteJournal(path, environment="test").read())) == 3
    assert path.is_file()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    journal = SqliteJournal(tmp_path / "state" / "j", environment="test")
    with pytest.raises(TracseqMigrateError, match="could not open the journal") as caught:
        journal.append([Draft("x")], epoch=None, at=AT)
    assert caught.value.hint
