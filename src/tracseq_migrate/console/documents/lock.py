"""``lock show`` and ``lock release``."""

from __future__ import annotations

from tracseq_migrate.console.blocks import Block, Paragraph, Rows, Space
from tracseq_migrate.console.documents.look import Look
from tracseq_migrate.console.ink import Line, Tone
from tracseq_migrate.console.moments import left, moment
from tracseq_migrate.operations.views import LockReleasedView, LockView

_LIVES = {
    "alive": ("it lives", Tone.INFO),
    "silent": ("it stands still", Tone.WARN),
    "believed": ("it is believed to live", Tone.DOUBT),
}


def render_lock(view: LockView, look: Look) -> list[Block]:
    """Who holds it, and how that is known."""
    if not view.held or view.since is None or view.expires is None:
        return [Space(), Paragraph((("free", Tone.STRONG), f": {view.how}"))]
    told, tone = _LIVES[view.life]
    title: Line = (("held", Tone.STRONG), f" by {view.person} on {view.host}, pid {view.pid}")
    rows: list[tuple[Line, ...]] = [
        ((("holder id", Tone.MUTED),), ((view.holder_id, Tone.STRONG),)),
        ((("command", Tone.MUTED),), (view.command,)),
        ((("since", Tone.MUTED),), (moment(view.since),)),
        ((("expires", Tone.MUTED),), (left(view.expires, look.now),)),
        ((("epoch", Tone.MUTED),), (str(view.epoch),)),
    ]
    seen: Line = ((told, tone), f": {view.how}")
    blocks: list[Block] = [Space(), Paragraph(title, mark=(look.marks.next, Tone.INFO))]
    return [*blocks, Rows(("", ""), rows), Paragraph(seen, indent=2), *look.next(view.next_command)]


def render_released(view: LockReleasedView, look: Look) -> list[Block]:
    """Whose lock was taken away by whom, and what that leaves."""
    title: Line = (("released", Tone.STRONG), f": the lock of {view.person} on {view.host}, pid {view.pid}")
    blocks: list[Block] = [Space(), Paragraph(title, mark=(look.marks.passed, Tone.GOOD))]
    blocks.append(Paragraph((f"by {view.by}{f': {view.reason}' if view.reason else ''}",), indent=2))
    blocks.append(Paragraph((f"`{view.command}` can begin nothing any more, and journal nothing",), indent=2))
    begun = (
        "the programs that it was running were ended"
        if view.here
        else f"programs that it started may still be at work on {view.host}: look there before you go on"
    )
    blocks.append(Paragraph((begun,), indent=2))
    if view.week:
        blocks.append(Paragraph((f"{view.week} is {view.state}: its run was broken off",), indent=2))
    return blocks + look.next(view.next_command)
