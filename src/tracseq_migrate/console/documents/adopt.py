"""``state adopt``: what was found of each step, and what is assumed of the way back."""

from __future__ import annotations

from tracseq_migrate.console.blocks import Block, Paragraph, Space
from tracseq_migrate.console.documents.look import Look
from tracseq_migrate.console.ink import Line, Tone
from tracseq_migrate.operations.views import AdoptedStep, AdoptView


def render_adopt(view: AdoptView, look: Look) -> list[Block]:
    """What is, or would be, journaled."""
    said = "adopted from reality" if view.written else "would be adopted from reality"
    mark, tone = look.state(view.state)
    title: Line = (
        (view.week, Tone.STRONG),
        f" {look.marks.dot} {view.title}: {said} as ",
        (view.state, tone),
    )
    blocks: list[Block] = [Space(), Paragraph(title, mark=(mark, tone)), Space()]
    for step in view.steps:
        blocks += _step(step, look, written=view.written)
    blocks.append(Space())
    blocks += [Paragraph((note,), mark=(look.marks.warn, Tone.WARN)) for note in view.notes]
    return blocks + look.next(view.next_command)


def _step(step: AdoptedStep, look: Look, *, written: bool) -> list[Block]:
    done = step.found == "done"
    mark = (look.marks.passed, Tone.GOOD) if done else (look.marks.pending, Tone.MUTED)
    left = "" if done else (f"{step.found}, so it was left" if written else f"{step.found}, so it is left")
    title: Line = ((step.step, Tone.STRONG), f" {step.title}", (f"  {left}" if left else "", Tone.MUTED))
    blocks: list[Block] = [Paragraph(title, mark=mark, indent=2)]
    texts = step.evidence if done else [step.detail]
    blocks += [Paragraph((text,), indent=5) for text in (texts[:1] if look.brief else texts)]
    blocks += [Paragraph((("assumed", Tone.WARN), f": {text}"), indent=5) for text in step.assumed]
    return blocks
