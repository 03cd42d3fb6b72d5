"""What is particular to the lease in SQLite: holders that die, and holders that stand still."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tracseq_migrate.adapters.sqlite_journal import SqliteJournal, SqliteLease
from tracseq_migrate.adapters.sqlite_journal.machine import host_name
from tracseq_migrate.errors import Locked, TracseqMigrateError
from tracseq_migrate.ports import Draft, Holder

AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

# Takes the lease, says its epoch, and then appends or checks under it, one for each line of its input.
HOLD = """
import os, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal, SqliteLease
from tracseq_migrate.adapters.sqlite_journal.machine import host_name
from tracseq_migrate.errors import Locked
from tracseq_migrate.ports import Draft, Holder
import tracseq_migrate.adapters.sqlite_journal.lease as lease_module
import tracseq_migrate.adapters.sqlite_journal.lease_row as row_module
class Ahead(datetime):
    @classmethod
    def now(cls, zone=None):
        return datetime.now(zone) + timedelta(hours=float(sys.argv[3]))
lease_module.datetime = row_module.datetime = Ahead
path = Path(sys.argv[1])
lease = SqliteLease(path, environment="test", ttl=float(sys.argv[2]))
journal = SqliteJournal(path, environment="test")
holder = Holder("child", "ada", host_name(), os.getpid(), "tracseq-migrate run week1")
epoch = lease.acquire(holder, timeout=0).epoch
print(epoch, flush=True)
for line in sys.stdin:
    try:
        if line == "append\\n":
            journal.append([Draft("child")], epoch=epoch, at=datetime.now(UTC))
        elif line == "check\\n":
            lease.check(epoch)
        elif line == "release\\n":
            lease.release(epoch)
        print("done", flush=True)
    except Locked as error:
        print("locked: " + error.message, flush=True)
"""


class Child:
    """A holder in a process of its own."""

    def __init__(self, path: Path, ttl: float, *, ahead: int = 0) -> None:
        """``ahead``: hours that its wall clock is wrong."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), str(ttl), str(ahead)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.epoch = int(self._line())

    def ask(self, what: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self._line()

    def end(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        with self.process:
            pass

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "test.journal"


@pytest.fixture
def lease(path: Path) -> Iterator[SqliteLease]:
    made = SqliteLease(path, environment="test")
    yield made
    made.close()


def me(host: str | None = None) -> Holder:
    return Holder("parent", "grace", host or host_name(), os.getpid(), "tracseq-migrate resume week1")


def test_it_dies_with_its_holder(path: Path, lease: SqliteLease) -> None:
    child = Child(path, ttl=3600)
    try:
        seen = lease.show()
        assert seen is not None
        assert (seen.holder.pid, seen.holder.person) == (child.process.pid, "ada")
        with pytest.raises(
            Locked, match=rf"ada on .*, pid {child.process.pid}, `tracseq-migrate run week1`, since 20"
        ):
            lease.acquire(me(), timeout=0.1)
    finally:
        child.end()
    assert lease.show() is None
    assert lease.acquire(me(), timeout=0).epoch == child.epoch + 1
    lease.release(child.epoch + 1)


def test_a_holder_that_stands_still_is_fenced(path: Path, lease: SqliteLease) -> None:
    child = Child(path, ttl=0.6)
    journal = SqliteJournal(path, environment="test")
    try:
        assert child.ask("append") == "done"
        child.process.send_signal(signal.SIGSTOP)
        # Taken over although the stopped holder still has the lock file.
        taken = lease.acquire(me(), timeout=60)
        assert taken.epoch == child.epoch + 1
        journal.append([Draft("parent")], epoch=taken.epoch, at=AT)
        child.process.send_signal(signal.SIGCONT)
        assert child.ask("append").startswith(
            "locked: this run no longer holds the lock: it was taken over by grace"
        )
        assert "resume week1" in child.ask("check")
        # What the fenced holder gives back is not what the new one has.
        assert child.ask("release") == "done"
        lease.check(taken.epoch)
        assert [event.type for event in journal.read()] == ["child", "parent"]
    finally:
        child.end()
        journal.close()


def test_a_stale_lock_file_says_nothing_about_the_new_holder(path: Path, lease: SqliteLease) -> None:
    child = Child(path, ttl=0.3)
    other = SqliteLease(path, environment="test")
    try:
        child.process.send_signal(signal.SIGSTOP)
        first = lease.acquire(me(), timeout=60)
        # The stopped one dies: its lock file is free now, but the new holder, who never had it, lives.
        child.end()
        with pytest.raises(Locked, match="grace"):
            other.acquire(Holder("third", "joan", host_name(), 1, "run"), timeout=0.2)
        assert other.show() is not None
        lease.release(first.epoch)
        assert (
            other.acquire(Holder("third", "joan", host_name(), 1, "run"), timeout=0).epoch == first.epoch + 1
        )
    finally:
        child.end()
        other.close()


def test_given_back_it_is_free_though_a_stopped_one_keeps_the_lock_file(
    path: Path, lease: SqliteLease
) -> None:
    child = Child(path, ttl=0.3)
    other = SqliteLease(path, environment="test")
    try:
        child.process.send_signal(signal.SIGSTOP)
        lease.release(lease.acquire(me(), timeout=60).epoch)
        assert other.acquire(me(), timeout=0).epoch == child.epoch + 2
    finally:
        child.end()
        other.close()


def test_one_that_took_over_gets_the_lock_file_in_time(path: Path) -> None:
    child = Child(path, ttl=0.3)
    first = SqliteLease(path, environment="test", ttl=0.3)
    second = SqliteLease(path, environment="test", ttl=3600)
    try:
        child.process.send_signal(signal.SIGSTOP)
        first.acquire(me(), timeout=60)
        child.end()
        deadline = time.monotonic() + 60
        while not witnessed(path) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert witnessed(path)
        # From then on its death shows at once.
        first.close()
        assert second.acquire(me(), timeout=0).epoch == child.epoch + 2
    finally:
        child.end()
        first.close()
        second.close()


def witnessed(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return bool(connection.execute("SELECT witness FROM lease").fetchone()[0])
    finally:
        connection.close()


def test_signs_of_life_keep_it(path: Path, lease: SqliteLease) -> None:
    child = Child(path, ttl=3)
    try:
        first = lease.show()
        assert first is not None
        with pytest.raises(Locked):
            lease.acquire(me(), timeout=4)
        seen = lease.show()
        assert seen is not None
        assert (seen.epoch, seen.since) == (first.epoch, first.since)
        assert seen.expires > first.expires
    finally:
        child.end()


def test_the_holder_of_another_machine_is_believed_until_it_expires(path: Path, lease: SqliteLease) -> None:
    other = SqliteLease(path, environment="test", ttl=0.5)
    taken = other.acquire(me("elsewhere"), timeout=0)
    pretend_another_boot(path)
    other.close()
    # Its lock file is free, but that may only be because locks do not reach from there to here.
    assert lease.show() is not None
    with pytest.raises(Locked, match="grace on elsewhere"):
        lease.acquire(me(), timeout=0)
    assert lease.acquire(me(), timeout=60).epoch == taken.epoch + 1


def test_after_a_restart_of_the_machine_it_is_free(path: Path, lease: SqliteLease) -> None:
    other = SqliteLease(path, environment="test", ttl=3600)
    taken = other.acquire(me(), timeout=0)
    pretend_another_boot(path)
    other.close()
    assert lease.show() is None
    assert lease.acquire(me(), timeout=0).epoch == taken.epoch + 1


def pretend_another_boot(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE lease SET boot = 'another'")
    connection.commit()
    connection.close()


def test_a_clock_set_forward_expires_nobody(path: Path, lease: SqliteLease) -> None:
    child = Child(path, ttl=3600)
    try:
        connection = sqlite3.connect(path)
        connection.execute("UPDATE lease SET expires = '2001-01-01T00:00:00.000000Z'")
        connection.commit()
        connection.close()
        with pytest.raises(Locked):
            lease.acquire(me(), timeout=0.1)
    finally:
        child.end()


def test_showing_and_releasing_make_no_file(path: Path, lease: SqliteLease) -> None:
    assert lease.show() is None
    lease.release(1)
    assert not path.parent.exists()


def test_nothing_runs_on_after_release(path: Path, lease: SqliteLease) -> None:
    before = threading.active_count()
    epoch = lease.acquire(me(), timeout=0).epoch
    assert threading.active_count() == before + 1
    lease.release(epoch)
    assert threading.active_count() == before
    # And once more with the same object.
    assert lease.acquire(me(), timeout=0).epoch == epoch + 1
    lease.check(epoch + 1)


def test_many_processes_one_holder(path: Path) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), "3600", "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    first: list[str] = []
    for process in running:
        assert process.stdout is not None
        first.append(process.stdout.readline().strip())
    assert sorted(first) == ["", "", "", "", "1"]
    for process in running:
        _, err = process.communicate("")
        assert (process.returncode == 0) == (not err)
        assert not err or "Locked" in err


def test_looking_says_how_it_is_known_that_the_holder_lives(path: Path, lease: SqliteLease) -> None:
    child = Child(path, ttl=3600)
    pid = child.process.pid
    try:
        seen = lease.look()
        assert seen is not None
        assert (seen.life, seen.how) == ("alive", f"process {pid} has its lock file locked")
        child.process.send_signal(signal.SIGSTOP)
        until_stopped(pid)
        seen = lease.look()
        assert seen is not None
        assert (seen.life, seen.how) == (
            "alive",
            f"process {pid} has its lock file locked; process {pid} is stopped (`kill -CONT {pid}` lets it go on)",
        )
        assert seen.stopped
        change(path, "expires_uptime = 0")
        seen = lease.look()
        assert seen is not None
        assert seen.life == "silent"
        assert "no sign of life came in time" in seen.how
        change(path, "host = 'elsewhere', boot = 'another', expires = '2999-01-01T00:00:00.000000Z'")
        seen = lease.look()
        assert seen is not None
        assert (seen.life, seen.how) == (
            "believed",
            "processes of elsewhere cannot be seen from here; it is believed until its lease expires",
        )
    finally:
        child.end()


def test_looking_at_one_that_has_ended(path: Path, lease: SqliteLease) -> None:
    child = Child(path, ttl=3600)
    child.end()
    seen = lease.look()
    assert seen is not None
    assert seen.life == "gone"
    assert seen.how == f"process {child.process.pid} has ended: its lock file is free"


def test_one_that_stood_still_is_told_so_and_one_that_did_not_is_not(path: Path, lease: SqliteLease) -> None:
    still, quick = Child(path, ttl=0.6), None
    try:
        still.process.send_signal(signal.SIGSTOP)
        taken = lease.acquire(me(), timeout=60)
        time.sleep(
            1.0
        )  # so that it stood still for longer than its lease, whenever its last sign of life was
        still.process.send_signal(signal.SIGCONT)
        said = still.ask("check")
        assert said.startswith("locked: this run lost the lock while it stood still (")
        assert "it was taken over by grace" in said
        lease.release(taken.epoch)
        quick = Child(path, ttl=3600)
        lease.take_away("child", me())
        assert quick.ask("check").startswith(
            "locked: this run no longer holds the lock: it was taken away by grace"
        )
        assert quick.ask("append").startswith("locked: this run no longer holds the lock")
    finally:
        still.end()
        if quick is not None:
            quick.end()


@pytest.mark.parametrize("hours", [5, -5])
def test_a_wall_clock_that_jumps_neither_expires_nor_extends(
    path: Path, lease: SqliteLease, hours: int
) -> None:
    child = Child(path, ttl=3600, ahead=hours)
    try:
        seen = lease.show()
        assert seen is not None
        assert abs((seen.expires - datetime.now(UTC)).total_seconds() - 3600 - hours * 3600) < 60
        with pytest.raises(Locked, match="ada"):
            lease.acquire(me(), timeout=0.1)
        # The time that the machine was up is what counts, whatever the wall clock says of the end.
        change(path, "expires_uptime = 0")
        child.process.send_signal(signal.SIGSTOP)
        assert lease.acquire(me(), timeout=0).epoch == child.epoch + 1
    finally:
        child.end()


def test_a_holder_that_is_stopped_in_the_middle_of_a_write_keeps_the_file_busy(path: Path) -> None:
    child = Child(path, ttl=0.3)
    writer = sqlite3.connect(path, isolation_level=None)
    lease = SqliteLease(path, environment="test", busy=0.2)
    try:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(TracseqMigrateError, match="kept it busy") as caught:
            lease.acquire(me(), timeout=0)
        assert "lock show" in caught.value.hint
        assert "`kill -CONT PID`" in caught.value.hint
        assert "`kill -KILL PID`" in caught.value.hint
        writer.execute("ROLLBACK")
    finally:
        writer.close()
        lease.close()
        child.end()


def until_stopped(pid: int) -> None:
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def change(path: Path, setting: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE lease SET {setting}")
    connection.commit()
    connection.close()
