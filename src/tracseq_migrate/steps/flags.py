"""Kind ``flags``: the flag transaction, there and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from tracseq_migrate.errors import InvalidSetup, StepFailed
from tracseq_migrate.ports import FlagFile, Route, Routes, Unreachable
from tracseq_migrate.routing import adoption, by_hand, concerns, proof, stranded, values
from tracseq_migrate.routing.flip import (
    OWED,
    SWITCHING,
    Flip,
    carry_out,
    clear_up,
    keep_declared,
    put_back,
    see,
)
from tracseq_migrate.routing.readback import CONNECTIONS, describe, disagreements, wrong_flags
from tracseq_migrate.step import (
    NO_HANDS,
    Adopted,
    Concern,
    Done,
    Evidence,
    Found,
    Hands,
    Loss,
    LossRefused,
    Preview,
    PreviewLine,
    Probed,
    Step,
    StepContext,
    Undo,
    Uses,
    WaitingOn,
    assumed,
    known,
    unknowable,
)

Writes = Literal["stranded", "none"]

_SHOWN = 3


class FlagsStep(Step):
    """Sets flags; done when every instance says so and the requests arrive where they should."""

    kind: ClassVar[str] = "flags"
    summary: ClassVar[str] = (
        "Sets the gateway's flags as one transaction, and proves that the requests arrive where they should."
    )
    default_timeout: ClassVar[float] = 180.0

    set_: dict[str, bool] = Field(alias="set", min_length=1)
    writes: Writes | dict[str, Writes] | None = None
    """What becomes of what users write on the new side while this plan moves no data: ``stranded`` there when one goes back
    (which is then counted, and refused without --accept-loss), or ``none``, where the service keeps nothing. For all services
    at once, or a mapping from service to either."""

    @property
    def title(self) -> str:
        return ", ".join(f"{flag} {'on' if value else 'off'}" for flag, value in self.set_.items())

    def uses(self) -> Uses:
        declared = frozenset(self.writes) if isinstance(self.writes, dict) else frozenset()
        return Uses(flags=frozenset(self.set_), services=declared)

    def touches(self) -> frozenset[str]:
        return frozenset({"gateway"})

    def findings(self) -> list[str]:
        off = [flag for flag, value in self.set_.items() if not value]
        if off:
            return [
                f"it turns {', '.join(off)} off, which would hide what was written on the service since: "
                "roll back the week that turned it on instead"
            ]
        if self.writes is None and any(self.set_.values()):
            return [
                "it turns flags on, but does not say what becomes of the data behind them: "
                "add `writes: stranded`, or `writes: {SERVICE: stranded | none}`"
            ]
        return []

    def fits(self, routes: Routes, monolith: str) -> list[str]:
        if not isinstance(self.writes, dict):
            return []
        turned = {routes[flag].service for flag, on in self.set_.items() if on and flag in routes}
        missing = [
            f"`writes` does not say what becomes of the data of {name}"
            for name in sorted(turned - self.writes.keys())
        ]
        idle = [
            f"`writes` names {name}, which no flag of this step turns on"
            for name in sorted(self.writes.keys() - turned)
        ]
        return missing + idle

    def concerns(self, ctx: StepContext) -> list[Concern]:
        stores, uncounted = self._stores(ctx), self._uncounted(ctx)
        return concerns.before_flip(ctx, self.title, self.set_, stores=stores, uncounted=uncounted)

    def concerns_of_return(self, ctx: StepContext, undo: Undo) -> list[Concern]:
        return concerns.before_return(
            ctx, f"{self.title}: the gateway starts with the flag file", undo["values"]
        )

    def preview(self, ctx: StepContext, *, offline: bool) -> Preview:
        try:
            store = ctx.flags.read()
            change = ctx.flags.preview(self._entries())
        except (InvalidSetup, StepFailed) as error:
            return Preview((known(error.message),), changes=True)
        lines: list[PreviewLine] = []
        for flag, value in self.set_.items():
            now = store.values.get(flag)
            route = ctx.routes.get(flag)
            side = (route.service if value else ctx.monolith) if route else "?"
            said = "is not declared" if now is None else f"is declared {now}"
            lines.append(
                known(
                    f"{flag} {said}, becomes {values.spell(value)}: {route.prefix if route else '?'} -> {side}"
                )
            )
        differs = change.before != change.after
        if offline:
            lines.append(unknowable("what is effective at the gateway (no network)"))
        else:
            wrong = disagreements(
                ctx.gateway,
                self.set_,
                instances=ctx.gateway.instances,
                connections=1,
                timeout=ctx.remaining(5.0),
            )
            differs = differs or bool(wrong)
            lines.append(
                known(
                    f"effective now: {describe(wrong)}" if wrong else "effective now: as wanted, everywhere"
                )
            )
        lines.append(assumed(f"by strategy {ctx.rollout.strategy}: {ctx.rollout.forecast()}"))
        for service, kind in self._declared_writes(ctx.routes).items():
            lines.append(known(self._about_writes(ctx, service, kind)))
        return Preview(tuple(lines), differs, change.diff)

    def _about_writes(self, ctx: StepContext, service: str, kind: Writes) -> str:
        if kind == "none":
            return f"{service} keeps nothing that users write; going back checks that"
        store = ctx.stores.get(service)
        return (
            f"no data moves: what is written from then on stays in {store or service}; "
            "going back counts it, and refuses to leave it without --accept-loss"
        )

    def prepare(self, ctx: StepContext) -> Undo:
        store = self._read(ctx)
        effective: dict[str, bool] = {}
        for instance in ctx.gateway.instances:
            try:
                reading = ctx.gateway.flags(instance, timeout=ctx.remaining(5.0))
            except Unreachable as error:
                raise StepFailed(f"{instance} cannot be asked what is effective now: {error.why}") from error
            for flag in self.set_:
                now = reading.readings[flag].effective if flag in reading.readings else None
                if now is None:
                    wrong = describe(wrong_flags(reading, {flag: self.set_[flag]}))
                    raise StepFailed(wrong or f"{instance} does not say whether {flag} is on")
                if effective.setdefault(flag, now) is not now:
                    raise StepFailed(f"the instances disagree on {flag}, so what to go back to is not known")
        manifests = {}
        for service, database in self._stores(ctx).items():
            try:
                manifest = ctx.databases.manifest(database, timeout=ctx.remaining())
            except Unreachable as error:
                raise StepFailed(f"what {service} keeps cannot be counted: {error}") from error
            manifests[service] = ctx.journal.attach(stranded.pack(manifest))
        return {
            "location": store.location,
            "values": {flag: store.values.get(flag) for flag in self.set_},
            "effective": effective,
            "instances": list(ctx.gateway.instances),
            "manifests": manifests,
        }

    def apply(self, ctx: StepContext, undo: Undo) -> Done | WaitingOn:
        flipped = carry_out(ctx, self._flip(), prove=lambda instance: self._prove(ctx, instance))
        return Done(tuple(flipped.evidence()))

    def verify(self, ctx: StepContext) -> list[Evidence]:
        store = self._read(ctx)
        for flag, value in self.set_.items():
            if values.read(store.values.get(flag)) is not value:
                said = store.values.get(flag)
                text = "does not declare it" if said is None else f"says {said}"
                raise StepFailed(f"{flag} should be {values.spell(value)}, but {store.location} {text}")
        readings = see(ctx, self.set_)
        names = ", ".join(ctx.gateway.instances)
        seen = Evidence(
            f"{self.title} is effective: {readings} readings on fresh connections agree ({names} and {ctx.gateway.url})",
            {"readings": readings, "flags": dict(self.set_)},
        )
        return [seen, *self._prove(ctx, "gateway")]

    def probe(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> Probed:
        try:
            store = self._read(ctx)
        except StepFailed as error:
            return Probed(Found.UNKNOWN, error.message)
        declared: Mapping[str, str | None] = undo["values"]
        before: Mapping[str, bool] = undo["effective"]
        written = all(values.read(store.values.get(flag)) is value for flag, value in self.set_.items())
        restored = all(store.values.get(flag) == declared[flag] for flag in self.set_)

        def wrong(expect: Mapping[str, bool]) -> str:
            everywhere = [*ctx.gateway.instances, None]
            return describe(
                disagreements(
                    ctx.gateway, expect, instances=everywhere, connections=1, timeout=ctx.remaining(5.0)
                )
            )

        not_new, not_old = wrong(self.set_), wrong(before)
        try:
            unfinished = ctx.rollout.unfinished()
        except Unreachable as error:
            return Probed(Found.UNKNOWN, str(error))
        if unfinished:
            return Probed(Found.PARTLY, unfinished)
        if restored and not not_old:
            return Probed(Found.NOT_DONE, "store and every instance are as before")
        if written and not not_new and ctx.journal.owes(OWED):
            return Probed(
                Found.PARTLY, "store and every instance have the new flags, but the end was not seen"
            )
        if written and not not_new:
            return Probed(Found.DONE, "store and every instance have the new flags")
        detail = (
            "the store has the new flags"
            if written
            else "the store is as before"
            if restored
            else "the store has others"
        )
        return Probed(Found.PARTLY, f"{detail}; {not_new or not_old}")

    def adopt(self, ctx: StepContext) -> Adopted:
        try:
            store = ctx.flags.read()
        except InvalidSetup as error:
            return Adopted(Found.UNKNOWN, error.message)
        short = adoption.short_of(ctx, store, self.set_)
        if short is not None:
            return short
        try:
            evidence = tuple(self.verify(ctx))
        except StepFailed as error:
            return Adopted(Found.UNKNOWN if error.unknown else Found.PARTLY, error.message)
        except Unreachable as error:
            return Adopted(Found.UNKNOWN, str(error))
        undo, unsure = adoption.way_back(ctx, store, self.set_, self._stores(ctx))
        return Adopted(
            Found.DONE, evidence[0].text, undo, unsure, evidence, checkpoints=("declared", SWITCHING)
        )

    def losses(self, ctx: StepContext, undo: Undo) -> list[Loss]:
        found: list[Loss] = []
        for database in undo.get("unknown_before", {}).values():
            before = stranded.unknown_before(database)
            found.extend(stranded.written_since(ctx.databases, before, timeout=ctx.remaining(120.0)))
        for service in self._uncounted(ctx):
            raise Unreachable(f"what {service} keeps", "the environment names no database for it")
        for digest in undo["manifests"].values():
            before = stranded.unpack(ctx.journal.attachment(digest))
            found.extend(stranded.written_since(ctx.databases, before, timeout=ctx.remaining(120.0)))
        return found

    def revert(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> list[Evidence]:
        back = Flip(undo["values"], undo["effective"])
        moved = SWITCHING in checkpoints
        uncounted = ""

        def count() -> list[Loss]:
            """Counted always: an instance that crashed and came back may have sent clients over before the switch."""
            nonlocal uncounted
            if ctx.accept_loss:
                return []
            try:
                return self.losses(ctx, undo)
            except Unreachable as error:
                if moved:
                    raise
                uncounted = str(error)
                return []

        # Whoever is on the old side already stays there: sent away again, they would leave behind what they wrote meanwhile.
        away = disagreements(
            ctx.gateway, back.expect, instances=[None], connections=CONNECTIONS, timeout=ctx.remaining(5.0)
        )

        def refuse_losses() -> None:
            losses = count() if away else []
            if losses:
                raise LossRefused(losses)

        if self.probe(ctx, undo, checkpoints).found is Found.NOT_DONE:
            clear_up(ctx, back)
            ctx.journal.settle(OWED)
            evidence = [Evidence("the flags were as before already")]
        else:
            try:
                evidence = put_back(ctx, back, before_commit=refuse_losses).evidence()
            except (LossRefused, Unreachable):
                # Writes came in after the first count, or they cannot be counted now. Nobody was sent back yet: what was in
                # force is put in force again.
                carry_out(ctx, self._flip(), prove=lambda _: ())
                raise
            except StepFailed:
                keep_declared(ctx, self._flip(), back)
                raise
        readings = see(ctx, back.expect)
        evidence.append(
            Evidence(f"the flags are as before: {readings} readings agree", {"readings": readings})
        )
        late = count()
        if uncounted:
            text = (
                f"no client was sent over; what was written there otherwise could not be counted: {uncounted}"
            )
            evidence.append(Evidence(text))
        if late:
            raise StepFailed(
                f"the flags are as before, but {len(late)} writes came in during the switch and are on the new side only: "
                f"{'; '.join(stranded.summary(late)[:_SHOWN])}",
                hint="Run the rollback again with --accept-loss: it writes the list of them to a file first.",
            )
        return evidence

    def _uncounted(self, ctx: StepContext) -> list[str]:
        """Services whose writes would be stranded, and of which nobody can say where they keep them."""
        return [
            service
            for service, kind in self._declared_writes(ctx.routes).items()
            if kind == "stranded" and service not in ctx.stores
        ]

    def manual(self, undo: Undo, routes: Mapping[str, Route], hands: Hands = NO_HANDS) -> list[str]:
        return by_hand.lines(undo, routes, hands)

    def _entries(self) -> dict[str, str | None]:
        return {flag: values.spell(value) for flag, value in self.set_.items()}

    def _flip(self) -> Flip:
        return Flip(self._entries(), dict(self.set_))

    def _read(self, ctx: StepContext) -> FlagFile:
        try:
            return ctx.flags.read()
        except InvalidSetup as error:
            raise StepFailed(error.message, hint=error.hint) from error

    def _declared_writes(self, routes: Mapping[str, Route]) -> dict[str, Writes]:
        turned = [routes[flag].service for flag, on in self.set_.items() if on and flag in routes]
        if isinstance(self.writes, dict):
            return {name: self.writes[name] for name in turned if name in self.writes}
        return dict.fromkeys(turned, self.writes) if self.writes else {}

    def _stores(self, ctx: StepContext) -> dict[str, str]:
        """Databases of the services that are turned on. ``none`` is a claim, so those are counted too."""
        return {
            service: ctx.stores[service]
            for service in self._declared_writes(ctx.routes)
            if service in ctx.stores
        }

    def _prove(self, ctx: StepContext, through: str) -> list[Evidence]:
        evidence = []
        for flag, value in self.set_.items():
            route = ctx.routes[flag]
            if value:
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
