"""What is done to the sandbox in the cases: the runs of weeks 1 and 2 and their rollbacks, and which state each leads to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Story:
    """A command, the snapshot that it begins from, and the one that it leads to where nobody dies."""

    name: str
    week: str
    command: tuple[str, ...]
    start: str
    end: str

    @property
    def backward(self) -> bool:
        """Whether it is a rollback."""
        return self.command[0] == "rollback"

    @property
    def recoveries(self) -> tuple[str, ...]:
        """What a person may type after a death in it."""
        return ("rollback", "resume") if self.backward else ("resume", "rollback")

    def goal(self, recovery: str) -> str:
        """The snapshot that a recovery leads to."""
        return self.start if recovery == "rollback" and not self.backward else self.end


NEW, WEEK1, WEEK2 = "new", "week1", "week2"
STORIES = {
    story.name: story
    for story in (
        Story("run week1", "week1", ("run", "week1", "--yes"), NEW, WEEK1),
        Story("run week2", "week2", ("run", "week2", "--yes"), WEEK1, WEEK2),
        Story("rollback week2", "week2", ("rollback", "week2"), WEEK2, WEEK1),
        Story("rollback week1", "week1", ("rollback", "week1"), WEEK1, NEW),
    )
}
BEFORE = {NEW: (), WEEK1: ("run week1",), WEEK2: ("run week1", "run week2")}
"""The stories that lead to a snapshot, one after the other, from a new sandbox."""
