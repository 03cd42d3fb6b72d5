"""What the log tells of one execution. Templates read these fields, so fields are only ever added."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


@dataclass(slots=True)
class Happening:
    """Something that happened to the execution as a whole; by whom and by which command, where a person did it."""

    at: datetime
    text: str
    person: str = ""
    person_from: str = ""
    command: str = ""


@dataclass(slots=True)
class CheckResult:
    id: str
    title: str
    verdict: str
    detail: str


@dataclass(slots=True)
class SignatureUsed:
    at: datetime
    item: str
    ask: str
    person: str
    person_from: str
    claimed: str
    evidence: str
    digest: str
    expires: str


@dataclass(slots=True)
class StepStory:
    """What became of one step in one direction. ``seconds`` is None where no end was journaled."""

    id: str
    title: str
    kind: str
    effect: str
    began: datetime
    outcome: str = "in doubt"
    seconds: float | None = None
    attempts: int = 0
    evidence: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        """Whether going back had nothing to do: the step had only looked."""
        return self.outcome == "reverted" and not self.evidence


@dataclass(slots=True)
class LossTaken:
    """Writes that were knowingly left behind: how many, and the file that lists them."""

    step: str
    file: str
    digest: str
    count: int
    summary: list[str]


@dataclass(slots=True)
class Owed:
    step: str
    name: str
    what: str
    ends: str
    settled: bool = False


@dataclass(slots=True)
class Section:
    """One execution: a run with its own automatic rollback, or a rollback by command.

    ``continued`` marks what was appended under the id of an execution that had ended.
    """

    number: int
    action: Literal["run", "rollback", "adopt", "complete"]
    run_id: str
    week: str
    began: datetime
    title: str = ""
    continued: bool = False
    environment: str = ""
    digest: str = ""
    version: str = ""
    timeline: list[Happening] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    signatures: list[SignatureUsed] = field(default_factory=list)
    steps: list[StepStory] = field(default_factory=list)
    taken_back: list[StepStory] = field(default_factory=list)
    of: str = ""
    reason: str = ""
    automatic: bool = False
    kept: str = ""
    losses: list[LossTaken] = field(default_factory=list)
    owed: list[Owed] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unknown: int = 0
    outcome: str = "not ended"
    ended: datetime | None = None
    finished: bool = False

    @property
    def going_back(self) -> bool:
        """Whether some of it went, or goes, back."""
        return self.action == "rollback" or bool(self.of)

    @property
    def why(self) -> str:
        """The reason, where it says more than that somebody typed the command, which the timeline tells."""
        return "" if self.reason == "asked for by command" else self.reason

    @property
    def still_owed(self) -> bool:
        """Whether something that it opened went on when it ended."""
        return any(not owed.settled for owed in self.owed)

    @property
    def seconds(self) -> float | None:
        return (self.ended - self.began).total_seconds() if self.ended else None

    @property
    def person(self) -> str:
        """Who began it; empty where that is not told."""
        return self.timeline[0].person if self.timeline else ""
