"""A sample of the suite `contention`: a crowd that wants one lock."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.crowd import crowd

SIZE = 8
ROUNDS = 6


def test_of_many_at_once_one_holds_and_the_others_name_it(tmp_path: Path) -> None:
    with crowd(tmp_path / "crowd", SIZE) as people:
        people.fresh("sample")
        winners, refused = [], 0
        for _ in range(ROUNDS):
            winner, others = people.round()
            winners.append(winner.person)
            refused += len(others)
        assert refused == ROUNDS * (SIZE - 1)
        assert people.judge(winners) > ROUNDS
