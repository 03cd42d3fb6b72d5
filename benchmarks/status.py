"""`status` on a long journal against `status` on a short one, alternating, in one run; and what an event costs.

    python benchmarks/status.py [rounds] [events]

Both journals hold whole runs and rollbacks of the same week. Printed are medians: of whole processes (start-up included, and
without it, by what `--version` takes), of verifying and folding the whole journal as `run` does before it begins, and of one
append with and without its sync. What bounds a warm `status` is start-up; a cold one folds once and keeps what it folded.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tracseq_migrate.adapters.sqlite_journal import SqliteJournal, SqliteVault
from tracseq_migrate.journal import chain, replay
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.ports import Draft, Person, Record

ENVIRONMENT = """
version: 1
environments:
  nowhere:
    gateway:
      url: http://127.0.0.1:9
      monolith: monolith
      instances: [{name: gateway-1, url: "http://127.0.0.1:9"}]
      flags: {file: flags.env}
      reload: {strategy: command, command: ["true"]}
    services:
      monolith: {url: "http://127.0.0.1:19"}
      notifications: {url: "http://127.0.0.1:29"}
      storage: {url: "http://127.0.0.1:39"}
      rag: {url: "http://127.0.0.1:49"}
      templates: {url: "http://127.0.0.1:59"}
"""
STEPS = 20
AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ERIN = Person("erin", "system user")
PLAN: dict[str, Any] = {
    "week": "week9",
    "title": "Twenty programs",
    "risk": "low",
    "steps": [
        {
            "id": f"step-{n}",
            "command": {"run": ["true"], "verify": ["true"], "probe": ["true"], "revert": ["true"]},
        }
        for n in range(STEPS)
    ],
}


def drafts() -> Iterator[Draft]:
    """Runs and rollbacks of one week, for ever."""
    number = 0
    while True:
        number += 1
        run, back = f"run-{number:06}", f"back-{number:06}"
        yield v.run_started(
            "week9", run, title="Twenty programs", plan=PLAN, digest="0" * 64, person=ERIN,
            command="tracseq-migrate run week9", environment="nowhere", version="0",
        )  # fmt: skip
        for n in range(STEPS):
            step = f"step-{n}"
            undo = {
                "before": {f"KEY_{k}": "false" for k in range(5)},
                "digest": hashlib.sha256(step.encode()).hexdigest(),
            }
            yield v.intent(
                "week9", run, step, kind="command", title=step, effect="reversible", undo=undo, attempt=1
            )
            yield v.applied("week9", run, step)
            lines = [{"text": f"{step} was seen", "data": {"what": "command", "exit": 0}}]
            yield v.verified("week9", run, step, evidence=lines, seconds=0.01)
        yield v.run_finished("week9", run, outcome="proven")
        yield v.rollback_started(
            "week9", back, of=run, reason="asked for by command", automatic=False, to="", person=ERIN,
            command="tracseq-migrate rollback week9", version="0",
        )  # fmt: skip
        for n in reversed(range(STEPS)):
            yield v.reverting("week9", back, f"step-{n}")
            yield v.reverted(
                "week9", back, f"step-{n}", evidence=[{"text": "gone", "data": {}}], seconds=0.01
            )
        yield v.rollback_finished("week9", back, outcome="rolled-back", left=[])


def records(count: int) -> list[Record]:
    made: list[Record] = []
    previous = chain.GENESIS
    for seq, draft in zip(range(1, count + 1), drafts(), strict=False):
        made.append(chain.seal_record(draft, seq, AT + timedelta(seconds=seq), previous))
        previous = made[-1].hash
    return made


def lay_out(folder: Path, count: int) -> Path:
    """A project with a journal of so many events."""
    folder.mkdir()
    (folder / "tracseq-migrate.yaml").write_text(ENVIRONMENT)
    (folder / "flags.env").write_text("USE_STORAGE_SERVICE=false\n")
    path = folder / ".tracseq-migrate" / "nowhere" / "journal.sqlite3"
    SqliteVault(path, environment="nowhere").install(records(count), (), at=AT)
    return path


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def folded(path: Path) -> None:
    """What `run` does before it begins: the whole chain verified, and folded."""
    journal, walk, state = SqliteJournal(path, environment="nowhere"), chain.Walk(), replay.State()
    for record in journal.records():
        if walk.take(record) is not None:
            raise SystemExit(f"event {record.seq} does not fit")
        replay.replay((chain.event_of(record),), state)
    journal.close()


def appends(folder: Path, *, sync: bool) -> float:
    """Seconds of one append of one event."""
    journal = SqliteJournal(folder / f"{sync}" / "journal.sqlite3", environment="nowhere")
    draft = v.applied("week9", "run", "step")
    journal.append([draft], epoch=None, at=AT)
    connection: sqlite3.Connection = journal._connection()
    connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'OFF'}")
    times = [seconds(lambda: journal.append([draft], epoch=None, at=AT)) for _ in range(500)]
    journal.close()
    return statistics.median(times)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    many = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    tool = [sys.executable, "-m", "tracseq_migrate"]
    with tempfile.TemporaryDirectory() as name:
        short, long = Path(name) / "short", Path(name) / "long"
        lay_out(short, 100)
        path = lay_out(long, many)

        def call(folder: Path, *words: str) -> None:
            subprocess.run([*tool, *words], cwd=folder, env=variables, capture_output=True, check=True)

        call(short, "status")
        cold = seconds(lambda: call(long, "status"))
        times: dict[str, list[float]] = {"version": [], "short": [], "long": []}
        for _ in range(rounds):
            times["version"].append(seconds(lambda: call(short, "--version")))
            times["short"].append(seconds(lambda: call(short, "status")))
            times["long"].append(seconds(lambda: call(long, "status")))
        whole = statistics.median(seconds(lambda: folded(path)) for _ in range(3))
        synced, unsynced = (appends(Path(name), sync=sync) for sync in (True, False))
    version, few, lots = (statistics.median(times[key]) for key in ("version", "short", "long"))
    print(f"status on 100 events           {few * 1000:8.0f} ms")
    print(f"status on {many} events{' ' * (13 - len(str(many)))} {lots * 1000:8.0f} ms   {lots / few:5.2f} x")
    print(
        f"  without start-up             {(lots - version) * 1000:8.0f} ms   {(lots - version) / (few - version):5.2f} x"
    )
    print(f"  the first time, nothing kept {cold * 1000:8.0f} ms   {cold / few:5.2f} x")
    print(f"verify and fold all of them    {whole * 1000:8.0f} ms   {whole / many * 1e6:5.1f} us an event")
    print(f"append, synced                 {synced * 1e6:8.0f} us")
    print(f"append, not synced             {unsynced * 1e6:8.0f} us   {unsynced / synced:5.2f} of it is ours")


if __name__ == "__main__":
    main()
