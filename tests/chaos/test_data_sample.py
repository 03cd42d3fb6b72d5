"""A sample of the suite `data`: one way there and back with deaths on it, and a few histories."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.suites.data import SUITE, world
from tests.chaos.suites.data.histories import history_bench
from tests.replication.databases import binaries

pytestmark = pytest.mark.skipif(not binaries(), reason="no PostgreSQL server is on this machine")


@pytest.mark.long
def test_killed_on_the_way_there_and_back_and_no_row_is_wrong(tmp_path: Path) -> None:
    with SUITE.bench(tmp_path) as bench:
        tally = bench.carry_out("kill short 0")
    assert tally.counts["kills"] >= 1
    assert tally.counts["rows equal"] > world.PEOPLE // 2


def test_histories_of_every_kind_leave_both_sides_equal(tmp_path: Path) -> None:
    with history_bench(tmp_path) as bench:
        tally = bench.carry_out("history 1 0", 4)
    assert tally.counts["histories"] == tally.tried > 0
