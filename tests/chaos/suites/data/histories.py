"""Random schemas, mappings and histories of concurrent transactions, many a case, in databases that are emptied between."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.chaos.suite import Tally, Wrong
from tests.replication.applying.histories import Act, World, histories, play, side_expected, worlds
from tests.replication.databases import PairOfDatabases, binaries, fresh_pair, server

A_CASE = 25
_EMPTIED = """
DROP SCHEMA IF EXISTS tracseq_migrate CASCADE;
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
"""


class HistoryBench:
    """Servers of the versions that there are; two databases each way round."""

    def __init__(self, folder: Path, open_here: ExitStack) -> None:
        there = [open_here.enter_context(server(folder / name, path)) for name, path in binaries().items()]
        self._pairs = [
            open_here.enter_context(fresh_pair(there[0], there[-1])),
            open_here.enter_context(fresh_pair(there[-1], there[0])),
        ]

    def carry_out(self, case: str, number: int = A_CASE) -> Tally:
        """Play histories, and compare after each.

        Raises:
            Wrong: the two sides are not equal under the mapping, or something is left in the log.
        """
        told = 0
        acted = 0

        @seed(case)
        @settings(
            max_examples=number,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(world=worlds(), acts=_long(), limit=st.sampled_from([1, 3, 50]), turned=st.booleans())
        def one(world: World, acts: list[Act], limit: int, turned: bool) -> None:
            nonlocal told, acted
            told += 1
            acted += len(acts)
            _judge(self._pairs[turned], world, acts, limit)

        one()
        return Tally(told, {"histories": told, "statements": acted})


def _long() -> st.SearchStrategy[list[Act]]:
    # One list alone comes out short most of the time.
    return st.tuples(histories(), histories(), histories()).map(lambda parts: [*itertools.chain(*parts)])


def _judge(databases: PairOfDatabases, world: World, acts: list[Act], limit: int) -> None:
    for side in ("a", "b"):
        databases.run(side, _EMPTIED)
    stage = play(databases, world, acts, limit)
    differences = stage.differences()
    if differences:
        raise Wrong(f"{len(differences)} rows differ: {differences[:3]}")
    if stage.log_rows():
        raise Wrong(f"{stage.log_rows()} rows are left in the log")
    if world.kept and stage.side_rows(stage.replication.pairs[0]) != side_expected(stage):
        raise Wrong("the side table is not what has no home")


@contextmanager
def history_bench(folder: Path) -> Iterator[HistoryBench]:
    """The servers, while they are needed."""
    with ExitStack() as open_here:
        yield HistoryBench(folder, open_here)
