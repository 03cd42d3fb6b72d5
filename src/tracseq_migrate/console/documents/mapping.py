"""``mapping``: what a draft leaves open, and what a mapping comes to."""

from __future__ import annotations

from tracseq_migrate.console.blocks import Block, Paragraph, Space
from tracseq_migrate.console.documents.findings import render_findings
from tracseq_migrate.console.documents.look import Look
from tracseq_migrate.console.ink import Line, Tone
from tracseq_migrate.operations.views import MappingCheckView, MappingDraftView


def render_draft(view: MappingDraftView, look: Look) -> list[Block]:
    """Where the draft is, and how much of it is still to be decided."""
    questions = f"{view.questions} open question{'' if view.questions == 1 else 's'}"
    mark = (look.marks.warn, Tone.WARN) if view.questions else (look.marks.passed, Tone.GOOD)
    title: Line = (("drafted", Tone.STRONG), f": {view.file or 'a mapping'}, with {questions} marked TODO")
    return [Space(), Paragraph(title, mark=mark), *look.next(view.next_command)]


def render_check(view: MappingCheckView, look: Look) -> list[Block]:
    """Every finding; and of what is right, what it keeps aside and what it refuses on the way back."""
    blocks = render_findings(view, look)
    if look.brief:
        return blocks
    for table in view.tables:
        title: Line = (
            (table.table, Tone.STRONG),
            f": {table.origin} -> {table.target}, {table.columns} columns",
        )
        blocks += [Space(), Paragraph(title, mark=(look.marks.passed, Tone.GOOD))]
        if not table.way_back:
            blocks.append(
                Paragraph(("no way back, as the mapping says",), mark=(look.marks.warn, Tone.WARN), indent=2)
            )
        for word, names in (("kept aside", table.kept), ("known to the target alone", table.forward_only)):
            if names:
                blocks.append(Paragraph(((f"{word}: ", Tone.MUTED), ", ".join(names)), indent=2))
        for refused in table.refused:
            blocks.append(Paragraph((("refused on the way back: ", Tone.MUTED), refused), indent=2))
    return blocks
