"""Kind ``sql``: the schema scripts of a database, each deployed in one transaction with the row that says so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tracseq_migrate.duration import Duration
from tracseq_migrate.errors import Finding, StepFailed
from tracseq_migrate.ports import Route, Session, SqlFailed, Unreachable
from tracseq_migrate.ports.founding import Foundation
from tracseq_migrate.step import (
    BY_HAND,
    NO_HANDS,
    Adopted,
    BrokenOff,
    Concern,
    Done,
    Evidence,
    Found,
    Hands,
    Loss,
    LossRefused,
    NamedText,
    Preview,
    PreviewLine,
    Probed,
    Step,
    StepContext,
    Text,
    Undo,
    Uses,
    WaitingOn,
    known,
    unknowable,
)

if TYPE_CHECKING:
    from tracseq_migrate.schema_scripts.deploying import Work
    from tracseq_migrate.schema_scripts.parsing import Script
    from tracseq_migrate.schema_scripts.registry import Row

_CONNECT = 10.0
_LOOK = 30.0
_MOST_LOSSES = 10_000

DatabaseName = Annotated[str, StringConstraints(min_length=1)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[^\x00]+$")]


class Creation(BaseModel):
    """By whose connection the database, and the role in its connection string, are made where they are missing."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    through: DatabaseName
    """A database of the environment whose role may make roles and databases."""


class SqlStep(Step):
    """Deploys the scripts of a folder, in order, and sees each; going back takes back those that this run deployed."""

    kind: ClassVar[str] = "sql"
    summary: ClassVar[str] = (
        "Deploys the schema scripts of a database, each in one transaction with its row in the registry."
    )
    default_timeout: ClassVar[float] = 900.0

    database: DatabaseName
    scripts: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """The folder of NNN-name.sql files, looked for beside the plan."""
    create: Creation | None = None
    """Make the database and its role first, where they are missing."""
    search_path: tuple[Identifier, ...] = Field(default=("public",), min_length=1, strict=False)
    """What names without a schema mean in the scripts."""
    lock_timeout: Duration = 2.0
    """How long a lock is waited for at a time, in seconds: whoever comes later waits behind it as long."""

    @property
    def title(self) -> str:
        return f"deploy {self.scripts} in {self.database}"

    def uses(self) -> Uses:
        through = {self.create.through} if self.create else set()
        return Uses(databases=frozenset({self.database, *through}))

    def reads(self) -> Sequence[NamedText]:
        return (NamedText(("scripts",), self.scripts, ".sql"),)

    def examine(self, texts: Mapping[str, Text]) -> list[Finding]:
        from tracseq_migrate.schema_scripts.parsing import read_scripts

        return read_scripts(
            {name.rpartition("/")[2]: (text.file, text.body) for name, text in texts.items()}
        )[1]

    def findings(self) -> list[str]:
        if self.create and self.create.through == self.database:
            return ["a database that is to be made cannot be made through itself"]
        return []

    def touches(self) -> frozenset[str]:
        return frozenset({f"database:{self.database}"})

    def concerns(self, ctx: StepContext) -> list[Concern]:
        question = f"{self.scripts} can be deployed in {self.database}"
        try:
            missing = self._missing(ctx)
            if missing is not None:
                if missing.may:
                    return [
                        Concern(
                            question,
                            "fail",
                            f"{missing.name} is to be made through {self._through}, but {missing.may}",
                            "Grant that, or make the database by hand.",
                        )
                    ]
                return []
            with self._open(ctx, "preflight", _LOOK) as session:
                return self._unfit(ctx, session, question)
        except (Unreachable, SqlFailed) as error:
            return [Concern(question, "unknown", str(error))]

    def _unfit(self, ctx: StepContext, session: Session, question: str) -> list[Concern]:
        from tracseq_migrate.schema_scripts import registry

        ((standby, may, database, role),) = session.rows(
            "SELECT pg_catalog.pg_is_in_recovery(),"
            " pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),"
            " pg_catalog.quote_ident(pg_catalog.current_database()), pg_catalog.quote_ident(current_user)"
        )
        if standby:
            remedy = "Name the primary in the environment file."
            return [Concern(question, "fail", f"{session.what} is a standby, which takes no writes", remedy)]
        if not may and not registry.there(session):
            return [
                Concern(
                    question,
                    "fail",
                    f"{session.what}: the role may not make a schema there, which the registry needs",
                    f"Type, as the database's owner: GRANT CREATE ON DATABASE {database} TO {role};",
                )
            ]
        why = registry.drifted(registry.read(session, self.scripts), self._read(ctx))
        remedy = "Put the file back as it was, and write the change as a script of its own."
        return [Concern(question, "fail", why, remedy)] if why else []

    def preview(self, ctx: StepContext, *, offline: bool) -> Preview:
        scripts = self._read(ctx)
        if offline:
            lines = [known(_told(script)) for script in scripts]
            return Preview((*lines, unknowable(f"which of them {self.database} has already")), changes=True)
        try:
            missing = self._missing(ctx)
            there = set() if missing else {row.name for row in self._deployed(ctx)}
        except (Unreachable, SqlFailed) as error:
            return Preview((*(known(_told(each)) for each in scripts), unknowable(str(error))), changes=True)
        lines = self._made_first(missing)
        for script in scripts:
            lines.append(known(f"{script.name} is there" if script.name in there else _told(script)))
        return Preview(tuple(lines), changes=any(script.name not in there for script in scripts))

    def _made_first(self, missing: Foundation | None) -> list[PreviewLine]:
        if missing is None:
            return []
        role = "" if missing.role_there else f", and its role {missing.role}"
        return [known(f"makes database {missing.name}{role} through {self._through}")]

    def prepare(self, ctx: StepContext) -> Undo:
        missing = self._missing(ctx)
        return {
            "deployed": [] if missing else [row.name for row in self._deployed(ctx)],
            "made_database": missing is not None,
            "made_role": missing is not None and not missing.role_there,
        }

    def apply(self, ctx: StepContext, undo: Undo) -> Done | WaitingOn:
        seen = []
        if self.create and undo.get("made_database"):
            before = ctx.founding.found(
                self.database, through=self.create.through, timeout=ctx.remaining(120.0)
            )
            if not before.name_there:
                seen.append(Evidence(f"database {before.name} was made, owned by {before.role}"))
        with self._working(ctx) as work:
            done = work.deploy(self._read(ctx))
        if done:
            seen.append(Evidence(f"{_count(len(done))} deployed: {', '.join(done)}", {"scripts": done}))
        return Done(tuple(seen))

    def verify(self, ctx: StepContext) -> list[Evidence]:
        from tracseq_migrate.schema_scripts import registry

        scripts = self._read(ctx)
        with self._working(ctx) as work:
            rows = registry.read(work.session, self.scripts)
            registry.refuse_drift(work.session, rows, scripts)
            missing = [script.name for script in scripts if script.name not in {row.name for row in rows}]
            if missing:
                raise StepFailed(f"{work.session.what}: not deployed: {', '.join(missing)}")
            for script in scripts:
                work.see(script)
        sums = {script.name: script.checksum for script in scripts}
        return [
            Evidence(
                f"{_count(len(scripts))} of {self.scripts} in force in {self.database}", {"scripts": sums}
            )
        ]

    def probe(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> Probed:
        try:
            if undo.get("made_database") and self._missing(ctx) is not None:
                return Probed(Found.NOT_DONE, "the database is not there")
            names = {row.name for row in self._deployed(ctx)} - set(undo.get("deployed", ()))
        except (Unreachable, SqlFailed, StepFailed) as error:
            return Probed(Found.UNKNOWN, str(error))
        wanted = {script.name for script in self._read(ctx)} - set(undo.get("deployed", ()))
        if wanted <= names:
            return Probed(Found.DONE, f"{_count(len(wanted))} deployed")
        if not names and not undo.get("made_database"):
            return Probed(Found.NOT_DONE, "none of its scripts is deployed")
        return Probed(
            Found.PARTLY, f"{len(names)} of {_count(len(wanted))} deployed; it goes on with the next one"
        )

    def adopt(self, ctx: StepContext) -> Adopted:
        try:
            if self._missing(ctx) is not None:
                return Adopted(Found.NOT_DONE, "the database is not there")
            rows = self._deployed(ctx)
            if not rows:
                return Adopted(Found.NOT_DONE, f"no script of {self.scripts} is deployed in {self.database}")
            evidence = tuple(self.verify(ctx))
        except (Unreachable, SqlFailed) as error:
            return Adopted(Found.UNKNOWN, str(error))
        except StepFailed as error:
            return Adopted(Found.PARTLY, error.message)
        undo = {"deployed": [], "made_database": False, "made_role": False}
        unsure = (
            "all of its scripts are taken for this week's",
            *(("the database is taken for one that was there before",) if self.create else ()),
        )
        return Adopted(Found.DONE, evidence[0].text, undo, unsure, evidence)

    def losses(self, ctx: StepContext, undo: Undo) -> list[Loss]:
        """Rows in tables that would go, where they are not as the scripts left them.

        While a replication keeps rows there, it answers for them; what it leaves behind, `revert` refuses to drop.
        """
        from tracseq_migrate.replication.control.tables import installed
        from tracseq_migrate.schema_scripts import registry

        if undo.get("made_database") and self._missing(ctx) is not None:
            return []
        with self._open(ctx, "look", ctx.remaining(300.0)) as session:
            if installed(session):
                return []
            rows = registry.read(session, self.scripts)
            keep = set(undo.get("deployed", ()))
            left = registry.left_by_scripts(rows)
            here = set(registry.tables(session).values())
            going = [name for row in rows if row.name not in keep for name in row.made if name in here]
            changed = [name for name in going if registry.state(session, name) != left[name]]
            return _losses(session, self.database, changed)

    def revert(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> list[Evidence]:
        from tracseq_migrate.schema_scripts.deploying import WouldLose

        keep = frozenset(map(str, undo.get("deployed", ())))
        if undo.get("made_database") and self._missing(ctx) is not None:
            return [*self._unfounded(ctx, undo), Evidence(f"database {self.database} is not there")]
        with self._working(ctx, stoppable=False) as work:
            try:
                done = work.revert(self._read(ctx), keep=keep, lose=ctx.accept_loss)
            except WouldLose as refused:
                work.session.rollback()
                raise LossRefused(_losses(work.session, self.database, refused.tables)) from refused
            if undo.get("made_database"):
                self._refuse_what_is_left(work.session)
        with self._open_if(ctx) as session:
            left = {row.name for row in self._rows(session)} - keep
        if left:
            raise StepFailed(f"still deployed: {', '.join(sorted(left))}")
        told = f"{_count(len(done))} taken back" if done else "nothing of it was deployed"
        return [Evidence(told, {"scripts": done}), *self._unfounded(ctx, undo)]

    def _refuse_what_is_left(self, session: Session) -> None:
        from tracseq_migrate.schema_scripts import registry

        if left := sorted(registry.tables(session).values()):
            raise StepFailed(
                f"{session.what} was made by this step, and has tables that its scripts did not make: {', '.join(left[:5])}",
                hint="Move them, or drop them, and roll back again; a database with somebody's tables is not dropped.",
            )

    def _unfounded(self, ctx: StepContext, undo: Undo) -> list[Evidence]:
        if self.create is None or not (undo.get("made_database") or undo.get("made_role")):
            return []
        try:
            ctx.founding.remove(
                self.database,
                through=self.create.through,
                name=bool(undo.get("made_database")),
                role=bool(undo.get("made_role")),
                timeout=ctx.remaining(120.0),
            )
        except SqlFailed as error:
            raise StepFailed(
                str(error), hint="Stop what is connected to the database, and roll back again."
            ) from error
        there = ctx.founding.look(self.database, through=self.create.through, timeout=ctx.remaining(_CONNECT))
        if there.name_there or (undo.get("made_role") and there.role_there):
            raise StepFailed(f"database {there.name} or role {there.role} is still there")
        return [Evidence(f"database {there.name} is gone")]

    def manual(self, undo: Undo, routes: Mapping[str, Route], hands: Hands = NO_HANDS) -> list[str]:
        keep = ", ".join(map(str, undo.get("deployed", ()))) or "none"
        lines = [
            f"{BY_HAND}in database {self.database}, newest first, for each script of {self.scripts} but those of before"
            f" ({keep}): what stands under `-- revert`, and its row out of tracseq_migrate.script, in one transaction"
        ]
        if undo.get("made_database"):
            lines.append(
                f"{BY_HAND}DROP DATABASE {self.database}, which this step made, once nothing is in it"
            )
        return lines

    @property
    def _through(self) -> str:
        return self.create.through if self.create else ""

    def _missing(self, ctx: StepContext) -> Foundation | None:
        """What is to be made first; None where nothing is."""
        if self.create is None:
            return None
        seen = ctx.founding.look(self.database, through=self.create.through, timeout=ctx.remaining(_CONNECT))
        return None if seen.name_there else seen

    def _read(self, ctx: StepContext) -> tuple[Script, ...]:
        from tracseq_migrate.schema_scripts.parsing import read_scripts

        prefix = f"{self.scripts}/"
        own = {
            name[len(prefix) :]: (name, body) for name, body in ctx.texts.items() if name.startswith(prefix)
        }
        scripts, findings = read_scripts({name: each for name, each in own.items() if "/" not in name})
        if findings:
            raise StepFailed("; ".join(map(str, findings)))
        return scripts

    def _deployed(self, ctx: StepContext) -> list[Row]:
        with self._open(ctx, "look", _LOOK) as session:
            return self._rows(session)

    def _rows(self, session: Session) -> list[Row]:
        from tracseq_migrate.schema_scripts import registry

        return registry.read(session, self.scripts)

    @contextmanager
    def _open(self, ctx: StepContext, purpose: str, patience: float) -> Iterator[Session]:
        with ctx.sessions.open(
            self.database, purpose=purpose, timeout=ctx.remaining(_CONNECT), patience=ctx.remaining(patience)
        ) as session:
            yield session

    @contextmanager
    def _open_if(self, ctx: StepContext) -> Iterator[Session]:
        with self._open(ctx, "look", _LOOK) as session:
            yield session

    @contextmanager
    def _working(self, ctx: StepContext, *, stoppable: bool = True) -> Iterator[Work]:
        from tracseq_migrate.schema_scripts.deploying import Work

        def check() -> None:
            if stoppable and ctx.interrupt.requested:
                raise BrokenOff

        with self._open(ctx, "schema", ctx.remaining()) as session:
            yield Work(
                session,
                self.scripts,
                f"{ctx.week} {ctx.run_id}",
                self.search_path,
                self.lock_timeout,
                lambda: ctx.late,
                check,
                ctx.say,
            )


def _told(script: Script) -> str:
    apart = "" if script.in_transaction else ", without a transaction"
    count = len(script.deploy)
    return f"deploys {script.name} ({count} statement{'' if count == 1 else 's'}{apart})"


def _count(number: int) -> str:
    return "1 script" if number == 1 else f"{number} scripts"


def _losses(session: Session, database: str, tables: Sequence[str]) -> list[Loss]:
    losses: list[Loss] = []
    for table in tables:
        rows = session.rows(
            "SELECT pg_catalog.to_jsonb(tracseq_migrate_row)::text FROM "  # noqa: S608 - quoted by the catalog itself
            f"ONLY {table} AS tracseq_migrate_row LIMIT {_MOST_LOSSES}"
        )
        for (row,) in rows:
            read = json.loads(str(row))
            first = next(iter(read.values()), "")
            losses.append(Loss(f"{database}.{table}", "inserted", str(first), read))
    return losses
