"""Bad input: plans, environment files, flag files and gateway answers, bent by the thousand.

Flag files are held against python-dotenv's own reading besides.

Each input must be read or refused: no other error, no finding outside of its file, no two seconds of the processor, never 200 MB
of memory. A case is a batch; the ledger counts its inputs. An input that is not met so is kept under ``.chaos/inputs/``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.ledger import ROOT
from tests.chaos.suite import Bench, Tally, Wrong
from tests.chaos.suites.input.mutations import ROOM

BATCH = 2_000
"""Inputs a case."""
_KINDS = (
    "plan",
    "environment",
    "plan",
    "environment",
    "plan",
    "environment",
    "plan",
    "flags",
    "answer",
    "dotenv",
)
_MEMORY = Path("/dev/shm")
_KEPT = ROOT / ".chaos" / "inputs"


class _Bench:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._present = folder / "present"
        with self._present.open("wb") as file:
            file.truncate(ROOM)
        self._process: subprocess.Popen[str] | None = None

    def carry_out(self, case: str) -> Tally:
        kind, _, seed = case.partition("/")
        said = self._ask({"kind": kind, "seed": seed, "count": BATCH})
        if "wrong" in said:
            self.close()  # what made it large would be held against the inputs to come
            raise Wrong(f"{said['wrong']}\nthe input is kept: {self._keep(kind)}\n{said['trace']}")
        counts = {str(name): int(number) for name, number in said["counts"].items()}
        return Tally(BATCH, counts)

    def _ask(self, batch: dict[str, Any]) -> dict[str, Any]:
        process = self._running()
        if process.stdin is None or process.stdout is None:
            raise AssertionError("the worker has no pipes")
        process.stdin.write(json.dumps(batch) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if line:
            said: dict[str, Any] = json.loads(line)
            return said
        code = process.wait()
        self.close()
        why = "it took two seconds of the processor" if code == -signal.SIGPROF else f"exit code {code}"
        return {"wrong": f"the process ended: {why}", "trace": ""}

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            own = [sys.executable, "-m", "tests.chaos.suites.input.worker", str(self._folder)]
            self._process = subprocess.Popen(
                own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
            )
        return self._process

    def _keep(self, kind: str) -> Path:
        with self._present.open("rb") as file:
            body = file.read(int.from_bytes(file.read(8), "little"))
        _KEPT.mkdir(parents=True, exist_ok=True)
        path = _KEPT / f"{kind}-{hashlib.sha256(body).hexdigest()[:12]}"
        path.write_bytes(body)
        return path

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            process.wait()


class _Inputs:
    name = "input"

    def cases(self, seed: int) -> Iterator[str]:
        for number in itertools.count():
            for place, kind in enumerate(_KINDS):
                yield f"{kind}/{seed}-{number}-{place}"

    @contextmanager
    def bench(self, folder: Path) -> Iterator[Bench]:
        # In memory, where there is such a folder: the files are written a million times.
        with tempfile.TemporaryDirectory(
            prefix="chaos-input-", dir=_MEMORY if _MEMORY.is_dir() else folder
        ) as place:
            bench = _Bench(Path(place))
            try:
                yield bench
            finally:
                bench.close()


SUITE = _Inputs()
