"""Kind ``pause``: a person looks, and signs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tracseq_migrate.step import (
    NO_EFFECT,
    Adopted,
    Done,
    Effect,
    Evidence,
    Found,
    Preview,
    Probed,
    Step,
    StepContext,
    Undo,
    WaitingOn,
    known,
    unknowable,
)


class PauseStep(Step):
    """The run waits until a person has signed; the process may end meanwhile, and the lease is given back."""

    kind: ClassVar[str] = "pause"
    summary: ClassVar[str] = "Waits until a person has looked and signed."

    ask: str
    yes: bool = False
    """Whether ``--yes`` may answer it."""

    @property
    def effect(self) -> Effect:
        return NO_EFFECT

    @property
    def title(self) -> str:
        return f"a person signs: {self.ask}"

    def preview(self, ctx: StepContext, *, offline: bool) -> Preview:
        answer = "; --yes answers it" if self.yes else ""
        return Preview(
            (known(f"waits for a signature{answer}"), unknowable("how long that takes")), changes=False
        )

    def apply(self, ctx: StepContext, undo: Undo) -> Done | WaitingOn:
        if ctx.approvals(ctx.step_id):
            return Done()
        command = f"tracseq-migrate approve {ctx.week} {ctx.step_id}"
        return WaitingOn(on=self.ask, next_command=command, item=ctx.step_id, yes=self.yes)

    def verify(self, ctx: StepContext) -> list[Evidence]:
        return [
            Evidence(
                f"signed by {approval.person}{f': {approval.evidence}' if approval.evidence else ''}",
                {"person": approval.person},
            )
            for approval in ctx.approvals(ctx.step_id)
        ]

    def adopt(self, ctx: StepContext) -> Adopted:
        return Adopted(Found.NOT_DONE, "a signature cannot be rebuilt: a person signs again")

    def probe(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> Probed:
        return Probed(Found.NOT_DONE, "a question changes nothing, so it is asked again")
