"""``plan`` and ``rollback --dry-run``: what would happen."""

from __future__ import annotations

from tracseq_migrate.console.blocks import Block, Command, Diff, Heading, Paragraph, Remark, Space
from tracseq_migrate.console.documents.look import STATE_TONES, Look
from tracseq_migrate.console.ink import Line, Tone
from tracseq_migrate.operations.views import ItemLine, PlannedStep, PlanView, RollbackView

_CERTAINTY = {"known": Tone.PLAIN, "assumed": Tone.WARN, "cannot be known before": Tone.DOUBT}
_SHOWN_LOSSES = 20


def render_plan(view: PlanView, look: Look) -> list[Block]:
    """What a run would change, how each line of it is known, and what must be signed first."""
    dot = f" {look.marks.dot} "
    blocks: list[Block] = [Space(), Paragraph(((view.week, Tone.STRONG), f"{dot}{view.title}"))]
    facts: Line = (
        (f"risk {view.risk}{dot}now ", Tone.MUTED),
        (view.state, STATE_TONES.get(view.state, Tone.DOUBT)),
        (
            f"{dot}plan {view.digest[:12]}{dot + 'offline: nothing was asked' if view.offline else ''}",
            Tone.MUTED,
        ),
    )
    blocks.append(Paragraph(facts))
    if view.about:
        blocks += [Space(), Paragraph((view.about.strip(),))]
    if view.allowed:
        blocks.append(Heading("In the way"))
        blocks += [Paragraph((why,), mark=(look.marks.failed, Tone.BAD), indent=2) for why in view.allowed]
    if view.checklist:
        blocks.append(Heading("Checklist"))
        for item in view.checklist:
            blocks += item_blocks(item, look)
    if view.preflight:
        blocks.append(Heading("Preflight"))
        for number, step in enumerate(view.preflight, 1):
            blocks += _step(step, number)
    blocks.append(Heading("Steps"))
    group = 0
    for number, step in enumerate(view.steps, 1):
        if step.group and step.group != group:
            blocks.append(Paragraph((("at once:", Tone.MUTED),), indent=2))
        group = step.group
        blocks += _step(step, number)
    if not view.changes:
        blocks += [Space(), Paragraph(("nothing would change",), mark=(look.marks.passed, Tone.GOOD))]
    return blocks + look.next(view.next_command)


def _step(step: PlannedStep, number: int) -> list[Block]:
    indent = 4 if step.group else 2
    about = f"  {step.id}, {step.kind}, {step.effect}" + ("" if step.changes else ", changes nothing")
    title: Line = ((step.title, Tone.STRONG if step.changes else Tone.PLAIN), (about, Tone.MUTED))
    blocks: list[Block] = [Paragraph(title, mark=(f"{number}.", Tone.MUTED), indent=indent)]
    for certainty, text in step.lines:
        words: Line = ((f"{certainty}: ", _CERTAINTY.get(certainty, Tone.DOUBT)), text)
        blocks.append(Paragraph(words, indent=indent + 3))
    if step.diff:
        blocks.append(Diff(step.diff, indent + 3))
    return blocks


def item_blocks(item: ItemLine, look: Look) -> list[Block]:
    """One checklist item, and, where it is open, the command that signs it."""
    signed = item.state == "signed"
    mark = (look.marks.passed, Tone.GOOD) if signed else (look.marks.waiting, Tone.WARN)
    state: Line = (item.id, f": {item.ask}  ", (item.state, mark[1]))
    blocks: list[Block] = [Paragraph(state, mark=mark, indent=2)]
    if item.detail:
        blocks.append(Paragraph(((item.detail, Tone.MUTED),), indent=5))
    if item.command and not signed:
        blocks.append(Command((f"{look.marks.next} ", (item.command, Tone.STRONG)), indent=5))
    return blocks


def render_rollback(view: RollbackView, look: Look) -> list[Block]:
    """The way back in its order, and what it would leave behind."""
    dot = f" {look.marks.dot} "
    facts: Line = (
        ("rollback of ", Tone.PLAIN),
        (view.week, Tone.STRONG),
        f"{dot}{view.title}{dot}now ",
        (view.state, STATE_TONES.get(view.state, Tone.DOUBT)),
    )
    blocks: list[Block] = [Space(), Paragraph(facts)]
    if view.refused:
        blocks += [Space(), Paragraph((view.refused,), mark=(look.marks.failed, Tone.BAD))]
    blocks.append(Heading("The way back"))
    for number, step in enumerate(view.steps, 1):
        title: Line = (step.title, (f"  {step.step}", Tone.MUTED))
        blocks.append(Paragraph(title, mark=(f"{number}.", Tone.MUTED), indent=2))
        blocks += [
            Remark(text.removeprefix("# "), indent=5) if text.startswith("# ") else Command((text,), indent=5)
            for text in step.lines
        ]
    if not view.steps:
        blocks.append(Paragraph(("nothing of this week is applied",), indent=2))
    if view.losses:
        blocks.append(Heading(f"Would be left on the other side: {len(view.losses)}"))
        for loss in list(view.losses)[:_SHOWN_LOSSES]:
            text = " ".join(str(loss.get(key, "")) for key in ("where", "what", "key")).strip()
            blocks.append(Paragraph((text,), mark=(look.marks.warn, Tone.WARN), indent=2))
        if len(view.losses) > _SHOWN_LOSSES:
            blocks.append(
                Paragraph((f"{look.marks.more} and {len(view.losses) - _SHOWN_LOSSES} more",), indent=5)
            )
    for text in view.unknown:
        blocks.append(
            Paragraph((f"could not be counted: {text}",), mark=(look.marks.unknown, Tone.DOUBT), indent=2)
        )
    blocks += [Paragraph((text,), mark=(look.marks.warn, Tone.WARN), indent=2) for text in view.unseen]
    return blocks + look.next(view.next_command)
