"""What clients notice of a flip, under load: behind haproxy, behind Caddy, with a single gateway, and by hand.

    python benchmarks/flip.py [rate] [flips]

The peer is what runbooks say: edit the flag file and restart the gateway (one gateway, no proxy), in the same run, on the same
machine, under the same load. Each row is several flips there and back. Printed a row: requests, failed, failed a flip, the
longest time without a success, the switch itself (median of the journaled measurements), and failed requests against the peer's.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOOL = [sys.executable, "-m", "tracseq_migrate"]
PLAN = """
week: week9
title: One flip
risk: low
steps:
  - id: flags
    flags: {set: {USE_TEMPLATE_SERVICE: true}, writes: stranded}
"""
MIX = "reads=3,users=1,samples=1"
VARIABLES = {**os.environ, "TRACSEQ_MIGRATE_IDENTITY": "benchmark"}


@dataclass
class Row:
    name: str
    flips: int
    load: dict[str, Any]
    switches: list[float]

    @property
    def failed(self) -> int:
        return int(self.load["failures"]["total"])


def tool(*arguments: str, cwd: Path | None = None) -> str:
    """Run the tool; its standard output. Raises where it fails."""
    done = subprocess.run(
        [*TOOL, *arguments], cwd=cwd, env=VARIABLES, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def load(folder: Path, rate: float, seconds: float) -> subprocess.Popen[str]:
    command = [
        *TOOL,
        "sandbox",
        "load",
        "--dir",
        str(folder),
        "--rate",
        f"{rate:g}",
        "--for",
        f"{seconds:g}s",
    ]
    return subprocess.Popen(
        [*command, "--mix", MIX, "--json"],
        env=VARIABLES,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def start_templates(folder: Path, document: dict[str, Any]) -> None:
    """By a week plan of its own: the service must be up before anything is flipped."""
    plan = folder / "weeks" / "week8.yaml"
    plan.parent.mkdir(exist_ok=True)
    plan.write_text(
        "week: week8\ntitle: Start\nrisk: low\nsteps:\n  - {id: start, services: {up: [templates]}}\n"
    )
    (folder / "weeks" / "week9.yaml").write_text(PLAN)
    tool("run", "week8", cwd=folder)


def by_tool(name: str, options: list[str], rate: float, flips: int) -> Row:
    folder = Path(tempfile.mkdtemp(prefix="flip-"))
    try:
        document = json.loads(tool("sandbox", "up", "--dir", str(folder / "s"), "--json", *options))
        folder = Path(document["dir"])
        start_templates(folder, document)
        began = time.monotonic()
        tool("run", "week9", cwd=folder)
        tool("rollback", "week9", cwd=folder)
        one = time.monotonic() - began
        clients = load(folder, rate, one * flips * 0.75 + 4)
        time.sleep(2)
        for _ in range(flips // 2):
            tool("run", "week9", cwd=folder)
            tool("rollback", "week9", cwd=folder)
        text, _ = clients.communicate()
        switches = journaled_switches(folder)
        return Row(name, flips, json.loads(text), switches[2:])
    finally:
        tool("sandbox", "down", "--dir", str(folder))
        shutil.rmtree(folder.parent if folder.name == "s" else folder, ignore_errors=True)


def by_hand(rate: float, flips: int) -> Row:
    """The runbook: sed the file, restart the gateway, wait until /health answers."""
    folder = Path(tempfile.mkdtemp(prefix="flip-"))
    try:
        document = json.loads(
            tool("sandbox", "up", "--dir", str(folder / "s"), "--json", "--gateway", "single")
        )
        folder = Path(document["dir"])
        start_templates(folder, document)
        flags = Path(document["flag_file"])
        pause = 3.0
        clients = load(folder, rate, 4 + flips * (pause + 2))
        time.sleep(2)
        for index in range(flips):
            old, new = ("false", "true") if index % 2 == 0 else ("true", "false")
            flags.write_text(
                flags.read_text().replace(f"USE_TEMPLATE_SERVICE={old}", f"USE_TEMPLATE_SERVICE={new}")
            )
            restart(folder)
            time.sleep(pause)
        text, _ = clients.communicate()
        return Row("by hand, restart", flips, json.loads(text), [])
    finally:
        tool("sandbox", "down", "--dir", str(folder))
        shutil.rmtree(folder.parent if folder.name == "s" else folder, ignore_errors=True)


def restart(folder: Path) -> None:
    import yaml

    from tracseq_migrate.adapters.supervisor import SupervisorProgram

    environment = yaml.safe_load((folder / "tracseq-migrate.yaml").read_text())["environments"]["sandbox"]
    gateway = SupervisorProgram(str(folder / environment["supervisor"]), "gateway-1")
    gateway.down(timeout=30.0)
    gateway.up(timeout=30.0)


def journaled_switches(folder: Path) -> list[float]:
    """The switch of each flip, in seconds, from the journal."""
    from tracseq_migrate.adapters.sqlite_journal import SqliteJournal

    store = SqliteJournal(folder / ".tracseq-migrate" / "sandbox" / "journal.sqlite3", environment="sandbox")
    found = [
        float(line["data"]["switch_seconds"])
        for event in store.read()
        for line in event.data.get("evidence", ())
        if line.get("data", {}).get("what") == "flip"
    ]
    store.close()
    return found


def main() -> None:
    rate = float(sys.argv[1]) if len(sys.argv) > 1 else 100.0
    flips = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    rows = [
        by_hand(rate, flips),
        by_tool("single gateway", ["--gateway", "single"], rate, flips),
        by_tool("behind Caddy", ["--proxy", "caddy"], rate, flips),
        by_tool("behind haproxy", ["--proxy", "haproxy"], rate, flips),
    ]
    peer = rows[0].failed / rows[0].flips
    print(f"{rate:g} requests a second on kept-alive connections, {flips} flips a row")
    for row in rows:
        each = row.failed / row.flips
        ratio = f"{each / peer:5.2f} x" if peer else "    -"
        switch = f"{statistics.median(row.switches) * 1000:7.1f} ms" if row.switches else "         -"
        print(
            f"{row.name:18} {row.load['requests']:6} requests {row.failed:5} failed "
            f"{each:7.1f} a flip {ratio}  without a success {row.load['longest_without_success'] * 1000:6.0f} ms  switch {switch}"
        )
        if row.load["lost"] or row.load["wrong"]:
            raise SystemExit(f"{row.name}: lost {row.load['lost']}, wrong {row.load['wrong']}")


if __name__ == "__main__":
    main()
