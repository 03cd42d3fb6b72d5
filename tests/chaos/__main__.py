"""``python -m tests.chaos SUITE``: try the cases of a suite that this source has not passed yet, as long as there is time.

Exit code 0 where nothing failed, 1 where something did; a failing case is printed with the command that makes it again.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import pkgutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from tests.chaos import suites
from tests.chaos.ledger import ROOT, Ledger, Line, source_digest
from tests.chaos.suite import Suite, Tally

_ENDING = (signal.SIGTERM, signal.SIGHUP)
NAMES = sorted(module.name for module in pkgutil.iter_modules(suites.__path__))


def suite_of(name: str) -> Suite:
    """The suite of a name."""
    suite: Suite = importlib.import_module(f"tests.chaos.suites.{name}").SUITE
    return suite


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _share(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    return int(number), int(of or 1)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("suite", choices=NAMES)
    parser.add_argument("--seconds", type=float, default=600.0, help="begin no case after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", default="", help="this case only, passed or not")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with its share of the cases")
    parser.add_argument("--share", type=_share, default=(0, 1), help=argparse.SUPPRESS)
    parser.add_argument(
        "--new", action="store_true", help="leave out what any source has passed, not this one alone"
    )
    parser.add_argument("--ledger", type=Path, default=ROOT / ".chaos" / "ledger.jsonl")
    return parser.parse_args()


def _open_cases(suite: Suite, ledger: Ledger, asked: argparse.Namespace, source: str) -> Iterator[str]:
    if asked.case:
        yield asked.case
        return
    passed = ledger.passed(suite.name, None if asked.new else source)
    number, of = asked.share
    for case in itertools.islice(suite.cases(asked.seed), number, None, of):
        if case not in passed:
            yield case


def _work(suite: Suite, ledger: Ledger, asked: argparse.Namespace) -> int:
    source, began, failures = source_digest(), time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, suite.bench(Path(folder)) as bench:
        for case in _open_cases(suite, ledger, asked, source):
            since = time.monotonic()
            if since - began > asked.seconds:
                break
            wrong, tally = "", Tally()
            try:
                tally = bench.carry_out(case)
            except Exception as error:  # noqa: BLE001 - whatever a case raises is its result
                wrong = f"{type(error).__name__}: {error}"
                failures += 1
                _say(
                    f"FAILED {case}\n{traceback.format_exc()}\nagain: make chaos SUITE={suite.name} CASE='{case}'"
                )
            now = datetime.now(UTC).isoformat(timespec="seconds")
            seconds = round(time.monotonic() - since, 3)
            ledger.append(
                Line(suite.name, case, source, now, seconds, not wrong, tally.tried, tally.counts, wrong)
            )
    return failures


def _unwind_when_ended() -> None:
    """SIGTERM and SIGHUP end it as Ctrl-C does: from the inside out, so that whatever was brought up is taken down."""

    def leave(number: int, frame: FrameType | None) -> None:
        for each in _ENDING:
            signal.signal(
                each, lambda *_: None
            )  # taking down must not be broken off; and children do not inherit it
        raise SystemExit(128 + number)

    for each in _ENDING:
        signal.signal(each, leave)


def _side_by_side(asked: argparse.Namespace) -> int:
    own = [sys.executable, "-m", "tests.chaos", asked.suite, "--ledger", str(asked.ledger)]
    own += ["--seconds", str(asked.seconds), "--seed", str(asked.seed), *(["--new"] if asked.new else [])]
    started = [
        subprocess.Popen([*own, "--share", f"{number}/{asked.workers}"], cwd=ROOT)
        for number in range(asked.workers)
    ]
    try:
        return sum(process.wait() != 0 for process in started)
    finally:
        for process in started:
            if process.poll() is None:
                process.terminate()
        for process in started:
            process.wait()


def main() -> int:
    """Carry out what was asked; the exit code."""
    asked = _asked()
    _unwind_when_ended()
    suite, ledger = suite_of(asked.suite), Ledger(asked.ledger)
    failures = _side_by_side(asked) if asked.workers > 1 and not asked.case else _work(suite, ledger, asked)
    if asked.share == (0, 1):
        _say(ledger.summary(suite.name))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
