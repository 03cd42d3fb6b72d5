"""Who writes the tables that are to move: everybody whose statement changed them since they follow, noted by the triggers
themselves. Nobody is missed for being quick or rare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, Sessions, SqlFailed
from tracseq_migrate.printable import printable
from tracseq_migrate.replication import capture
from tracseq_migrate.replication.names import literal
from tracseq_migrate.replication.pair import Replication
from tracseq_migrate.step import PreviewLine, assumed, known

OWN = "tracseq-migrate"
"""What the tool's own sessions begin their application name with."""


@frozen
class Writer:
    """One role under one application name, from whatever addresses."""

    role: str
    application: str
    addresses: Sequence[str]
    tables: Sequence[str]
    last: str
    """The last day on which it wrote, in UTC: ``2026-11-24``."""

    def __str__(self) -> str:
        who = printable(self.application) if self.application else "no application name"
        where = ", ".join(self.addresses[:3]) + (" and others" if len(self.addresses) > 3 else "")
        return f"{who} (role {printable(self.role)}, {where}) writes {', '.join(self.tables)}, last on {self.last}"


def writers(session: Session, replication: Replication, side: capture.Side = "a") -> list[Writer]:
    """Of one side, by role and application; empty where nothing is recorded there.

    Raises:
        SqlFailed, Unreachable: it could not be asked.
    """
    noted: dict[tuple[str, str], tuple[set[str], set[str], str]] = {}
    for pair in replication.pairs:
        table = capture.writers_table(replication, pair)
        # One that was made by an earlier version has none.
        if not session.rows(f"SELECT 1 WHERE pg_catalog.to_regclass({literal(table)}) IS NOT NULL"):
            continue
        name = (pair.a if side == "a" else pair.b).name
        for role, application, address, last in session.rows(
            f"SELECT role, application, address, max(day)::text FROM {table} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        ):
            if application.startswith(OWN):
                continue
            addresses, tables, latest = noted.get((role, application), (set(), set(), ""))
            noted[role, application] = (
                addresses | {address or "a local socket"},
                tables | {name},
                max(latest, last),
            )
    return [
        Writer(role, application, sorted(addresses), sorted(tables), last)
        for (role, application), (addresses, tables, last) in sorted(noted.items())
    ]


def outlook(sessions: Sessions, replication: Replication, *, patience: float) -> Iterator[PreviewLine]:
    """What a person should know of the databases before the tables change their owner.

    Raises:
        SqlFailed, Unreachable: a database could not be asked in time.
    """
    for name, side in ((replication.database_a, "a"), (replication.database_b, "b")):
        with sessions.open(name, purpose="preview", timeout=patience, patience=patience) as session:
            if side == "a":
                yield from _written(session, replication)
            yield from _server(session)
    for pair in replication.pairs:
        for edge in pair.edges:
            yield known(f"{edge.table}.{edge.column} refers across the edge ({edge.then}): {edge.reason}")
    yield from _way_back(replication)


def _written(session: Session, replication: Replication) -> Iterator[PreviewLine]:
    found = writers(session, replication)
    for each in found:
        yield known(f"{session.database}: {each}")
    if not found:
        yield assumed(f"{session.database}: nobody has written these tables since they follow")


def _server(session: Session) -> Iterator[PreviewLine]:
    ((commits,),) = session.rows("SELECT pg_catalog.current_setting('synchronous_commit')")
    if commits == "off":
        yield known(
            f"{session.database}: synchronous_commit is off, so that a crash of the server loses what was acknowledged in the"
            " last moment, today as after the cutover; the cutover's own transactions turn it on"
        )
    try:
        standbys = session.rows(
            "SELECT coalesce(application_name, '?'), coalesce(sync_state, '?'), coalesce(state, '?')"
            " FROM pg_catalog.pg_stat_replication WHERE state IS NOT NULL ORDER BY 1"
        )
    except SqlFailed as error:
        yield assumed(f"{session.database}: whether it has standbys could not be asked: {error.message}")
        return
    for name, how, state in standbys:
        yield known(
            f"{session.database}: standby {printable(name)} ({how}, {state}): the fence is waited for there; one that is promoted"
            " without it would take writes on both sides"
        )


def _way_back(replication: Replication) -> Iterator[PreviewLine]:
    for pair in replication.pairs:
        refused = [
            f"{each.name}: {each.why}" if each.why else each.name for each in pair.back if each.refused
        ]
        if not pair.back:
            yield known(
                f"{pair.b.name}: the mapping has no way back; a rollback gives up what is written there"
            )
            continue
        lost = "; ".join(refused)
        yield known(
            f"the way back of {pair.b.name}: {len(pair.back)} columns of {pair.a.name} are written"
            + (f"; rows may have no way back, and are listed before a rollback: {lost}" if lost else "")
        )
