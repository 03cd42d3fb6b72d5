"""Kind ``services``: services come up and are healthy, or go down and are gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Route, ServiceState, Unreachable
from tracseq_migrate.step import (
    NO_HANDS,
    Adopted,
    Concern,
    Done,
    Evidence,
    Found,
    Hands,
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
from tracseq_migrate.step.health import see_health

_PAUSE = 0.25


class ServicesStep(Step):
    """Starts or stops services; going back stops those that it started, and starts those that it stopped."""

    kind: ClassVar[str] = "services"
    summary: ClassVar[str] = (
        "Starts services and waits until they are healthy, or stops them and sees that they are gone."
    )
    default_timeout: ClassVar[float] = 120.0

    up: tuple[str, ...] = Field(default=())
    down: tuple[str, ...] = Field(default=())

    @property
    def title(self) -> str:
        return "; ".join(
            f"{verb} {', '.join(names)}" for verb, names in (("start", self.up), ("stop", self.down)) if names
        )

    def uses(self) -> Uses:
        return Uses(services=frozenset(self._names))

    def findings(self) -> list[str]:
        found = []
        if not self._names:
            found.append("it names no service: give `up: [..]` or `down: [..]`")
        found.extend(f"{name} stands in both up and down" for name in sorted({*self.up} & {*self.down}))
        return found

    def touches(self) -> frozenset[str]:
        return frozenset(f"service:{name}" for name in self._names)

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.up, *self.down)

    def concerns(self, ctx: StepContext) -> list[Concern]:
        found = []
        for name in self._names:
            try:
                state = _state(ctx, name)
            except Unreachable as error:
                found.append(
                    Concern(f"{name} can be managed", "unknown", f"its state cannot be asked: {error}")
                )
                continue
            if state is ServiceState.EXTERNAL and name in self.up:
                seen = self._see_health(ctx, (name,))[name]
                if not isinstance(seen, Evidence):
                    text = f"{name} is started by somebody else, and is not healthy: {seen}"
                    found.append(Concern(f"{name} is healthy", "fail", text, f"Start {name} first."))
            elif state is ServiceState.EXTERNAL:
                text = f"{name} is started and stopped by somebody else"
                found.append(
                    Concern(
                        f"{name} can be stopped", "fail", text, "Say in the environment file how to stop it."
                    )
                )
        return found

    def preview(self, ctx: StepContext, *, offline: bool) -> Preview:
        lines: list[PreviewLine] = []
        changes = False
        for name, verb in self._verbs():
            if offline:
                lines.append(assumed(f"{verb}s {name}, where it is not so already"))
                changes = True
                continue
            try:
                state = _state(ctx, name)
            except Unreachable as error:
                lines.append(assumed(f"{verb}s {name}; its state cannot be asked: {error.why}"))
                changes = True
                continue
            if state is ServiceState.EXTERNAL:
                lines.append(known(f"{name} is started by somebody else; only its health is asked"))
            elif (state is ServiceState.RUNNING) == (verb == "start"):
                lines.append(known(f"{name} is {state} already"))
            else:
                lines.append(known(f"{verb}s {name}, which is {state}"))
                changes = True
        if self.up:
            lines.append(unknowable("how long each takes to be healthy"))
        return Preview(tuple(lines), changes)

    def prepare(self, ctx: StepContext) -> Undo:
        try:
            before = {name: str(_state(ctx, name)) for name in self._names}
        except Unreachable as error:
            raise StepFailed(str(error)) from error
        return {"before": before}

    def apply(self, ctx: StepContext, undo: Undo) -> Done | WaitingOn:
        for name, verb in self._verbs():
            self._bring(ctx, name, up=verb == "start")
        self._await_health(ctx, self.up)
        return Done()

    def verify(self, ctx: StepContext) -> list[Evidence]:
        evidence = []
        for seen in self._see_health(ctx, self.up).values():
            if not isinstance(seen, Evidence):
                raise seen
            evidence.append(seen)
        for name in self.down:
            state = _state(ctx, name)
            if state is not ServiceState.STOPPED:
                raise StepFailed(f"{name} is {state}, not stopped")
            if self._answers(ctx, name):
                raise StepFailed(f"{name} is stopped, but something still answers at {ctx.http.url(name)}")
            evidence.append(Evidence(f"{name} is stopped and answers no more", {"service": name}))
        return evidence

    def probe(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> Probed:
        before: dict[str, str] = undo["before"]
        try:
            states = {name: _state(ctx, name) for name in self._names}
        except Unreachable as error:
            return Probed(Found.UNKNOWN, str(error))
        detail = ", ".join(f"{name} is {state}" for name, state in states.items())
        as_before = [name for name, state in states.items() if _same(str(state), before[name])]
        wanted = [
            name
            for name, verb in self._verbs()
            if states[name] is (ServiceState.RUNNING if verb == "start" else ServiceState.STOPPED)
            or states[name] is ServiceState.EXTERNAL
        ]
        if len(as_before) == len(states):
            return Probed(Found.NOT_DONE, detail)
        return Probed(Found.DONE if len(wanted) == len(states) else Found.PARTLY, detail)

    def adopt(self, ctx: StepContext) -> Adopted:
        try:
            states = {name: _state(ctx, name) for name in self._names}
        except Unreachable as error:
            return Adopted(Found.UNKNOWN, str(error))
        detail = ", ".join(f"{name} is {state}" for name, state in states.items())
        wanted = [name for name, verb in self._verbs() if _as_wanted(states[name], verb)]
        if len(wanted) < len(states):
            return Adopted(Found.PARTLY if wanted else Found.NOT_DONE, detail)
        try:
            evidence = tuple(self.verify(ctx))
        except StepFailed as error:
            return Adopted(Found.PARTLY, f"{detail}; but {error.message}")
        except Unreachable as error:
            return Adopted(Found.UNKNOWN, str(error))
        running, stopped = str(ServiceState.RUNNING), str(ServiceState.STOPPED)
        before, assumed_ = {}, []
        for name, verb in self._verbs():
            if states[name] is ServiceState.EXTERNAL:
                before[name] = str(ServiceState.EXTERNAL)
            elif verb == "stop":
                before[name] = running
                assumed_.append(f"{name} ran before, because the plan stops it: going back starts it")
            elif ctx.keep_running:
                before[name] = running
                assumed_.append(f"{name} ran before, as --keep-running says: going back leaves it running")
            else:
                before[name] = stopped
                assumed_.append(f"{name} was stopped before, because the plan starts it: going back stops it")
        return Adopted(Found.DONE, detail, {"before": before}, tuple(assumed_), evidence)

    def revert(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> list[Evidence]:
        before: dict[str, str] = undo["before"]
        evidence = []
        for name in reversed(self._names):
            was = before[name]
            if was == ServiceState.EXTERNAL:
                evidence.append(Evidence(f"{name} is left to whoever runs it, as before", {"service": name}))
                continue
            ran = was in (ServiceState.RUNNING, ServiceState.STARTING)
            self._bring(ctx, name, up=ran)
            if ran:
                self._await_health(ctx, (name,))
            state = _state(ctx, name)
            if not _same(str(state), was):
                raise StepFailed(f"{name} is {state}; before the run it was {was}")
            word = "down again (its process had failed)" if state is ServiceState.FAILED else f"{state} again"
            evidence.append(Evidence(f"{name} is {word}", {"service": name, "state": str(state)}))
        return evidence

    def manual(self, undo: Undo, routes: Mapping[str, Route], hands: Hands = NO_HANDS) -> list[str]:
        before: dict[str, str] = undo["before"]
        ran = (ServiceState.RUNNING, ServiceState.STARTING)
        return [
            *(
                line
                for name in reversed(self.down)
                if before[name] in ran
                for line in hands.service(name, "start", f"it was {before[name]}")
            ),
            *(
                line
                for name in reversed(self.up)
                if before[name] not in (*ran, ServiceState.EXTERNAL)
                for line in hands.service(name, "stop", f"it was {before[name]}")
            ),
        ]

    def _verbs(self) -> Iterable[tuple[str, str]]:
        yield from ((name, "start") for name in self.up)
        yield from ((name, "stop") for name in self.down)

    def _bring(self, ctx: StepContext, name: str, *, up: bool) -> None:
        state = _state(ctx, name)
        if state is ServiceState.EXTERNAL:
            return
        if up and state is not ServiceState.RUNNING:
            ctx.say(f"starting {name}")
            ctx.services.up(name, timeout=ctx.remaining())
        elif not up and state is not ServiceState.STOPPED:
            ctx.say(f"stopping {name}")
            ctx.services.down(name, timeout=ctx.remaining())

    def _await_health(self, ctx: StepContext, names: Sequence[str]) -> None:
        while True:
            sick = {
                name: seen
                for name, seen in self._see_health(ctx, names).items()
                if not isinstance(seen, Evidence)
            }
            if not sick:
                return
            for name, error in sick.items():
                state = _state(ctx, name)
                if ctx.late or state is ServiceState.FAILED:
                    tail = ctx.services.tail(name, 8).strip()
                    last = f"; it last wrote:\n{tail}" if tail else ""
                    raise StepFailed(
                        f"{name} did not become healthy: {error}{last}",
                        hint=f"Look at the output of {name}, mend it, and run the week again.",
                    ) from error
                if ctx.interrupt.requested:
                    raise StepFailed(f"interrupted while {name} was not healthy yet: {error}") from error
                ctx.say(f"{name}: {error}; asking again")
            names = tuple(sick)
            ctx.clock.sleep(_PAUSE)

    def _see_health(
        self, ctx: StepContext, names: Sequence[str]
    ) -> dict[str, Evidence | StepFailed | Unreachable]:
        return see_health(
            ctx.http, ctx.health, names, monolith=ctx.monolith, patience=lambda: ctx.remaining(5.0)
        )

    def _answers(self, ctx: StepContext, name: str) -> bool:
        """Whether anything is still there: only a refused connection says that nothing is."""
        try:
            ctx.http.request(name, ctx.health[name], timeout=ctx.remaining(2.0))
        except Unreachable as error:
            return not error.refused
        return True


def _as_wanted(state: ServiceState, verb: str) -> bool:
    """Whether a service is as its verb would leave it; of an external one only its health can tell."""
    return state is (ServiceState.RUNNING if verb == "start" else ServiceState.STOPPED) or (
        state is ServiceState.EXTERNAL
    )


def _state(ctx: StepContext, name: str) -> ServiceState:
    """What the one who runs it says; where nobody can say, whether it answers its health path or refuses connections.

    Raises:
        Unreachable: neither can be told.
    """
    try:
        return ctx.services.state(name, timeout=ctx.remaining(5.0))
    except Unreachable as unsaid:
        try:
            answer = ctx.http.request(name, ctx.health[name], timeout=ctx.remaining(5.0))
        except Unreachable as error:
            if error.refused:
                return ServiceState.STOPPED
            raise unsaid from error
        if answer.status == 200:
            return ServiceState.RUNNING
        raise


def _same(state: str, before: str) -> bool:
    """Whether a state is the one from before: a service that had failed counts as stopped, one that was starting as running."""
    kin = {"failed": "stopped", "starting": "running"}
    return kin.get(state, state) == kin.get(before, before)
