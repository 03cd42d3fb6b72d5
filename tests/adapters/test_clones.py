"""Clones of real databases: the same rows, nothing changed in the original, and nothing dropped that is somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.replication.conftest import clusters, pair_of_databases
from tests.replication.databases import COMBINATIONS, PairOfDatabases
from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.postgres.clones import PostgresClones
from tracseq_migrate.errors import Locked, StepFailed
from tracseq_migrate.ports import Unreachable
from tracseq_migrate.ports.clones import Clone

__all__ = ["clusters", "pair_of_databases"]

pytestmark = pytest.mark.parametrize("pair_of_databases", COMBINATIONS[:1], indirect=True)

ROWS = """
CREATE TABLE users (id int PRIMARY KEY, name text COLLATE "C" UNIQUE);
INSERT INTO users SELECT i, 'user ' || i FROM generate_series(1, 100) i;
"""
_ALL = "SELECT md5(string_agg(u::text, ',' ORDER BY id)) FROM users u"


@pytest.fixture
def clones(pair_of_databases: PairOfDatabases, tmp_path: Path) -> Callable[..., PostgresClones]:
    pair_of_databases.run("a", ROWS)

    def made(*, admin: bool = True) -> PostgresClones:
        more = {"admin": pair_of_databases.servers["a"].superuser} if admin else {}
        dsns = {"a": pair_of_databases.dsns["a"], **more}
        return PostgresClones(dsns, tmp_path / "rehearsals", SubprocessCommands(tmp_path))

    return made


def make(clones: PostgresClones, how: str = "auto") -> Clone:
    source = clones.look("a", through="", timeout=30)
    assert (source.through, source.may) == ("admin", "")
    return clones.make(source, how=how, week="w", timeout=120, told=lambda _: None)  # type: ignore[arg-type]  # its words


def content(clones: PostgresClones, clone: Clone) -> object:
    with clones.sessions([clone]).open("a", purpose="look", timeout=10) as session:
        return session.rows(
            "SELECT pg_catalog.md5(string_agg(u::text, ',' ORDER BY id)) FROM public.users u"
        )[0][0]


def test_a_clone_has_the_same_rows_and_its_original_stays_as_it_was(
    pair_of_databases: PairOfDatabases, clones: Callable[..., PostgresClones]
) -> None:
    pair, ours = pair_of_databases, clones()
    before = pair.rows("a", _ALL)[0][0]
    by_template = make(ours)
    assert by_template.how == "template"
    with psycopg.connect(pair.dsns["a"]):
        by_dump = make(ours)
        assert by_dump.how == "dump"  # somebody is connected: nobody is kept out for the time of a copy
    for each in (by_template, by_dump):
        assert content(ours, each) == before
        with ours.sessions([each]).open("a", purpose="write", timeout=10) as session:
            session.execute("DELETE FROM public.users")
            ((open_to_all,),) = session.rows(
                "SELECT pg_catalog.has_database_privilege('public', pg_catalog.current_database(), 'CONNECT')"
            )
        assert not open_to_all
    assert pair.rows("a", _ALL)[0][0] == before
    # Another process finds both by what is written down, as after a kill.
    later = clones()
    assert [each.name for each in later.left()] == [by_template.scratch.name, by_dump.scratch.name]
    assert all(later.drop(each, timeout=30) for each in later.left())
    assert later.left() == []
    with pair.servers["a"].administrator() as connection:
        assert not connection.execute("SELECT 1 FROM pg_database WHERE datname ~ '_rehearsal_'").fetchall()


def test_only_what_bears_its_mark_is_dropped(
    pair_of_databases: PairOfDatabases, clones: Callable[..., PostgresClones]
) -> None:
    ours = clones()
    scratch = make(ours).scratch
    foreign = replace(scratch, name=pair_of_databases.rows("a", "SELECT current_database()")[0][0])
    with pytest.raises(StepFailed, match="left alone"):
        ours.drop(foreign, timeout=30)
    assert pair_of_databases.rows("a", "SELECT count(*) FROM users") == [(100,)]
    with pair_of_databases.servers["a"].administrator() as connection:
        connection.execute(f"COMMENT ON DATABASE {scratch.name} IS 'mine now'")
    with pytest.raises(StepFailed, match="another mark"):
        ours.drop(scratch, timeout=30)
    assert ours.left() == [scratch]
    with pair_of_databases.servers["a"].administrator() as connection:
        connection.execute(
            f"COMMENT ON DATABASE {scratch.name} IS NULL"
        )  # as one whose maker was killed at once
    assert ours.drop(scratch, timeout=30)
    assert not ours.drop(scratch, timeout=30)


def test_who_may_not_is_told_what_is_missing(clones: Callable[..., PostgresClones]) -> None:
    ours = clones(admin=False)
    source = ours.look("a", through="", timeout=30)
    assert source.through == ""
    assert "CREATEDB" in source.may
    with pytest.raises(StepFailed, match="CREATEDB"):
        ours.make(source, how="auto", week="w", timeout=30, told=lambda _: None)
    assert ours.left() == []
    with pytest.raises(Unreachable):
        ours.look("nowhere", through="", timeout=30)


def test_one_rehearsal_at_a_time(clones: Callable[..., PostgresClones]) -> None:
    with clones().alone(), pytest.raises(Locked, match="another rehearsal"), clones().alone():
        raise AssertionError("two at once")
