"""Whatever is written in whatever order: after the log is drained both sides are equal under the mapping."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.replication.applying.histories import Act, World, histories, play, side_expected, worlds
from tests.replication.databases import EMBEDDED, SYSTEM, Server, fresh_pair


@settings(
    max_examples=6,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(world=worlds(), acts=histories(), limit=st.sampled_from([1, 3, 50]), turned_round=st.booleans())
def test_both_sides_are_equal_after_any_history(
    clusters: Mapping[str, Server], world: World, acts: list[Act], limit: int, turned_round: bool
) -> None:
    servers = [clusters.get(SYSTEM), clusters.get(EMBEDDED)]
    there = [each for each in servers if each is not None]
    first, second = (there[-1], there[0]) if turned_round else (there[0], there[-1])
    with fresh_pair(first, second) as databases:
        stage = play(databases, world, acts, limit)
        assert stage.differences() == []
        assert stage.log_rows() == 0
        if world.kept:
            assert stage.side_rows(stage.replication.pairs[0]) == side_expected(stage)
