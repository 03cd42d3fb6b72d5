"""``backup restore`` on real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operations.world import World
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.postgres.dumps import PostgresDumps
from tracseq_migrate.errors import CouldNotReach, Declined, NotAllowed
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.operations.backup import restore
from tracseq_migrate.replication.control import tables


def _world(pair: PairOfDatabases, folder: Path) -> tuple[World, str]:
    pair.run("a", "CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users SELECT generate_series(1, 20)")
    world = World()
    world.sessions = pair.sessions  # type: ignore[assignment]  # the world's own is in memory
    dumps = PostgresDumps(pair.dsns, folder / "backups", SubprocessCommands(folder))
    world.dumps = dumps  # type: ignore[assignment]  # as above
    name = dumps.dump("a", by="week1 r s", counted=True, timeout=60, told=lambda _: None).name
    pair.run("a", "INSERT INTO users SELECT generate_series(21, 25)")
    return world, name


def _count(pair: PairOfDatabases) -> int:
    return int(pair.rows("a", "SELECT count(*) FROM users")[0][0])


def test_it_says_what_it_loses_and_what_is_there_now_is_kept(
    pair_of_databases: PairOfDatabases, tmp_path: Path
) -> None:
    world, name = _world(pair_of_databases, tmp_path)
    with pytest.raises(NotAllowed, match=r"public\.users: 25 rows now, 20 in the backup") as refused:
        restore(world.process(), name, assume_yes=True, accept_loss=False)
    assert "--accept-loss" in refused.value.hint
    world.asker.present = True
    world.asker.answers = [False]
    with pytest.raises(Declined):
        restore(world.process(), name, assume_yes=False, accept_loss=True)
    assert _count(pair_of_databases) == 25
    view = restore(world.process(), name, assume_yes=True, accept_loss=True)
    assert _count(pair_of_databases) == 20
    assert [event.type for event in world.journal.events] == [v.BACKUP_RESTORING, v.BACKUP_RESTORED]
    restore(world.process(), view.before, assume_yes=True, accept_loss=True)
    assert _count(pair_of_databases) == 25


def test_not_while_a_replication_goes_on(pair_of_databases: PairOfDatabases, tmp_path: Path) -> None:
    world, name = _world(pair_of_databases, tmp_path)
    with pair_of_databases.open("a") as session:
        tables.install(session, "users", "a")
    with pytest.raises(NotAllowed, match="a replication goes on in a"):
        restore(world.process(), name, assume_yes=True, accept_loss=True)
    assert _count(pair_of_databases) == 25


def test_a_restore_that_fails_changes_nothing(pair_of_databases: PairOfDatabases, tmp_path: Path) -> None:
    world, name = _world(pair_of_databases, tmp_path)
    pair_of_databases.run("a", "CREATE VIEW on_users AS SELECT * FROM users")
    with pytest.raises(CouldNotReach, match="was not restored: pg_restore failed") as failed:
        restore(world.process(), name, assume_yes=True, accept_loss=True)
    assert "is as it was" in failed.value.state
    assert _count(pair_of_databases) == 25
