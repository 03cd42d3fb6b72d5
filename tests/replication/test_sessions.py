"""Sessions on real servers: what they pin, how they end, and what they say when they cannot."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.replication.databases import COMBINATIONS, PairOfDatabases
from tracseq_migrate.adapters.memory.journal import MemoryLease
from tracseq_migrate.adapters.postgres.sessions import PostgresSessions
from tracseq_migrate.operations.guarded import GuardedSessions
from tracseq_migrate.operations.system import Gate
from tracseq_migrate.ports.sql import SqlFailed, Unreachable, transaction


@pytest.mark.parametrize("pair_of_databases", COMBINATIONS[:2], indirect=True)
def test_settings_do_not_depend_on_role_or_database(pair_of_databases: PairOfDatabases) -> None:
    name = pair_of_databases.names["a"]
    settings = (
        "TimeZone = 'Asia/Tokyo'",
        "DateStyle = 'German'",
        "search_path = 'public'",
        "extra_float_digits = -10",
        "bytea_output = 'escape'",
        "statement_timeout = '1ms'",
        "default_transaction_read_only = on",
    )
    with pair_of_databases.superuser("a") as superuser:
        for setting in settings:
            superuser.execute(f"ALTER DATABASE {name} SET {setting}".encode())
    with pair_of_databases.open("a") as session:
        told = session.rows(
            "SELECT now()::timestamptz(0) = now()::text::timestamptz(0), '\\x0a'::bytea::text, 0.1::float8::text"
        )
        assert told == [(True, "\\x0a", "0.1")]
        assert session.rows("SHOW timezone") == [("UTC",)]
        assert session.rows("SHOW search_path") == [("pg_catalog",)]
        assert session.rows("SELECT pg_sleep(0.05)") == [("",)]
        with transaction(session):
            session.execute("CREATE TABLE public.t (x int)")
        assert session.version == pair_of_databases.servers["a"].version


def test_transactions_begin_and_end_where_it_is_said(pair_of_databases: PairOfDatabases) -> None:
    with pair_of_databases.open("a") as session:
        session.execute(
            "CREATE TABLE public.t (x int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO public.t VALUES (1)"
        )
        session.begin("REPEATABLE READ")
        begun = session.in_transaction
        assert begun
        assert session.execute("INSERT INTO public.t SELECT generate_series(2, 4)") == 3
        pair_of_databases.run("a", "INSERT INTO t VALUES (9)")
        assert session.rows("SELECT count(*) FROM public.t") == [(4,)]
        session.rollback()
        session.rollback()
        assert session.rows("SELECT count(*) FROM public.t") == [(2,)]
        with pytest.raises(SqlFailed) as refused, transaction(session):
            session.execute("INSERT INTO public.t VALUES (1)")  # found out by the commit alone
        assert (refused.value.sqlstate, refused.value.table) == ("23505", "t")
        assert not session.in_transaction
        session.begin()
        with pytest.raises(SqlFailed):
            session.rows("SELECT nothing")
        with pytest.raises(SqlFailed) as undone:
            session.commit()
        assert undone.value.sqlstate == "25P02"
        with pytest.raises(SqlFailed) as readonly, transaction(session, read_only=True):
            session.execute("DELETE FROM public.t")
        assert readonly.value.sqlstate == "25006"
        with pytest.raises(ValueError, match="no transaction"):
            session.commit()


def test_rows_travel_as_they_are(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a", "CREATE TABLE t AS SELECT i AS id, repeat('ä', i % 300) AS x FROM generate_series(1, 20000) i"
    )
    pair_of_databases.run("b", "CREATE TABLE t (id int, x text)")
    with pair_of_databases.open("a") as a, pair_of_databases.open("b") as b:
        with a.copy_out("COPY public.t TO STDOUT (FORMAT binary)") as blocks:
            assert b.copy_in("COPY public.t FROM STDIN (FORMAT binary)", blocks) == 20_000
        digest = "SELECT md5(string_agg(id || x, ',' ORDER BY id)) FROM public.t"
        assert a.rows(digest) == b.rows(digest)
        with a.copy_out("COPY (SELECT WHERE false) TO STDOUT (FORMAT binary)") as blocks:
            assert b"".join(bytes(block) for block in blocks).startswith(b"PGCOPY")
        a.begin("REPEATABLE READ", read_only=True)
        assert sum(1 for _ in a.stream("SELECT id FROM public.t WHERE id > $1", [10])) == 19_990
        with a.copy_out("COPY public.t TO STDOUT") as blocks:
            next(blocks)
        a.rollback()
        assert a.rows("SELECT 1") == [(1,)]


def test_who_feeds_a_copy_and_fails_takes_it_back(pair_of_databases: PairOfDatabases) -> None:
    def broken() -> Iterator[bytes]:
        yield b"1\n"
        raise RuntimeError("no more")

    pair_of_databases.run("b", "CREATE TABLE t (id int)")
    with pair_of_databases.open("b") as session:
        with pytest.raises(RuntimeError, match="no more"):
            session.copy_in("COPY public.t FROM STDIN", broken())
        with pytest.raises(SqlFailed) as refused:
            session.copy_in("COPY public.t FROM STDIN", [b"1\n", b"x\n"])
        assert refused.value.sqlstate == "22P02"
        assert session.rows("SELECT count(*) FROM public.t") == [(0,)]


def test_an_error_in_the_middle_of_a_copy_out_is_told(pair_of_databases: PairOfDatabases) -> None:
    with pair_of_databases.open("a") as session:
        with (
            pytest.raises(SqlFailed) as refused,
            session.copy_out(
                "COPY (SELECT 1 / (5000 - i) FROM generate_series(1, 10000) i) TO STDOUT"
            ) as blocks,
        ):
            for _ in blocks:
                pass
        assert refused.value.sqlstate == "22012"
        assert session.rows("SELECT 1") == [(1,)]


def test_a_statement_that_takes_too_long_is_ended_on_the_server_too(
    pair_of_databases: PairOfDatabases,
) -> None:
    with pair_of_databases.open("a") as session, pair_of_databases.open("a") as other:
        with pytest.raises(Unreachable, match=r"not answered within 0\.2 s") as cut:
            session.execute("SELECT pg_sleep(300)", timeout=0.2)
        assert cut.value.sent
        with pytest.raises(Unreachable):
            session.rows("SELECT 1")
        for _ in range(200):
            if not other.rows("SELECT 1 FROM pg_stat_activity WHERE pid = $1", [session.backend_pid]):
                break
            time.sleep(0.05)
        else:
            pytest.fail("it goes on")
    with pair_of_databases.sessions.open("a", purpose="test", timeout=20, patience=0.2) as short:
        with pytest.raises(Unreachable) as also:
            short.rows("SELECT pg_sleep(300)")
        assert not also.value.sent


def test_a_server_that_stands_still_is_cut_off(pair_of_databases: PairOfDatabases) -> None:
    with pair_of_databases.sessions.open("a", purpose="test", timeout=20, patience=0.3) as session:
        pair_of_databases.run("a", "CREATE TABLE t (x int)")
        session.begin()
        session.execute("INSERT INTO public.t VALUES (1)")
        os.kill(session.backend_pid, signal.SIGSTOP)
        try:
            with pytest.raises(Unreachable) as cut:
                session.commit()
            assert cut.value.sent
        finally:
            os.kill(session.backend_pid, signal.SIGCONT)


def test_a_session_that_somebody_ends_is_unreachable(pair_of_databases: PairOfDatabases) -> None:
    with pair_of_databases.open("a") as session, pair_of_databases.superuser("a") as superuser:
        session.begin()
        superuser.execute("SELECT pg_terminate_backend(%s)", (session.backend_pid,))
        with pytest.raises(Unreachable) as lost:
            session.execute("SELECT 1")
        assert not lost.value.sent
        session.rollback()
        session.cancel()
        session.close()
        session.close()


def test_another_thread_may_cancel(pair_of_databases: PairOfDatabases) -> None:
    with pair_of_databases.open("a") as session:
        timer = threading.Timer(0.3, session.cancel)
        timer.start()
        with pytest.raises(SqlFailed) as cancelled:
            session.execute("SELECT pg_sleep(300)")
        timer.join()
        assert cancelled.value.sqlstate == "57014"
        assert session.rows("SELECT 1") == [(1,)]


def test_no_secret_and_no_trace_in_what_cannot_be_opened(pair_of_databases: PairOfDatabases) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    right = pair_of_databases.dsns["a"]
    password = conninfo_to_dict(right)["password"]
    wrong = {
        "password": make_conninfo(right, password="wrong-secret"),
        "name": make_conninfo(right, dbname="nowhere"),
        "port": make_conninfo(right, port=free),
        "text": "postgresql://u:wrong-secret@[",
    }
    sessions = PostgresSessions(wrong)
    for name in (*wrong, "unknown"):
        with pytest.raises(Unreachable) as refused, sessions.open(name, purpose="test", timeout=10):
            pass
        assert "wrong-secret" not in str(refused.value)
        assert str(password) not in str(refused.value)
        assert refused.value.refused is (name == "port")
        assert refused.value.__cause__ is None


def test_the_purpose_shows_at_the_server_and_the_connection_goes_with_the_block(
    pair_of_databases: PairOfDatabases,
) -> None:
    with pair_of_databases.open("b") as watching:
        with pair_of_databases.sessions.open("b", purpose="copy", timeout=20) as session:
            rows = watching.rows(
                "SELECT application_name FROM pg_stat_activity WHERE pid = $1", [session.backend_pid]
            )
            assert rows == [("tracseq-migrate: copy",)]
            session.begin()
            session.rows("SELECT 1")
        for _ in range(200):
            if not watching.rows("SELECT 1 FROM pg_stat_activity WHERE pid = $1", [session.backend_pid]):
                return
            time.sleep(0.05)
        pytest.fail("it is there still")


def test_a_guarded_session_changes_nothing_without_the_lease(pair_of_databases: PairOfDatabases) -> None:
    gate = Gate(MemoryLease())
    with GuardedSessions(pair_of_databases.sessions, gate).open("a", purpose="test", timeout=20) as session:
        assert session.rows("SELECT 1") == [(1,)]
        with transaction(session, read_only=True):
            assert session.rows("SELECT 2") == [(2,)]
        for act in (
            lambda: session.execute("CREATE TABLE public.t (x int)"),
            session.commit,
            lambda: session.copy_in("COPY public.t FROM STDIN", []),
        ):
            with pytest.raises(AssertionError, match="without the lease"):
                act()
        assert session.database == "a"
    assert pair_of_databases.rows("a", "SELECT to_regclass('t') IS NULL") == [(True,)]
