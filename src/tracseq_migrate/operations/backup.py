"""Backups as people meet them: which there are, whether they hold, and putting one back, which loses what came after."""

from __future__ import annotations

from collections.abc import Callable

from tracseq_migrate.errors import (
    CouldNotReach,
    Declined,
    Interrupted,
    NotAllowed,
    Residue,
    StepFailed,
    UsageError,
)
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.operations.driving import holding_lease
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import BackupLine, BackupsView, RestoredView, RestoreTable
from tracseq_migrate.ports import Dump, Session, SqlFailed, Unreachable
from tracseq_migrate.replication.control.tables import installed

_CONNECT = 15.0
_TIME = 6 * 3600.0

_TABLES = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1
"""


def backups(system: System) -> BackupsView:
    """Every backup that there is. Needs no lease, and disturbs nobody."""
    return BackupsView(
        system.header, system.dumps.folder, tuple(_line(system, dump) for dump in system.dumps.known())
    )


def verify(system: System, name: str | None, *, restore: bool, through: str) -> BackupsView:
    """Read a backup back, or all of them; with ``restore``, also into a new database, whose rows are counted.

    Raises:
        UsageError: there is no such backup.
        Locked: ``restore``, and a run is at work.
    """
    chosen = [_named(system, name)] if name else system.dumps.known()
    if not restore:
        return _verified(system, [_examined(system, dump) for dump in chosen])
    with holding_lease(system, timeout=0.0):
        return _verified(system, [_tried_out(system, dump, through or dump.database) for dump in chosen])


def restore(system: System, name: str, *, assume_yes: bool, accept_loss: bool) -> RestoredView:
    """Put a backup's objects back into its database. What is there now is backed up first; what came after is lost.

    Raises:
        UsageError: there is no such backup.
        NotAllowed: it does not hold what it should, a replication keeps rows there, or nobody said that the loss is accepted.
        CouldNotReach: the database could not be asked. Nothing was changed.
        Declined: a person said no.
        Locked: a run is at work.
        Residue: it is not known whether it came about.
    """
    dump = _named(system, name)
    again = system.type_this(f"backup restore {name} --accept-loss --yes")
    try:
        system.dumps.examine(dump, timeout=_TIME)
    except StepFailed as error:
        raise NotAllowed(
            error.message, hint=f"`{system.type_this('backup list')}` names the others."
        ) from error
    tables = _would_lose(system, dump)
    worded = _worded(dump, tables)
    if not accept_loss:
        raise NotAllowed(f"restoring {name} loses {worded}", hint=f"Where that is meant: `{again}`")
    if not assume_yes:
        if not system.asker.present:
            raise NotAllowed("nobody is here to be asked", hint=f"`{again}`")
        if not system.asker.confirm(f"Put {name} back into {dump.database}? That loses {worded}."):
            raise Declined(
                f"declined: {dump.database} stays as it is", hint=f"`{system.type_this('backup list')}`"
            )
    with holding_lease(system, timeout=0.0):
        return _restored(system, dump, tables)


def _restored(system: System, dump: Dump, tables: tuple[RestoreTable, ...]) -> RestoredView:
    ledger = Ledger(system)
    told = _stopper(system)
    try:
        present = system.dumps.dump(
            dump.database, by=f"before restore of {dump.name}", counted=False, timeout=_TIME, told=told
        )
        system.dumps.examine(present, timeout=_TIME)
    except (StepFailed, Unreachable, SqlFailed) as error:
        raise CouldNotReach(f"what is there now could not be backed up first: {error}") from error
    began = system.clock.monotonic()
    person = system.identity.whoami()
    ledger.append(v.backup_restoring(dump, present.name, person=person, command=system.command))
    try:
        # No stopper from here on: it is one transaction, which comes about or does not.
        system.dumps.restore(dump, timeout=_TIME, told=lambda _: None)
    except StepFailed as error:
        raise CouldNotReach(
            f"{dump.name} was not restored: {error.message}",
            state=f"It is one transaction: {dump.database} is as it was.",
            hint=error.hint,
        ) from error
    except (Unreachable, SqlFailed) as error:
        raise Residue(
            f"it is not known whether {dump.name} was restored: {error}",
            hint=f"Look at {dump.database}. What was there before is in {present.name}.",
        ) from error
    ledger.append(v.backup_restored(dump, present.name, person=person, command=system.command))
    return RestoredView(
        system.header,
        dump.name,
        dump.database,
        present.name,
        tables,
        system.clock.monotonic() - began,
        system.type_this("verify"),
    )


def _stopper(system: System) -> Callable[[int], None]:
    def told(_: int) -> None:
        if system.interrupt.requested:
            raise Interrupted(
                system.interrupt.requested, state="Nothing was changed: it was still backing up."
            )

    return told


def _would_lose(system: System, dump: Dump) -> tuple[RestoreTable, ...]:
    """The rows of each table now and in the backup, as far as they were counted there."""
    try:
        with system.free_sessions.open(
            dump.database, purpose="restore", timeout=_CONNECT, patience=600.0
        ) as session:
            if installed(session):
                raise NotAllowed(
                    f"a replication goes on in {dump.database}: a restore would tear its two sides apart",
                    hint=f"Roll its week back first; `{system.type_this('status')}` names it.",
                )
            return tuple(RestoreTable(name, now, dump.rows.get(name)) for name, now in _counts(session))
    except (Unreachable, SqlFailed) as error:
        raise CouldNotReach(str(error)) from error


def _counts(session: Session) -> list[tuple[str, int]]:
    names = [str(name) for (name,) in session.rows(_TABLES)]
    return [
        (name, int(session.rows(f"SELECT count(*) FROM ONLY {name}")[0][0]))  # noqa: S608 - the catalog quoted it
        for name in names
    ]


def _worded(dump: Dump, tables: tuple[RestoreTable, ...]) -> str:
    more = [
        f"{table.name}: {table.rows_now:,} rows now, {table.rows_then:,} in the backup"
        for table in tables
        if table.rows_then is not None and table.rows_then != table.rows_now
    ]
    since = f"every change of {dump.database} since {dump.at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{since} ({'; '.join(more[:10])})" if more else since


def _named(system: System, name: str) -> Dump:
    known = {dump.name: dump for dump in system.dumps.known()}
    if name not in known:
        raise UsageError(
            f"{system.dumps.folder} has no backup {name}",
            hint=f"`{system.type_this('backup list')}` names them.",
        )
    return known[name]


def _verified(system: System, lines: list[BackupLine]) -> BackupsView:
    return BackupsView(system.header, system.dumps.folder, tuple(lines), verified=True)


def _line(system: System, dump: Dump, verdict: str = "", detail: str = "") -> BackupLine:
    return BackupLine(
        dump.name,
        dump.database,
        dump.at,
        dump.bytes,
        dump.server,
        dump.by,
        sum(dump.rows.values()),
        verdict,
        detail,
    )


def _examined(system: System, dump: Dump) -> BackupLine:
    try:
        tables = system.dumps.examine(dump, timeout=_TIME)
    except StepFailed as error:
        return _line(system, dump, "fail", error.message)
    return _line(system, dump, "pass", f"as it was written, {len(tables)} tables")


def _tried_out(system: System, dump: Dump, through: str) -> BackupLine:
    seen = _examined(system, dump)
    if seen.verdict != "pass":
        return seen
    try:
        rows = system.dumps.try_out(dump, through=through, timeout=_TIME, told=_stopper(system))
    except StepFailed as error:
        return _line(system, dump, "fail", error.message)
    except (Unreachable, SqlFailed) as error:
        return _line(system, dump, "unknown", str(error))
    if dump.rows and rows != dict(dump.rows):
        return _line(system, dump, "fail", "restored, its tables have other rows than were backed up")
    counted = "as many as were backed up" if dump.rows else "which nobody had counted before"
    return _line(
        system, dump, "pass", f"restored into a new database: {sum(rows.values()):,} rows, {counted}"
    )
