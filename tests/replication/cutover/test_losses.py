"""What would be left behind on the way back is known before anything is locked."""

from __future__ import annotations

from tests.replication.cutover.lab import Door, moved, opened
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.replication.cutover import cut_over
from tracseq_migrate.replication.cutover.losses import give_up, losses


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


def test_what_was_given_up_is_in_nobodys_way(pair_of_databases: PairOfDatabases) -> None:
    sessions = pair_of_databases.sessions
    moved(pair_of_databases)
    door = Door()
    cut_over(sessions, [opened(sessions)], "forward", door, by="the test")
    pair_of_databases.run(
        "b", "INSERT INTO members (full_name, cents) VALUES ('rich', 3000000000), ('fits', 5)"
    )
    pair_of_databases.run("b", "UPDATE members SET cents = 4000000000 WHERE full_name = 'first 7'")
    pair_of_databases.run("b", "UPDATE members SET cents = 8 WHERE full_name = 'first 8'")
    assert {each.row["full_name"] for each in give_up(sessions, opened(sessions)) if each.row} == {
        "rich",
        "first 7",
    }
    assert give_up(sessions, opened(sessions)) == []
    cut_over(sessions, [opened(sessions)], "back", Door(side="b", over="a"), by="the test")
    found = (
        "SELECT name, balance FROM accounts WHERE name IN ('rich', 'fits', 'first 7', 'first 8') ORDER BY 1"
    )
    assert pair_of_databases.rows("a", found) == [("first 7", 7), ("first 8", 8), ("fits", 5)]
