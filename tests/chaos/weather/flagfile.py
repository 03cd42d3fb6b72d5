"""Somebody else has the flag file at the same time: takes it away, changes it, makes something else of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from tests.chaos.suite import Tally, Wrong
from tests.chaos.weather.hamlet import FLAGS, Hamlet
from tests.chaos.weather.judge import ROLLBACK, RUN, Weather, endure
from tests.real_parts import wait_until

THEIRS = "THEIRS=1  # written by somebody else\n"

DEEDS = {
    "deleted": "path.unlink()",
    "emptied": "path.write_text('')",
    "cut": "os.truncate(path, 30)",
    "edited": f"path.open('a').write({THEIRS!r})",
    "replaced": f"new = path.with_name('new'); new.write_text(path.read_text() + {THEIRS!r}); new.rename(path)",
    "link": f"other = path.with_name('other'); other.write_text({FLAGS!r}); path.unlink(); path.symlink_to(other)",
    "dangling": "path.unlink(); path.symlink_to('nowhere')",
    "pipe": "path.unlink(); os.mkfifo(path)",
    "folder": "path.unlink(); path.mkdir()",
    "read-only": "path.chmod(0o444)",
    "binary": "path.write_bytes(bytes(range(256)))",
    "huge": "path.write_bytes(b'#' * 2_000_000)",
}
"""What is done to the file, in Python; ``path`` is the file."""

MOMENTS = ("before", "between", "after", "way-back")
"""Before the run; between its last look and its write; when the gateway is told; when it is told on the way back."""

_BETWEEN = """
import os
from pathlib import Path
from tracseq_migrate.adapters.dotenv import DotenvFlagStore
write, done = DotenvFlagStore.write, []
def disturbed(store, entries, *, expected):
    path = Path(store.location)
    if not done:
        done.append(True)
        {deed}
    return write(store, entries, expected=expected)
DotenvFlagStore.write = disturbed
"""

_OTHER = """
import sys
from pathlib import Path
path, way, stop = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
number = 0
while not stop.exists():
    number += 1
    lines = [line for line in path.read_text().splitlines() if not line.startswith("COUNT=")]
    body = "\\n".join([*lines, f"COUNT={number}"]) + "\\n"
    if way == "replaces":
        new = path.with_name("other.new")
        new.write_text(body)
        new.rename(path)
    else:
        with path.open("r+") as stream:
            stream.write(body)
            stream.truncate()
    print(number, flush=True)
"""


def disturbed(village: Hamlet, deed: str, moment: str) -> Tally:
    """Somebody does something to the flag file at a moment; a person puts it right afterwards."""
    path = village.flag_file

    def act() -> None:
        exec(DEEDS[deed], {"os": os, "path": path})

    def begin(each: Hamlet) -> None:
        if moment == "before":
            act()
        elif moment in ("after", "way-back"):
            usual = each.gateway.on_reload

            def told(gateway: object) -> None:
                act()
                each.gateway.on_reload = usual
                usual(each.gateway)

            each.gateway.on_reload = told

    def end(each: Hamlet) -> None:
        if deed in ("edited", "replaced") and THEIRS not in path.read_text():
            raise Wrong(f"what somebody else wrote is gone: {path.read_text()!r}")
        if deed in ("deleted", "dangling", "pipe", "folder", "binary", "huge"):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            path.unlink(missing_ok=True)
            path.write_text(FLAGS)
        path.chmod(0o644)
        each.gateway.take_up()

    before = _BETWEEN.format(deed=DEEDS[deed]) if moment == "between" else ""
    argv = ROLLBACK if moment == "way-back" else RUN
    return endure(village, Weather(argv=argv, begin=begin, end=end, before=before, mine=True))


def another_writes_all_the_time(village: Hamlet, way: str) -> Tally:
    """Another program reads, changes and writes the file without a pause; what it wrote last is there in the end."""
    stop, said = village.folder.parent / "stop", village.folder.parent / "said"
    running: list[subprocess.Popen[bytes]] = []

    def begin(each: Hamlet) -> None:
        stop.unlink(missing_ok=True)
        with said.open("wb") as out:
            argv = [sys.executable, "-c", _OTHER, str(each.flag_file), way, str(stop)]
            running.append(subprocess.Popen(argv, stdout=out))
        wait_until(lambda: said.stat().st_size > 0, "the other program writes")

    def end(each: Hamlet) -> None:
        stop.touch()
        other = running.pop()
        if other.wait(20) != 0:
            raise Wrong("the other program could not go on")
        last = f"COUNT={said.read_text().split()[-1]}"
        kept = [entry for entry in each.flag_file.parent.iterdir() if entry.name.endswith(".swap")]
        if last not in each.flag_file.read_text().split():
            raise Wrong(
                f"what the other wrote last is gone: {last} is not in {each.flag_file.read_text()!r}; {kept}"
            )
        for entry in kept:  # as the message says: a person compares, and removes
            entry.unlink()
        each.gateway.take_up()

    return endure(village, Weather(begin=begin, end=end, mine=True))


def cases(village: Callable[[], Hamlet]) -> dict[str, Callable[[], Tally]]:
    """Every deed at every moment, and the other program."""

    def one(deed: str, moment: str) -> Callable[[], Tally]:
        return lambda: disturbed(village(), deed, moment)

    found = {f"flag-file/{deed}/{moment}": one(deed, moment) for deed in DEEDS for moment in MOMENTS}
    found["flag-file/other-program/replaces"] = lambda: another_writes_all_the_time(village(), "replaces")
    found["flag-file/other-program/writes-over"] = lambda: another_writes_all_the_time(
        village(), "writes-over"
    )
    return found
