"""``validate``: every finding, in the form that editors and other programs jump to."""

from __future__ import annotations

from tracseq_migrate.console.blocks import Block, Paragraph, Space
from tracseq_migrate.console.documents.look import Look
from tracseq_migrate.console.ink import Line, Tone
from tracseq_migrate.operations.views import ValidateView


def render_findings(view: ValidateView, look: Look) -> list[Block]:
    """One paragraph a finding: ``file:line:column: message (remedy)``; in brief, nothing else."""
    blocks: list[Block] = [] if look.brief else [Space()]
    for finding in view.findings:
        place = f"{finding.file}:{finding.line}:{finding.column}:"
        remedy = f" ({finding.remedy})" if finding.remedy else ""
        line: Line = ((place, Tone.STRONG), f" {finding.message}", (remedy, Tone.INFO))
        blocks.append(Paragraph(line))
    if look.brief:
        return blocks
    unknown = (look.marks.unknown, Tone.DOUBT)
    blocks += [Paragraph((f"not known: {text}",), mark=unknown) for text in view.unknown]
    files = f"{len(view.files)} file{'' if len(view.files) == 1 else 's'}"
    if view.findings:
        count = f"{len(view.findings)} finding{'' if len(view.findings) == 1 else 's'} in {files}"
        return [*blocks, Space(), Paragraph((count,), mark=(look.marks.failed, Tone.BAD))]
    blocks.append(Paragraph((f"{files}: nothing is wrong",), mark=(look.marks.passed, Tone.GOOD)))
    return [*blocks, *(Paragraph((file,), indent=2) for file in view.files)]
