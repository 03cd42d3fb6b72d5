"""``backup list``, ``backup verify`` and ``backup restore``."""

from __future__ import annotations

from tracseq_migrate import duration
from tracseq_migrate.console.blocks import Block, Paragraph, Rows, Space
from tracseq_migrate.console.documents.look import Look
from tracseq_migrate.console.ink import Line, Tone
from tracseq_migrate.console.moments import moment
from tracseq_migrate.operations.views import BackupsView, RestoredView


def render_backups(view: BackupsView, look: Look) -> list[Block]:
    """A row each; where they were verified, with what was seen."""
    if not view.backups:
        return [Space(), Paragraph((f"no backups in {view.folder}",))]
    title: Line = ((f"{len(view.backups)}", Tone.STRONG), f" in {view.folder}")
    if not view.verified:
        rows: list[tuple[Line, ...]] = [
            ((line.name,), (line.database,), (moment(line.at),), (_size(line.bytes),), (line.by,))
            for line in view.backups
        ]
        return [Space(), Paragraph(title), Rows(("name", "database", "at", "size", "for"), rows)]
    seen = [
        Paragraph((f"{line.name}: {line.detail}",), mark=look.verdict(line.verdict)) for line in view.backups
    ]
    return [Space(), Paragraph(title), *seen]


def render_restored(view: RestoredView, look: Look) -> list[Block]:
    """What is back, what that lost, and where what was there before lies."""
    spent = duration.show(view.seconds)
    title: Line = (("restored", Tone.STRONG), f": {view.name} into {view.database} ({spent})")
    blocks: list[Block] = [Space(), Paragraph(title, mark=(look.marks.passed, Tone.GOOD))]
    blocks.append(Paragraph((f"what was there before is in {view.before}",), indent=2))
    rows: list[tuple[Line, ...]] = [
        (
            (table.name,),
            (f"{table.rows_now:,}",),
            ("not counted" if table.rows_then is None else f"{table.rows_then:,}",),
        )
        for table in view.tables
    ]
    if rows:
        blocks.append(Rows(("table", "rows before", "rows in the backup"), rows))
    return blocks + look.next(view.next_command)


def _size(size: int) -> str:
    return (
        f"{size / 1e9:.1f} GB"
        if size >= 1e9
        else f"{size / 1e6:.1f} MB"
        if size >= 1e5
        else f"{size / 1e3:.1f} kB"
    )
