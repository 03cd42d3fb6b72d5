"""Histories of concurrent transactions over random schemas and mappings: at the end both sides are equal.

Case ``histories SEED NUMBER``: 20 worlds, each with a history of its own and the applier in between, as
`tests/replication/applying/histories.py` draws them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.chaos.suite import Tally
from tests.replication.applying.histories import Act, World, histories, play, side_expected, worlds
from tests.replication.databases import Server, binaries, fresh_pair, server

EACH = 20


class _Bench:
    def __init__(self, servers: list[Server]) -> None:
        self._servers = servers

    def carry_out(self, case: str) -> Tally:
        counts = {"histories": 0, "statements": 0}

        @seed(case)
        @settings(
            max_examples=EACH,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(
            world=worlds(),
            acts=histories(80),
            limit=st.sampled_from([1, 3, 50]),
            turned=st.booleans(),
        )
        def hold(world: World, acts: list[Act], limit: int, turned: bool) -> None:
            first, second = self._servers[:: -1 if turned else 1]
            with fresh_pair(first, second) as databases:
                stage = play(databases, world, acts, limit)
                assert stage.differences() == []
                assert stage.log_rows() == 0
                if world.kept:
                    assert stage.side_rows(stage.replication.pairs[0]) == side_expected(stage)
            counts["histories"] += 1
            counts["statements"] += len(acts)

        hold()
        return Tally(tried=counts["histories"], counts=counts)


class Histories:
    name = "histories"

    def cases(self, seed: int) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield f"histories {seed} {number}"

    @contextmanager
    def bench(self, folder: Path) -> Iterator[_Bench]:
        found = list(binaries().values())
        with ExitStack() as stack:
            servers = []
            for number, each in enumerate(found):
                (folder / str(number)).mkdir()
                servers.append(stack.enter_context(server(folder / str(number), each)))
            yield _Bench([servers[0], servers[-1]])


SUITE = Histories()
