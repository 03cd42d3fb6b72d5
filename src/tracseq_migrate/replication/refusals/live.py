"""What only the running servers can tell: who holds locks, what may be done with sequences, which rows B has already."""

from __future__ import annotations

from collections.abc import Iterator

from tracseq_migrate.ports.sql import Session, SqlFailed
from tracseq_migrate.printable import printable
from tracseq_migrate.replication.catalog.model import Catalog
from tracseq_migrate.replication.names import SCHEMA, literal, ours, quoted
from tracseq_migrate.replication.pair import Pair, Replication
from tracseq_migrate.replication.refusals.refusal import Refusal, Voice

LONG = 30
"""Seconds from which on a transaction is called long."""
_SAMPLES = 5

# What ROW EXCLUSIVE and the stronger locks are to CREATE TRIGGER. Autovacuum gives way by itself.
_LOCKS = """
SELECT DISTINCT ON (c.relname, k.pid, k.virtualtransaction) n.nspname::text, c.relname::text, k.pid, k.mode,
       p.gid, p.owner::text, extract(epoch FROM clock_timestamp() - p.prepared)::bigint,
       a.usename::text, a.application_name, a.client_addr::text, a.state,
       extract(epoch FROM clock_timestamp() - a.xact_start)::bigint
FROM pg_locks k
JOIN pg_class c ON c.oid = k.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_activity a ON a.pid = k.pid
LEFT JOIN pg_locks x ON k.pid IS NULL AND x.pid IS NULL AND x.virtualtransaction = k.virtualtransaction
    AND x.locktype = 'transactionid' AND x.mode = 'ExclusiveLock' AND x.granted
LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
WHERE k.granted AND k.locktype = 'relation' AND k.relation = ANY($1::oid[])
  AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND k.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                 'AccessExclusiveLock')
  AND k.pid IS DISTINCT FROM pg_backend_pid()
  AND NOT (k.mode = 'ShareUpdateExclusiveLock' AND a.usesysid IS NULL AND k.pid IS NOT NULL)
  AND coalesce(a.application_name, '') NOT LIKE 'tracseq-migrate%'
ORDER BY c.relname, k.pid, k.virtualtransaction, k.mode
"""


def refused(voice: Voice, replication: Replication, catalog: Catalog, session: Session) -> Iterator[Refusal]:
    """Of one side."""
    if catalog.replica:
        return
    try:
        yield from _locks(voice, replication, catalog, session)
        yield from _schema(voice, catalog, session)
        yield from _sequences(voice, replication, catalog, session)
    except SqlFailed as error:
        yield voice.unknown(
            "not-answered", "the database", f"it refused a question about itself: {error.message}", _ROLE
        )


def in_the_way(
    voice: Voice, replication: Replication, catalog: Catalog, session: Session
) -> Iterator[Refusal]:
    """Of one side: prepared and long transactions that hold its tables, and nothing else."""
    if catalog.replica:
        return
    try:
        yield from _locks(voice, replication, catalog, session)
    except SqlFailed as error:
        yield voice.unknown(
            "not-answered", "the database", f"it refused a question about itself: {error.message}", _ROLE
        )


_ROLE = "use a role that may read the catalog, as every role may by default"


def _locks(voice: Voice, replication: Replication, catalog: Catalog, session: Session) -> Iterator[Refusal]:
    compiled = [pair.a if voice.side == "a" else pair.b for pair in replication.pairs]
    present = [catalog.tables[each.name] for each in compiled if each.name in catalog.tables]
    relations = {each.relation for each in present} | {leaf for each in present for leaf in each.partitions}
    oids = ",".join(str(each.oid) for each in catalog.tables.values() if each.relation in relations)
    for (
        schema,
        table,
        pid,
        mode,
        gid,
        owner,
        prepared,
        role,
        application,
        address,
        state,
        seconds,
    ) in session.rows(_LOCKS, ["{" + oids + "}"]):
        name = table if schema == "public" else f"{schema}.{table}"
        if pid is None:
            who = (
                f"the prepared transaction {printable(str(gid))} of {owner}, {prepared} s old,"
                if gid
                else "a prepared one"
            )
            yield voice.refuse(
                "prepared-transaction",
                name,
                f"{who} holds a lock on it ({mode}) that no disconnect frees: no trigger can be made meanwhile",
                f"COMMIT PREPARED {literal(str(gid)).strip()}; or ROLLBACK PREPARED {literal(str(gid)).strip()};"
                if gid
                else "end it: pg_prepared_xacts lists them",
            )
            continue
        if seconds is not None and seconds < LONG:
            continue  # it passes by itself; the step waits for it
        shown = f"{printable(str(role or '?'))}, {printable(str(application or 'no application name'))}"
        where = f"{shown} at {address or 'a local socket'}, {state or 'state not to be seen'}"
        age = (
            f"for {seconds} s"
            if seconds is not None
            else "since when is not to be seen with this role's rights"
        )
        speak = voice.refuse if seconds is not None else voice.note
        yield speak(
            "long-transaction",
            name,
            f"backend {pid} ({where}) has written to it in a transaction that is open {age}: making triggers waits for it, and"
            " other writers behind that",
            f"SELECT pg_terminate_backend({pid}); or let it end",
        )


def _schema(voice: Voice, catalog: Catalog, session: Session) -> Iterator[Refusal]:
    rows = session.rows(
        "SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace"
        " WHERE nspname = $1 AND NOT has_schema_privilege(oid, 'CREATE')",
        [SCHEMA],
    )
    for (owner,) in rows:
        yield voice.refuse(
            "rights",
            "the database",
            f"its schema {SCHEMA} belongs to {owner}, and {catalog.role} may not make anything in it",
            f"GRANT {quoted(owner)} TO {quoted(catalog.role)}; or let the environment file name the role {owner}",
        )


def _sequences(
    voice: Voice, replication: Replication, catalog: Catalog, session: Session
) -> Iterator[Refusal]:
    names = {
        column.sequence
        for pair in replication.pairs
        for column in (pair.a if voice.side == "a" else pair.b).columns
        if column.sequence in catalog.sequences and catalog.sequences[column.sequence].readable
    }
    for (name,) in session.rows(
        "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL"
        " AND NOT has_sequence_privilege(to_regclass(name), 'UPDATE') ORDER BY name",
        [sorted(names)],
    ):
        yield voice.refuse(
            "rights",
            name,
            f"the role {catalog.role} may not set this sequence, and it must go on above the highest number of both sides",
            f"GRANT UPDATE ON SEQUENCE {name} TO {quoted(catalog.role)};",
        )


def unexplained(replication: Replication, catalog: Catalog, session: Session) -> Iterator[Refusal]:
    """Rows of B that no ``seeded`` entry accounts for; no question any more once the copy has begun."""
    voice = Voice("b", catalog.database)
    try:
        if _begun(replication, session):
            return
        for pair in replication.pairs:
            table = catalog.tables.get(pair.b.name)
            if (
                table is None
                or "SELECT" not in table.rights
                or table.kind not in ("table", "partitioned")
                or table.hidden
            ):
                continue
            yield from _unexplained(voice, pair, session)
    except SqlFailed as error:
        yield voice.unknown(
            "not-answered", "the database", f"its rows could not be looked at: {error.message}", _ROLE
        )


def is_there(session: Session, name: str) -> bool:
    """Whether the tool has a table of this name here, be its schema open to this role or not."""
    ((there,),) = session.rows(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = $1 AND c.relname = $2)",
        [SCHEMA, name],
    )
    return bool(there)


def _begun(replication: Replication, session: Session) -> bool:
    return is_there(session, "chunk") and bool(
        session.rows(f"SELECT 1 FROM {ours('chunk')} WHERE replication = $1 LIMIT 1", [replication.name])
    )


def _unexplained(voice: Voice, pair: Pair, session: Session) -> Iterator[Refusal]:
    known = "".join(f" AND NOT coalesce(({each.match}), false)" for each in pair.seeded)
    condition = (f"({pair.where_b})" if pair.where_b else "true") + known
    key = " || ', ' || ".join(f"coalesce(b.{quoted(name)}::text, 'null')" for name in pair.key_b)
    sampled = session.rows(
        f"SELECT {key}, count(*) OVER () FROM {pair.b.relation} AS b WHERE {condition}"
        f" ORDER BY 1 LIMIT {_SAMPLES}"
    )
    if not sampled:
        return
    count = sampled[0][1]
    samples = ", ".join(printable(str(row[0])) for row in sampled)
    yield voice.refuse(
        "not-empty",
        pair.b.name,
        f"it has {count} {'row' if count == 1 else 'rows'} that nothing in the mapping accounts for"
        f" ({', '.join(pair.key_b)}: {samples}{', …' if count > len(sampled) else ''})",
        f"say under `seeded:` of {pair.b.name} what becomes of them (keep or replace), or delete them",
    )
