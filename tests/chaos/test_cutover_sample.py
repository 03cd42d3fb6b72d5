"""A sample of the rounds of cutovers, and the oracle that judges them; the whole is `make chaos SUITE=cutover`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.chaos.suites.cutover import SUITE
from tests.chaos.suites.cutover.people import KINDS, People, Seen, in_flight
from tests.sandbox_fixture import Sandbox

pytestmark = pytest.mark.sandbox
MONOLITH = dict.fromkeys((kind.name for kind in KINDS), "main")


@pytest.fixture
def people(sandbox: Sandbox) -> Iterator[People]:
    dsn = sandbox.document["databases"]
    with People(sandbox.gateway_url, sandbox.state.url("monolith"), dsn) as people:
        yield people
    with psycopg.connect(dsn["main"]) as connection:
        for kind in KINDS:
            table = kind.query.partition(" FROM ")[2].partition(" ")[0]
            connection.execute(f"DELETE FROM {table} WHERE {kind.key} LIKE '%@cutover.example'".encode())


def test_the_oracle_sees_what_vanished(people: People) -> None:
    people.work()
    time.sleep(1.0)
    people.rest()
    seen = people.taken()
    assert seen.counts["acknowledged"] == len(seen.writes) > 50
    assert set(seen.counts) == {"acknowledged"}
    # The others' answers would hide that those who write users wait.
    waiting = Seen(writes=[("users", 1.0, 1.1), ("users", 1.05, 1.9), ("users", 1.06, 1.9)])
    waiting.writes += [("templates", at / 100, at / 100 + 0.01) for at in range(100, 190)]
    under_way, longest = in_flight(waiting, "users")
    assert (under_way, round(longest, 3)) == (2, 0.8)
    assert people.judge(MONOLITH) > 300
    people.would_see(MONOLITH)


@pytest.mark.long
def test_rounds(tmp_path: Path) -> None:
    with SUITE.bench(tmp_path) as bench:
        calm = bench.carry_out("1 0 calm")
        killed = bench.carry_out("1 2 kill-tool-and-guardian at 3")
    assert calm.counts["acknowledged"] > 1_000
    assert (calm.counts["cutovers"], calm.counts["rollbacks"], calm.counts.get("refused", 0)) == (2, 2, 0)
    assert killed.counts["commands afterwards"] >= 1
