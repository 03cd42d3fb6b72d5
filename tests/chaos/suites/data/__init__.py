"""Data that moves: deaths at every place, and histories of every kind.

``kill SEED NUMBER`` kills the real tool, or the PostgreSQL of either side, again and again on one way there and back, while
people write; ``history SEED NUMBER`` plays random histories over random pairs of schemas: two for each of the first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.chaos.suite import Tally
from tests.chaos.suites.data.histories import HistoryBench, history_bench
from tests.chaos.suites.data.kills import KillBench


class _Bench:
    """Each family's servers are brought up by its first case."""

    def __init__(self, folder: Path, open_here: ExitStack) -> None:
        self._folder, self._open = folder, open_here
        self._kills: KillBench | None = None
        self._histories: HistoryBench | None = None

    def carry_out(self, case: str) -> Tally:
        if case.startswith("kill "):
            if self._kills is None:
                self._kills = KillBench(self._folder / "kills")
                self._open.callback(self._kills.close)
            return self._kills.carry_out(case)
        if self._histories is None:
            self._histories = self._open.enter_context(history_bench(self._folder / "histories"))
        return self._histories.carry_out(case)


class DataSuite:
    """See the module."""

    name = "data"

    def cases(self, seed: int) -> Iterator[str]:
        for number in itertools.count():
            yield f"kill {seed} {number}"
            yield f"history {seed} {2 * number}"
            yield f"history {seed} {2 * number + 1}"

    @contextmanager
    def bench(self, folder: Path) -> Iterator[_Bench]:
        with ExitStack() as open_here:
            yield _Bench(folder, open_here)


SUITE = DataSuite()
