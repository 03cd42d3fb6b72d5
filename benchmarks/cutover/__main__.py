"""What people notice while users change their owner: the tool's orders, the usual runbook, and logical replication by hand.

    python benchmarks/cutover [--rounds 100] [--peer-rounds 10] [--rate 100] [--only hold,plain,reload,runbook,replication]

Each row has a sandbox of its own, with 100 writes and 100 reads a second through the gateway on kept-alive connections, from
before the first change until after the last. A round of the tool is a cutover and a rollback; one of a peer is a change there
(their runbooks have no way back), and is set back while nobody works. Printed of each: the longest time without a write done
(median, 99th percentile and worst over the changes), writes and reads (99th percentile, worst), refused (503), failed, stale
reads, and rows that at rest lack what was acknowledged (lost) or have what nobody left there (wrong); and the median gap
against the first row's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import peers
import psycopg
import yaml
from people import DONE, FAILED, REFUSED, Asked, People, gap, percentile

TOOL = [sys.executable, "-m", "tracseq_migrate"]
VARIABLES = {**os.environ, "TRACSEQ_MIGRATE_IDENTITY": "benchmark"}
PLAN = """
week: week9
title: Users move
risk: high
steps:
  - id: start
    services: {{up: [auth]}}
  - id: users
    replicate: {{from: main, to: auth, mapping: users}}
  - id: cutover
    cutover:
      replications: [{{from: main, to: auth, mapping: users}}]
      flags: {{USE_AUTH_SERVICE: true}}
      order: {order}
      accept_gap: {accept}
"""
PERSONS = 40
"""So that a row is written again soon after it was: that is where a switch by hand goes wrong."""
MAPPING = Path(__file__).parents[2] / "weeks" / "mappings" / "users.yaml"


@dataclass
class Row:
    name: str
    changes: list[list[Asked]] = field(default_factory=list)
    lost: int = 0
    wrong: int = 0
    acknowledged: int = 0


def tool(*arguments: str, cwd: Path | None = None) -> str:
    """Run the tool; its standard output. Raises where it fails."""
    done = subprocess.run(
        [*TOOL, *arguments], cwd=cwd, env=VARIABLES, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def sandbox(*options: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    parent = Path(tempfile.mkdtemp(prefix="cutover-"))
    folder = parent / "s"
    try:
        document = json.loads(tool("sandbox", "up", "--dir", str(folder), "--json", *options))
        with psycopg.connect(document["databases"]["main"]) as connection:
            connection.execute(
                "INSERT INTO users (unc_pid, email, password_hash, first_name, last_name, role, status)"
                " SELECT 'bench-' || n, 'bench' || n || '@lab.local', '!', 'Bench', '0', 'guest', 'active'"
                " FROM generate_series(1, %s) n",
                [PERSONS],
            )
        yield Path(document["dir"]), document
    finally:
        tool("sandbox", "down", "--dir", str(folder))
        shutil.rmtree(parent, ignore_errors=True)


def people(document: dict[str, Any], rate: float) -> People:
    with psycopg.connect(document["databases"]["main"]) as connection:
        found = connection.execute("SELECT id::text FROM users WHERE unc_pid LIKE 'bench-%'").fetchall()
    return People(document["gateway"]["url"], [row[0] for row in found], writes=rate, reads=rate)


def noticed(at_work: People, row: Row, change: Callable[[], object]) -> None:
    """Make a change while people work; what they noticed from half a second before to half a second after."""
    time.sleep(0.6)
    began = time.monotonic() - 0.5
    change()
    time.sleep(0.6)
    row.changes.append([each for each in list(at_work.asked) if each.ended >= began])
    at_work.asked = []


def by_tool(name: str, order: str, options: list[str], rate: float, rounds: int) -> Row:
    row = Row(name)
    with sandbox(*options) as (folder, document):
        (folder / "weeks" / "mappings").mkdir(parents=True, exist_ok=True)
        shutil.copy(MAPPING, folder / "weeks" / "mappings")
        (folder / "weeks" / "week9.yaml").write_text(
            PLAN.format(order=order, accept=str(order != "hold").lower())
        )
        all_but_the_cutover(folder)
        at_work = people(document, rate)
        at_work.start()
        try:
            for _ in range(rounds):
                for command, database in (
                    (["run", "week9"], "auth"),
                    (["rollback", "week9", "--to", "users"], "main"),
                ):
                    noticed(at_work, row, partial(tool, *command, cwd=folder))
                    verified(at_work, row, document["databases"][database])
        finally:
            at_work.stop()
    return row


def all_but_the_cutover(folder: Path) -> None:
    """Everything but the cutover: what is done days before."""
    done = subprocess.run(
        [*TOOL, "run", "week9", "--until", "users"],
        cwd=folder, env=VARIABLES, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in (0, 9):
        raise SystemExit(f"run week9 --until users: exit {done.returncode}\n{done.stdout}{done.stderr}")


def verified(at_work: People, row: Row, dsn: str) -> None:
    at_work.rest()
    lost, wrong = at_work.lost_and_wrong(dsn)
    row.lost += lost
    row.wrong += wrong
    at_work.wake()


def by_peer(name: str, peer: type[peers.Peer], options: list[str], rate: float, rounds: int) -> Row:
    row = Row(name)
    with sandbox(*options) as (folder, document):
        environment = yaml.safe_load((folder / "tracseq-migrate.yaml").read_text())["environments"]["sandbox"]
        hands = peer(folder, document, environment["supervisor"])
        hands.service_up()
        at_work = people(document, rate)
        at_work.start()
        try:
            for _ in range(rounds):
                hands.prepare()
                noticed(at_work, row, hands.change)
                at_work.rest()
                hands.settle()
                lost, wrong = at_work.lost_and_wrong(document["databases"]["auth"])
                row.lost += lost
                row.wrong += wrong
                hands.set_back()
                at_work.lost_and_wrong(document["databases"]["main"])
                at_work.wake()
        finally:
            at_work.stop()
            hands.clean()
    return row


def told(row: Row, first: Row) -> str:
    gaps = [gap(change) for change in row.changes]
    every = [each for change in row.changes for each in change]
    waits = {
        write: [each.ended - each.due for each in every if each.write is write and each.fate == DONE]
        for write in (True, False)
    }
    count = {fate: sum(each.fate == fate for each in every) for fate in (REFUSED, FAILED)}
    ratio = statistics.median(gaps) / statistics.median(gap(change) for change in first.changes)
    figures = [statistics.median(gaps), percentile(gaps, 99), max(gaps)]
    figures += [
        percentile(waits[True], 99),
        max(waits[True]),
        percentile(waits[False], 99),
        max(waits[False]),
    ]
    cells = "".join(f"{figure * 1000:8.0f}" for figure in figures)
    stale = sum(each.stale for each in every)
    return (
        f"{row.name:22}{len(row.changes):5}{len(every):9}{cells}{count[REFUSED]:9}{count[FAILED]:8}{stale:7}"
        f"{row.lost:6}{row.wrong:6}{ratio:8.2f} x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="What people notice of a cutover.")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--peer-rounds", type=int, default=10)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--only", default="hold,plain,reload,runbook,replication")
    given = parser.parse_args()
    rate, rounds, few = given.rate, given.rounds, given.peer_rounds
    rows: dict[str, Callable[[], Row]] = {
        "hold": lambda: by_tool("hold, behind haproxy", "hold", ["--proxy", "haproxy"], rate, rounds),
        "plain": lambda: by_tool(
            "plain, behind Caddy", "plain", ["--proxy", "caddy"], rate, max(rounds // 10, 1)
        ),
        "reload": lambda: by_tool(
            "reload, one gateway", "reload", ["--gateway", "single"], rate, max(rounds // 10, 1)
        ),
        "runbook": lambda: by_peer("usual runbook", peers.Runbook, ["--gateway", "single"], rate, few),
        "replication": lambda: by_peer(
            "replication by hand", peers.Replication, ["--proxy", "haproxy"], rate, few
        ),
    }
    print(f"{rate:g} writes and {rate:g} reads a second; times in ms")
    print(
        f"{'':22}{'':5}{'':9}{'without a write done':>24}{'writes':>16}{'reads':>16}\n"
        f"{'':22}{'moves':>5}{'requests':>9}{'median':>8}{'p99':>8}{'worst':>8}{'p99':>8}{'worst':>8}{'p99':>8}{'worst':>8}"
        f"{'refused':>9}{'failed':>8}{'stale':>7}{'lost':>6}{'wrong':>6}{'gap':>10}",
        flush=True,
    )
    first: Row | None = None
    for name in given.only.split(","):
        row = rows[name]()
        first = first or row
        print(told(row, first), flush=True)


if __name__ == "__main__":
    main()
