"""``complete``."""

from __future__ import annotations

from tracseq_migrate.console.blocks import Block, Paragraph, Space
from tracseq_migrate.console.documents.look import Look
from tracseq_migrate.console.ink import Line, Tone
from tracseq_migrate.operations.views import CompletedView


def render_completed(view: CompletedView, look: Look) -> list[Block]:
    """What is final now, what that gave up, and what was seen to be ended."""
    by = f", signed by {view.person}" if view.person else ", as it was"
    title: Line = ((view.state, Tone.STRONG), f": {view.week}, {view.title}{by}")
    blocks: list[Block] = [Space(), Paragraph(title, mark=(look.marks.passed, Tone.GOOD))]
    blocks += [Paragraph((f"given up: {text}",), indent=2) for text in view.given_up]
    blocks += [Paragraph((text,), indent=2) for text in view.evidence]
    return blocks + look.next(view.next_command)
