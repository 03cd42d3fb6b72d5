"""``python -m tests.chaos.weather.table``: the table of what each weather ended in, from the ledger."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

from tests.chaos.ledger import ROOT, Ledger


def table(ledger: Ledger) -> str:
    """Markdown: a line a kind, each case with its last result. Numbers in the names of cases are put together."""
    last = {line.case: line for line in ledger.lines("weather")}
    kinds: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for case, line in last.items():
        kind = re.sub(r"-(from|at)?-?\d+", lambda found: f"-{found[1]}-N" if found[1] else "-N", case)
        if kind.startswith("wire/"):
            kind = "wire/*/" + case.rpartition("/")[2]
        if kind.startswith("gateway/answers-"):
            kind = "gateway/answers-*/" + case.rpartition("/")[2]
        kinds[kind]["cases"] += 1
        kinds[kind]["failed"] += not line.passed
        kinds[kind].update(line.counts)
    rows = ["| weather | cases | ended in | then, by one command | failed |", "|---|---|---|---|---|"]
    for kind, counts in sorted(kinds.items()):
        then = ", ".join(f"{name[5:]}: {n}" for name, n in sorted(counts.items()) if name.startswith("then "))
        other = {"cases", "failed"}
        ends = ", ".join(
            f"{name}: {n}"
            for name, n in sorted(counts.items())
            if name not in other and not name.startswith("then ")
        )
        rows.append(f"| {kind} | {counts['cases']} | {ends} | {then} | {counts['failed']} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledger", type=Path, default=ROOT / ".chaos" / "ledger.jsonl")
    sys.stdout.write(table(Ledger(parser.parse_args().ledger)))


if __name__ == "__main__":
    main()
