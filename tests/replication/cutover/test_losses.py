"""What would be left behind on the way back is known before anything is locked."""

from __future__ import annotations

from tests.replication.cutover.lab import Door, moved, opened
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.replication.cutover import cut_over
from tracseq_migrate.replication.cutover.losses import losses


def test_rows_without_a_way_back_are_listed_with_their_reason(pair_of_databases: PairOfDatabases) -> None:
    sessions = pair_of_databases.sessions
    assert losses(sessions, moved(pair_of_databases)) == []
    cut_over(sessions, [opened(sessions)], "forward", Door(), by="the test")
    pair_of_databases.run("b", "INSERT INTO members (full_name, cents) VALUES ('fits', 5)")
    assert losses(sessions, opened(sessions)) == []
    pair_of_databases.run("b", "INSERT INTO members (full_name, cents) VALUES ('rich', 3000000000)")
    pair_of_databases.run("b", "UPDATE members SET cents = 4000000000 WHERE full_name = 'first 7'")
    found = {each.row["full_name"]: each for each in losses(sessions, opened(sessions)) if each.row}
    assert set(found) == {"rich", "first 7"}
    assert (found["rich"].what, found["first 7"].what) == ("inserted", "updated")
    assert found["rich"].row is not None
    assert "two thousand million" in found["rich"].row["why"]
    # What is mended on B is lost no more.
    pair_of_databases.run("b", "UPDATE members SET cents = 1 WHERE cents > 2000000000")
    assert losses(sessions, opened(sessions)) == []
