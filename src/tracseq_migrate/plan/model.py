"""A week plan as it is read: frozen, with its steps in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tracseq_migrate import duration
from tracseq_migrate.document import NAME_PATTERN, Document, Path
from tracseq_migrate.duration import Duration
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports import Route
from tracseq_migrate.step import Step, Uses

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Sentence = Annotated[str, StringConstraints(min_length=1)]
Time = Annotated[Duration, Field(gt=0, le=366 * 86400)]
TEXTS = "texts"
"""Where a journaled plan keeps the files that it reads; no file of an operator's may have this key."""
Risk = Literal["low", "medium", "high"]


class Surroundings(Protocol):
    """What a plan is checked against: an environment, as far as plans are concerned."""

    @property
    def offers(self) -> Uses:
        """The names that a plan may use."""
        ...

    @property
    def routes(self) -> Mapping[str, Route]:
        """What each flag decides, by flag."""
        ...

    @property
    def monolith(self) -> str:
        """The service that answers where a flag is off."""
        ...


class Written(BaseModel):
    """A part of a plan as its file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Need(Written):
    """A week that must be in force before this one begins."""

    week: Name


class ChecklistItem(Written):
    """What a person signs before anything changes. ``expires`` is in seconds."""

    id: Name
    """Its name in commands: approve WEEK ID."""
    ask: Sentence
    """The sentence that is signed."""
    evidence: Literal["required", "optional", "none"] = "optional"
    """Whether a text must say what the signature rests on."""
    expires: Time | None = None
    """How long a signature holds."""
    approvals: int = Field(default=1, ge=1, le=5)
    """How many different people must sign."""
    yes: bool = False
    """Whether ``--yes`` may answer it."""


class Retry(Written):
    """When a step is tried again. ``wait`` is in seconds."""

    attempts: int = Field(ge=1, le=100)
    """How often it is tried in all."""
    wait: Duration = 1.0
    """How long is waited in between."""


@frozen
class StepEntry:
    """One entry of a plan. ``timeout`` is in seconds; ``group`` numbers the parallel groups from 1, 0 stands alone."""

    id: str
    step: Step
    timeout: float
    retry: Retry | None = None
    group: int = 0
    written_title: str = ""

    @property
    def title(self) -> str:
        """What the plan calls it, else what the step says of itself."""
        return self.written_title or self.step.title

    def document(self) -> dict[str, Any]:
        written: dict[str, Any] = {"id": self.id}
        if self.written_title:
            written["title"] = self.written_title
        written[self.step.kind] = self.step.model_dump(mode="json", by_alias=True)
        written["timeout"] = duration.write(self.timeout)
        if self.retry is not None:
            written["retry"] = self.retry.model_dump(mode="json")
        return written


@frozen
class Source:
    """The file that a plan was read from, and where each of its entries stands in it, by id."""

    document: Document
    entries: Mapping[str, Path] = field(default_factory=dict)


@frozen
class WeekPlan:
    """A week plan. Two plans that mean the same are equal, whatever their files look like."""

    week: str
    title: str
    risk: Risk
    about: str = ""
    progress: int = 0
    """Per cent of the whole migration that is done when this week is."""
    needs: tuple[Need, ...] = ()
    checklist: tuple[ChecklistItem, ...] = ()
    preflight: tuple[StepEntry, ...] = ()
    steps: tuple[StepEntry, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    """The files that its steps read (scripts, mappings), by name."""
    source: Source | None = field(default=None, compare=False, repr=False)

    def entries(self) -> tuple[StepEntry, ...]:
        """The steps, flat, in order; those of a parallel group stand together."""
        return self.steps

    def groups(self) -> Iterator[tuple[StepEntry, ...]]:
        """The steps as they may run: one at a time, or a parallel group at once."""
        together: list[StepEntry] = []
        for entry in self.steps:
            if together and (entry.group == 0 or entry.group != together[-1].group):
                yield tuple(together)
                together = []
            together.append(entry)
        if together:
            yield tuple(together)

    def document(self) -> dict[str, Any]:
        """The plan in JSON values, with everything spelled out that its file left to a default.

        It goes into the journal, and `from_document` reads it back to an equal plan.
        """
        written: dict[str, Any] = {
            "week": self.week,
            "title": self.title,
            "risk": self.risk,
            "about": self.about,
            "progress": self.progress,
            "needs": [need.model_dump(mode="json") for need in self.needs],
            "checklist": [item.model_dump(mode="json") for item in self.checklist],
            "preflight": [entry.document() for entry in self.preflight],
            "steps": [
                {"parallel": [entry.document() for entry in group]} if group[0].group else group[0].document()
                for group in self.groups()
            ],
        }
        if self.texts:
            written[TEXTS] = dict(self.texts)
        return written

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> WeekPlan:
        """The plan that `document` was made from, perhaps by an older version.

        Raises:
            InvalidInput: this version cannot read it.
        """
        from tracseq_migrate.plan.reading import from_document

        return from_document(document)
