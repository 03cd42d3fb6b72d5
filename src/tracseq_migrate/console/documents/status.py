"""``status`` and ``verify``: what is so now."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate.console.blocks import Bar, Block, Command, Heading, Paragraph, Rows, Space
from tracseq_migrate.console.documents.look import STATE_TONES, Look, lost_blocks
from tracseq_migrate.console.documents.sync import replications
from tracseq_migrate.console.ink import Line, Tone
from tracseq_migrate.console.moments import ago
from tracseq_migrate.operations.views import FlagLine, ServiceLine, StatusView, VerifyView, WeekLine

_STEP_WORDS = {
    "intent": "begun, outcome unknown",
    "applied": "done, not yet seen",
    "verified": "done",
    "reverting": "going back, outcome unknown",
    "revert-failed": "could not go back",
}
"""For the statuses of the journal that are not words of people; JSON keeps those."""
_STEP_MARKS = {"verified": "pass", "failed": "fail", "revert-failed": "fail"}


def render_status(view: StatusView, look: Look) -> list[Block]:
    """The whole migration at a glance; drift and what is owed stand before what is well."""
    blocks: list[Block] = [Space()]
    if view.progress or any(week.progress for week in view.weeks):
        blocks.append(Bar(view.progress, "progress"))
    blocks += [Paragraph((text,), mark=(look.marks.warn, Tone.WARN)) for text in view.warnings]
    blocks += [Paragraph((text,), mark=(look.marks.failed, Tone.BAD)) for text in view.fallen]
    blocks += lost_blocks(view.lost, look)
    if view.unknown_events:
        count = f"{view.unknown_events} event{'' if view.unknown_events == 1 else 's'}"
        told = f"a newer version of this tool wrote {count} that this one does not know: use that version"
        blocks.append(Paragraph((told,), mark=(look.marks.warn, Tone.WARN)))
    blocks.append(Heading("Weeks"))
    blocks.append(
        Rows(("", "", "", "state", "since", "risk", "needs"), [_week(week, look) for week in view.weeks])
    )
    if not view.weeks:
        blocks.append(Paragraph(("no week plan was found",), indent=2))
    for week in view.weeks:
        blocks += _inside(week, look)
    if view.flags:
        blocks.append(Heading("Flags"))
        rows = [_flag(flag, look) for flag in view.flags]
        blocks.append(Rows(("", "", "prefix", "declared", "effective", "goes to"), rows))
        bad = (look.marks.failed, Tone.BAD)
        for drift, flags in _drifted(view.flags).items():
            blocks.append(Paragraph(((", ".join(flags), Tone.STRONG), f": {drift}"), mark=bad, indent=2))
    if view.services:
        blocks.append(Heading("Services"))
        blocks.append(
            Rows(("", "", "process", "health", ""), [_service(line, look) for line in view.services])
        )
    blocks += replications(view.replications, look)
    if view.obligations:
        blocks.append(Heading("Owed"))
        for owed in view.obligations:
            text: Line = (
                owed.what,
                (
                    f" ({owed.week}, step {owed.step}, since {ago(owed.since, look.now)}; {owed.ends})",
                    Tone.MUTED,
                ),
            )
            blocks.append(Paragraph(text, mark=(look.marks.waiting, Tone.WARN), indent=2))
    if view.lock is not None:
        lock = view.lock
        blocks.append(Heading("Lock"))
        held = f"held by {lock.person} on {lock.host}, process {lock.pid}, since {ago(lock.since, look.now)}"
        blocks.append(Paragraph((held,), mark=(look.marks.warn, Tone.WARN), indent=2))
        blocks.append(Command((lock.command,), indent=4))
    return blocks + look.next(view.next_command, view.next_reason)


def _week(week: WeekLine, look: Look) -> tuple[Line, ...]:
    since = ago(week.since, look.now) if week.since else ""
    tone = STATE_TONES.get(week.state, Tone.DOUBT)
    return (
        (look.state(week.state),),
        ((week.week, Tone.STRONG),),
        (week.title,),
        ((week.state, tone),),
        (since,),
        ((week.risk, Tone.MUTED),),
        ((", ".join(week.needs), Tone.MUTED),),
    )


def _inside(week: WeekLine, look: Look) -> list[Block]:
    """What a week that is neither untouched nor at rest is at: what it waits for, and its steps."""
    blocks: list[Block] = []
    if week.detail:
        mark, tone = look.state(week.state)
        blocks.append(Space())
        blocks.append(Paragraph(((week.week, Tone.STRONG), f": {week.detail}"), mark=(mark, tone), indent=2))
    if week.steps and week.state not in ("proven", "completed", "rolled-back", "never-run"):
        rows: list[tuple[Line, ...]] = []
        for step, title, status in week.steps:
            marked = look.verdict(_STEP_MARKS.get(status, "unknown"))
            if status in ("", "pending"):
                marked = (look.marks.pending, Tone.MUTED)
            elif status == "waiting":
                marked = (look.marks.waiting, Tone.WARN)
            elif status == "reverted":
                marked = (look.marks.back, Tone.MUTED)
            rows.append(((marked,), (step,), (title,), ((_STEP_WORDS.get(status, status), Tone.MUTED),)))
        if not week.detail:
            blocks += [Space(), Paragraph(((week.week, Tone.STRONG),), indent=2)]
        blocks.append(Rows(("", "", "", ""), rows, indent=4))
    return blocks


def _drifted(flags: Sequence[FlagLine]) -> dict[str, list[str]]:
    """The flags that are off, by what is off: the same trouble of all of them is said once."""
    found: dict[str, list[str]] = {}
    for flag in flags:
        if flag.drift:
            found.setdefault(flag.drift, []).append(flag.flag)
    return {
        drift: names if len(names) < max(len(flags), 2) else ["every flag"] for drift, names in found.items()
    }


def _flag(flag: FlagLine, look: Look) -> tuple[Line, ...]:
    differ = len(set(flag.instances.values())) > 1
    if flag.drift:
        mark = (look.marks.failed, Tone.BAD)
    elif flag.effective is None:
        mark = (look.marks.unknown, Tone.DOUBT)
    else:
        mark = (look.marks.passed, Tone.GOOD) if flag.effective else (look.marks.pending, Tone.MUTED)
    declared = flag.declared if flag.declared is not None else "not there"
    return (
        (mark,),
        ((flag.flag, Tone.STRONG if flag.effective else Tone.PLAIN),),
        (flag.prefix,),
        (declared,),
        (("differs", Tone.BAD) if differ else _on(flag.effective),),
        ((flag.owner, Tone.MUTED),),
    )


def _on(value: bool | None) -> tuple[str, Tone]:
    return ("unknown", Tone.DOUBT) if value is None else ("on", Tone.GOOD) if value else ("off", Tone.PLAIN)


def _service(line: ServiceLine, look: Look) -> tuple[Line, ...]:
    health = {"pass": "healthy", "fail": "not healthy"}.get(line.health, "unknown")
    resting = line.state == "stopped"
    mark = (look.marks.pending, Tone.MUTED) if resting else look.verdict(line.health)
    return (
        (mark,),
        (line.name,),
        (line.state,),
        (("" if resting else health, mark[1]),),
        ((line.detail, Tone.MUTED),),
    )


def render_verify(view: VerifyView, look: Look) -> list[Block]:
    """What reality answered, then what differs."""
    blocks: list[Block] = []
    week = ""
    for line in view.lines:
        if line.week != week:
            week = line.week
            blocks.append(Heading(week or "environment"))
        words = "could not be asked: " if line.verdict == "unknown" else ""
        blocks.append(Paragraph((line.title,), mark=look.verdict(line.verdict), indent=2))
        if line.detail:
            tone = Tone.MUTED if line.verdict == "pass" else Tone.PLAIN
            blocks.append(Paragraph(((words + line.detail, tone),), indent=5))
    if not view.lines:
        blocks += [Space(), Paragraph(("no week is applied: there is nothing to ask about",))]
    elif not view.drift:
        blocks += [Space(), Paragraph((f"all {len(view.lines)} hold",), mark=look.verdict("pass"))]
    else:
        blocks.append(Space())
        for verdict, told in (("fail", "not as they were left"), ("unknown", "could not be asked")):
            found = [f"{line.week} {line.step}" for line in view.lines if line.verdict == verdict]
            if found:
                count = f"{len(found)} of {len(view.lines)} {told}"
                blocks.append(
                    Paragraph(((count, Tone.STRONG), f": {', '.join(found)}"), mark=look.verdict(verdict))
                )
    return blocks + look.next(view.next_command)
