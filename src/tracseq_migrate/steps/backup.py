"""Kind ``backup``: databases are written to files, and the files are proven to hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Dump, Route, SqlFailed, Unreachable
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
    Preview,
    Probed,
    Step,
    StepContext,
    Undo,
    Uses,
    WaitingOn,
    known,
    unknowable,
)

_LOOK = 30.0
_TOLD_EVERY = 5.0
_MARGIN = 1.2
"""How much more than a database has on its server must be free: a dump is smaller nearly always, and never much larger."""

DatabaseName = Annotated[str, StringConstraints(min_length=1)]


class BackupStep(Step):
    """Writes a backup of each database and reads it back; going back leaves the files, since newer writes are not in them."""

    kind: ClassVar[str] = "backup"
    summary: ClassVar[str] = (
        "Writes databases to files before anything changes, and proves that the files hold them."
    )
    default_timeout: ClassVar[float] = 4 * 3600.0

    databases: tuple[DatabaseName, ...] = Field(min_length=1, strict=False)
    prove: Literal["list", "restore"] = "list"
    """``list``: the file is read back, and has its tables. ``restore``: it is restored into a new database, and counted."""
    through: DatabaseName | None = None
    """For ``restore``: a database of the environment whose role may make databases; else each one's own."""
    keep: int = Field(default=5, ge=1, le=1000)
    """How many backups of a database are kept; older ones are deleted when this step is done."""

    @property
    def title(self) -> str:
        return f"back up {', '.join(self.databases)}"

    def uses(self) -> Uses:
        return Uses(databases=frozenset({*self.databases, *({self.through} if self.through else ())}))

    def findings(self) -> list[str]:
        found = []
        if len(set(self.databases)) < len(self.databases):
            found.append("a database is named twice")
        if self.through and self.prove != "restore":
            found.append("`through` is for `prove: restore`, and nothing is restored here")
        return found

    def touches(self) -> frozenset[str]:
        return frozenset({"backups"})

    def concerns(self, ctx: StepContext) -> list[Concern]:
        concerns = []
        needed = 0
        for database in self.databases:
            question = f"{database} can be backed up"
            try:
                ctx.dumps.fits(database, timeout=ctx.remaining(_LOOK))
                needed += ctx.dumps.size(database, timeout=ctx.remaining(_LOOK))
            except StepFailed as error:
                concerns.append(Concern(question, "fail", error.message, error.hint))
            except (Unreachable, SqlFailed) as error:
                concerns.append(Concern(question, "unknown", str(error)))
        if short := self._short(ctx, needed):
            concerns.append(Concern("the backups have room", "fail", short, _ROOM))
        if self.prove == "restore":
            concerns += [self._may_restore(ctx, through) for through in self._restores_through()]
        return concerns

    def _restores_through(self) -> tuple[str, ...]:
        return (self.through,) if self.through else self.databases

    def _may_restore(self, ctx: StepContext, through: str) -> Concern:
        question = f"a backup can be restored into a new database, through {through}"
        try:
            with ctx.sessions.open(through, purpose="preflight", timeout=ctx.remaining(_LOOK)) as session:
                ((may, role),) = session.rows(
                    "SELECT rolcreatedb OR rolsuper, pg_catalog.quote_ident(rolname)"
                    " FROM pg_catalog.pg_roles WHERE rolname = current_user"
                )
        except (Unreachable, SqlFailed) as error:
            return Concern(question, "unknown", str(error))
        if may:
            return Concern(question, "pass", f"{role} may make databases")
        return Concern(
            question,
            "fail",
            f"the role {role} may not make databases, so no backup can be tried out with it",
            f"Type, as a superuser: ALTER ROLE {role} CREATEDB; or name with `through:` a database whose role may.",
        )

    def preview(self, ctx: StepContext, *, offline: bool) -> Preview:
        lines = []
        for database in self.databases:
            if offline:
                lines += [
                    known(f"writes {database} to {ctx.dumps.folder}"),
                    unknowable(f"how large {database} is"),
                ]
                continue
            try:
                size = ctx.dumps.size(database, timeout=ctx.remaining(_LOOK))
                tool = ctx.dumps.fits(database, timeout=ctx.remaining(_LOOK))
                lines.append(known(f"writes {database} ({_shown(size)}) to {ctx.dumps.folder} with {tool}"))
            except (StepFailed, Unreachable, SqlFailed) as error:
                lines.append(unknowable(str(error)))
        proof = "restores it into a new database, counts its rows, and drops that database"
        lines.append(
            known(
                f"then {proof if self.prove == 'restore' else 'reads each back'}; {self.keep} of each are kept"
            )
        )
        return Preview(tuple(lines), changes=True)

    def prepare(self, ctx: StepContext) -> Undo:
        needed = sum(ctx.dumps.size(each, timeout=ctx.remaining(_LOOK)) for each in self.databases)
        if short := self._short(ctx, needed):
            raise StepFailed(short, hint=_ROOM)
        return {"before": [dump.name for dump in ctx.dumps.known()]}

    def apply(self, ctx: StepContext, undo: Undo) -> Done | WaitingOn:
        seen = []
        for database in self.databases:
            made = self._made(ctx, database)
            if made is not None:
                ctx.say(f"{database} was backed up already, as {made.name}")
                continue
            began = ctx.clock.monotonic()
            dump = ctx.dumps.dump(
                database,
                by=_by(ctx),
                counted=self.prove == "restore",
                timeout=ctx.remaining(),
                told=_Teller(ctx, database),
            )
            seconds = ctx.clock.monotonic() - began
            seen.append(
                Evidence(
                    f"{database}: {_shown(dump.bytes)} in {seconds:.1f} s, as {dump.name}",
                    {
                        "database": database,
                        "file": dump.name,
                        "bytes": dump.bytes,
                        "sha256": dump.sha256,
                        "seconds": round(seconds, 3),
                    },
                )
            )
        seen += self._tried_out(ctx)
        return Done((*seen, *self._swept(ctx, undo)))

    def verify(self, ctx: StepContext) -> list[Evidence]:
        seen = []
        for database in self.databases:
            dump = self._made(ctx, database)
            if dump is None:
                raise StepFailed(f"{ctx.dumps.folder} has no backup of {database} that this run made")
            tables = ctx.dumps.examine(dump, timeout=ctx.remaining(600.0))
            count = len(tables)
            text = f"{dump.name} is as it was written, and holds the rows of {count} table{'' if count == 1 else 's'}"
            seen.append(Evidence(text, {"file": dump.name, "tables": count, "sha256": dump.sha256}))
        return seen

    def probe(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> Probed:
        missing = [each for each in self.databases if self._made(ctx, each) is None]
        if not missing and self.prove == "list":
            return Probed(Found.DONE, "every backup is there")
        if len(missing) == len(self.databases):
            return Probed(Found.NOT_DONE, "there is no backup of this run")
        done = len(self.databases) - len(missing)
        return Probed(Found.PARTLY, f"{done} of {len(self.databases)} backups are there")

    def adopt(self, ctx: StepContext) -> Adopted:
        newest = {dump.database: dump for dump in ctx.dumps.known() if dump.database in self.databases}
        missing = sorted(set(self.databases) - set(newest))
        if missing:
            return Adopted(Found.NOT_DONE, f"{ctx.dumps.folder} has no backup of {', '.join(missing)}")
        try:
            for dump in newest.values():
                ctx.dumps.examine(dump, timeout=ctx.remaining(600.0))
        except StepFailed as error:
            return Adopted(Found.NOT_DONE, error.message)
        evidence = tuple(
            Evidence(f"{dump.name} is as it was written", {"file": dump.name}) for dump in newest.values()
        )
        unsure = ("the newest backup of each database is taken for this week's",)
        return Adopted(Found.DONE, evidence[0].text, {"before": []}, unsure, evidence)

    def revert(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> list[Evidence]:
        # A restore would throw away every write since; that is for a person to decide.
        # Those of this week's step, of earlier runs too: the run that goes back has another name than the one that made them.
        kept = [dump.name for dump in ctx.dumps.known() if _made_by(dump, ctx)]
        noun = "backup stays where it is" if len(kept) == 1 else "backups stay where they are"
        return [Evidence(f"{len(kept)} {noun}", {"files": kept})]

    def manual(self, undo: Undo, routes: Mapping[str, Route], hands: Hands = NO_HANDS) -> list[str]:
        return [
            f"{BY_HAND}nothing is to be done: the backups of {', '.join(self.databases)} stay where they are"
        ]

    def _made(self, ctx: StepContext, database: str) -> Dump | None:
        """The backup of a database that this run made."""
        own = [dump for dump in ctx.dumps.known() if dump.database == database and dump.by == _by(ctx)]
        return own[-1] if own else None

    def _tried_out(self, ctx: StepContext) -> list[Evidence]:
        seen = []
        for database in self.databases if self.prove == "restore" else ():
            dump = self._made(ctx, database)
            if dump is None:
                raise StepFailed(f"the backup of {database} is gone")
            ctx.say(f"{dump.name} is restored into a new database")
            rows = ctx.dumps.try_out(
                dump, through=self.through or database, timeout=ctx.remaining(), told=_Teller(ctx, database)
            )
            if rows != dict(dump.rows):
                raise StepFailed(
                    f"{dump.name} restored is not what was backed up: {_differing(dump.rows, rows)}"
                )
            total = sum(rows.values())
            text = f"{dump.name} was restored into a new database: {total:,} rows in {len(rows)} tables, none missing"
            seen.append(Evidence(text, {"file": dump.name, "rows": total, "tables": len(rows)}))
        return seen

    def _swept(self, ctx: StepContext, undo: Undo) -> list[Evidence]:
        """Delete what is too old, but nothing that this run made or that came after it began."""
        before = set(map(str, undo.get("before", ())))
        gone = []
        for database in self.databases:
            own = [dump for dump in ctx.dumps.known() if dump.database == database]
            for dump in own[: -self.keep]:
                if dump.name in before:
                    ctx.dumps.remove(dump)
                    gone.append(dump.name)
        return (
            [Evidence(f"older than the newest {self.keep}, and deleted: {', '.join(gone)}")] if gone else []
        )

    def _short(self, ctx: StepContext, needed: int) -> str:
        free = ctx.dumps.free()
        if free >= needed * _MARGIN:
            return ""
        return f"{ctx.dumps.folder} has {_shown(free)} free, and the backups may need {_shown(int(needed * _MARGIN))}"


_ROOM = "Make room there, or name another folder with `backups:` in the environment file."


class _Teller:
    """Says now and then how much is written, and stops the work where a signal or the time asks for that."""

    def __init__(self, ctx: StepContext, database: str) -> None:
        self._ctx = ctx
        self._database = database
        self._next = ctx.clock.monotonic() + _TOLD_EVERY

    def __call__(self, written: int) -> None:
        if self._ctx.interrupt.requested:
            raise BrokenOff
        now = self._ctx.clock.monotonic()
        if now >= self._next:
            self._next = now + _TOLD_EVERY
            self._ctx.say(
                f"{self._database}: {_shown(written)} written" if written else f"{self._database}: at work"
            )


def _by(ctx: StepContext) -> str:
    return f"{ctx.week} {ctx.run_id} {ctx.step_id}"


def _made_by(dump: Dump, ctx: StepContext) -> bool:
    words = dump.by.split()
    return len(words) == 3 and (words[0], words[2]) == (ctx.week, ctx.step_id)


def _shown(size: int) -> str:
    return (
        f"{size / 1e9:.1f} GB"
        if size >= 1e9
        else f"{size / 1e6:.1f} MB"
        if size >= 1e5
        else f"{size / 1e3:.1f} kB"
    )


def _differing(wanted: Mapping[str, int], got: Mapping[str, int]) -> str:
    differing: dict[str, Any] = {
        table: (wanted.get(table, "no such table"), got.get(table, "no such table"))
        for table in sorted({*wanted, *got})
        if wanted.get(table) != got.get(table)
    }
    return "; ".join(
        f"{table} {there} there, {here} here" for table, (there, here) in list(differing.items())[:5]
    )
