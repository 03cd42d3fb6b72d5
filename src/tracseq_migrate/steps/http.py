"""Kind ``http``: ask, and hold the answer against what is expected."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from tracseq_migrate import duration
from tracseq_migrate.duration import Duration
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Answer, Unreachable
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


class Expectation(BaseModel):
    """What an answer must be: everything named must hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    status: int | tuple[int, ...] = 200
    json_: dict[str, Any] | None = Field(default=None, alias="json")
    """Members that the JSON answer must have, nested ones too; others may be there."""
    contains: str | None = None

    def differences(self, answer: Answer) -> list[str]:
        """What about the answer is not as expected; empty when all is."""
        wanted = (self.status,) if isinstance(self.status, int) else self.status
        if answer.status not in wanted:
            return [f"status {answer.status}, not {' or '.join(map(str, wanted))}"]
        found = []
        if self.contains is not None and self.contains.encode() not in answer.body:
            found.append(f"the answer does not contain {self.contains!r}")
        if self.json_ is not None:
            try:
                body = json.loads(answer.body)
            except (ValueError, RecursionError):
                kind = answer.header("content-type") or "no content type"
                return [*found, f"the answer is not JSON ({kind})"]
            found.extend(_missing(self.json_, body, ""))
        return found


def _missing(wanted: Any, have: Any, path: str) -> list[str]:
    if isinstance(wanted, dict):
        if not isinstance(have, dict):
            return [f"{path or 'the answer'} is not an object"]
        return [
            text
            for key, item in wanted.items()
            for text in (
                _missing(item, have[key], f"{path}.{key}" if path else key)
                if key in have
                else [f"{f'{path}.{key}' if path else key} is missing"]
            )
        ]
    if type(wanted) is not type(have) or wanted != have:
        found = json.dumps(have)
        shown = found if len(found) <= 80 else f"{found[:79]}…"
        return [f"{path or 'the answer'} is {shown}, not {json.dumps(wanted)}"]
    return []


class HttpStep(Step):
    """One request, asked until the answer is as expected or the time is over."""

    kind: ClassVar[str] = "http"
    summary: ClassVar[str] = "Asks a target over HTTP and holds the answer against what is expected."
    default_timeout: ClassVar[float] = 30.0
    checks: ClassVar[bool] = True

    target: str
    path: str = Field(pattern=r"^/[^\s]*$")
    method: Literal["GET", "HEAD", "OPTIONS"] = "GET"
    expect: Expectation = Expectation()
    within: Duration = 0.0
    """How long an answer that is not as expected is asked again; 0s asks once."""

    @property
    def effect(self) -> Effect:
        return NO_EFFECT

    @property
    def title(self) -> str:
        return f"{self.target} answers {self.method} {self.path}"

    def uses(self) -> Uses:
        return Uses(targets=frozenset({self.target}))

    def preview(self, ctx: StepContext, *, offline: bool) -> Preview:
        line = known(f"asks {self.method} {self.path} at {self.target}, and changes nothing")
        if offline:
            return Preview((line, unknowable("the answer (no network)")), changes=False)
        try:
            wrong = self.expect.differences(self._ask(ctx, 5.0))
        except Unreachable as error:
            return Preview((line, known(f"now there is no answer: {error.why}")), changes=False)
        now = f"now: {'; '.join(wrong)}" if wrong else "the answer is as expected now"
        return Preview((line, known(now)), changes=False)

    def apply(self, ctx: StepContext, undo: Undo) -> Done | WaitingOn:
        self.verify(ctx)
        return Done()

    def verify(self, ctx: StepContext) -> list[Evidence]:
        until = ctx.clock.monotonic() + (0.0 if ctx.settled else self.within)
        while True:
            try:
                answer = self._ask(ctx, 10.0)
                wrong = self.expect.differences(answer)
                unknown = False
            except Unreachable as error:
                answer, wrong, unknown = None, [f"no answer: {error.why}"], True
            if answer is not None and not wrong:
                return [
                    Evidence(
                        f"{self.method} {self.path} at {self.target}: {answer.status} in {duration.show(answer.seconds)}",
                        {"status": answer.status, "seconds": round(answer.seconds, 6)},
                    )
                ]
            if ctx.clock.monotonic() >= until or ctx.late or ctx.interrupt.requested:
                raise StepFailed(
                    f"{self.method} {self.path} at {self.target}: {'; '.join(wrong)}", unknown=unknown
                )
            ctx.say(f"{'; '.join(wrong)}; asking again")
            ctx.clock.sleep(min(0.5, max(0.01, until - ctx.clock.monotonic())))

    def probe(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> Probed:
        return Probed(Found.NOT_DONE, "a question changes nothing, so it is asked again")

    def _ask(self, ctx: StepContext, at_most: float) -> Answer:
        return ctx.http.request(self.target, self.path, method=self.method, timeout=ctx.remaining(at_most))
