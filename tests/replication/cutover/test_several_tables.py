"""A replication of several tables, broken off between one table and the next: never a state that nobody can recover from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.replication.cutover.lab import Door
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.adapters.clock import SystemClock
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.replication import capture
from tracseq_migrate.replication.bringing import bring
from tracseq_migrate.replication.cutover import cut_over, recover
from tracseq_migrate.replication.cutover.moving import Moving
from tracseq_migrate.replication.opening import open_mapping
from tracseq_migrate.replication.pair import Replication

SCHEMA = """
CREATE TABLE accounts (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE entries (id int PRIMARY KEY, account int NOT NULL REFERENCES accounts, cents int NOT NULL);
"""
MAPPING = """
version: 1
tables:
  - {from: accounts, to: accounts, columns: {id: id, name: name}}
  - {from: entries, to: entries, columns: {id: id, account: account, cents: cents}}
"""


class _Broken(BaseException):
    """As if the process had been killed."""


def _opened(databases: PairOfDatabases) -> Replication:
    return open_mapping(
        databases.sessions,
        database_a="a",
        database_b="b",
        file="mappings/two.yaml",
        text=MAPPING,
        patience=20.0,
    ).replication


def _moved(databases: PairOfDatabases) -> Replication:
    databases.run("a", SCHEMA)
    databases.run("b", SCHEMA)
    databases.run("a", "INSERT INTO accounts VALUES (1, 'one'); INSERT INTO entries VALUES (1, 1, 100)")
    replication = _opened(databases)
    bring(
        databases.sessions,
        replication,
        jobs=1,
        lag=1.0,
        by="the test",
        clock=SystemClock(),
        check=lambda: None,
        told=lambda text: None,
        reached=lambda stage: None,
    )
    return replication


def _breaking(real: Callable[..., None], call: int) -> Callable[..., None]:
    """The same, until it is called so many times: then as if the process had been killed right before."""
    calls = 0

    def one(*args: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise _Broken
        real(*args, **named)

    return one


@pytest.mark.parametrize("call", [2, 3, 4])
def test_broken_off_while_fences_are_made_it_is_undone(
    pair_of_databases: PairOfDatabases, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    replication = _moved(pair_of_databases)
    door = Door()
    with monkeypatch.context() as patched, pytest.raises(_Broken):
        patched.setattr(capture, "create_fence", _breaking(capture.create_fence, call))
        cut_over(pair_of_databases.sessions, [replication], "forward", door, by="the test")
    recovered = recover(
        pair_of_databases.sessions, [_opened(pair_of_databases)], "forward", door, by="the next"
    )
    assert recovered.outcome == "aborted"
    pair_of_databases.run("a", "INSERT INTO entries VALUES (2, 1, 200)")
    cut_over(pair_of_databases.sessions, [_opened(pair_of_databases)], "forward", door, by="the next")
    assert pair_of_databases.rows("b", "SELECT id, cents FROM entries ORDER BY id") == [(1, 100), (2, 200)]
    pair_of_databases.run("b", "INSERT INTO entries VALUES (3, 1, 300)")


def test_broken_off_while_the_origin_is_opened_again_it_is_recovered(
    pair_of_databases: PairOfDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    replication = _moved(pair_of_databases)
    door = Door()

    def killed(name: str) -> None:
        if name == f"fenced {replication.name}":
            raise _Broken

    with pytest.raises(_Broken):
        cut_over(pair_of_databases.sessions, [replication], "forward", door, by="the test", at=killed)

    def unfit(_: Moving) -> int:
        raise StepFailed("a row will not fit", hint="Look at it.")

    with monkeypatch.context() as patched, pytest.raises(_Broken):
        # Both tables of the destination were on their way to be opened, and are not; then the second of the origin.
        patched.setattr(Moving, "fill", unfit)
        patched.setattr(capture, "disable_fence", _breaking(capture.disable_fence, 4))
        recover(pair_of_databases.sessions, [_opened(pair_of_databases)], "forward", door, by="the next")
    recovered = recover(
        pair_of_databases.sessions, [_opened(pair_of_databases)], "forward", door, by="the last"
    )
    assert recovered.outcome == "done"
    pair_of_databases.run("b", "INSERT INTO entries VALUES (2, 1, 200)")
