"""``sync``, and the part of ``status`` that is about data on its way."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate import duration
from tracseq_migrate.console.blocks import Block, Heading, Paragraph, Rows
from tracseq_migrate.console.documents.look import Look
from tracseq_migrate.console.ink import Line, Tone
from tracseq_migrate.operations.views import ReplicationLine, SyncStoppedView, SyncView


def render_sync(view: SyncView, look: Look) -> list[Block]:
    """Every replication; what stands still says why."""
    blocks = replications(view.replications, look)
    if not view.replications:
        blocks = [Paragraph(("no replication is owed being carried on",), indent=2)]
    return blocks + look.next(view.next_command)


def render_sync_stopped(view: SyncStoppedView, look: Look) -> list[Block]:
    """Who stopped."""
    blocks: list[Block] = []
    if not view.stopped and not view.left:
        blocks.append(Paragraph(("nothing is carried over at the moment",), indent=2))
    if view.stopped:
        text = f"{', '.join(view.stopped)}: nobody carries changes over any more; they are recorded, and wait"
        blocks.append(Paragraph((text,), mark=(look.marks.passed, Tone.GOOD), indent=2))
    if view.left:
        text = f"{', '.join(view.left)}: asked, and not stopped yet"
        blocks.append(Paragraph((text,), mark=(look.marks.failed, Tone.BAD), indent=2))
    return blocks + look.next(view.next_command)


def replications(lines: Sequence[ReplicationLine], look: Look) -> list[Block]:
    """A heading, a row for each table, and what is wrong."""
    if not lines:
        return []
    blocks: list[Block] = [Heading("Data")]
    rows: list[tuple[Line, ...]] = []
    for line in lines:
        way = f"{line.origin} -> {line.destination}"
        mark: Line = ((look.marks.failed, Tone.BAD) if line.alarm else (look.marks.passed, Tone.GOOD),)
        for table in line.tables:
            behind = f"{table.waiting:,} wait" if table.waiting else "nothing waits"
            lag = duration.show(table.behind_seconds) if table.waiting else ""
            rows.append(
                (mark, ((table.name, Tone.STRONG),), (way,), (table.phase,), (behind,), ((lag, Tone.MUTED),))
            )
    if rows:
        blocks.append(Rows(("", "", "way", "phase", "changes", "behind"), rows))
    for line in lines:
        if line.alarm:
            text: Line = ((line.name, Tone.STRONG), f": {line.alarm}")
            blocks.append(Paragraph(text, mark=(look.marks.failed, Tone.BAD), indent=2))
        if line.leader:
            who = (f"{line.name} is carried over by {line.leader}", Tone.MUTED)
            blocks.append(Paragraph((who,), indent=2))
    return blocks
