"""Disks that are full, broken, read-only or forbidden, at every write of a run; and a process that is given too little.

Two ways. *Room*: the project lies on a small tmpfs that is filled up to some pages, from none to more than a run needs. *Calls*:
the system refuses a certain call of the tool, by number (strace); how many there are is counted in an undisturbed run, so that
the list follows the program.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.suite import Tally
from tests.chaos.weather.hamlet import Hamlet, hamlet
from tests.chaos.weather.judge import ROLLBACK, RUN, Weather, emptied, endure, sound

PAGE = 4096
_MOST = 400
"""Pages that are more than any run of the hamlet needs."""

FULL = ("disk is full", "No space left")
BROKEN = ("disk reports an error", "Input/output error", "disk did not confirm")
REFUSED = {
    "ENOSPC": FULL,
    "EDQUOT": ("quota", "disk is full", "disk reports an error"),
    "EIO": BROKEN,
    "EROFS": ("ead-only",),
}
CALLS = ("pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "link", "mkdir", "unlink", "fchmod")
"""The calls by which the tool writes files: SQLite's, and its own."""


class Disk:
    """A small tmpfs, whose room is a matter of pages."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._filler = place / ".filler"

    def leave(self, pages: int) -> None:
        """Fill it until so many pages are left."""
        free = os.statvfs(self.place).f_bavail
        if free > pages:
            with self._filler.open("ab") as stream:
                os.posix_fallocate(stream.fileno(), stream.tell(), (free - pages) * PAGE)

    def free(self) -> None:
        """Make all the room that there is."""
        self._filler.unlink(missing_ok=True)

    def read_only(self, *, yes: bool) -> None:
        """Mount it anew, so that nobody (or everybody) may write."""
        word = "ro" if yes else "rw"
        subprocess.run(["mount", "-o", f"remount,{word}", str(self.place)], check=True, capture_output=True)


@contextmanager
def small_disk(place: Path) -> Iterator[Disk]:
    """A tmpfs of a few MiB at a place.

    Raises:
        NotPossible: this machine, or this user, cannot mount one.
    """
    place.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m,nr_inodes=2000", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        raise NotPossible(f"no small disk can be mounted: {mounted.stderr.decode().strip()}")
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", str(place)], check=True)


class NotPossible(Exception):
    """This machine cannot have this weather; says why."""


def room(disk: Disk, village: Hamlet, pages: int, argv: tuple[str, ...]) -> Tally:
    """The disk is full but for some pages when a command begins."""

    def fresh(_: Hamlet) -> None:
        disk.free()
        emptied(village)

    return endure(
        village,
        Weather(
            argv=argv,
            begin=lambda _: disk.leave(pages),
            end=lambda _: disk.free(),
            says=FULL,
            codes=frozenset({0, 1, 5, 6, 7}),
            fresh=fresh,
        ),
    )


def pages_of_a_run(disk: Disk, village: Hamlet) -> int:
    """How many pages a run takes at most, found by halving: with so many it is undisturbed, with one less it is not."""
    low, high = 0, _MOST
    while high - low > 1:
        middle = (low + high) // 2
        disk.free()
        emptied(village)
        village.new()
        disk.leave(middle)
        done = village.tool(*RUN).code == 0
        disk.free()
        low, high = (low, middle) if done else (middle, high)
    return high


def inject(call: str, error: str, number: int, *, lasting: bool) -> list[str]:
    """A prefix that has the system refuse a call from a number on, or once."""
    if shutil.which("strace") is None:
        raise NotPossible("strace is not installed")
    when = f"{number}+" if lasting else str(number)
    inject_ = f"inject={call}:error={error}:when={when}"
    return ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject_]


def calls_of(village: Hamlet, argv: tuple[str, ...]) -> dict[str, int]:
    """How often each call is made by a command, undisturbed."""
    if shutil.which("strace") is None:
        raise NotPossible("strace is not installed")
    emptied(village)
    village.new()
    if argv == ROLLBACK:
        sound(village.tool(*RUN), 0)
    with tempfile.NamedTemporaryFile(prefix="calls-", suffix=".txt") as out:
        trace = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", out.name, "-e", f"trace={','.join(CALLS)}"]
        sound(village.tool(*argv, prefix=trace), 0)
        found = re.findall(r"^\d+ +(\w+)\(", Path(out.name).read_text(errors="replace"), re.MULTILINE)
    return {call: found.count(call) for call in CALLS if call in found}


def refused(
    village: Hamlet, argv: tuple[str, ...], call: str, error: str, number: int, *, lasting: bool
) -> Tally:
    """The system refuses a call of a command."""
    return endure(
        village,
        Weather(
            argv=argv,
            prefix=inject(call, error, number, lasting=lasting),
            codes=frozenset({0, 1, 5, 6, 7}),
        ),
    )


def limited(village: Hamlet, limit: str, amount: int) -> Tally:
    """The process is given little: open files, memory, the size of a file, in their own units."""
    number = {
        "open-files": resource.RLIMIT_NOFILE,
        "memory": resource.RLIMIT_AS,
        "file-size": resource.RLIMIT_FSIZE,
    }[limit]
    return endure(village, Weather(limits={number: amount}, codes=frozenset({0, 1, 5, 6, 7})))


_FILLS = """
import os
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal
append, count = SqliteJournal.append, [0]
def filling(store, drafts, *, epoch, at):
    count[0] += 1
    if count[0] == {number}:
        place = os.environ["WEATHER_DISK"]
        found = os.statvfs(place)
        descriptor = os.open(os.path.join(place, ".filler"), os.O_RDWR | os.O_CREAT, 0o600)
        if found.f_bavail:
            os.posix_fallocate(descriptor, 0, found.f_bavail * found.f_bsize)
        os.close(descriptor)
    return append(store, drafts, epoch=epoch, at=at)
SqliteJournal.append = filling
"""


def full_at_append(disk: Disk, village: Hamlet, number: int, argv: tuple[str, ...]) -> Tally:
    """Somebody fills the disk up immediately before the journal is written for the n-th time."""

    def fresh(_: Hamlet) -> None:
        disk.free()
        emptied(village)

    return endure(
        village,
        Weather(
            argv=argv,
            before=_FILLS.format(number=number),
            variables={"WEATHER_DISK": str(disk.place)},
            end=lambda _: disk.free(),
            says=FULL,
            codes=frozenset({0, 1, 5, 6, 7}),
            fresh=fresh,
        ),
    )


def read_only(disk: Disk, village: Hamlet, argv: tuple[str, ...]) -> Tally:
    """The disk is mounted read-only."""

    def fresh(_: Hamlet) -> None:
        disk.read_only(yes=False)
        emptied(village)

    return endure(
        village,
        Weather(
            argv=argv,
            begin=lambda _: disk.read_only(yes=True),
            end=lambda _: disk.read_only(yes=False),
            codes=frozenset({1, 4}),
            says=("ead-only",),
            fresh=fresh,
        ),
    )


def gone(village: Hamlet, what: str) -> Tally:
    """In the middle of a run a folder is moved away, and comes back when the weather is over."""
    folder = {"state": village.folder / ".tracseq-migrate", "flags": village.flag_file.parent}[what]
    aside = village.folder.parent / f"aside-{what}"

    def take(gateway: object) -> None:
        if folder.exists():
            folder.rename(aside)

    def begin(each: Hamlet) -> None:
        each.gateway.on_reload = take

    def end(_: Hamlet) -> None:
        if aside.exists():
            if folder.exists():
                shutil.rmtree(folder)
            aside.rename(folder)

    return endure(village, Weather(begin=begin, end=end, codes=frozenset({1, 5, 6, 7}), looks=False))


@contextmanager
def on_a_small_disk(folder: Path) -> Iterator[tuple[Disk, Hamlet]]:
    """A hamlet whose project lies on a small disk."""
    with small_disk(folder / "disk") as disk, hamlet(folder / "disk" / "project") as village:
        yield disk, village


ERRORS = ("ENOSPC", "EIO", "EROFS", "EDQUOT")
LIMITS = {
    "open-files": (6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 24, 32),
    "file-size": (0, 512, 4096, 8192, 16384, 30000, 36864, 40960, 50000, 60000, 80000, 100000, 140000),
    "memory": tuple(number * 1_000_000 for number in (60, 70, 80, 90, 100, 110, 120, 130, 140, 160, 200)),
}


APPENDS = 20
"""More than a run of the hamlet makes; beyond its last one the disk is never filled."""

COMMANDS = {"run": RUN, "rollback": ROLLBACK}


def names(most: int, calls: dict[str, dict[str, int]]) -> list[str]:
    """All cases; ``most`` is how many pages a run takes, ``calls`` how often it makes which call, by command."""
    found = [f"disk/room-{pages}/{name}" for name in COMMANDS for pages in range(most + 2)]
    found += [f"disk/read-only/{name}" for name in COMMANDS]
    found += [f"disk/append-{number}/{name}" for name in COMMANDS for number in range(1, APPENDS + 1)]
    found += [
        f"disk/{call}-{error}-{way}-{number}/{name}"
        for name, counts in calls.items()
        for call, count in counts.items()
        for error in ERRORS
        for way in ("from", "at")
        for number in range(1, count + 1)
    ]
    found += [f"limit/{limit}-{amount}/run" for limit, amounts in LIMITS.items() for amount in amounts]
    return [*found, *(f"disk/{what}-gone/run" for what in ("state", "flags"))]


def found(
    case: str, village: Callable[[], Hamlet], disk: Callable[[], tuple[Disk, Hamlet]]
) -> dict[str, Callable[[], Tally]]:
    """A case by its name, which says all that it needs."""
    kind, what, command = case.split("/")
    argv = COMMANDS[command]
    parts = what.rsplit("-", 3)
    if kind == "limit":
        limit, _, amount = what.rpartition("-")
        return {case: lambda: limited(village(), limit, int(amount))}
    if what == "read-only":
        return {case: lambda: read_only(*disk(), argv)}
    if parts[-1] == "gone":
        return {case: lambda: gone(village(), parts[0])}
    if parts[0] == "append":
        return {case: lambda: full_at_append(*disk(), int(parts[1]), argv)}
    if parts[0] == "room":
        return {case: lambda: room(*disk(), int(parts[1]), argv)}
    call, error, way, number = parts
    return {case: lambda: refused(village(), argv, call, error, int(number), lasting=way == "from")}
