"""Kind ``route``: proof of who answers behind a prefix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Route, Routes
from tracseq_migrate.routing import proof
from tracseq_migrate.step import (
    NO_EFFECT,
    Done,
    Effect,
    Evidence,
    Found,
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


class RouteStep(Step):
    """Requests through the gateway are held against direct ones, and against the counters of both sides."""

    kind: ClassVar[str] = "route"
    summary: ClassVar[str] = (
        "Proves who answers behind a prefix, by fingerprints and by both sides' counters."
    )
    default_timeout: ClassVar[float] = 60.0
    checks: ClassVar[bool] = True

    prefix: str = Field(pattern=r"^/[^\s?#]*$")
    answered_by: str
    paths: tuple[str, ...] = ()
    """Further GET paths below the prefix to ask; a path that exists nowhere and the prefix itself are always asked."""
    requests: int = Field(default=proof.REQUESTS, ge=6, le=200)

    @property
    def effect(self) -> Effect:
        return NO_EFFECT

    @property
    def title(self) -> str:
        return f"{self.answered_by} answers {self.prefix}"

    def uses(self) -> Uses:
        return Uses(services=frozenset({self.answered_by}))

    def findings(self) -> list[str]:
        return [
            f"path {path!r} is not below the prefix {self.prefix!r}"
            for path in self.paths
            if not path.startswith(self.prefix)
        ]

    def fits(self, routes: Routes, monolith: str) -> list[str]:
        behind = routes.behind(self.prefix)
        if not behind:
            return [f"no flag of the environment routes the prefix {self.prefix!r}"]
        if self.answered_by in routes.services and self.answered_by not in behind:
            return [f"no flag of the environment sends {self.prefix!r} to {self.answered_by}"]
        return []

    def preview(self, ctx: StepContext, *, offline: bool) -> Preview:
        line = known(
            f"asks {self.requests} times through the gateway and compares with direct answers; changes nothing"
        )
        if offline:
            return Preview((line, unknowable("who answers (no network)")), changes=False)
        try:
            found = self._who(ctx)
        except StepFailed as error:
            return Preview((line, known(error.message)), changes=False)
        if found.side is proof.Side.UNKNOWN:
            return Preview((line, unknowable(f"who answers, as things are now ({found})")), changes=False)
        return Preview((line, known(f"now: {found.side} answers ({found})")), changes=False)

    def apply(self, ctx: StepContext, undo: Undo) -> Done | WaitingOn:
        self.verify(ctx)
        return Done()

    def verify(self, ctx: StepContext) -> list[Evidence]:
        if self.answered_by == ctx.monolith:
            found = self._who(ctx)
            if found.side is not proof.Side.MONOLITH or found.errors:
                raise StepFailed(
                    f"{self.prefix}: {ctx.monolith} is not proven to answer ({found})",
                    unknown=found.side is proof.Side.UNKNOWN,
                )
        else:
            found = proof.prove(
                ctx.http,
                ctx.clock,
                self._route(ctx),
                monolith=ctx.monolith,
                paths=self.paths,
                nonce=ctx.run_id,
                timeout=ctx.remaining(),
                requests=self.requests,
            )
        return [Evidence(f"{self.answered_by} answers {self.prefix}: {found}", dict(found.data))]

    def probe(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> Probed:
        return Probed(Found.NOT_DONE, "a question changes nothing, so it is asked again")

    def _who(self, ctx: StepContext) -> proof.Proof:
        return proof.who_answers(
            ctx.http,
            ctx.clock,
            self._route(ctx),
            monolith=ctx.monolith,
            paths=self.paths,
            nonce=ctx.run_id or "preview",
            timeout=ctx.remaining(),
            requests=self.requests,
        )

    def _route(self, ctx: StepContext) -> Route:
        """The route of this prefix; for the monolith, the service that would answer otherwise is the other side."""
        for route in ctx.routes.values():
            if route.prefix == self.prefix and self.answered_by in (route.service, ctx.monolith):
                return route
        raise StepFailed(
            f"the environment has no flag that sends {self.prefix} to {self.answered_by}",
            hint="Compare prefix and service with gateway.flags.names in the environment file.",
        )
