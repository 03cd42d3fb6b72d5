"""``state export`` and ``state import``: the journal on its way."""

from __future__ import annotations

from tracseq_migrate.console.blocks import Block, Paragraph, Space
from tracseq_migrate.console.documents.look import Look
from tracseq_migrate.console.ink import Line, Tone
from tracseq_migrate.operations.views import StateExportedView, StateImportedView


def render_exported(view: StateExportedView, look: Look) -> list[Block]:
    """What is in the file."""
    title: Line = (("exported", Tone.STRONG), f": {_counted(view.events, view.attachments)} to {view.file}")
    return [
        Space(),
        Paragraph(title, mark=(look.marks.passed, Tone.GOOD)),
        Paragraph(((f"head {view.head[:12] or 'of a chain that does not fit'}", Tone.MUTED),), indent=2),
        Paragraph(("It holds what the journal holds: keep it as private.",), indent=2),
    ]


def render_imported(view: StateImportedView, look: Look) -> list[Block]:
    """What was taken in, and what was kept aside."""
    if view.added:
        title: Line = (
            ("taken in", Tone.STRONG),
            f": {view.added} of {_counted(view.events, view.attachments)}",
        )
    else:
        title = (("nothing to take in", Tone.STRONG), f": all {view.events} events are here already")
    blocks: list[Block] = [Space(), Paragraph(title, mark=(look.marks.passed, Tone.GOOD))]
    blocks.append(Paragraph(((f"head {view.head[:12]}", Tone.MUTED),), indent=2))
    warned = (look.marks.warn, Tone.WARN)
    if view.damage:
        blocks.append(Paragraph((f"the journal that was here was damaged: {view.damage}",), mark=warned))
        blocks += [Paragraph((f"kept: {path}",), indent=2) for path in view.kept]
    if view.log_kept_aside:
        text = f"the log was not a render of this journal; it is kept: {view.log_kept_aside}"
        blocks.append(Paragraph((text,), mark=warned))
    return blocks + look.next(view.next_command)


def _counted(events: int, attachments: int) -> str:
    with_them = f" with {attachments} attachment{'' if attachments == 1 else 's'}" if attachments else ""
    return f"{events} event{'' if events == 1 else 's'}{with_them}"
