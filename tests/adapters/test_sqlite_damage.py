"""A journal that is not as it was left: torn, cut, replaced, gone. Each is recognised, named, and left as it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.adapters.test_sqlite_journal import APPEND_FOR_EVER, forge
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal, SqliteLease, SqliteVault
from tracseq_migrate.adapters.sqlite_journal.beside import Head, HeadFile
from tracseq_migrate.errors import InvalidSetup, Locked, Residue, TracseqMigrateError
from tracseq_migrate.journal import chain
from tracseq_migrate.ports import Draft, Holder, Record

AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NAME = "journal.sqlite3"
EVENTS = 12
PROJECT = Path(__file__).parents[2]
ERIN = Holder("a", "erin", "lab", 1, "run week1")


def opened(folder: Path, environment: str = "test") -> SqliteJournal:
    return SqliteJournal(folder / NAME, environment=environment)


def fill(journal: SqliteJournal, count: int = EVENTS) -> None:
    for number in range(count):
        journal.append([Draft("n", data={"n": number, "fill": "x" * 1500})], epoch=None, at=AT)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """What must not change: the shared memory is no data, and what reading leaves empty neither."""
    return {
        path.name: body
        for path in sorted(folder.iterdir())
        if not path.name.endswith("-shm") and (body := path.read_bytes())
    }


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder as a killed process leaves it: all events are in the write-ahead log."""
    folder, source = tmp_path_factory.mktemp("killed"), tmp_path_factory.mktemp("alive")
    with closing(opened(source)) as journal:
        fill(journal)
        for name in (NAME, f"{NAME}-wal", "journal.head"):
            shutil.copyfile(source / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder as a process leaves it that came to its end: all events are in the file."""
    folder = tmp_path_factory.mktemp("ended")
    with closing(opened(folder)) as journal:
        fill(journal)
    return folder


def looked_at(folder: Path) -> tuple[int | None, str]:
    """How many events can be read (None: it is said to be broken), and what is said to be lost."""
    journal = opened(folder)
    try:
        records = list(journal.records())
        lost = journal.lost()
    except Residue as error:
        assert error.hint
        return None, error.message
    broken = chain.verify_records(records).broken
    return (None, broken.why) if broken else (len(records), lost)


def refuses(folder: Path) -> None:
    """Nothing is appended, no lease is given, and not a byte of it changes."""
    before = bytes_of(folder)
    with closing(opened(folder)) as journal, pytest.raises(Residue) as refused:
        journal.append([Draft("x")], epoch=None, at=AT)
    assert refused.value.hint
    with closing(SqliteLease(folder / NAME, environment="test")) as lease, pytest.raises(Residue):
        lease.acquire(ERIN, timeout=0)
    left = bytes_of(folder)
    left.pop("journal.lease.lock", None)
    assert left == before


def damaged(source: Path, folder: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    shutil.copytree(source, folder)
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    return folder


def test_what_a_killed_process_left_is_whole(killed: Path, tmp_path: Path) -> None:
    folder = damaged(killed, tmp_path / "copy", NAME, lambda body: body)
    assert looked_at(folder) == (EVENTS, "")
    with closing(opened(folder)) as journal:
        assert journal.append([Draft("x")], epoch=None, at=AT)[0].seq == EVENTS + 1
    assert looked_at(folder) == (EVENTS + 1, "")


def test_a_cut_log_never_loses_an_event_in_silence(killed: Path, tmp_path: Path) -> None:
    """SQLite itself says nothing about a log whose end is gone: it reads what fits."""
    size = (killed / f"{NAME}-wal").stat().st_size
    frame = 4096 + 24
    cuts = {0, 1, 31, 32, size - 1} | {
        32 + frame * n + odd for n in range(size // frame) for odd in (0, 24, 999)
    }
    seen = set()
    for cut in sorted(cut for cut in cuts if cut < size):
        folder = damaged(killed, tmp_path / str(cut), f"{NAME}-wal", lambda body, cut=cut: body[:cut])  # type: ignore[misc]
        count, said = looked_at(folder)
        if count == EVENTS:  # the frames of the last commit are all there; what is gone was padding
            assert said == ""
        else:
            assert f"event {EVENTS} was acknowledged here" in said
            refuses(folder)
        seen.add(count)
        shutil.rmtree(folder)
    assert seen >= {0, 1, EVENTS - 1}


def test_a_torn_frame_ends_the_log_and_that_is_noticed(killed: Path, tmp_path: Path) -> None:
    size = (killed / f"{NAME}-wal").stat().st_size
    for number, place in enumerate(range(40, size, size // 9)):

        def tear(body: bytes, place: int = place) -> bytes:
            return body[:place] + bytes(b ^ 0xFF for b in body[place : place + 16]) + body[place + 16 :]

        folder = damaged(killed, tmp_path / str(number), f"{NAME}-wal", tear)
        count, said = looked_at(folder)
        assert count is not None
        assert count < EVENTS
        assert f"{EVENTS - count} events are lost" in said
        refuses(folder)


def test_a_log_that_was_left_behind_by_a_copy_is_missed(killed: Path, tmp_path: Path) -> None:
    folder = damaged(killed, tmp_path / "copy", NAME, lambda body: body)
    (folder / f"{NAME}-wal").unlink()
    count, said = looked_at(folder)
    assert count == 0
    assert f"{EVENTS} events are lost" in said
    refuses(folder)


def test_a_cut_file_is_never_taken_for_a_whole_one(ended: Path, tmp_path: Path) -> None:
    size = (ended / NAME).stat().st_size
    for cut in [*range(0, size, 4096), 1, 15, 99, 100, 1000, size - 1, size - 4000]:
        folder = damaged(ended, tmp_path / str(cut), NAME, lambda body, cut=cut: body[:cut])  # type: ignore[misc]
        count, said = looked_at(folder)
        assert said
        if count is None:
            continue  # no page, or no event, fits: whoever is to act reads all of them first
        assert count < EVENTS
        refuses(folder)


def test_an_older_copy_of_the_file_is_recognised(ended: Path, tmp_path: Path) -> None:
    folder = damaged(ended, tmp_path / "copy", NAME, lambda body: body)
    with closing(opened(folder)) as journal:
        fill(journal, 3)
    shutil.copyfile(ended / NAME, folder / NAME)
    assert looked_at(folder)[0] == EVENTS
    assert "3 events are lost" in looked_at(folder)[1]
    refuses(folder)


def test_another_journal_in_its_place_is_recognised(ended: Path, tmp_path: Path) -> None:
    with closing(opened(tmp_path / "other")) as other:
        for number in range(EVENTS + 5):
            other.append([Draft("other", data={"n": number})], epoch=None, at=AT)
    folder = damaged(ended, tmp_path / "copy", NAME, lambda _: (tmp_path / "other" / NAME).read_bytes())
    assert f"event {EVENTS} of the journal" in looked_at(folder)[1]
    assert "is not the one that was acknowledged" in looked_at(folder)[1]
    refuses(folder)


@pytest.mark.parametrize("trace", ["journal.head", "journal.fold", f"{NAME}-wal", "journal.lease.lock"])
def test_a_file_that_is_gone_is_not_begun_anew(ended: Path, tmp_path: Path, trace: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / trace).write_bytes(b"left")
    folder = tmp_path / "state"
    assert looked_at(folder)[0] == 0
    assert f"is gone: {trace} beside it shows that there was one" in looked_at(folder)[1]
    with closing(opened(folder)) as journal, pytest.raises(Residue, match="is gone"):
        journal.append([Draft("x")], epoch=None, at=AT)
    assert not (folder / NAME).exists()
    assert (folder / trace).read_bytes() == b"left"


def test_the_last_event_of_a_broken_chain_is_not_built_upon(ended: Path, tmp_path: Path) -> None:
    folder = damaged(ended, tmp_path / "copy", NAME, lambda body: body)
    forge(folder / NAME, f"UPDATE events SET week = 'forged' WHERE seq = {EVENTS}")
    with closing(opened(folder)) as journal, pytest.raises(Residue, match=f"event {EVENTS} .* changed"):
        journal.append([Draft("x")], epoch=None, at=AT)


UNREADABLE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal
from tracseq_migrate.errors import TracseqMigrateError
from tracseq_migrate.ports import Draft
journal = SqliteJournal(Path(sys.argv[1]), environment="test")
for ask in (lambda: list(journal.read()), journal.lost, lambda: journal.append([Draft("x")], epoch=None, at=datetime.now(UTC))):
    try:
        ask()
    except TracseqMigrateError as error:
        print(int(error.exit_code), bool(error.hint), error.message)
"""


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_may_not_be_read_is_an_error_and_never_an_empty_journal(
    ended: Path, tmp_path: Path, what: str
) -> None:
    folder = damaged(ended, tmp_path / "copy", NAME, lambda body: body)
    (folder if what == "folder" else folder / NAME).chmod(0)
    # Root may read everything; in a user namespace it is somebody who owns the files and no more.
    prefix = ["unshare", "-U", "--map-user=1000", "--map-group=1000"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs unshare(1) and a system that allows user namespaces")
    command = [*prefix, sys.executable, "-c", UNREADABLE, str(folder / NAME)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    (folder if what == "folder" else folder / NAME).chmod(0o700)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stdout
    assert all(line.startswith("1 True could not ") for line in lines), done.stdout


# The head beside it


@pytest.fixture
def head(tmp_path: Path) -> Iterator[HeadFile]:
    made = HeadFile(tmp_path / NAME)
    yield made
    made.close()


def test_a_head_is_remembered(head: HeadFile) -> None:
    assert head.read() is None
    head.write(Head(7, "a" * 64))
    assert head.read() == (7, "a" * 64)
    head.write(Head(8, "b" * 64))
    assert head.read() == (8, "b" * 64)
    assert head.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("body", [b"", b"\0" * 119, b"tracseq-migrate head 7", b"x" * 119, b"y" * 500])
def test_a_head_that_cannot_be_read_witnesses_nothing_and_is_mended(head: HeadFile, body: bytes) -> None:
    head.path.write_bytes(body)
    assert head.read() is None
    head.write(Head(7, "a" * 64))
    assert head.read() == (7, "a" * 64)


def test_a_changed_digit_of_a_head_is_noticed(head: HeadFile) -> None:
    head.write(Head(7, "a" * 64))
    head.path.write_bytes(head.path.read_bytes().replace(b"07 ", b"17 ", 1))
    assert head.read() is None


def test_a_head_never_claims_more_than_is_durable(tmp_path: Path) -> None:
    """Processes that append at once, and are killed: the journal always has the event that the head names."""
    path = tmp_path / NAME
    for round_ in range(4):
        command = [sys.executable, "-c", APPEND_FOR_EVER, str(path)]
        running = [
            subprocess.Popen([*command, n, "1000000"], stdout=subprocess.PIPE, text=True) for n in "ab"
        ]
        for process in running:
            assert process.stdout is not None
            for _ in range(3 + round_):
                process.stdout.readline()
        for process in running:
            process.kill()
            process.communicate()
        journal = opened(tmp_path)
        assert journal.lost() == ""
        remembered = journal.remembered()
        count = sum(1 for _ in journal.records())
        assert remembered is not None
        assert 0 < remembered[0] <= count
        assert (
            remembered[0] >= count - 8
        )  # two appends of two events that had not come to their head, or crossed there


# The vault


def records_of(source: Path) -> list[Record]:
    return list(opened(source).records())


@pytest.fixture
def other(tmp_path: Path) -> list[Record]:
    with closing(opened(tmp_path / "elsewhere")) as journal:
        for number in range(5):
            journal.append([Draft("other", data={"n": number})], epoch=None, at=AT)
    return records_of(tmp_path / "elsewhere")


def test_a_damaged_journal_is_kept_to_the_byte_and_replaced(
    killed: Path, tmp_path: Path, other: list[Record]
) -> None:
    folder = damaged(killed, tmp_path / "copy", f"{NAME}-wal", lambda body: body[:-5000])
    before, count = bytes_of(folder), looked_at(folder)[0]
    kept = SqliteVault(folder / NAME, environment="test").install(other, [b"body"], at=AT)
    assert {Path(each).name for each in kept} == {
        f"{NAME}.kept-20260301T120000Z{end}" for end in ("", "-wal", ".head")
    }
    assert sorted(map(len, before.values())) == sorted(len(Path(each).read_bytes()) for each in kept)
    assert set(before.values()) == {Path(each).read_bytes() for each in kept}
    journal = opened(folder)
    assert list(journal.records()) == other
    assert journal.lost() == ""
    assert journal.remembered() == (5, other[-1].hash)
    assert journal.attachment(chain.digest_of_body(b"body")) == b"body"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} <= {0o600, 0o644}
    # The copy is a journal that can be looked into, log and all.
    name = next(each for each in kept if each.endswith("Z"))
    assert len(list(SqliteJournal(Path(name), environment="test").records())) == count != EVENTS


def test_kept_twice_in_a_second_has_two_names(tmp_path: Path, other: list[Record]) -> None:
    vault = SqliteVault(tmp_path / "s" / NAME, environment="test")
    assert vault.install(other, (), at=AT) == ()
    first, second = vault.install(other, (), at=AT), vault.install(other[:1], (), at=AT)
    assert len({*first, *second}) == len(first) + len(second)
    assert list(opened(tmp_path / "s").records()) == other[:1]
    assert opened(tmp_path / "s").lost() == ""


def test_nothing_is_replaced_under_a_run(ended: Path, tmp_path: Path, other: list[Record]) -> None:
    folder = damaged(ended, tmp_path / "copy", NAME, lambda body: body)
    with closing(SqliteLease(folder / NAME, environment="test")) as lease:
        lease.acquire(ERIN, timeout=0)
        before = bytes_of(folder)
        with pytest.raises(Locked, match="a run is at work"):
            SqliteVault(folder / NAME, environment="test").install(other, (), at=AT)
        assert bytes_of(folder) == before
    assert SqliteVault(folder / NAME, environment="test").install(other, (), at=AT)


def test_what_fails_in_the_middle_of_the_move_says_what_is_kept(
    killed: Path, tmp_path: Path, other: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = damaged(killed, tmp_path / "copy", f"{NAME}-wal", lambda body: body[:-5000])
    before = set(bytes_of(folder).values())

    def failing(path: Path, target: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched, pytest.raises(TracseqMigrateError) as caught:
        patched.setattr(Path, "rename", failing)
        SqliteVault(folder / NAME, environment="test").install(other, (), at=AT)
    assert f"What was there is kept: {folder / NAME}.kept-" in caught.value.state
    assert before <= set(bytes_of(folder).values())
    assert looked_at(folder)[1], "and it is still known that events are lost"
    assert not list(folder.glob(".*.new"))


def test_what_belongs_to_something_else_is_not_replaced(tmp_path: Path, other: list[Record]) -> None:
    with closing(opened(tmp_path / "s", "production")) as journal:
        fill(journal, 1)
    before = bytes_of(tmp_path / "s")
    with pytest.raises(InvalidSetup, match="'production'"):
        SqliteVault(tmp_path / "s" / NAME, environment="test").install(other, (), at=AT)
    after = bytes_of(tmp_path / "s")
    after.pop("journal.lease.lock", None)
    assert after == before


def test_only_a_continuation_is_taken_in(tmp_path: Path, other: list[Record]) -> None:
    folder = tmp_path / "s"
    SqliteVault(folder / NAME, environment="test").install(other[:2], (), at=AT)
    vault = SqliteVault(folder / NAME, environment="test")
    with closing(SqliteLease(folder / NAME, environment="test")) as lease:
        epoch = lease.acquire(ERIN, timeout=0).epoch
        with pytest.raises(Residue, match="event 4 does not follow event 2"):
            vault.extend(other[3:], (), epoch=epoch)
        with pytest.raises(Locked):
            vault.extend(other[2:], (), epoch=epoch + 1)
        assert list(opened(folder).records()) == other[:2]
        vault.extend(other[2:], [b"body"], epoch=epoch)
    assert list(opened(folder).records()) == other
    assert opened(folder).remembered() == (5, other[-1].hash)


INSTALL = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal, SqliteVault
records = list(SqliteJournal(Path(sys.argv[2]), environment="test").records())
left = int(sys.argv[3])
def die(event, arguments):
    global left
    if event.split(".")[0] in ("open", "os", "fcntl", "sqlite3", "shutil"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
vault = SqliteVault(Path(sys.argv[1]), environment="test")
sys.addaudithook(die)
vault.install(records, (), at=datetime.now(UTC))
"""


def test_killed_anywhere_there_is_the_old_damage_or_the_new_journal(
    killed: Path, tmp_path: Path, other: list[Record]
) -> None:
    """And never a journal that looks whole and is neither; the same command again then comes to its end."""
    source = tmp_path / "elsewhere" / NAME
    ends: list[str] = []
    for point in range(1, 200):
        folder = damaged(killed, tmp_path / str(point), f"{NAME}-wal", lambda body: body[:-5000])
        before = set(bytes_of(folder).values())
        command = [sys.executable, "-c", INSTALL, str(folder / NAME), str(source), str(point)]
        code = subprocess.run(command, capture_output=True, timeout=60, check=False).returncode
        count, said = looked_at(folder)
        if said:
            ends.append("old")
            assert count is None or count < EVENTS
        else:
            ends.append("new")
            assert records_of(folder) == other
        assert before <= set(bytes_of(folder).values()), "what was there is kept"
        if code == 0:
            break
        assert code == -9
        if said:
            SqliteVault(folder / NAME, environment="test").install(other, (), at=AT)
            assert records_of(folder) == other
            assert opened(folder).lost() == ""
    else:
        raise AssertionError("it never came to its end")
    assert ends[-1] == "new"
    assert ends.count("old") > 8, ends


def test_errors_carry_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    vault = SqliteVault(tmp_path / "file" / NAME, environment="test")
    with pytest.raises(TracseqMigrateError, match="could not replace the journal") as caught:
        vault.install((), (), at=AT)
    assert caught.value.hint


def test_iterating_half_way_leaves_nothing_open(ended: Path) -> None:
    rows: Iterator[Record] = opened(ended).records()
    assert next(rows).seq == 1
    del rows  # a connection that nobody closed would be a warning, which is an error here
    assert sum(1 for _ in opened(ended).records()) == EVENTS


EXTEND = """
import sys
from pathlib import Path
from tests.conformance.test_journal_store import HOLDER, sealed
from tracseq_migrate.adapters.sqlite_journal import SqliteLease, SqliteVault
records = sealed(3000)
path = Path(sys.argv[1])
epoch = SqliteLease(path, environment="test").acquire(HOLDER, timeout=60).epoch
print("go", flush=True)
SqliteVault(path, environment="test").extend(records, [b"body"], epoch=epoch)
print("done", flush=True)
"""


def test_a_continuation_is_taken_in_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    ends = []
    for round_ in range(4):
        folder = tmp_path / str(round_)
        command = [sys.executable, "-c", EXTEND, str(folder / NAME)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "go\n"
            if round_ < 3:  # the last one comes to its end
                time.sleep(0.008 * round_)
                process.kill()
            told = process.stdout.read()
        journal = opened(folder)
        count = sum(1 for _ in journal.records())
        assert count in (0, 3000)
        assert journal.lost() == ""
        assert journal.attached() == ([chain.digest_of_body(b"body")] if count else [])
        assert not told or count == 3000
        ends.append(count)
    assert ends[0] == 0
    assert ends[-1] == 3000
