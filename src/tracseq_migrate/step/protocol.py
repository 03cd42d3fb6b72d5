"""The step protocol: what every kind of step can be asked, and the context in which it answers.

A step is a frozen model that carries its own verbs; the context holds ports only. When each verb runs:

========== ================================================ ==========================================================
verb       runs                                             may change something
========== ================================================ ==========================================================
uses       when a plan is validated                         no
preview    for ``plan``, and before a run asks for consent  no
concerns   in the preflight of a run                        no
prepare    before anything happens; its answer is journaled no
apply      after the intent is durable                      yes; must be repeatable under the same undo
verify     after apply, and whenever ``verify`` is typed    no
probe      when the outcome is not known                    no
losses     before going back, and after                     no
revert     going back; must be repeatable                   yes; and must prove what it put back
conclude   when the week is completed; may come twice       yes: it ends what was kept for the way back
adopt      after a loss of the journal                      no
========== ================================================ ==========================================================

A new kind is one module under ``steps/`` with one subclass of `Step`: it is found there, and nowhere else listed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from tracseq_migrate.errors import Finding, StepFailed
from tracseq_migrate.ports import Route, Routes, Unreachable
from tracseq_migrate.step.answers import (
    REVERSIBLE,
    Adopted,
    Concern,
    Done,
    Effect,
    EffectKind,
    Evidence,
    Found,
    Loss,
    NamedPath,
    NamedText,
    Preview,
    Probed,
    Text,
    Undo,
    Uses,
    WaitingOn,
)
from tracseq_migrate.step.by_hand import NO_HANDS, Hands
from tracseq_migrate.step.context import StepContext


class Step(BaseModel, ABC):
    """One kind of step. Subclasses are frozen models whose fields are what a plan writes under the kind's key."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: ClassVar[str]
    summary: ClassVar[str]
    """One sentence for people who write plans."""
    default_timeout: ClassVar[float] = 300.0
    """Seconds that it may take where the plan does not say."""

    @property
    def effect(self) -> Effect:
        return REVERSIBLE

    @property
    def is_check(self) -> bool:
        """Whether it may stand under ``preflight``: it has no effect and asks a question."""
        return self.effect.kind is EffectKind.NONE and self.checks

    checks: ClassVar[bool] = False

    @property
    def asks_a_person(self) -> bool:
        """Whether nothing but a person can tell how it ended, where it was broken off."""
        return False

    @property
    @abstractmethod
    def title(self) -> str:
        """What it does, in a few words, where the plan gives no title."""

    def uses(self) -> Uses:
        return Uses()

    def named_paths(self) -> Sequence[NamedPath]:
        """Every file, folder and program that it names by a path; the plan is refused where one lies out of bounds."""
        return ()

    def reads(self) -> Sequence[NamedText]:
        """Every file whose text a run depends on: scripts, mappings. The run's digest covers them, the journal keeps them, and
        the context has them."""
        return ()

    def examine(self, texts: Mapping[str, Text]) -> list[Finding]:
        """What is wrong in the files that it reads, each with its place; ``texts`` has those that are there, by name."""
        return []

    def findings(self) -> list[str]:
        """What is wrong with it that the types of its fields do not say; empty where nothing is."""
        return []

    def fits(self, routes: Routes, monolith: str) -> list[str]:
        """What is wrong with it in this environment, beyond names that the environment does not have."""
        return []

    def concerns(self, ctx: StepContext) -> list[Concern]:
        """What can be found out before anything changes that would make this step fail, or change nothing."""
        return []

    def concerns_of_return(self, ctx: StepContext, undo: Undo) -> list[Concern]:
        """What can be found out before anything goes back that would break more than `revert` mends."""
        return []

    def touches(self) -> frozenset[str]:
        """The resources that it changes; steps of one parallel group must be disjoint."""
        return frozenset()

    @abstractmethod
    def preview(self, ctx: StepContext, *, offline: bool) -> Preview:
        """What would change. ``offline``: no network at all. Raises `Unreachable` never: what cannot be asked is a line."""

    def prepare(self, ctx: StepContext) -> Undo:
        """What going back needs. Raises `StepFailed` where the step cannot begin; nothing was changed then."""
        return {}

    @abstractmethod
    def apply(self, ctx: StepContext, undo: Undo) -> Done | WaitingOn:
        """Bring the effect about. Raises `StepFailed`, `Unreachable`."""

    @abstractmethod
    def verify(self, ctx: StepContext) -> list[Evidence]:
        """See the effect. Raises `StepFailed` where it is not there, `Unreachable` where it could not be asked."""

    @abstractmethod
    def probe(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> Probed:
        """What state reality is in. Never raises for what it could not ask: that is `Found.UNKNOWN`."""

    def adopt(self, ctx: StepContext) -> Adopted:
        """Look whether the effect is there, though no journal says so, and find out or assume the way back. Changes nothing.

        Never raises for what it could not ask: that is `Found.UNKNOWN`.
        """
        if self.effect.kind is not EffectKind.NONE:
            return Adopted(
                Found.UNKNOWN, f"a step of kind {self.kind} cannot be adopted: it cannot tell what it did"
            )
        try:
            evidence = tuple(self.verify(ctx))
        except (StepFailed, Unreachable) as error:
            return Adopted(Found.NOT_DONE, str(error))
        if not evidence:
            return Adopted(Found.NOT_DONE, "nothing is there to be seen of it")
        return Adopted(Found.DONE, evidence[0].text, evidence=evidence)

    def losses(self, ctx: StepContext, undo: Undo) -> list[Loss]:
        """What going back now would leave behind. Raises `Unreachable` where it could not be counted."""
        return []

    def revert(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> list[Evidence]:
        """Go back to what was before the first apply, and see it.

        Raises:
            StepFailed, Unreachable: it is not, or not seen to be, as before.
            LossRefused: writes would be left behind; the step is in force as it was.
        """
        return []

    def cannot_conclude(self, ctx: StepContext, undo: Undo) -> str:
        """Why the way back cannot be given up as things are; empty where it can. Asked before anybody signs.

        Raises:
            StepFailed, Unreachable: it cannot be said.
        """
        return ""

    def conclude(self, ctx: StepContext, undo: Undo) -> list[Evidence]:
        """The way back was given up, for ever: end what was kept for it, settle what is owed, and see that it is ended.

        Must be repeatable: it is called again where it was broken off. A step that owes something must have it, else its week
        cannot be completed.

        Raises:
            StepFailed, Unreachable: not all of it is ended, or seen to be.
        """
        return []

    def manual(self, undo: Undo, routes: Mapping[str, Route], hands: Hands = NO_HANDS) -> list[str]:
        """What a person would type to go back by hand: lines for bash, in order, each of which fails where it did not do
        or see what it is for; what no command does is a comment (`BY_HAND`).

        Args:
            undo: of the step, from the journal.
            routes: by flag; empty where they are not known any more.
            hands: the commands of the environment; what they do not have is said in words.
        """
        return []
