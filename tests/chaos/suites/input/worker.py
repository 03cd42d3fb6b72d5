"""The process that meets the inputs: it may be killed by one of them, and the one who started it sees which it was.

Lines of JSON come in on standard input: a kind, a seed and how many inputs; lines of JSON go out. The input that is being met
always lies in a file in memory. One that takes more than two seconds of the processor, or the process over 200 MB, ends it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import random
import resource
import signal
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from tests.chaos.suites.input.corpus import corpus
from tests.chaos.suites.input.dotenv_files import file_of
from tests.chaos.suites.input.judge import Judge
from tests.chaos.suites.input.mutations import ROOM, bent

SLOWEST = 2.0
"""Seconds of the processor that one input may take."""
LARGEST_MEMORY = 200 * 1024
"""Kibibytes that the process may ever have had in memory."""
_ADDRESSES = 2 * 1024**3


def input_of(kind: str, seed: str, number: int) -> tuple[bytes, random.Random]:
    """One input, and the source of chance that goes on with it."""
    r = random.Random(f"{kind}/{seed}/{number}")
    return file_of(r).encode() if kind == "dotenv" else bent(r, corpus(kind)), r


class _Worker:
    def __init__(self, folder: Path) -> None:
        self._judge = Judge(folder)
        with (folder / "present").open("r+b") as file:
            self._present = mmap.mmap(file.fileno(), ROOM)

    def batch(self, kind: str, seed: str, count: int) -> dict[str, Any]:
        counts: Counter[str] = Counter()
        slowest = 0.0
        for number in range(count):
            body, r = input_of(kind, seed, number)
            self._present[:8] = len(body).to_bytes(8, "little")
            self._present[8 : 8 + len(body)] = body
            signal.setitimer(signal.ITIMER_PROF, SLOWEST)
            try:
                counts[self._judge.meet(kind, body, r)] += 1
            except Exception as error:  # noqa: BLE001 - whatever comes out is what is looked for
                signal.setitimer(signal.ITIMER_PROF, 0)
                return {"wrong": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
            left, _ = signal.setitimer(signal.ITIMER_PROF, 0)
            slowest = max(slowest, SLOWEST - left)
            memory = _most_memory()
            if memory > LARGEST_MEMORY:
                return {"wrong": f"{memory // 1024} MB of memory", "trace": ""}
        return {"counts": counts, "slowest": slowest, "memory": memory}


def _most_memory() -> int:
    """The most that this program ever held, in KiB; getrusage would count what its parent held before it was started, too."""
    told = Path("/proc/self/status").read_text(encoding="ascii")
    return int(told.partition("VmHWM:")[2].split()[0])


def main() -> None:
    """Meet batches until standard input ends."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, whatever it is in
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.getLogger("dotenv.main").disabled = True  # what it says of lines that it cannot read
    worker = _Worker(Path(sys.argv[1]))
    with contextlib.suppress(KeyboardInterrupt):
        for line in sys.stdin:
            asked = json.loads(line)
            sys.stdout.write(json.dumps(worker.batch(asked["kind"], asked["seed"], asked["count"])) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
