"""Kind ``cutover``: tables that follow change their owner, and the requests go with them; back by the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tracseq_migrate import duration
from tracseq_migrate.duration import Duration
from tracseq_migrate.errors import Finding, InProgress, InvalidInput, InvalidSetup, StepFailed
from tracseq_migrate.ports import Route, SqlFailed, Unreachable
from tracseq_migrate.routing import by_hand, concerns, orders, proof, values
from tracseq_migrate.routing.flip import OWED, Flip, see
from tracseq_migrate.routing.front import GatewayFront
from tracseq_migrate.routing.orders import Asked
from tracseq_migrate.routing.readback import describe, disagreements, wrong_flags
from tracseq_migrate.step import (
    BY_HAND,
    NO_HANDS,
    Concern,
    Done,
    Evidence,
    Found,
    Hands,
    Loss,
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
    assumed,
    known,
    unknowable,
)

if TYPE_CHECKING:
    from tracseq_migrate.replication.bringing import Stage
    from tracseq_migrate.replication.opening import Opened
    from tracseq_migrate.replication.pair import Direction, Replication
    from tracseq_migrate.replication.refusals import Refusal

OPEN = "open"
"""The checkpoint from which on only forward is right: the new owner has opened."""
_RECOVERS = (
    "should the tool die in the middle, a guardian that it starts first ends the cutover or undoes it; should the machine die,"
    " `tracseq-migrate resume` does, from any machine; until then writes are refused, and none is lost"
)
_POINT = (
    "the point of no return is the commit that opens the new tables: before it everything is put back as it was, after it the"
    " cutover is brought to its end"
)
_STRANGE = (
    "Writes that do not come through the gateway fail after the cutover: route or stop whoever makes them and sign that it was"
    " done, or name them under `writers:` of the step with a reason"
)
_PATIENCE = 30.0
_AGAIN = 0.5

Name = Annotated[str, StringConstraints(min_length=1)]
MappingName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]


class Moved(BaseModel):
    """One replication that changes its owner: as the `replicate` step that brought it to life names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    from_: Name = Field(alias="from")
    """The database that owns the tables."""
    to: Name
    """The database that is to own them."""
    mapping: MappingName
    """The mapping by which they follow."""

    @property
    def file(self) -> str:
        return f"mappings/{self.mapping}.yaml"


class Known(BaseModel):
    """Somebody who writes the tables that move, and whom somebody has answered for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Name = "*"
    """A pattern of the database role, with ``*`` and ``?``."""
    application: str = "*"
    """A pattern of the application name that its sessions give; an empty one is no name at all."""
    because: Name
    """Why its writes will not be missed: they come through the gateway, or they have ended."""

    def knows(self, role: str, application: str) -> bool:
        return fnmatchcase(role, self.role) and fnmatchcase(application, self.application)


class CutoverStep(Step):
    """Hands tables over to another database, and the requests to the service behind it, as one; nothing that was acknowledged
    is lost, there or back."""

    kind: ClassVar[str] = "cutover"
    summary: ClassVar[str] = (
        "Hands tables that follow over to their new owner: fenced, drained, compared, opened; the flags go with them."
    )
    default_timeout: ClassVar[float] = 300.0

    replications: tuple[Moved, ...] = Field(min_length=1)
    flags: dict[Name, bool] = Field(min_length=1)
    """The flags that send requests to the new owners."""
    write_gap: Duration = 1.0
    """For how many seconds writes may wait or be refused; the run measures it, and says when it was longer."""
    order: Asked = "auto"
    """``hold``: writes wait in the proxy, and none is refused. ``plain``: a proxy that cannot hold switches, and writes are
    refused until it has. ``reload``: writes are refused for the time in which the gateway takes up its flags. ``auto``: the first
    of them that can be had. What cannot be had is refused before it begins."""
    writers: tuple[Known, ...] = ()
    """Who may have written the tables since they follow. One that is alone is the application behind the gateway; where there are
    several, the cutover is refused until each is named here: whoever writes past the gateway's prefix would fail afterwards."""
    accept_gap: bool = False
    """Signed: that writes are refused for a moment (``plain``), or for as long as the gateway takes (``reload``)."""

    @property
    def title(self) -> str:
        what = ", ".join(each.mapping for each in self.replications)
        return f"cut {what} over to {', '.join(sorted({each.to for each in self.replications}))}"

    def uses(self) -> Uses:
        databases = {name for each in self.replications for name in (each.from_, each.to)}
        return Uses(flags=frozenset(self.flags), databases=frozenset(databases))

    def reads(self) -> Sequence[NamedText]:
        return tuple(
            NamedText(("replications",), file) for file in sorted({each.file for each in self.replications})
        )

    def findings(self) -> list[str]:
        found = [
            f"{flag} is turned off: a cutover turns flags on" for flag, on in self.flags.items() if not on
        ]
        names = [each.mapping for each in self.replications]
        found += [
            f"{name} is named twice" for name in sorted({each for each in names if names.count(each) > 1})
        ]
        if len({each.from_ for each in self.replications}) > 1:
            found.append(
                "its replications come from several databases: cut each of them over in a step of its own"
            )
        return found

    def examine(self, texts: Mapping[str, Text]) -> list[Finding]:
        from tracseq_migrate.replication.mapping.reading import read

        for each in self.replications:
            text = texts.get(each.file)
            if text is not None:
                try:
                    read(text.body.encode(), text.file)
                except InvalidInput as error:
                    return list(error.findings)
        return []

    def touches(self) -> frozenset[str]:
        return frozenset({"gateway", *(f"replication:{each.mapping}" for each in self.replications)})

    # -- what it stands on -------------------------------------------------------------------------------------------------

    def _opened(self, ctx: StepContext) -> list[Opened]:
        """The mappings, held against the catalogs. Raises `StepFailed`, `Unreachable`."""
        from tracseq_migrate.replication.opening import open_mapping

        try:
            return [
                open_mapping(
                    ctx.sessions,
                    database_a=each.from_,
                    database_b=each.to,
                    file=each.file,
                    text=ctx.texts[each.file],
                    patience=ctx.remaining(60.0),
                )
                for each in self.replications
            ]
        except InvalidInput as error:
            raise StepFailed(
                f"the mapping does not fit the databases: {error.message}",
                hint="`tracseq-migrate mapping check` says the same at any time.",
            ) from error

    def moving(self, ctx: StepContext) -> list[Replication]:
        """What it hands over, held against the catalogs. Raises `StepFailed`, `Unreachable`."""
        return [each.replication for each in self._opened(ctx)]

    def _over(self) -> Flip:
        return Flip({flag: values.spell(on) for flag, on in self.flags.items()}, dict(self.flags))

    # -- before ------------------------------------------------------------------------------------------------------------

    def concerns(self, ctx: StepContext) -> list[Concern]:
        found = concerns.before_flip(ctx, self.title, self.flags, stores={}, uncounted=[])
        question = f"{self.title}: writes can wait for the moment of the change"
        try:
            order = orders.chosen(ctx.rollout, self.order)
        except Unreachable as error:
            return [*found, Concern(question, "unknown", str(error), "Start the proxy, or mend its socket.")]
        if order == "hold":
            found.append(Concern(question, "pass", "the proxy holds them"))
        elif order is None:
            found.append(
                Concern(
                    question,
                    "fail",
                    f"the plan wants order {self.order}, and what stands in front of the gateway cannot do that",
                    "Put a proxy in front that can (examples/haproxy), or let the plan say `order: auto`.",
                )
            )
        elif not self.accept_gap:
            found.append(
                Concern(
                    question,
                    "fail",
                    f"nothing in front of the gateway holds them. {orders.price(order, ctx.rollout, self.write_gap)}",
                    "Put a proxy in front that can hold them (examples/haproxy), or sign it with `accept_gap: true` in the plan.",
                )
            )
        else:
            found.append(
                Concern(question, "pass", "they are refused for a moment, and the plan accepts that")
            )
        return [*found, *self._in_the_way(ctx), *self._counted(ctx)]

    def _counted(self, ctx: StepContext) -> list[Concern]:
        """Whether everybody who writes the tables is known; the triggers have noted it since they follow."""
        question = f"{self.title}: whoever writes the tables is known"
        try:
            if not all(self._follows(ctx)):
                return []
            strange = self._strangers(ctx)
        except (SqlFailed, Unreachable, StepFailed) as error:
            return [Concern(question, "unknown", str(error))]
        return [Concern(question, "fail", each, _STRANGE) for each in strange] or [
            Concern(question, "pass", "each is, or there is one alone")
        ]

    def _strangers(self, ctx: StepContext) -> list[str]:
        """Who writes the old tables, and nobody has answered for; none where there is but one, the application itself."""
        from tracseq_migrate.replication.cutover.census import Writer, writers

        found: dict[tuple[str, str], Writer] = {}
        for one in self.moving(ctx):
            with ctx.sessions.open(
                one.database_a, purpose="preflight", timeout=ctx.remaining(10.0)
            ) as session:
                found |= {(each.role, each.application): each for each in writers(session, one)}
        if len(found) == 1 and not self.writers:
            return []
        return [
            str(each)
            for each in found.values()
            if not any(known.knows(each.role, each.application) for known in self.writers)
        ]

    def _follows(self, ctx: StepContext) -> list[bool]:
        from tracseq_migrate.replication.standing import stand

        return [
            stand(ctx.sessions, _name(each), each.from_, each.to, (), patience=ctx.remaining(10.0))
            is not None
            for each in self.replications
        ]

    def _in_the_way(self, ctx: StepContext) -> list[Concern]:
        """Who holds the tables that follow already; before they do, the step that brings them to life asks."""
        from tracseq_migrate.replication.standing import stand

        question = f"{self.title}: nobody holds the tables"
        try:
            standing = [
                stand(ctx.sessions, _name(each), each.from_, each.to, (), patience=ctx.remaining(10.0))
                for each in self.replications
            ]
            if not all(standing):
                return []
            refused = [
                refusal
                for each, opened in zip(self.replications, self._opened(ctx), strict=True)
                for refusal in self._held(ctx, each, opened)
            ]
        except (SqlFailed, Unreachable, StepFailed) as error:
            return [Concern(question, "unknown", str(error))]
        concerns = [
            Concern(
                f"{each.database}: {each.where}",
                "fail" if each.grade == "refused" else "unknown",
                f"{each.where}: {each.what}",
                each.remedy,
            )
            for each in refused
            if each.grade != "note"
        ]
        return concerns or [Concern(question, "pass", "no prepared transaction, and none that is long")]

    @staticmethod
    def _held(ctx: StepContext, each: Moved, opened: Opened) -> list[Refusal]:
        from tracseq_migrate.replication.refusals import in_the_way

        with (
            ctx.sessions.open(each.from_, purpose="preflight", timeout=ctx.remaining(10.0)) as a,
            ctx.sessions.open(each.to, purpose="preflight", timeout=ctx.remaining(10.0)) as b,
        ):
            return in_the_way(opened.replication, opened.catalog_a, opened.catalog_b, a, b)

    def concerns_of_return(self, ctx: StepContext, undo: Undo) -> list[Concern]:
        found = concerns.before_return(
            ctx, f"{self.title}: the gateway starts with the flag file", undo["values"]
        )
        # What could not be asked keeps nobody from going back.
        return [*found, *(each for each in self._in_the_way(ctx) if each.verdict == "fail")]

    def preview(self, ctx: StepContext, *, offline: bool) -> Preview:
        lines: list[PreviewLine] = []
        try:
            store = ctx.flags.read()
            change = ctx.flags.preview(self._over().entries)
        except (InvalidSetup, StepFailed) as error:
            return Preview((known(error.message),), changes=True)
        for flag, on in self.flags.items():
            route = ctx.routes.get(flag)
            said = store.values.get(flag)
            lines.append(
                known(
                    f"{flag} {'is not declared' if said is None else f'is declared {said}'}, becomes {values.spell(on)}:"
                    f" {route.prefix if route else '?'} -> {route.service if route else '?'}"
                )
            )
        lines.append(known(self._price(ctx)))
        lines.append(
            known(
                "from the moment of the change on everything that is written goes back into the old tables as it comes, until the"
                " week is completed; `rollback` hands them over again by the same way"
            )
        )
        if offline:
            lines.append(unknowable("what the databases hold, and who writes there (no network)"))
        else:
            lines += self._foretold(ctx)
        return Preview(tuple(lines), change.before != change.after, change.diff)

    def _price(self, ctx: StepContext) -> str:
        try:
            order = orders.chosen(ctx.rollout, self.order)
        except Unreachable as error:
            return f"whether writes can be held is not known: {error}"
        if order is None:
            return f"order {self.order} cannot be had with what stands in front of the gateway"
        return orders.price(order, ctx.rollout, self.write_gap)

    def _foretold(self, ctx: StepContext) -> list[PreviewLine]:
        from tracseq_migrate.replication.standing import stand

        lines: list[PreviewLine] = []
        for each in self.replications:
            name = _name(each)
            try:
                found = stand(ctx.sessions, name, each.from_, each.to, (), patience=ctx.remaining(10.0))
            except (SqlFailed, Unreachable) as error:
                lines.append(assumed(f"{name}: it cannot be asked how it stands: {error}"))
                continue
            if found is None:
                lines.append(assumed(f"{name}: an earlier step brings it to life"))
            elif found.owner == "b":
                lines.append(known(f"{name}: {each.to} owns its tables already"))
            else:
                tables = ", ".join(f"{pair} ({phase})" for pair, phase in found.phases.items())
                lines.append(known(f"{name}: {tables}; {found.leader or 'nobody'} carries changes over"))
                if found.alarm:
                    lines.append(known(f"{name}: {found.alarm}"))
        lines.append(known(_RECOVERS))
        lines.append(known(_POINT))
        if ctx.deep:
            lines += self._outlook(ctx)
        return lines

    def _outlook(self, ctx: StepContext) -> list[PreviewLine]:
        from tracseq_migrate.replication.cutover.census import outlook

        try:
            return [
                line
                for one in self.moving(ctx)
                for line in outlook(ctx.sessions, one, patience=ctx.remaining(30.0))
            ]
        except (SqlFailed, Unreachable, StepFailed) as error:
            return [assumed(f"the databases cannot be asked: {error}")]

    def prepare(self, ctx: StepContext) -> Undo:
        try:
            store = ctx.flags.read()
        except InvalidSetup as error:
            raise StepFailed(error.message, hint=error.hint) from error
        effective: dict[str, bool] = {}
        for instance in ctx.gateway.instances:
            try:
                reading = ctx.gateway.flags(instance, timeout=ctx.remaining(5.0))
            except Unreachable as error:
                raise StepFailed(f"{instance} cannot be asked what is effective now: {error.why}") from error
            for flag, on in self.flags.items():
                now = reading.readings[flag].effective if flag in reading.readings else None
                if now is None:
                    wrong = wrong_flags(reading, {flag: on})
                    raise StepFailed(describe(wrong) or f"{instance} does not say whether {flag} is on")
                if effective.setdefault(flag, now) is not now:
                    raise StepFailed(f"the instances disagree on {flag}, so what to go back to is not known")
        return {
            "location": store.location,
            "values": {flag: store.values.get(flag) for flag in self.flags},
            "effective": effective,
            "replications": [[_name(each), each.from_, each.to] for each in self.replications],
        }

    # -- there and back ----------------------------------------------------------------------------------------------------

    def apply(self, ctx: StepContext, undo: Undo) -> Done | WaitingOn:
        # Asked here as well: a run that brings the tables to life begins before anybody is noted. To fail would be to take the
        # copy back.
        strange = [] if ctx.approvals(ctx.step_id) else self._unknown_now(ctx)
        if strange:
            return WaitingOn(
                on=f"a word about who else writes the tables: {'; '.join(strange)}. {_STRANGE}",
                next_command=f"tracseq-migrate approve {ctx.week} {ctx.step_id}",
                item=ctx.step_id,
            )
        return Done(tuple(self._carried(ctx, undo, "forward")))

    def _unknown_now(self, ctx: StepContext) -> list[str]:
        try:
            return self._strangers(ctx)
        except (SqlFailed, Unreachable) as error:
            raise StepFailed(f"it cannot be asked who writes the tables: {error}") from error

    def verify(self, ctx: StepContext) -> list[Evidence]:
        for name, owner, text in self._standing(ctx):
            if owner != "b":
                raise StepFailed(
                    f"{name} has not been cut over: {text}",
                    hint="`tracseq-migrate status` says what it is at.",
                )
        readings = see(ctx, self.flags)
        names = ", ".join(ctx.gateway.instances)
        owned = ", ".join(f"{each.to} owns {each.mapping}" for each in self.replications)
        return [
            Evidence(
                f"{owned}: the old tables refuse writes, and the new ones take them",
                {"owners": {each.mapping: each.to for each in self.replications}},
            ),
            Evidence(
                f"{', '.join(self.flags)} effective: {readings} readings on fresh connections agree ({names} and"
                f" {ctx.gateway.url})",
                {"readings": readings, "flags": dict(self.flags)},
            ),
            *self._prove(ctx, "gateway", self.flags),
        ]

    def probe(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> Probed:
        try:
            standing = self._standing(ctx)
        except (Unreachable, SqlFailed, StepFailed) as error:
            return Probed(Found.UNKNOWN, str(error))
        text = "; ".join(f"{name}: {said}" for name, _, said in standing)
        owners = {owner for _, owner, _ in standing}
        owed = ctx.journal.owes(OWED)
        if owners == {"b"} and not owed and not self._wrong(ctx, self.flags):
            return Probed(Found.DONE, text)
        if owners == {"a"} and not owed and not self._wrong(ctx, undo["effective"]):
            return Probed(Found.NOT_DONE, text)
        return Probed(Found.PARTLY, text)

    def losses(self, ctx: StepContext, undo: Undo) -> list[Loss]:
        """Rows of the new side that have no way back to the old one."""
        from tracseq_migrate.replication.cutover.losses import losses

        try:
            if not any(owner == "b" for _, owner, _ in self._standing(ctx)):
                return []
            return [
                loss
                for one in self.moving(ctx)
                for loss in losses(ctx.sessions, one, patience=ctx.remaining(60.0))
            ]
        except (SqlFailed, StepFailed) as error:
            raise Unreachable("what has no way back", str(error)) from error

    def revert(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> list[Evidence]:
        given_up = self._given_up(ctx) if ctx.accept_loss else []
        evidence = [*given_up, *self._carried(ctx, undo, "back")]
        readings = see(ctx, undo["effective"])
        return [
            *evidence,
            Evidence(f"the flags are as before: {readings} readings agree", {"readings": readings}),
        ]

    def _given_up(self, ctx: StepContext) -> list[Evidence]:
        """Rows without a way back, which somebody was shown and accepted: out of the way of all others."""
        from tracseq_migrate.replication.cutover.losses import give_up

        if not any(owner == "b" for _, owner, _ in self._standing(ctx)):
            return []
        try:
            lost = [
                loss
                for one in self.moving(ctx)
                for loss in give_up(ctx.sessions, one, patience=ctx.remaining(60.0))
            ]
        except SqlFailed as error:
            raise StepFailed(f"what has no way back could not be taken out of the way: {error}") from error
        if not lost:
            return []
        names = "; ".join(f"{each.where} {each.key}" for each in lost[:10])
        more = f" and {len(lost) - 10} more" if len(lost) > 10 else ""
        return [
            Evidence(
                f"{len(lost)} changes without a way back were given up, as accepted: {names}{more}",
                {"given_up": [[each.where, each.key] for each in lost]},
            )
        ]

    def cannot_conclude(self, ctx: StepContext, undo: Undo) -> str:
        try:
            standing = self._standing(ctx)
        except SqlFailed as error:
            raise Unreachable("who owns the tables", str(error)) from error
        return "; ".join(f"{name}: {said}" for name, owner, said in standing if owner != "b")

    def conclude(self, ctx: StepContext, undo: Undo) -> list[Evidence]:
        from tracseq_migrate.replication.cutover.closing import close_for_good

        return close_for_good(ctx.sessions, self.moving(ctx), by=self._by(ctx))

    def manual(self, undo: Undo, routes: Mapping[str, Route], hands: Hands = NO_HANDS) -> list[str]:
        named = ", ".join(f"{name} ({to} -> {from_})" for name, from_, to in undo.get("replications", []))
        return [
            f"{BY_HAND}first bring the rows back: no command of PostgreSQL's does it. `tracseq-migrate resume` or `rollback` from"
            f" another machine does, for {named}; until then leave the flags as they are: the old tables refuse writes",
            *by_hand.lines(undo, routes, hands),
        ]

    # -- how ---------------------------------------------------------------------------------------------------------------

    def _carried(self, ctx: StepContext, undo: Undo, direction: Direction) -> list[Evidence]:
        """Bring all of it to one owner, from wherever a crash may have left it; databases that are away are waited for.

        Raises:
            StepFailed: it did not come about, and everything is as it was before.
            InProgress: it has begun and could not be ended or undone: somebody has to go on with it.
        """
        over, back = self._over(), Flip(undo["values"], undo["effective"])
        if direction == "back":
            over, back = back, over
        front = GatewayFront(
            ctx,
            over=over,
            back=back,
            order=orders.chosen(ctx.rollout, self.order) or "reload",
            prove=lambda instance: self._prove(ctx, instance, over.expect),
        )
        try:
            with _watched(ctx):
                evidence = self._settled(ctx, front, direction)
            clients = front.stop()
        finally:
            front.stop()
        failed = f"{clients.failed} failed" if clients.failed else "none failed"
        measured = Evidence(
            f"{clients.requests} probes through the gateway meanwhile, {failed}, slowest {duration.show(clients.slowest)}",
            {
                "probes": clients.requests,
                "failed": clients.failed,
                "failed_by_kind": dict(clients.by_kind),
                "p99_seconds": round(clients.p99, 6),
                "slowest_seconds": round(clients.slowest, 6),
            },
        )
        return [*evidence, measured, *front.proofs]

    def _settled(self, ctx: StepContext, front: GatewayFront, direction: Direction) -> list[Evidence]:
        """One owner, whatever it takes. As `_carried`."""
        from tracseq_migrate.replication.cutover import cut_over, recover

        wanted, other = ("b", "a") if direction == "forward" else ("a", "b")
        until = ctx.clock.monotonic() + _PATIENCE
        broken: StepFailed | Unreachable | SqlFailed | None = None

        def check() -> None:
            if ctx.late:
                raise StepFailed("it was not done in time", unknown=True)

        def reached(stage: Stage) -> None:
            ctx.journal.checkpoint(stage.name, stage.data, "forward" if stage.name == OPEN else "either")

        while True:
            try:
                moving = self.moving(ctx)
                owners = {owner for _, owner, _ in self._standing(ctx)}
                at_rest = broken is None and not ctx.journal.owes(OWED)
                if at_rest and owners == {wanted} and not self._wrong(ctx, front.wanted):
                    return [
                        Evidence(f"{', '.join(one.name for one in moving)}: the owner is {wanted} already")
                    ]
                if at_rest and owners == {other}:
                    done = cut_over(
                        ctx.sessions,
                        moving,
                        direction,
                        front,
                        by=self._by(ctx),
                        check=check,
                        told=ctx.say,
                        reached=reached,
                    )
                    return [*done.evidence(), *self._longer(done.held)]
                recovered = recover(
                    ctx.sessions, moving, direction, front, by=self._by(ctx), told=ctx.say, reached=reached
                )
                if recovered.outcome == "done":
                    return recovered.evidence()
            except (Unreachable, SqlFailed, StepFailed) as error:
                first = broken is None
                broken = broken or error
                if ctx.clock.monotonic() >= until and not first:
                    raise InProgress(
                        f"step {ctx.step_id}: the cutover was broken off, and could not be ended or undone yet: {error}",
                        state="Each table takes writes on one side at most; what was acknowledged is there.",
                        hint="`tracseq-migrate resume` ends it, or undoes it, as soon as both databases and the gateway answer.",
                    ) from error
                if not first:
                    ctx.say(f"again: {error}")
                    ctx.clock.sleep(_AGAIN)
            else:
                if broken is not None:
                    raise StepFailed(str(broken), hint=getattr(broken, "hint", ""))
                # What an earlier call had begun is undone; this one begins at the top.

    def _longer(self, held: float) -> list[Evidence]:
        if held <= self.write_gap:
            return []
        allowed = duration.show(self.write_gap)
        return [
            Evidence(
                f"the write gap was longer than the plan allows: {duration.show(held)}, and not {allowed}",
                {"gap_seconds": round(held, 4), "write_gap": self.write_gap},
            )
        ]

    def _standing(self, ctx: StepContext) -> list[tuple[str, str, str]]:
        """Of each replication: its name, who owns its tables (``a``, ``b``, or nobody while it is under way), and that in words.

        Raises:
            StepFailed: a replication is not there.
            SqlFailed, Unreachable: a database could not be asked.
        """
        from tracseq_migrate.replication.bringing import look

        found = []
        for each in self.replications:
            name = _name(each)
            seen = look(ctx.sessions, name, each.from_, each.to, patience=ctx.remaining(10.0))
            if seen.closed and ctx.completed:
                found.append((name, "b", f"{each.to} owns its tables for good"))
                continue
            if seen.a is None or seen.b is None:
                raise StepFailed(
                    f"{name} does not follow: {each.from_ if seen.a is None else each.to} knows nothing of it",
                    hint="A step of kind `replicate` brings it to life first.",
                )
            rows = {(seen.a.owner, seen.a.direction), (seen.b.owner, seen.b.direction)}
            if rows == {("a", "forward")}:
                found.append((name, "a", f"{each.from_} owns its tables"))
            elif rows == {("b", "back")}:
                found.append((name, "b", f"{each.to} owns its tables"))
            else:
                found.append(
                    (
                        name,
                        "",
                        f"it changes its owner ({each.from_} says {seen.a.owner}, {each.to} says {seen.b.owner})",
                    )
                )
        return found

    @staticmethod
    def _wrong(ctx: StepContext, expect: Mapping[str, bool]) -> str:
        everywhere = [*ctx.gateway.instances, None]
        return describe(
            disagreements(
                ctx.gateway, expect, instances=everywhere, connections=1, timeout=ctx.remaining(5.0)
            )
        )

    def _prove(self, ctx: StepContext, through: str, expect: Mapping[str, bool]) -> list[Evidence]:
        evidence = []
        for flag, on in expect.items():
            if not on:
                continue
            route = ctx.routes[flag]
            found = proof.prove(
                ctx.http,
                ctx.clock,
                route,
                monolith=ctx.monolith,
                through=through,
                nonce=ctx.run_id,
                timeout=ctx.remaining(30.0),
            )
            text = f"{route.prefix} through {through} is answered by {route.service}: {found}"
            evidence.append(Evidence(text, dict(found.data)))
        return evidence

    @staticmethod
    def _by(ctx: StepContext) -> str:
        return f"tracseq-migrate, step {ctx.step_id} of {ctx.week}"


@contextmanager
def _watched(ctx: StepContext) -> Iterator[None]:
    """Raises `StepFailed` where nobody could be found to watch; nothing has begun then."""
    with ExitStack() as stack:
        try:
            watcher = stack.enter_context(ctx.guardian.watching(ctx.week, ctx.step_id))
        except Unreachable as error:
            raise StepFailed(
                f"nobody would end the cutover if this process died: {error}",
                hint="Mend that, and run again.",
            ) from error
        if watcher:
            ctx.say(f"{watcher} ends it, or undoes it, should this one die")
        yield


def _name(each: Moved) -> str:
    from tracseq_migrate.replication.opening import name_of

    return name_of(each.file)
