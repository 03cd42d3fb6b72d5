"""Who stands in the way of a lock."""

from __future__ import annotations

from tracseq_migrate.ports.sql import Session, SqlFailed, Unreachable
from tracseq_migrate.printable import printable


def blockers(session: Session) -> str:
    """The oldest open transactions of this database, the prepared ones among them, in words; empty where there are none, or where
    it cannot be asked."""
    try:
        rows = session.rows(
            "SELECT a.pid, coalesce(a.usename::text, '?'), coalesce(nullif(a.application_name, ''), '?'),"
            " coalesce(a.client_addr::text, 'a local socket'), coalesce(a.state, '?'),"
            " extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::bigint"
            " FROM pg_catalog.pg_stat_activity a"
            " WHERE a.datname = pg_catalog.current_database() AND a.xact_start IS NOT NULL"
            " AND a.pid <> pg_catalog.pg_backend_pid() ORDER BY a.xact_start LIMIT 5"
        )
        prepared = session.rows(
            "SELECT pg_catalog.quote_literal(gid), owner::text,"
            " extract(epoch FROM pg_catalog.clock_timestamp() - prepared)::bigint"
            " FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() ORDER BY prepared LIMIT 5"
        )
    except (SqlFailed, Unreachable):
        return ""
    said = []
    if prepared:
        # No disconnect ends one, and nothing in pg_stat_activity tells of it.
        named = "; ".join(
            f"{printable(str(gid))} of {printable(str(owner))}, for {seconds} s"
            for gid, owner, seconds in prepared
        )
        said.append(
            f"Prepared transactions there: {named}. They end by COMMIT PREPARED or ROLLBACK PREPARED."
        )
    if not rows:
        return " ".join(said)
    named = "; ".join(
        f"backend {pid} ({printable(str(application))}, {printable(str(role))} at {address}, {state}, for {seconds} s)"
        for pid, role, application, address, state, seconds in rows
    )
    return " ".join(
        (f"Open transactions there: {named}. They are ended by pg_terminate_backend(pid).", *said)
    )
