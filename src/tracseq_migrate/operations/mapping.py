"""``mapping``: a first mapping of two tables, and mappings held against the live databases. Changes nothing there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tracseq_migrate.document import did_you_mean, shown
from tracseq_migrate.errors import CouldNotReach, Finding, InvalidInput, UsageError
from tracseq_migrate.frozen import frozen
from tracseq_migrate.operations.system import PROGRAM, System
from tracseq_migrate.operations.views import FindingLine, MappedTable, MappingCheckView, MappingDraftView
from tracseq_migrate.ports import SqlFailed, Unreachable
from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication.catalog.model import Catalog, Table
from tracseq_migrate.replication.catalog.reading import read as read_catalog
from tracseq_migrate.replication.opening import CONNECT, name_of
from tracseq_migrate.replication.pair import Pair, Replication

_PATIENCE = 60.0
"""Seconds that one question to a database may take."""


@frozen
class Asked:
    """A mapping file, and the databases that it is between."""

    file: str
    text: bytes
    database_a: str
    database_b: str


def draft(system: System, *, source: str, target: str, output: Path | None) -> MappingDraftView:
    """A first mapping of two tables, written to a new file where one is named.

    Args:
        source: the table that moves, with its database: ``main.users``, ``main.lab.users``.
        target: the table that it becomes.

    Raises:
        UsageError: there is no such database or table, or the file is there already.
        CouldNotReach: a database cannot be asked.
    """
    from tracseq_migrate.replication.mapping.drafting import MARK
    from tracseq_migrate.replication.mapping.drafting import draft as drafted

    if output is not None and system.files.exists(output):
        raise UsageError(f"{output} is there already", hint="Name another file, or take this one away.")
    (database_a, name_a), (database_b, name_b) = _split(system, source), _split(system, target)
    with _both(system, database_a, database_b) as (a, b):
        catalog_a, catalog_b = read_catalog(a), read_catalog(b)
        table_a = _table(catalog_a, database_a, name_a)
        table_b = _table(catalog_b, database_b, name_b)
        [(seeded,)] = b.rows(f"SELECT count(*) FROM {table_b.relation}")  # noqa: S608 - quoted by the catalog
    text = drafted(table_a, table_b, catalog_a, catalog_b, seeded=int(seeded))
    if output is not None:
        system.files.write(output, text.encode())
    options = f" {system.options}" if system.options else ""
    check = (
        f"{PROGRAM}{options} mapping check {output} --from {database_a} --to {database_b}" if output else ""
    )
    questions = sum(1 for line in text.splitlines() if f"# {MARK}:" in line)
    return MappingDraftView(str(output or ""), text, questions, check)


def check(
    system: System, *, file: Path | None, source: str | None, target: str | None
) -> tuple[MappingCheckView, list[Finding]]:
    """Mappings against both live databases: one file, or those of all plans.

    Raises:
        UsageError: the arguments make no sense together, or there is no mapping.
        CouldNotReach: a database cannot be asked.
    """
    findings: list[Finding] = []
    tables: list[MappedTable] = []
    asked = _asked(system, file, source, target)
    for each in asked:
        with _both(system, each.database_a, each.database_b) as (a, b):
            try:
                replication, found = _held_against(each, a, b)
            except InvalidInput as error:
                findings += error.findings
                continue
            findings += found
            tables += [_mapped(each, replication, pair) for pair in replication.pairs]
    lines = [FindingLine(f.file, f.line, f.column, f.message, f.remedy) for f in sorted(findings)]
    return MappingCheckView([each.file for each in asked], lines, (), tables), findings


def _held_against(asked: Asked, a: Session, b: Session) -> tuple[Replication, list[Finding]]:
    from tracseq_migrate.replication.mapping import compile_mapping, read
    from tracseq_migrate.replication.mapping.trying import try_mapping

    source = read(asked.text, asked.file)
    catalog_a, catalog_b = read_catalog(a), read_catalog(b)
    # Once the tool is at work over there, indexes and constraints of B may be put away for the time being.
    resumed = bool(catalog_b.ours)
    replication = compile_mapping(name_of(asked.file), source, catalog_a, catalog_b, resumed=resumed)
    return replication, try_mapping(source, replication, a, b)


def _mapped(asked: Asked, replication: Replication, pair: Pair) -> MappedTable:
    return MappedTable(
        mapping=replication.name,
        table=pair.name,
        origin=f"{asked.database_a}.{pair.a.name}",
        target=f"{asked.database_b}.{pair.b.name}",
        columns=len(pair.columns),
        kept=pair.kept,
        forward_only=[each.name for each in pair.columns if each.forward_only],
        refused=[f"{each.name}: {each.why or 'see the mapping'}" for each in pair.back if each.refused],
        way_back=pair.final,
    )


def _asked(system: System, file: Path | None, source: str | None, target: str | None) -> list[Asked]:
    from tracseq_migrate.steps.replicate import ReplicateStep

    if file is not None:
        if source is None or target is None:
            raise UsageError(
                "a mapping file does not say between which databases it is", hint="Add --from and --to."
            )
        for name in (source, target):
            _known(system, name)
        try:
            body = system.files.read(file)
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
        return [Asked(shown(file.absolute()), body, source, target)]
    if source is not None or target is not None:
        raise UsageError(
            "--from and --to need a mapping file", hint="Without one, the mappings of all plans are checked."
        )
    found: dict[tuple[str, str, str], Asked] = {}
    for plan in map(system.shelf.find, system.shelf.names()):
        for entry in plan.steps:
            if isinstance(entry.step, ReplicateStep):
                step = entry.step
                for named in step.reads():
                    held = plan.texts.get(named.name)
                    if held is not None:
                        found[named.name, step.from_, step.to] = Asked(
                            named.name, held.encode(), step.from_, step.to
                        )
    if not found:
        raise UsageError(
            "no plan has a replicate step, so there is no mapping to check",
            hint=f"`{PROGRAM} mapping check FILE --from main --to auth` checks one file.",
        )
    return list(found.values())


def _split(system: System, given: str) -> tuple[str, str]:
    database, dot, table = given.partition(".")
    if not dot or not table:
        raise UsageError(f"'{given}' names no table of a database", hint="Such as main.users.")
    _known(system, database)
    return database, table.removeprefix("public.")


def _known(system: System, database: str) -> None:
    if database not in system.sessions.names:
        near = did_you_mean(database, system.sessions.names, what="databases")
        raise UsageError(
            f"the environment has no database '{database}'", hint=f"{near[:1].upper()}{near[1:]}"
        )


def _table(catalog: Catalog, database: str, name: str) -> Table:
    table = catalog.tables.get(name)
    if table is None:
        near = did_you_mean(name, catalog.tables, what="tables")
        raise UsageError(
            f"the database '{database}' has no table '{name}'", hint=f"{near[:1].upper()}{near[1:]}"
        )
    return table


@contextmanager
def _both(system: System, database_a: str, database_b: str) -> Iterator[tuple[Session, Session]]:
    with ExitStack() as stack:
        try:
            a, b = (
                stack.enter_context(
                    system.free_sessions.open(name, purpose="mapping", timeout=CONNECT, patience=_PATIENCE)
                )
                for name in (database_a, database_b)
            )
            yield a, b
        except (Unreachable, SqlFailed) as error:
            raise CouldNotReach(
                str(error), hint=f"`{PROGRAM} status` shows what the environment can reach."
            ) from error


__all__ = ["check", "draft"]
