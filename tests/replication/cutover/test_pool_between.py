"""A pool that hands out transactions: the application may be behind one, and the tool says that it must not be."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.replication.cutover.lab import Door, moved, opened, writing, wrong
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.adapters.postgres.sessions import PostgresSessions
from tracseq_migrate.ports import Unreachable
from tracseq_migrate.replication.cutover import cut_over

_POOL = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")

pytestmark = pytest.mark.skipif(_POOL is None, reason="pgbouncer is not installed")


@pytest.fixture
def pooled(pair_of_databases: PairOfDatabases, tmp_path: Path) -> Iterator[PairOfDatabases]:
    """The same two databases, behind a pool in transaction mode with fewer connections than there are people."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    lines = ["[databases]"]
    for side, dsn in pair_of_databases.dsns.items():
        lines.append(f"{side} = {make_conninfo('', **_needed(dsn))}")
    lines += [
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = any",
        "pool_mode = transaction",
        "default_pool_size = 2",
    ]
    settings = tmp_path / "pgbouncer.ini"
    settings.write_text("\n".join(lines) + "\n")
    settings.chmod(0o600)
    # It does not run as root, and reads its settings before it becomes somebody else.
    who = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([str(_POOL), "-q", *who, str(settings)], stderr=subprocess.DEVNULL)
    dsns = {side: f"host=127.0.0.1 port={port} dbname={side} user=anybody" for side in pair_of_databases.dsns}
    try:
        for _ in range(100):
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(dsns["a"], autocommit=True).close()
                break
            time.sleep(0.05)
        yield replace(pair_of_databases, dsns=dsns)
    finally:
        process.terminate()
        process.wait(10)


def _needed(dsn: str) -> dict[str, str]:
    parts = conninfo_to_dict(dsn)
    return {
        name: str(parts[name]) for name in ("host", "port", "dbname", "user", "password") if parts.get(name)
    }


def test_the_tool_says_that_a_pool_stands_in_between(pooled: PairOfDatabases) -> None:
    with (
        pytest.raises(Unreachable, match="a connection pooler stands in between"),
        PostgresSessions(pooled.dsns).open("a", purpose="look", timeout=5.0),
    ):
        raise AssertionError("it was taken for the server")


def test_people_behind_a_pool_lose_nothing(
    pair_of_databases: PairOfDatabases, pooled: PairOfDatabases
) -> None:
    pair = pair_of_databases
    one, door = moved(pair), Door()
    with writing(pooled, door) as writers:
        cut_over(pair.sessions, [one], "forward", door, by="the test")
        writers.until(100)
        door.over = "a"
        cut_over(pair.sessions, [opened(pair.sessions)], "back", door, by="the test")
    assert wrong(pair, writers, "a") == []
    assert writers.refused == []
