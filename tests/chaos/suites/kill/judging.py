"""Whether a recovered migration is the one that it would have been: by its journal, its log, and what the tool says of it.

The sections of the log are compared one by one with those of the undisturbed execution. Times, ids and measured numbers may
differ, and so may exactly what a recovery adds: that it went on, what its probe found, a further attempt. A step that no
death touched must tell the same, word for word but for its numbers; one that was touched must have ended the same, and may
only say what it says otherwise, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.snapshot import LOG, STATE
from tests.sandbox_fixture import Sandbox
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal
from tracseq_migrate.journal import chain
from tracseq_migrate.journal.replay import replay
from tracseq_migrate.migration_log.file import recognise
from tracseq_migrate.migration_log.rendering import render
from tracseq_migrate.migration_log.section import Section, StepStory
from tracseq_migrate.migration_log.sections import sections
from tracseq_migrate.migration_log.template import packaged_template
from tracseq_migrate.ports import Event

ENVIRONMENT = "sandbox"
_PROBED = "found done after an interruption"
_BY_LUCK = re.compile(r"; \w+ counted .*|\(body[^)]*\)")
"""Whose requests a counter shows, and by how many traits an answer is told, depends on who else asked at that moment."""
_FLAGS = re.compile(r"USE_\w+(?:=\w+| on| off)?(?:, USE_\w+(?:=\w+| on| off)?)+")
"""A run that went on has its flags in the order of the journaled plan, which is that of the alphabet."""
_AS_BEFORE = re.compile(r"^the flags (were as before already|are as before: N)")
"""What was not moved yet is not moved back, and that is said."""
_NUMBER = re.compile(r"\d[\d.,]*( ms| s| min| µs)?")


def journal_of(sandbox: Sandbox) -> list[Event]:
    """Every event, read as any other process reads them."""
    path = sandbox.folder / STATE / ENVIRONMENT / "journal.sqlite3"
    store = SqliteJournal(path, environment=ENVIRONMENT)
    try:
        return list(store.read())
    finally:
        store.close()


@dataclass(frozen=True)
class StepTold:
    """A step as the log tells of it, without numbers; ``touched`` where a recovery had to look at it or do it again."""

    head: tuple[str, ...]
    evidence: frozenset[str]
    touched: bool


@dataclass(frozen=True)
class Told:
    """A section of the log, without times, ids and numbers."""

    head: tuple[Any, ...]
    steps: dict[str, StepTold]
    taken_back: dict[str, StepTold]


def plain(text: str) -> str:
    """A sentence without its numbers."""
    sorted_flags = _FLAGS.sub(lambda found: ", ".join(sorted(found[0].split(", "))), text)
    return _NUMBER.sub("N", _BY_LUCK.sub("", sorted_flags))


def told(section: Section) -> Told:
    """What is to be the same in a recovered section."""
    checks = tuple((c.id, c.title, c.verdict, plain(c.detail)) for c in section.checks)
    signatures = tuple(
        (s.item, s.ask, s.person, s.person_from, s.claimed, s.evidence) for s in section.signatures
    )
    owed = tuple(sorted({(o.step, o.name, plain(o.what), o.ends, o.settled) for o in section.owed}))
    head = (
        section.action,
        section.week,
        section.title,
        section.continued,
        section.environment,
        section.digest,
        section.automatic,
        section.why,
        section.kept,
        tuple(section.losses),
        tuple(section.left),
        section.unknown,
        section.outcome,
        section.finished,
        section.person,
        section.timeline[0].command if section.timeline else "",
        checks,
        signatures,
        owed,
    )
    return Told(head, _steps(section.steps), _steps(section.taken_back))


def _steps(stories: Sequence[StepStory]) -> dict[str, StepTold]:
    found = {}
    for step in stories:
        touched = (
            step.attempts > 1
            or any(_PROBED in text for text in step.evidence)
            or any(note.startswith("probed: ") for note in step.notes)
        )
        notes = tuple(plain(note) for note in step.notes if not note.startswith("probed: "))
        evidence = frozenset(plain(text) for text in step.evidence if _PROBED not in text)
        head = (step.id, step.title, step.kind, step.effect, step.outcome, *notes)
        found[step.id] = StepTold(head, evidence, touched)
    return found


def compare(have: Told, wanted: Told, *, resumed: bool) -> list[str]:
    """What differs beyond what a recovery may change."""
    wrong = []
    for here, there in zip(have.head, wanted.head, strict=True):
        if here != there:
            wrong.append(f"section of {have.head[0]} {have.head[1]}: {here!r}, not {there!r}")
    for name, steps, others in (
        ("", have.steps, wanted.steps),
        ("taken back: ", have.taken_back, wanted.taken_back),
    ):
        if {*steps} != {*others}:
            wrong.append(f"{name}steps {sorted(steps)}, not {sorted(others)}")
        for step in {*steps} & {*others}:
            wrong += _step_differs(name, steps[step], others[step], resumed=resumed)
    return wrong


def _step_differs(name: str, have: StepTold, wanted: StepTold, *, resumed: bool) -> list[str]:
    wrong = []
    if have.head != wanted.head:
        wrong.append(f"{name}{have.head}, not {wanted.head}")
    same = have.evidence <= wanted.evidence if have.touched and resumed else have.evidence == wanted.evidence
    if not same or (not have.evidence and wanted.evidence):
        wrong.append(
            f"{name}evidence of {have.head[0]}: {sorted(have.evidence)}, not {sorted(wanted.evidence)}"
        )
    return wrong


def log_is_current(sandbox: Sandbox, events: Sequence[Event]) -> list[str]:
    """Whether the file of the log is the render of this very journal, and the only one of its kind."""
    path = sandbox.folder / LOG
    wrong = []
    text = path.read_text("utf-8") if path.exists() else ""
    if not events:
        return [f"there is a {LOG} without a journal"] if text else []
    # A signature alone, after which nothing was begun, does not bring the log about; the next execution does.
    last = max((event.seq for event in events if event.run_id), default=0)
    footer = recognise(text.encode())
    seen = footer.seq if footer else 0
    known = list(events[:seen])
    if seen < last or (text and text != render(known, environment=ENVIRONMENT, template=packaged_template())):
        wrong.append(f"{LOG} is not the render of the journal: it is of event {seen} of {len(events)}")
    aside = sorted(found.name for found in sandbox.folder.glob(f"{Path(LOG).stem}*") if found.name != LOG)
    return wrong + [f"kept aside: {name}" for name in aside]


def chain_holds(events: Sequence[Event]) -> list[str]:
    """Whether the whole chain is unbroken, and nothing is owed."""
    broken = chain.verify(events).broken
    owed = replay(events).obligations
    found = [f"the chain is broken at {broken.seq}: {broken.why}"] if broken else []
    return found + [f"still owed: {each.what}" for each in owed.values()]


def forward_story(events: Sequence[Event], wanted: Sequence[Event], *, resumed: bool = True) -> list[str]:
    """Whether a run or a rollback that was gone on with tells the same as the undisturbed one."""
    have, there = [told(s) for s in sections(events)], [told(s) for s in sections(wanted)]
    if len(have) != len(there):
        return [f"{len(have)} sections in the log, not {len(there)}: {[t.head[:2] for t in have]}"]
    return [text for a, b in zip(have, there, strict=True) for text in compare(a, b, resumed=resumed)]


def backward_story(
    events: Sequence[Event], start: Sequence[Event], undisturbed: Sequence[Event]
) -> list[str]:
    """Whether what was taken back tells so: what was before stays as it was, and what had come about was taken back.

    Args:
        events: the journal after it.
        start: the journal as it was before.
        undisturbed: a journal in which the same week was rolled back and nobody died; where there is none, what it says
            of each step is not compared.
    """
    have, before = sections(events), sections(start)
    wrong = [
        text
        for a, b in zip(have, before, strict=False)
        if a.action != "run" or a.finished
        for text in compare(told(a), told(b), resumed=False)
    ]
    fresh = have[len(before) :]
    if not fresh:
        return wrong
    last = fresh[-1]
    if last.action != "rollback" or last.outcome != "rolled-back" or last.left or not last.finished:
        wrong.append(f"the last section is {last.action} {last.week}: {last.outcome}, left {last.left}")
    wrong += [
        f"section {s.number} ({s.action}) is {s.outcome}, finished: {s.finished}"
        for s in fresh[:-1]
        if s.outcome not in ("broken off", "proven", "rolled-back") or not s.finished
    ]
    return wrong + _all_taken_back(fresh, before, sections(undisturbed))


def _all_taken_back(
    fresh: Sequence[Section], before: Sequence[Section], undisturbed: Sequence[Section]
) -> list[str]:
    week = fresh[-1].week
    runs = [s for s in (*before, *fresh) if s.action == "run" and s.week == week]
    begun = {step.id for step in runs[-1].steps if step.effect != "none"} if runs else set()
    back = {
        step.id: step for s in fresh if s.action == "rollback" for step in s.taken_back if not step.nothing
    }
    wrong = [f"{step} was begun and not taken back" for step in sorted(begun - set(back))]
    wrong += [
        f"{step.id} is {step.outcome}"
        for step in back.values()
        if step.outcome != "reverted" or not step.evidence
    ]
    if not undisturbed:
        return wrong
    usual = {
        step.id: {plain(text) for text in step.evidence}
        for s in undisturbed
        if s.action == "rollback" and s.week == week
        for step in s.taken_back
    }
    for step in back.values():
        strange = {plain(text) for text in step.evidence} - usual.get(step.id, set())
        wrong += [
            f"taken back: {step.id} says {text!r}" for text in sorted(strange) if not _AS_BEFORE.match(text)
        ]
    return wrong
