"""Kind ``replicate``: tables of one database come to life in another, of another shape, and follow every change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from tracseq_migrate.duration import Duration
from tracseq_migrate.errors import Finding, InvalidInput, StepFailed
from tracseq_migrate.ports import SYNC, Route, ServiceState, SqlFailed, Unreachable
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
    NamedText,
    Preview,
    Probed,
    Step,
    StepContext,
    Text,
    Undo,
    Uses,
    WaitingOn,
    assumed,
    known,
)
from tracseq_migrate.steps.replicate import asking
from tracseq_migrate.steps.replicate.throttle import Throttle
from tracseq_migrate.steps.replicate.weather import Teller, Weather

if TYPE_CHECKING:
    from tracseq_migrate.replication.bringing import Brought, Stage
    from tracseq_migrate.replication.comparing import Comparison
    from tracseq_migrate.replication.opening import Opened
    from tracseq_migrate.replication.pair import Replication

OBLIGATION = SYNC
"""The obligation that this step leaves: capture goes on, and somebody must carry over what it records."""
_MOST_LOSSES = 100_000
_PATIENCE = 60.0

MappingName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
StepId = Annotated[str, StringConstraints(min_length=1)]
DatabaseName = Annotated[str, StringConstraints(min_length=1)]


class ReplicateStep(Step):
    """Copies the tables of a mapping, keeps them equal while people write, and proves it; going back takes every trace away."""

    kind: ClassVar[str] = "replicate"
    summary: ClassVar[str] = (
        "Copies tables into another database through a mapping, follows every change, and compares the two sides."
    )
    default_timeout: ClassVar[float] = 4 * 3600.0

    from_: DatabaseName = Field(alias="from")
    """The database whose tables these are."""
    to: DatabaseName
    """The database that they come to life in."""
    mapping: MappingName
    """The mapping: mappings/NAME.yaml beside the plan."""
    jobs: int = Field(default=2, ge=1, le=16)
    """How many connections copy at once."""
    lag: Duration = 1.0
    """How far behind it may be, in seconds, when the step is done."""

    throttle: Throttle | None = None
    """When the copy has to wait."""
    after: StepId | None = None
    """A step of this plan that makes what the mapping needs over there: what cannot be asked before it has run is asked then."""

    @property
    def title(self) -> str:
        return f"replicate {self.mapping} from {self.from_} to {self.to}"

    @property
    def _file(self) -> str:
        return f"mappings/{self.mapping}.yaml"

    @property
    def _between(self) -> asking.Between:
        return asking.Between(self.from_, self.to, self.mapping, self._file)

    def uses(self) -> Uses:
        return Uses(databases=frozenset({self.from_, self.to}))

    def reads(self) -> Sequence[NamedText]:
        return (NamedText(("mapping",), self._file),)

    def findings(self) -> list[str]:
        found = [f"it goes from {self.from_} to itself"] if self.from_ == self.to else []
        return found + (self.throttle.findings() if self.throttle is not None else [])

    def examine(self, texts: Mapping[str, Text]) -> list[Finding]:
        text = texts.get(self._file)
        if text is None:
            return []
        from tracseq_migrate.replication.mapping.reading import read

        try:
            read(text.body.encode(), text.file)
        except InvalidInput as error:
            return list(error.findings)
        return []

    def touches(self) -> frozenset[str]:
        return frozenset({f"replication:{self.mapping}", f"database:{self.to}"})

    def opened(self, ctx: StepContext) -> Opened:
        """The mapping, held against both catalogs. Raises `StepFailed` where it does not fit, `Unreachable`."""
        from tracseq_migrate.replication.opening import open_mapping

        try:
            return open_mapping(
                ctx.sessions,
                database_a=self.from_,
                database_b=self.to,
                file=self._file,
                text=ctx.texts[self._file],
                patience=ctx.remaining(_PATIENCE),
            )
        except InvalidInput as error:
            raise StepFailed(
                f"the mapping does not fit the databases: {error.message}",
                hint="`tracseq-migrate mapping check` says the same at any time.",
            ) from error

    def _as_begun(self, ctx: StepContext, undo: Undo) -> Replication:
        """The replication; where somebody altered a table meanwhile, so that the mapping does not fit any more, as it was
        when it began. Raises `StepFailed`, `Unreachable`."""
        import json

        from tracseq_migrate.replication.catalog.keeping import restored
        from tracseq_migrate.replication.mapping import compile_mapping
        from tracseq_migrate.replication.mapping.reading import read
        from tracseq_migrate.replication.opening import name_of

        try:
            return self.opened(ctx).replication
        except StepFailed:
            if not undo.get("catalogs"):
                raise
        catalogs = json.loads(ctx.journal.attachment(undo["catalogs"]))
        source = read(ctx.texts[self._file].encode(), self._file)
        a, b = restored(catalogs["a"]), restored(catalogs["b"])
        return compile_mapping(name_of(self._file), source, a, b, resumed=True)

    def concerns(self, ctx: StepContext) -> list[Concern]:
        question = f"{self.mapping} can move from {self.from_} to {self.to}"
        try:
            stray = asking.stray(self._between, ctx, question)
            if stray:
                return stray
            try:
                opened = self.opened(ctx)
            except StepFailed:
                if self.after is None:
                    raise
                return []  # nothing is claimed: `prepare` asks when that step has run, before anything of this one is done
            refusals = asking.refused(self._between, ctx, opened, question)
            try:
                return refusals + asking.misfits(self._between, ctx, opened)
            except (Unreachable, SqlFailed):
                if all(each.verdict == "pass" for each in refusals):
                    raise
                return refusals  # such as a right that is missing: the rows can be asked when that is mended
        except StepFailed as error:
            return [Concern(question, "fail", error.message, error.hint)]
        except (Unreachable, SqlFailed) as error:
            return [Concern(question, "unknown", str(error))]

    def preview(self, ctx: StepContext, *, offline: bool) -> Preview:
        if offline:
            line = assumed(f"copies the tables of {self._file} and follows every change from then on")
            return Preview((line,), changes=True)
        try:
            opened = self.opened(ctx)
        except StepFailed as error:
            if self.after is not None:
                line = assumed(
                    f"asked when {self.after} has run, before anything is done; now: {error.message}"
                )
                return Preview((line,), changes=True)
            return Preview((known(error.message),), changes=True)
        except (Unreachable, SqlFailed) as error:
            return Preview((assumed(f"the databases cannot be asked: {error}"),), changes=True)
        lines = asking.foretold(self._between, opened)
        if ctx.deep:
            lines += asking.scanned(self._between, ctx, opened)
        return Preview(tuple(lines), changes=True)

    def prepare(self, ctx: StepContext) -> Undo:
        import json

        from tracseq_migrate.replication.catalog.keeping import kept

        opened = self.opened(ctx)
        replication = opened.replication
        if self.after is not None:
            asking.seen_to_fit(self._between, ctx, opened)
        shapes = {"a": opened.catalog_a.shape(), "b": opened.catalog_b.shape()}
        catalogs = {
            "a": kept(opened.catalog_a, [pair.a.name for pair in replication.pairs]),
            "b": kept(opened.catalog_b, [pair.b.name for pair in replication.pairs]),
        }
        return {
            "replication": replication.name,
            "digest": replication.digest,
            "pairs": [pair.name for pair in replication.pairs],
            "tables": [[pair.a.name, pair.b.name] for pair in replication.pairs],
            "shapes": ctx.journal.attach(json.dumps(shapes, sort_keys=True).encode()),
            "catalogs": ctx.journal.attach(json.dumps(catalogs, sort_keys=True).encode()),
        }

    def apply(self, ctx: StepContext, undo: Undo) -> Done | WaitingOn:
        from tracseq_migrate.replication.bringing import bring

        told = Teller(ctx)

        def check() -> None:
            if ctx.interrupt.requested:
                raise BrokenOff
            if ctx.late:
                raise StepFailed(
                    f"it was not done in time: {told.last}",
                    hint="What was copied stays. Give the step a longer `timeout:`, and resume.",
                    unknown=True,
                )

        weather = Weather(ctx, check, told)
        replication = weather.outlived(lambda: self.opened(ctx)).replication

        def reached(stage: Stage) -> None:
            weather.reached(stage.name)
            self._reached(ctx, stage)

        def brought_once() -> Brought:
            with self._throttled(ctx) as throttle:
                return bring(
                    ctx.sessions,
                    replication,
                    jobs=self.jobs,
                    lag=self.lag,
                    by=self._by(ctx),
                    clock=ctx.clock,
                    throttle=throttle,
                    check=check,
                    told=told.progress,
                    reached=reached,
                )

        brought = weather.outlived(brought_once)
        ctx.journal.owe(
            OBLIGATION,
            f"changes of {self.from_}'s {self.mapping} are carried over to {self.to} by `tracseq-migrate sync run`",
            "the cutover, the rollback of this week, or its completion",
        )
        return Done((*brought.evidence(), *self._kept_going(ctx)))

    @contextmanager
    def _throttled(self, ctx: StepContext) -> Iterator[Callable[[], float]]:
        from tracseq_migrate.replication.copying import never
        from tracseq_migrate.replication.copying.throttling import throttled

        if self.throttle is None:
            yield never
            return
        query, at_most = self.throttle.asked()
        with throttled(ctx.sessions, self.from_, query, at_most) as throttle:
            yield throttle

    def _reached(self, ctx: StepContext, stage: Stage) -> None:
        ctx.journal.checkpoint(stage.name, stage.data)

    def _kept_going(self, ctx: StepContext) -> list[Evidence]:
        """Whoever keeps `sync run` going is started, where the environment says who that is."""
        if ctx.services.state(SYNC, timeout=ctx.remaining(10.0)) is ServiceState.EXTERNAL:
            ctx.say("nobody is told to keep `tracseq-migrate sync run` going: start it, or changes wait")
            return []
        ctx.services.up(SYNC, timeout=ctx.remaining(30.0))
        return [Evidence("`sync run` goes on by itself from here", {"service": SYNC})]

    def verify(self, ctx: StepContext) -> list[Evidence]:
        if ctx.completed and self._closed(ctx):
            return [Evidence(f"{self.to} owns {self.mapping} for good: its way back was given up")]

        def compared() -> Comparison:
            return self._compared(ctx, self.opened(ctx).replication)

        # To somebody who only looks, what cannot be asked now is the answer; a run has a minute.
        comparison = compared() if ctx.settled else Weather(ctx, lambda: None, Teller(ctx)).outlived(compared)
        if comparison.verdict != "equal":
            raise StepFailed(
                "; ".join(_differing(comparison)) or "the two sides could not be compared exactly",
                hint="`tracseq-migrate compare` shows every difference.",
                unknown=comparison.verdict == "unknown",
            )
        return [
            Evidence(
                f"{table.name}: {table.rows_a:,} rows are equal on both sides (digest {str(table.digest_a)[:12]})",
                {
                    "table": table.name,
                    "rows": table.rows_a,
                    "digest": str(table.digest_a),
                    "seconds": round(table.seconds, 3),
                },
            )
            for table in comparison.tables
        ]

    def _compared(self, ctx: StepContext, replication: Replication, *, limit: int = 20) -> Comparison:
        from tracseq_migrate.replication.bringing import compare_aligned

        def check() -> None:
            if ctx.late:
                raise StepFailed("the comparison was not done in time", unknown=True)

        return compare_aligned(ctx.sessions, replication, patience=ctx.remaining(), limit=limit, check=check)

    def probe(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> Probed:
        from tracseq_migrate.replication.bringing import look

        try:
            seen = look(ctx.sessions, undo["replication"], self.from_, self.to, patience=ctx.remaining(10.0))
        except (Unreachable, SqlFailed, StepFailed) as error:
            return Probed(Found.UNKNOWN, str(error))
        if seen.nothing:
            return Probed(Found.NOT_DONE, "neither database knows of it")
        if seen.following and ctx.journal.owes(OBLIGATION):
            return Probed(Found.DONE, "every table follows its source")
        return Probed(Found.PARTLY, seen.text)

    def adopt(self, ctx: StepContext) -> Adopted:
        from tracseq_migrate.replication.bringing import look
        from tracseq_migrate.replication.opening import name_of

        try:
            seen = look(ctx.sessions, name_of(self._file), self.from_, self.to, patience=ctx.remaining(10.0))
            if seen.nothing:
                return Adopted(Found.NOT_DONE, "neither database knows of it")
            if not seen.following:
                return Adopted(Found.PARTLY, seen.text)
            evidence = tuple(self.verify(ctx))
        except (Unreachable, SqlFailed) as error:
            return Adopted(Found.UNKNOWN, str(error))
        except StepFailed as error:
            return Adopted(Found.UNKNOWN if error.unknown else Found.PARTLY, error.message)
        undo = {"replication": name_of(self._file), "digest": "", "tables": [], "shapes": ""}
        unsure = ("what both catalogs were like before is known from the databases alone",)
        return Adopted(Found.DONE, "every table follows its source", undo, unsure, evidence)

    def losses(self, ctx: StepContext, undo: Undo) -> list[Loss]:
        """Rows of the new side that nobody brought there from the old one: somebody wrote them. And what the new side has of its
        own about rows that came, unless the mapping says that it is passing."""
        import json

        from tracseq_migrate.replication.bringing import dependent_rows, look, rows_of

        try:
            seen = look(ctx.sessions, undo["replication"], self.from_, self.to, patience=ctx.remaining(10.0))
            if seen.nothing:
                return []
            replication = self._as_begun(ctx, undo)
            own = dependent_rows(ctx.sessions, replication, patience=ctx.remaining(), limit=_MOST_LOSSES)
            dependent = [
                Loss(f"{self.to}.{table}", "inserted", json.dumps(row.get("id"), default=str), row)
                for table, row in own
            ]
            if not seen.following:
                # As long as it is being copied, the applier is the only one who could have written there. And where the new side
                # is the owner, all of it goes back before this step does.
                return dependent
            comparison = self._compared(ctx, replication, limit=_MOST_LOSSES)
        except (SqlFailed, StepFailed) as error:
            raise Unreachable(f"what {self.to} has of its own", str(error)) from error
        if comparison.verdict == "unknown":
            raise Unreachable(f"what {self.to} has of its own", "the two sides could not be compared exactly")
        found = dependent
        for table in comparison.tables:
            written = [each for each in table.differences if each.kind in ("extra", "different")]
            if not written:
                continue
            keys = [each.key for each in written]
            try:
                pair = replication.pair(table.pair)
                relation = pair.b.relation if table.name == pair.name else pair.side
                rows = rows_of(ctx.sessions, self.to, relation, keys, patience=ctx.remaining())
            except SqlFailed as error:
                raise Unreachable(f"what {self.to} has of its own", str(error)) from error
            found += [
                Loss(
                    f"{self.to}.{table.name}",
                    "inserted" if each.kind == "extra" else "updated",
                    json.dumps(dict(each.key), ensure_ascii=False),
                    row,
                )
                for each, row in zip(written, rows, strict=True)
            ]
        return found

    def revert(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> list[Evidence]:
        from tracseq_migrate.replication.bringing import take_back

        told = Teller(ctx)
        evidence = Weather(ctx, lambda: None, told).outlived(
            lambda: take_back(
                ctx.sessions,
                self._as_begun(ctx, undo),
                by=self._by(ctx),
                before=self._shapes(ctx, undo),
                dependents_too=ctx.accept_loss,
                told=told.progress,
            )
        )
        ctx.journal.settle(OBLIGATION)
        return evidence

    def cannot_conclude(self, ctx: StepContext, undo: Undo) -> str:
        from tracseq_migrate.replication.bringing import look

        try:
            seen = look(ctx.sessions, undo["replication"], self.from_, self.to, patience=ctx.remaining(10.0))
        except SqlFailed as error:
            raise Unreachable("who owns the tables", str(error)) from error
        if seen.a is not None and seen.a.owner == "b":
            return ""
        return (
            f"{self.from_} owns {self.mapping} still, and somebody must carry its changes to {self.to}: a cutover hands the"
            " tables over first"
        )

    def conclude(self, ctx: StepContext, undo: Undo) -> list[Evidence]:
        if not self._closed(ctx):
            raise StepFailed(
                f"changes of {self.mapping} are carried back to {self.from_} still",
                hint="The week that handed its tables over is completed first.",
            )
        ctx.journal.settle(OBLIGATION)
        return [Evidence(f"nobody has to carry changes of {self.mapping} any more")]

    def _closed(self, ctx: StepContext) -> bool:
        """Whether the new side owns the tables and the way back is taken away. Raises `Unreachable`."""
        from tracseq_migrate.replication.bringing import look
        from tracseq_migrate.replication.opening import name_of

        try:
            seen = look(ctx.sessions, name_of(self._file), self.from_, self.to, patience=ctx.remaining(10.0))
        except SqlFailed as error:
            raise Unreachable("who owns the tables", str(error)) from error
        return seen.closed

    @staticmethod
    def _shapes(ctx: StepContext, undo: Undo) -> Mapping[str, Any]:
        import json

        if not undo.get("shapes"):
            return {}
        found: dict[str, Any] = json.loads(ctx.journal.attachment(undo["shapes"]))
        return found

    def manual(self, undo: Undo, routes: Mapping[str, Route], hands: Hands = NO_HANDS) -> list[str]:
        tables = ", ".join(b for _, b in undo.get("tables", []))
        return [
            f"{BY_HAND}stop `sync run`; in {self.from_}: DROP SCHEMA tracseq_migrate CASCADE takes capture away, "
            "of every replication that there is",
            f"{BY_HAND}in {self.to}: read tracseq_migrate.put_away for what to put back (indexes, triggers), empty {tables}, "
            "bring back tracseq_migrate.aside, then DROP SCHEMA tracseq_migrate CASCADE",
        ]

    @staticmethod
    def _by(ctx: StepContext) -> str:
        return f"tracseq-migrate, step {ctx.step_id} of {ctx.week}"


def _differing(comparison: Comparison) -> list[str]:
    return [
        f"{table.name}: {table.missing:,} rows are missing, {table.extra:,} are too many, {table.different:,} differ"
        for table in comparison.tables
        if table.missing or table.extra or table.different
    ]
