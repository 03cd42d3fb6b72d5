"""SIGKILL of the real process at every point that can be derived, and of its recovery, and by the clock.

Every point of the runs of weeks 1 and 2 and of their rollbacks, with every recovery, in an order that the seed shuffles; between
them, and after them without an end, pairs of deaths and deaths at random times, drawn by the seed.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.ledger import ROOT, source_digest
from tests.chaos.suites.kill import cases
from tests.chaos.suites.kill.bench import KillBench, kill_bench
from tests.chaos.suites.kill.stories import STORIES

RECORDINGS = ROOT / ".chaos"
POINTS_BETWEEN = 6


class KillSuite:
    """See the module. The points are recorded once for a source, and workers share the recording."""

    name = "kill"

    def cases(self, seed: int) -> Iterator[str]:
        """Every point, and after each few of them one of those that never end, which go on alone at last."""
        recorded = self._recording()
        points = {name: each["points"] for name, each in recorded.items()}
        every = cases.single(points)
        random.Random(seed).shuffle(every)
        drawn = cases.endless(points, {name: each["seconds"] for name, each in recorded.items()}, seed)
        for number, case in enumerate(cases.in_rest(every), start=1):
            yield case
            if number % POINTS_BETWEEN == 0:
                yield from itertools.islice(drawn, 2)
        yield from drawn

    @contextmanager
    def bench(self, folder: Path) -> Iterator[KillBench]:
        """A sandbox, in which every story was told once without a death."""
        with kill_bench(folder) as bench:
            told = {
                name: {"points": list(each.points), "seconds": each.seconds}
                for name in STORIES
                for each in [bench.undisturbed(name)]
            }
            self._keep(told)
            yield bench

    def _recording(self) -> dict[str, Any]:
        path = self._path()
        if not path.exists():
            raise AssertionError("no recording of this source: the bench makes it, so it must be up first")
        recorded: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return recorded

    def _keep(self, told: dict[str, Any]) -> None:
        """Keep the recording, unless another worker was faster. One that differs would mean that names are not stable.

        Raises:
            AssertionError: it differs.
        """
        path = self._path()
        path.parent.mkdir(parents=True, exist_ok=True)
        mine = path.with_suffix(f".{os.getpid()}")
        mine.write_text(json.dumps(told, indent=1), "utf-8")
        try:
            os.link(mine, path)
        except FileExistsError:
            for name, kept in self._recording().items():
                differs = {*kept["points"]} ^ {*told[name]["points"]}
                assert not differs, f"two recordings of {name} differ: {sorted(differs)}"
        finally:
            mine.unlink()

    @staticmethod
    @functools.cache
    def _path() -> Path:
        return RECORDINGS / f"kill-points-{source_digest()}.json"


SUITE = KillSuite()
