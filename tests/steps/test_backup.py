"""The step `backup` on real servers, and the files that it leaves."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from tests.replication.conftest import clusters, pair_of_databases
from tests.replication.databases import COMBINATIONS, PairOfDatabases
from tests.steps.real import RealBench
from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.postgres.dumps import PostgresDumps
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Dump, Unreachable
from tracseq_migrate.step import BrokenOff, Found

__all__ = ["clusters", "pair_of_databases"]


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[Mapping[str, str]], PostgresDumps]:
    return lambda dsns: PostgresDumps(dsns, tmp_path / "backups", SubprocessCommands(tmp_path))


def filled(pair: PairOfDatabases) -> PairOfDatabases:
    for side in ("a", "b"):
        pair.run(
            side,
            "CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users SELECT i, i || '@lab.local'"
            ' FROM generate_series(1, 500) i; CREATE TABLE "Odd name" (x int); CREATE VIEW v AS SELECT 1 AS one',
        )
    return pair


def dump_of(dumps: PostgresDumps, database: str, *, by: str = "week1 r s", counted: bool = True) -> Dump:
    return dumps.dump(database, by=by, counted=counted, timeout=120, told=lambda _: None)


@pytest.mark.parametrize("pair_of_databases", COMBINATIONS[:2], indirect=True)
def test_both_databases_are_backed_up_and_proven(
    pair_of_databases: PairOfDatabases, kept: Callable[..., PostgresDumps], tmp_path: Path
) -> None:
    pair = filled(pair_of_databases)
    dsns = {**pair.dsns}
    step = RealBench({"backup": {"databases": ["a", "b"]}}, dsns, dumps=kept)
    assert step.concerns() == []
    assert step.preview().changes
    assert step.probe().found is Found.NOT_DONE
    first, second = step.there()
    assert "holds the rows of 2 tables" in first.text
    assert first.data["file"] != second.data["file"]
    assert step.probe().found is Found.DONE
    step.apply()  # again, as resume does: nothing is written twice
    assert len(list((tmp_path / "backups").glob("*.dump"))) == 2
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "backups").iterdir()} == {0o600}
    assert "stay where they are" in step.back()[0].text
    assert len(list((tmp_path / "backups").glob("*.dump"))) == 2


@pytest.mark.parametrize("pair_of_databases", COMBINATIONS[:2], indirect=True)
def test_a_restore_into_a_new_database_proves_the_rows(
    pair_of_databases: PairOfDatabases, kept: Callable[..., PostgresDumps]
) -> None:
    pair = filled(pair_of_databases)
    dsns = {**pair.dsns, "admin": pair.servers["b"].superuser}
    step = RealBench(
        {"backup": {"databases": ["b"], "prove": "restore", "through": "admin"}}, dsns, dumps=kept
    )
    without = RealBench({"backup": {"databases": ["b"], "prove": "restore"}}, dsns, dumps=kept)
    refused = [each for each in without.concerns() if each.verdict == "fail"]
    assert [(" CREATEDB;" in each.remedy) for each in refused] == [True]
    assert [each for each in step.concerns() if each.verdict != "pass"] == []
    step.prepare()
    done = step.step.apply(step.ctx(), step.undo)
    told = [each.text for each in getattr(done, "measured", ())]
    assert any("was restored into a new database: 500 rows in 2 tables" in text for text in told), told
    with pair.servers["b"].administrator() as connection:
        left = connection.execute(
            "SELECT datname FROM pg_database WHERE datname ~ '^tracseq_migrate_scratch'"
        ).fetchall()
    assert left == []


def test_the_counts_are_of_the_snapshot_that_is_written(
    pair_of_databases: PairOfDatabases, kept: Callable[..., PostgresDumps]
) -> None:
    pair = filled(pair_of_databases)
    dumps = kept({**pair.dsns, "admin": pair.servers["a"].superuser})
    grown = False

    def grow(_: int) -> None:
        nonlocal grown
        if not grown:
            grown = True
            pair.run("a", "INSERT INTO users SELECT i FROM generate_series(1000, 1999) i")

    dump = dumps.dump("a", by="x", counted=True, timeout=120, told=grow)
    assert grown
    assert dump.rows["public.users"] == 500
    assert dumps.try_out(dump, through="admin", timeout=120, told=lambda _: None) == dict(dump.rows)


def test_a_damaged_or_missing_file_is_found(
    pair_of_databases: PairOfDatabases, kept: Callable[..., PostgresDumps]
) -> None:
    pair = filled(pair_of_databases)
    dumps = kept(pair.dsns)
    dump = dump_of(dumps, "a")
    assert sorted(dumps.examine(dump, timeout=60)) == ["public.Odd name", "public.users"]
    more = dataclasses.replace(dump, rows={**dump.rows, "public.absent": 1})
    with pytest.raises(StepFailed, match=r"does not hold the rows of public\.absent"):
        dumps.examine(more, timeout=60)
    path = Path(dumps.folder) / dump.name
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 0xFF
    path.write_bytes(body)
    with pytest.raises(StepFailed, match="its digest differs"):
        dumps.examine(dump, timeout=60)
    path.write_bytes(body[:-10])
    with pytest.raises(StepFailed, match="bytes; "):
        dumps.examine(dump, timeout=60)
    path.unlink()
    with pytest.raises(StepFailed, match="No such file"):
        dumps.examine(dump, timeout=60)


def test_a_dump_that_is_broken_off_leaves_no_file(
    pair_of_databases: PairOfDatabases, kept: Callable[..., PostgresDumps]
) -> None:
    pair = filled(pair_of_databases)
    dumps = kept(pair.dsns)

    def stop(_: int) -> None:
        raise BrokenOff

    with pair.writer("a", autocommit=False) as holder:
        holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")  # pg_dump waits for it
        with pytest.raises(BrokenOff):
            dumps.dump("a", by="x", counted=False, timeout=60, told=stop)
        assert holder.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^tracseq-migrate dump'"
        ).fetchone() == (0,)
    assert list(Path(dumps.folder).iterdir()) == []
    assert dumps.known() == []
    old, new = (Path(dumps.folder) / f"a-{name}.partial" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"a killed process left it")
    os.utime(old, (0, 0))
    dump_of(dumps, "a", counted=False)
    assert (old.exists(), new.exists()) == (False, True)


def test_the_oldest_go_and_nothing_of_this_run(
    pair_of_databases: PairOfDatabases, kept: Callable[..., PostgresDumps]
) -> None:
    pair = filled(pair_of_databases)
    dumps = kept(pair.dsns)
    old = [dump_of(dumps, "a", by=f"old {number}", counted=False) for number in range(3)]
    of_b = dump_of(dumps, "b", by="old", counted=False)
    step = RealBench({"backup": {"databases": ["a"], "keep": 2}}, pair.dsns, dumps=kept)
    step.there()
    left = [dump.name for dump in dumps.known()]
    assert of_b.name in left
    assert len([dump for dump in dumps.known() if dump.database == "a"]) == 2
    assert not {old[0].name, old[1].name} & set(left)


def test_a_restore_puts_the_objects_back_and_leaves_others(
    pair_of_databases: PairOfDatabases, kept: Callable[..., PostgresDumps]
) -> None:
    pair = filled(pair_of_databases)
    dumps = kept(pair.dsns)
    dump = dump_of(dumps, "a")
    pair.run("a", "DELETE FROM users WHERE id > 10; DROP VIEW v; CREATE TABLE newer (x int)")
    dumps.restore(dump, timeout=120, told=lambda _: None)
    assert pair.rows("a", "SELECT count(*) FROM users") == [(500,)]
    assert pair.rows("a", "SELECT one FROM v") == [(1,)]
    assert pair.rows("a", "SELECT count(*) FROM newer") == [(0,)]
    # It is one transaction: where it cannot be, nothing is changed.
    pair.run("a", "CREATE VIEW on_users AS SELECT * FROM users; DELETE FROM users WHERE id > 10")
    with pytest.raises(StepFailed, match="other objects depend on it"):
        dumps.restore(dump, timeout=120, told=lambda _: None)
    assert pair.rows("a", "SELECT count(*) FROM users") == [(10,)]


def test_too_little_room_is_told_before_anything_is_written(
    pair_of_databases: PairOfDatabases, kept: Callable[..., PostgresDumps], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = filled(pair_of_databases)
    step = RealBench({"backup": {"databases": ["a"]}}, pair.dsns, dumps=kept)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    (concern,) = step.concerns()
    assert concern.verdict == "fail"
    assert "1.0 kB free" in concern.detail
    with pytest.raises(StepFailed, match=r"1\.0 kB free"):
        step.prepare()


def test_a_database_that_cannot_be_asked_is_unknown_and_no_password_is_told(
    pair_of_databases: PairOfDatabases, kept: Callable[..., PostgresDumps]
) -> None:
    wrong: dict[str, Any] = {"a": make_conninfo(pair_of_databases.dsns["a"], password="secret-of-nobody")}
    step = RealBench({"backup": {"databases": ["a"]}}, wrong, dumps=kept)
    (concern,) = step.concerns()
    assert concern.verdict == "unknown"
    assert "secret-of-nobody" not in concern.detail
    with pytest.raises(Unreachable):
        step.prepare()


def test_a_password_is_in_no_argument_of_a_program(
    pair_of_databases: PairOfDatabases, tmp_path: Path
) -> None:
    pair = filled(pair_of_databases)
    seen: list[str] = []

    class Watched(SubprocessCommands):
        def run(self, argv: Any, **more: Any) -> Any:
            seen.extend(argv)
            return super().run(argv, **more)

    dumps = PostgresDumps(pair.dsns, tmp_path / "backups", Watched(tmp_path))
    dump_of(dumps, "a")
    password = pair.dsns["a"].partition("password=")[2].split()[0]
    assert seen
    assert not any(password in word for word in seen)


def test_no_tool_for_a_newer_server_is_told(
    pair_of_databases: PairOfDatabases, kept: Callable[..., PostgresDumps]
) -> None:
    dumps = kept(pair_of_databases.dsns)
    with pytest.raises(StepFailed, match="no pg_dump on this machine knows PostgreSQL 99"):
        dumps._tools(99)
