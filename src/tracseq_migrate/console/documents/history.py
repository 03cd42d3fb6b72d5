"""``log show``, ``log verify`` and ``approve``: what the journal has."""

from __future__ import annotations

from tracseq_migrate import duration
from tracseq_migrate.console.blocks import Block, Heading, Paragraph, Rows, Space
from tracseq_migrate.console.documents.look import STATE_TONES, Look, lost_blocks
from tracseq_migrate.console.documents.plan import item_blocks
from tracseq_migrate.console.ink import Line, Tone
from tracseq_migrate.console.moments import left, moment
from tracseq_migrate.operations.views import ApprovedView, ChainView, RunLine, RunsView


def render_runs(view: RunsView, look: Look) -> list[Block]:
    """Every run and rollback, oldest first."""
    blocks: list[Block] = [Space()]
    if view.runs:
        head = ("", "", "", "began", "took", "outcome", "by", "id")
        blocks.append(Rows(head, [_run(run, look) for run in view.runs], indent=0))
    elif not view.lost:
        blocks.append(Paragraph(("nothing was ever run here",)))
    blocks += [Space(), Paragraph(("log: ", view.file))]
    blocks += lost_blocks(view.lost, look)
    if view.kept_aside:
        text = f"the file there was not our last render; it is kept as {view.kept_aside}"
        blocks.append(Paragraph((text,), mark=(look.marks.warn, Tone.WARN)))
    return blocks


def _run(run: RunLine, look: Look) -> tuple[Line, ...]:
    took = duration.show((run.ended - run.began).total_seconds()) if run.ended else "not ended"
    mark, tone = look.state(run.outcome)
    return (
        ((mark, tone),),
        ((run.week, Tone.STRONG),),
        (run.action,),
        (moment(run.began),),
        (took,),
        ((run.outcome, STATE_TONES.get(run.outcome, Tone.DOUBT)),),
        (run.person,),
        ((run.run_id, Tone.MUTED),),
    )


def render_chain(view: ChainView, look: Look) -> list[Block]:
    """Whether the journal is whole, and whether the log file is its render."""
    blocks: list[Block] = [Space()]
    if view.broken_at is None:
        text: Line = (f"all {view.events} events fit", (f"  head {view.head[:12]}", Tone.MUTED))
        blocks.append(Paragraph(text, mark=(look.marks.passed, Tone.GOOD)))
    else:
        broken: Line = ((f"event {view.broken_at} does not fit", Tone.BAD), f": {view.why}")
        blocks.append(Paragraph(broken, mark=(look.marks.failed, Tone.BAD)))
        blocks.append(Paragraph((f"the {view.events} before it do, up to {view.head[:12]}",), indent=2))
    return [*blocks, Paragraph((f"{view.file}: {view.file_state}",)), *lost_blocks(view.lost, look)]


def render_approved(view: ApprovedView, look: Look) -> list[Block]:
    """What was signed, and what is still open."""
    claimed = f" (as {view.claimed})" if view.claimed and view.claimed != view.person else ""
    signed: Line = (("signed", Tone.STRONG), f": {view.week} {view.item} by {view.person}{claimed}")
    blocks: list[Block] = [Space(), Paragraph(signed, mark=(look.marks.passed, Tone.GOOD))]
    blocks.append(Paragraph((view.ask,), indent=2))
    if view.evidence:
        blocks.append(Paragraph((f"evidence: {view.evidence}",), indent=2))
    if view.expires is not None:
        blocks.append(Paragraph((f"it holds {left(view.expires, look.now)}",), indent=2))
    if view.still_open:
        blocks.append(Heading("Still open"))
        for item in view.still_open:
            blocks += item_blocks(item, look)
    return blocks + look.next(view.next_command)
