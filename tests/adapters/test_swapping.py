"""Taking the flag file's place while others write it: nothing that anybody wrote is ever lost in silence."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real_parts import wait_until
from tracseq_migrate.adapters import durable, swapping
from tracseq_migrate.adapters.dotenv import DotenvFlagStore
from tracseq_migrate.errors import InvalidSetup, StepFailed

A = "USE_AUTH_SERVICE"
OLD = f"{A}=false\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "flags.env"
    made.write_text(OLD)
    try:
        swapping.swap_in(made, OLD.encode(), slot=tmp_path / "slot", expected=lambda _: True)
    except swapping.Unsupported:
        pytest.skip("two files cannot change places here")
    return made


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def at_the_last_moment(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[], None], *more: Callable[[], None]
) -> None:
    """Do something after the last look and before the files change places; and more before each further change."""
    deeds = [act, *more]
    exchange = swapping._exchange

    def late(one: Path, other: Path) -> None:
        if deeds:
            deeds.pop(0)()
        exchange(one, other)

    monkeypatch.setattr(swapping, "_exchange", late)


def write(path: Path, value: str = "true") -> None:
    store = DotenvFlagStore(path)
    store.write({A: value}, expected=store.read().digest)


def test_what_another_put_there_at_the_last_moment_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def another() -> None:
        durable.replace(path, b"USE_OTHER=true\n")

    at_the_last_moment(monkeypatch, another)
    with pytest.raises(StepFailed, match="changed by somebody else meanwhile") as caught:
        write(path)
    assert path.read_bytes() == b"USE_OTHER=true\n"
    assert not caught.value.unknown
    assert names(path.parent) == ["flags.env"]


def test_what_another_wrote_over_at_the_last_moment_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_last_moment(monkeypatch, lambda: _void(path.write_text(OLD + "MORE=1\n")))
    with pytest.raises(StepFailed, match="changed by somebody else meanwhile"):
        write(path)
    assert path.read_text() == OLD + "MORE=1\n"
    assert names(path.parent) == ["flags.env"]


def test_a_file_that_another_has_open_for_writing_is_left_to_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.name != "posix" or not hasattr(__import__("fcntl"), "F_SETLEASE"):
        pytest.skip("this system does not tell who has a file open")
    with path.open("r+") as stream:
        with pytest.raises(StepFailed, match="or is being written now"):
            write(path)
        stream.write("# mine\n" + OLD)  # what it writes later is not lost: it is still the same file
        stream.flush()
        assert path.read_text() == "# mine\n" + OLD
    assert names(path.parent) == ["flags.env"]
    write(path)
    assert path.read_text() == f"# mine\n{A}=true\n"


def test_a_file_that_another_only_reads_is_replaced(path: Path) -> None:
    with path.open() as reader:
        write(path)
        assert reader.read() == OLD
    assert path.read_text() == f"{A}=true\n"


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_what_is_no_file_any_more_stays_what_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    other = path.parent / "other.env"
    other.write_text("OTHER=1\n")

    def another() -> None:
        path.unlink()
        if what == "link":
            path.symlink_to(other)
        elif what == "pipe":
            os.mkfifo(path)
        else:
            path.mkdir()

    at_the_last_moment(monkeypatch, another)
    with pytest.raises(StepFailed, match="changed by somebody else meanwhile"):
        write(path)
    assert {"link": path.is_symlink(), "pipe": path.is_fifo(), "folder": path.is_dir()}[what]
    assert other.read_text() == "OTHER=1\n"
    assert names(path.parent) == ["flags.env", "other.env"]


def test_a_file_that_is_removed_at_the_last_moment_stays_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_last_moment(monkeypatch, path.unlink)
    with pytest.raises(StepFailed, match="was removed by somebody else meanwhile"):
        write(path)
    assert names(path.parent) == []


def test_two_others_within_an_instant_are_both_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_the_last_moment(
        monkeypatch,
        lambda: durable.replace(path, b"FIRST=1\n"),
        lambda: durable.replace(path, b"SECOND=1\n"),
    )
    with pytest.raises(StepFailed, match="changed twice by others") as caught:
        write(path)
    assert caught.value.unknown
    assert path.read_bytes() == b"SECOND=1\n"
    [kept] = [name for name in names(path.parent) if name != "flags.env"]
    assert (path.parent / kept).read_bytes() == b"FIRST=1\n"
    assert kept in caught.value.hint
    # Nothing more happens to the file before a person has put the two together.
    with pytest.raises(InvalidSetup, match="their version is in"):
        DotenvFlagStore(path).read()
    (path.parent / kept).unlink()
    DotenvFlagStore(path).read()


VICTIM = """
import os, signal, sys
from pathlib import Path
from tracseq_migrate.adapters import durable, swapping
from tracseq_migrate.adapters.dotenv import DotenvFlagStore
path, when = Path(sys.argv[1]), sys.argv[2]
exchange = swapping._exchange
def deadly(one, other):
    if when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    if when == "foreign":
        durable.replace(path, b"USE_OTHER=true\\n")
    exchange(one, other)
    os.kill(os.getpid(), signal.SIGKILL)
swapping._exchange = deadly
store = DotenvFlagStore(path)
store.write({"USE_AUTH_SERVICE": "true"}, expected=store.read().digest)
"""


@pytest.mark.parametrize("when", ["before", "after", "foreign"])
def test_a_kill_around_the_change_of_places(path: Path, when: str) -> None:
    done = subprocess.run([sys.executable, "-c", VICTIM, str(path), when], check=False)
    assert done.returncode == -signal.SIGKILL
    store = DotenvFlagStore(path)
    if when != "foreign":
        assert store.read().values[A] == {"before": "false", "after": "true"}[when]
        write(path, "yes")
        assert path.read_text() == f"{A}=yes\n"
        assert names(path.parent) == ["flags.env"]
        return
    # The other's write is not in the file, but in hand: nobody goes on before it is dealt with.
    [slot] = [entry for entry in path.parent.iterdir() if entry.name != "flags.env"]
    assert slot.read_bytes() == b"USE_OTHER=true\n"
    with pytest.raises(InvalidSetup, match="was being changed by somebody else") as caught:
        store.read()
    assert str(slot) in caught.value.message
    with pytest.raises(StepFailed, match="was being changed by somebody else"):
        store.write({A: "yes"}, expected=hashlib.sha256(path.read_bytes()).hexdigest())
    assert slot.exists()


OTHER = """
import os, sys
from pathlib import Path
path, way, stop = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
number = 0
while not stop.exists():
    number += 1
    body = f"USE_AUTH_SERVICE=false\\nOTHERS={number}\\n".encode()
    if way == "replace":
        new = path.with_name("other.new")
        new.write_bytes(body)
        new.rename(path)
    else:
        with path.open("r+b") as stream:
            stream.truncate()
            stream.write(body)
    print(number, flush=True)
"""


@pytest.mark.parametrize("way", ["replace", "over"])
def test_another_program_that_writes_all_the_time_loses_nothing(path: Path, tmp_path: Path, way: str) -> None:
    """The other never reads, so only its last write counts: it is there, with or without what we changed in it."""
    stop = tmp_path / "stop"
    argv = [sys.executable, "-c", OTHER, str(path), way, str(stop)]
    store = DotenvFlagStore(path)
    tried = written = 0
    with (tmp_path / "said").open("w+") as said:
        with subprocess.Popen(argv, stdout=said) as other:
            try:
                wait_until(lambda: (tmp_path / "said").stat().st_size > 0, "the other writes")
                for _ in range(400):
                    tried += 1
                    try:
                        store.write({A: "true"}, expected=store.read().digest)
                        written += 1
                    except (StepFailed, InvalidSetup):
                        continue
            finally:
                stop.touch()
                assert other.wait(20) == 0
        said.seek(0)
        last = said.read().split()[-1]
    assert f"OTHERS={last}\n" in path.read_text(), (tried, written)
    # Where it wrote twice in the instant in which the files change places, the earlier of the two is kept beside.
    kept = [name for name in names(tmp_path) if name not in ("flags.env", "said", "stop")]
    assert all(name.endswith(".swap") for name in kept), kept


def _void(_: object) -> None:
    return None
