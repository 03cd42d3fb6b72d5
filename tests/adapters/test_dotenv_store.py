"""What is particular to a flag file on a disk: modes, links, mounts, crashes, full disks, and files that are none."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tracseq_migrate.adapters.dotenv import DotenvFlagStore
from tracseq_migrate.errors import InvalidSetup, StepFailed

A = "USE_AUTH_SERVICE"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "gateway" / "flags.env"
    made.parent.mkdir()
    made.write_text(f"# flags\n{A}=false\n")
    return made


def change(path: Path, value: str = "true", **options: str) -> None:
    store = DotenvFlagStore(path, write=options.get("write", "auto"))  # type: ignore[arg-type] # a test's own words
    store.write({A: value}, expected=store.read().digest)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("write", ["atomic", "in-place"])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_the_mode_stays(path: Path, mode: int, write: str) -> None:
    path.chmod(mode)
    change(path, write=write)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == f"# flags\n{A}=true\n"
    assert names(path.parent) == ["flags.env"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another owner")
@pytest.mark.parametrize("write", ["atomic", "in-place"])
def test_the_owner_stays(path: Path, write: str) -> None:
    os.chown(path, 1234, 4321)
    change(path, write=write)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


def test_extended_attributes_stay(path: Path) -> None:
    try:
        os.setxattr(path, "user.note", b"kept")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    change(path, write="atomic")
    assert os.getxattr(path, "user.note") == b"kept"


def test_a_new_file_takes_the_place_of_the_old(path: Path) -> None:
    inode = path.stat().st_ino
    with path.open() as reader:
        change(path)
        # Who had it open reads the old one to its end, never a mixture.
        assert reader.read() == f"# flags\n{A}=false\n"
    assert path.stat().st_ino != inode


def test_in_place_it_is_the_same_file(path: Path) -> None:
    inode = path.stat().st_ino
    change(path, write="in-place")
    assert path.stat().st_ino == inode
    # Shorter than before, too.
    change(path, "1", write="in-place")
    assert path.read_text() == f"# flags\n{A}=1\n"


def test_nothing_is_written_where_nothing_changes(path: Path) -> None:
    def written() -> tuple[int, int, int]:
        now = path.stat()
        return now.st_ino, now.st_size, now.st_mtime_ns

    before = written()
    change(path, "false")
    assert written() == before


def test_a_symbolic_link_stays_a_link(path: Path) -> None:
    link = path.parent / "link.env"
    link.symlink_to(path)
    change(link)
    assert link.is_symlink()
    assert path.read_text() == f"# flags\n{A}=true\n"
    assert names(path.parent) == ["flags.env", "link.env"]


def test_a_file_with_two_names_keeps_both(path: Path) -> None:
    other = path.parent / "other.env"
    other.hardlink_to(path)
    change(path)
    assert other.read_text() == path.read_text() == f"# flags\n{A}=true\n"
    assert other.samefile(path)


CHANGE = """
import sys
from pathlib import Path
from tracseq_migrate.adapters.dotenv import DotenvFlagStore
from tracseq_migrate.errors import InvalidSetup, StepFailed
store = DotenvFlagStore(Path(sys.argv[1]), write=sys.argv[2])
try:
    print(store.findings({sys.argv[3]: True}))
    store.write({sys.argv[3]: sys.argv[4]}, expected=store.read().digest)
    print("written")
except (InvalidSetup, StepFailed) as error:
    print(error.message, error.hint, sep="|")
"""


def run(*arguments: object, prefix: tuple[str, ...] = ()) -> str:
    command = [*prefix, sys.executable, "-c", CHANGE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def mounted(script: str) -> tuple[str, ...]:
    """The prefix that gives a command mounts of its own; skips where the system does not let us."""
    prefix = ("unshare", "--map-root-user", "--mount")
    if (
        shutil.which("unshare") is None
        or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("private mounts need unshare(1) and a system that allows user namespaces")
    return (*prefix, "sh", "-c", f'{script} && exec "$@"', "sh")


def test_a_file_mounted_by_itself_is_written_in_place(path: Path) -> None:
    inside = path.parent / "a mount.env"
    inside.touch()
    inode = path.stat().st_ino
    prefix = mounted(f"mount --bind '{path}' '{inside}'")
    assert run(inside, "auto", A, "true", prefix=prefix).endswith("written\n")
    assert path.read_text() == f"# flags\n{A}=true\n"
    assert path.stat().st_ino == inode
    assert names(path.parent) == ["a mount.env", "flags.env"]
    # Where it may only be replaced, it is left alone.
    said = run(inside, "atomic", A, "false", prefix=prefix)
    assert "mounted by itself" in said
    assert path.read_text() == f"# flags\n{A}=true\n"
    assert names(path.parent) == ["a mount.env", "flags.env"]


@pytest.mark.parametrize("write", ["atomic", "in-place"])
def test_a_full_disk_leaves_the_old_bytes(tmp_path: Path, write: str) -> None:
    # The file fills a block to its last byte, so that both ways of writing need room that is not there.
    folder = tmp_path / "disk"
    folder.mkdir()
    script = (
        f"mount -t tmpfs -o size=16k none '{folder}' && "
        f"{{ printf '{A}=false\\n'; head -c 4074 /dev/zero | tr '\\0' '#'; }} > '{folder}/flags.env' && "
        f"(cat /dev/zero > '{folder}/fill' 2>/dev/null; true) && cp '{folder}/flags.env' '{tmp_path}/before'"
    )
    after = f'"$@"; cp {folder}/flags.env {tmp_path}/after; ls -A {folder} > {tmp_path}/names'
    prefix = (*mounted(script)[:-2], f"{script} && {after}", "sh")
    said = run(folder / "flags.env", write, "USE_A_FLAG_THAT_IS_NOT_THERE", "true", prefix=prefix)
    assert "the disk is full; it is as it was|Make room" in said
    before = (tmp_path / "before").read_bytes()
    assert len(before) > 4074
    assert (tmp_path / "after").read_bytes() == before
    assert (tmp_path / "names").read_text().split() == ["fill", "flags.env"]


def test_a_read_only_file_system(path: Path) -> None:
    folder = path.parent
    prefix = mounted(f"mount --bind '{folder}' '{folder}' && mount -o remount,bind,ro '{folder}'")
    said = run(path, "auto", A, "true", prefix=prefix)
    assert "this user may not write it" in said.splitlines()[0]
    assert "written" not in said
    assert path.read_text() == f"# flags\n{A}=false\n"


@pytest.mark.parametrize("write", ["auto", "atomic", "in-place"])
def test_a_read_only_file_is_left_alone_even_by_root(path: Path, write: str) -> None:
    path.chmod(0o444)
    with pytest.raises(StepFailed, match="is read-only"):
        change(path, write=write)
    assert path.read_text() == f"# flags\n{A}=false\n"
    (finding,) = DotenvFlagStore(path).findings({A: True})
    assert finding.startswith(f"{path}:1: it is read-only")
    assert "chmod u+w" in finding


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as another user")
def test_a_folder_that_takes_no_new_file_is_written_in_place(path: Path) -> None:
    path.chmod(0o666)
    path.parent.chmod(0o755)
    for parent in path.parent.parents:
        if not parent.stat().st_mode & 0o005:
            parent.chmod(parent.stat().st_mode | 0o055)
    inode = path.stat().st_ino
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tracseq_migrate.adapters.dotenv import DotenvFlagStore\n"
        # Only now, since another user may not be able to read the modules.
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "store = DotenvFlagStore(Path(sys.argv[1]), safety=Path(sys.argv[2]))\n"
        f"store.write({{'{A}': 'true'}}, expected=store.read().digest)\n"
    )
    safety = path.parent.parent / "safety"
    safety.mkdir()
    os.chown(safety, 65534, 65534)
    command = [sys.executable, "-c", program, str(path), str(safety)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert path.read_text() == f"# flags\n{A}=true\n"
    assert path.stat().st_ino == inode
    assert names(safety) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"{A}=false\n".encode("utf-16"), "is UTF-16"),
        (f"{A}=false\n".encode("utf-16-le"), "is not text"),
        (b"\x7fELF\0\0", "is not text"),
        (b"# caf\xe9\n", ":1 is not UTF-8"),
        (b"A=1\nB=\xff\n", ":2 is not UTF-8"),
        (b"#" * (64 * 1024 + 1), "larger than 64 KiB"),
    ],
)
def test_what_is_no_flag_file(path: Path, body: bytes, words: str) -> None:
    path.write_bytes(body)
    store = DotenvFlagStore(path)
    with pytest.raises(InvalidSetup, match=words):
        store.read()
    with pytest.raises(StepFailed, match=words):
        store.write({A: "true"}, expected=hashlib.sha256(body).hexdigest())
    assert path.read_bytes() == body


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link", "loop", "no folder"])
def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "flags.env"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path = tmp_path / "nowhere" / "flags.env"
    store = DotenvFlagStore(path)
    with pytest.raises(InvalidSetup, match="the flag file") as caught:
        store.read()
    assert str(path) in caught.value.message
    assert caught.value.hint
    with pytest.raises(StepFailed, match="the flag file"):
        store.write({A: "true"}, expected="")


def test_leftovers_of_a_killed_write_are_removed(path: Path) -> None:
    (path.parent / ".flags.env.0123456789ab.tracseq-migrate").write_text("half")
    (path.parent / ".flags.env.mine.tracseq-migrate").write_text("of somebody else")
    change(path)
    assert names(path.parent) == [".flags.env.mine.tracseq-migrate", "flags.env"]


def test_a_write_that_changes_nothing_removes_leftovers_too(path: Path) -> None:
    before = path.read_bytes()
    (path.parent / ".flags.env.0123456789ab.tracseq-migrate").write_text("half")
    change(path, "false")
    assert names(path.parent) == ["flags.env"]
    assert path.read_bytes() == before


FLIP_FOR_EVER = """
import sys
from pathlib import Path
from tracseq_migrate.adapters.dotenv import DotenvFlagStore
store = DotenvFlagStore(Path(sys.argv[1]), write=sys.argv[2])
print("ready", flush=True)
while True:
    for value in ("true", "no", "false"):
        store.write({"USE_AUTH_SERVICE": value}, expected=store.read().digest)
"""


@pytest.mark.parametrize("write", ["atomic", "in-place"])
def test_a_kill_leaves_an_old_or_a_new_file(path: Path, write: str) -> None:
    whole = {f"# flags\n{A}={value}\n" for value in ("true", "no", "false", "yes")}
    for round_ in range(6):
        command = [sys.executable, "-c", FLIP_FOR_EVER, str(path), write]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.004 * round_)
            process.send_signal(signal.SIGKILL)
        store = DotenvFlagStore(path, write="atomic" if write == "atomic" else "in-place")
        if write == "in-place":
            put_back_where_torn(store, path)
        assert path.read_text() in whole
        for value in ("true", "yes"):
            store.write({A: value}, expected=store.read().digest)
            assert path.read_text() == f"# flags\n{A}={value}\n"
        assert names(path.parent) == ["flags.env"]


def put_back_where_torn(store: DotenvFlagStore, path: Path) -> None:
    try:
        store.read()
    except InvalidSetup as error:
        assert "may be torn" in error.message
        (copy,) = path.parent.glob(".flags.env.*.before")
        path.write_bytes(copy.read_bytes())


def torn(path: Path, folder: Path) -> Path:
    """A file whose in-place write was cut off, made by killing it between two of its system calls."""
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tracseq_migrate.adapters import durable\n"
        "from tracseq_migrate.adapters.dotenv import DotenvFlagStore\n"
        "def half(descriptor, body, offset=0):\n"
        "    os.pwrite(descriptor, body[: len(body) - 4] + b'@', offset)\n"
        "    os.kill(os.getpid(), 9)\n"
        "store = DotenvFlagStore(Path(sys.argv[1]), write='in-place', safety=Path(sys.argv[2]))\n"
        "real, calls = durable.write_all, []\n"
        # The first call writes the safety copy, the second the file itself.
        "def spy(*given):\n"
        "    calls.append(given)\n"
        "    (real if len(calls) == 1 else half)(*given)\n"
        "durable.write_all = spy\n"
        f"store.write({{'{A}': 'yes'}}, expected=store.read().digest)\n"
    )
    command = [sys.executable, "-c", program, str(path), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (copy,) = folder.glob(".flags.env.*.before")
    return copy


def test_a_torn_file_is_recognised_and_its_old_content_is_there(path: Path, tmp_path: Path) -> None:
    safety = tmp_path / "safety"
    old = path.read_bytes()
    copy = torn(path, safety)
    assert path.read_bytes() != old
    assert copy.read_bytes() == old
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    store = DotenvFlagStore(path, safety=safety)
    with pytest.raises(InvalidSetup, match="may be torn") as caught:
        store.read()
    assert str(copy) in caught.value.hint
    with pytest.raises(StepFailed, match="may be torn"):
        store.write({A: "true"}, expected=hashlib.sha256(path.read_bytes()).hexdigest())
    # The same name in another place is another file.
    other = tmp_path / "other" / "flags.env"
    other.parent.mkdir()
    other.write_text(f"{A}=1\n")
    assert DotenvFlagStore(other, safety=safety).read().values == {A: "1"}
    # Put back as the message says, it is a file like any other.
    path.write_bytes(copy.read_bytes())
    found = store.read()
    assert found.values == {A: "false"}
    # The next write takes the copy away.
    store.write({A: "true"}, expected=found.digest)
    assert names(safety) == []


RACE = """
import sys
from pathlib import Path
from tracseq_migrate.adapters.dotenv import DotenvFlagStore
from tracseq_migrate.errors import StepFailed
store = DotenvFlagStore(Path(sys.argv[1]), write=sys.argv[2])
name, done = sys.argv[3], 0
while done < 30:
    found = store.read()
    number = int(found.values.get(name, "0"))
    assert number == done, (number, done)
    try:
        store.write({name: str(number + 1)}, expected=found.digest)
    except StepFailed:
        continue
    done += 1
"""


@pytest.mark.parametrize("write", ["atomic", "in-place"])
def test_two_writers_lose_nothing_of_each_other(path: Path, write: str) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(path), write, name], stderr=subprocess.PIPE, text=True
        )
        for name in ("COUNT_A", "COUNT_B")
    ]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    values = DotenvFlagStore(path).read().values
    assert (values["COUNT_A"], values["COUNT_B"], values[A]) == ("30", "30", "false")
    assert names(path.parent) == ["flags.env"]
