"""What every document shares: marks and tones of verdicts and states, and the line that says what to type next."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from tracseq_migrate.console.blocks import Block, Command, Paragraph, Space
from tracseq_migrate.console.ink import Bit, Marks, Tone
from tracseq_migrate.frozen import frozen

STATE_TONES: Final[dict[str, Tone]] = {
    "never-run": Tone.MUTED,
    "running": Tone.INFO,
    "waiting": Tone.WARN,
    "soaking": Tone.INFO,
    "proven": Tone.GOOD,
    "completed": Tone.GOOD,
    "rolling-back": Tone.WARN,
    "rolled-back": Tone.MUTED,
    "in-doubt": Tone.DOUBT,
    "residue": Tone.BAD,
}


@frozen
class Look:
    """What a document may depend on besides its view."""

    marks: Marks
    now: datetime
    brief: bool = False
    """Only what must be known: `-q`."""

    def verdict(self, verdict: str) -> tuple[str, Tone]:
        """The mark of a check."""
        return {
            "pass": (self.marks.passed, Tone.GOOD),
            "fail": (self.marks.failed, Tone.BAD),
        }.get(verdict, (self.marks.unknown, Tone.DOUBT))

    def state(self, state: str) -> tuple[str, Tone]:
        """The mark of a week's state."""
        mark = {
            "never-run": self.marks.pending,
            "running": self.marks.next,
            "waiting": self.marks.waiting,
            "soaking": self.marks.waiting,
            "proven": self.marks.passed,
            "completed": self.marks.passed,
            "rolling-back": self.marks.back,
            "rolled-back": self.marks.back,
            "in-doubt": self.marks.unknown,
            "residue": self.marks.failed,
        }.get(state, self.marks.unknown)
        return mark, STATE_TONES.get(state, Tone.DOUBT)

    def next(self, command: str, reason: str = "") -> list[Block]:
        """The one command to type next; nothing where there is none."""
        blocks: list[Block] = []
        if command:
            mark: Bit = (self.marks.next, Tone.INFO)
            blocks = [Space(), Command((mark, " next: ", (command, Tone.STRONG)))]
        if reason:
            blocks.append(Paragraph((reason,), indent=2 if command else 0))
        return blocks


def lost_blocks(lost: str, look: Look) -> list[Block]:
    """What shows that the journal has lost events; nothing where it has not."""
    return [Paragraph((lost,), mark=(look.marks.failed, Tone.BAD))] if lost else []
