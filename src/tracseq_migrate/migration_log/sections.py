"""Events folded into sections: one for each execution, in the order in which they began.

A section is *finished* when its execution has ended, and then nothing that comes later changes it: what is appended under
the same run id afterwards opens a section of its own. So whoever kept a finished section finds it again, to the letter, in
every later render.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.migration_log.section import (
    CheckResult,
    Happening,
    LossTaken,
    Owed,
    Section,
    SignatureUsed,
    StepStory,
)
from tracseq_migrate.ports import Event

FINAL_OUTCOMES = frozenset({"proven", "completed"})
"""Outcomes of ``run.finished`` after which nothing of the run is still to come; a soak goes on."""


def sections(events: Iterable[Event]) -> list[Section]:
    """Every execution that the events tell of, in the order in which they began."""
    fold = _Fold()
    for event in events:
        fold.take(event)
    return fold.sections


class _Known(NamedTuple):
    """What the run in force has said of a step."""

    title: str = ""
    kind: str = ""
    effect: str = ""


class _Fold:
    def __init__(self) -> None:
        self.sections: list[Section] = []
        self._open: dict[str, Section] = {}
        self._signed: dict[str, list[SignatureUsed]] = {}
        self._titles: dict[str, str] = {}
        self._steps: dict[str, dict[str, _Known]] = {}
        self._last: dict[str, Section] = {}

    def take(self, event: Event) -> None:
        match event.type:
            case v.LOG_COMMITTED:
                return  # it tells of the log itself, after the section has ended
            case v.SIGNED:
                self._sign(event)
            case v.RUN_STARTED:
                self._start_run(event)
            case v.ROLLBACK_STARTED:
                self._start_rollback(event)
            case v.COMPLETION_STARTED:
                self._start_completion(event)
            case _ if event.run_id:
                if event.type == v.INTENT:
                    self._learn(event)
                _tell(self._section_of(event), event, self._steps.get(event.week, {}))
                self._close_if_ended(event)
            case _:
                return

    def _learn(self, event: Event) -> None:
        """What an intent says of its step is so for the rollback that takes it back, too, which has no intents."""
        known = self._steps.setdefault(event.week, {})
        title = _text(event.data, "title") or known.get(event.step, _Known()).title
        known[event.step] = _Known(title, _text(event.data, "kind"), _text(event.data, "effect"))

    def _sign(self, event: Event) -> None:
        data = event.data
        signature = SignatureUsed(
            at=event.at,
            item=_text(data, "item"),
            ask=_text(data, "ask"),
            person=_text(data, "person"),
            person_from=_text(data, "person_from"),
            claimed=_text(data, "claimed"),
            evidence=_text(data, "evidence"),
            digest=_text(data, "digest"),
            expires=_text(data, "expires"),
        )
        self._signed.setdefault(event.week, []).append(signature)
        for section in self._open.values():
            if section.week == event.week and section.digest == signature.digest:
                section.signatures.append(signature)

    def _start_run(self, event: Event) -> None:
        data = event.data
        self._supersede(event, "another run of the week began")
        plan = data.get("plan")
        self._titles[event.week] = _text(data, "title")
        self._steps[event.week] = _titles(plan) if isinstance(plan, Mapping) else {}
        adopted = data.get("adopted")
        section = self._begin(event, "adopt" if adopted else "run")
        section.environment, section.digest = _text(data, "environment"), _text(data, "digest")
        section.version = _text(data, "version")
        section.timeline.append(_by(event, "adopted from reality" if adopted else "began"))
        if isinstance(adopted, list):
            section.timeline += [Happening(event.at, str(text)) for text in adopted]
        section.signatures = [
            s for s in self._signed.get(event.week, []) if s.digest == section.digest and _holds(s, event.at)
        ]

    def _start_rollback(self, event: Event) -> None:
        data = event.data
        of = _text(data, "of")
        section = self._open.get(of) if data.get("automatic") else None
        if section is None:
            self._supersede(event, f"taken back by rollback {event.run_id}")
            section = self._begin(event, "rollback")
            section.version = _text(data, "version")
            taken_back = self._last.get(of)
            if taken_back is not None:
                section.environment, section.digest = taken_back.environment, taken_back.digest
            section.timeline.append(_by(event, "began"))
        else:
            self._open[event.run_id] = section
            section.timeline.append(Happening(event.at, "a step failed; everything goes back"))
        section.of, section.reason = of, _text(data, "reason")
        section.automatic, section.kept = bool(data.get("automatic")), _text(data, "to")

    def _start_completion(self, event: Event) -> None:
        data = event.data
        self._supersede(event, f"given up for ever by completion {event.run_id}")
        section = self._begin(event, "complete")
        section.version = _text(data, "version")
        section.timeline.append(_by(event, "signed: the way back is given up, for ever"))
        section.timeline += [Happening(event.at, f"given up: {text}") for text in data.get("given_up", [])]

    def _begin(self, event: Event, action: Literal["run", "rollback", "adopt", "complete"]) -> Section:
        section = Section(
            number=len(self.sections) + 1,
            action=action,
            run_id=event.run_id,
            week=event.week,
            began=event.at,
            title=self._titles.get(event.week, ""),
        )
        self.sections.append(section)
        self._open[event.run_id] = self._last[event.run_id] = section
        return section

    def _section_of(self, event: Event) -> Section:
        section = self._open.get(event.run_id)
        if section is None:
            before = self._last.get(event.run_id)
            section = self._begin(event, before.action if before else "run")
            section.continued = True
            if before is not None:
                section.environment, section.digest, section.of = before.environment, before.digest, before.of
        return section

    def _supersede(self, event: Event, why: str) -> None:
        """Sections of this week that are open have got their last word: the week goes on in another execution."""
        for section in {id(s): s for s in self._open.values() if s.week == event.week}.values():
            section.timeline.append(Happening(event.at, why))
            if section.outcome == "not ended":
                section.outcome = "broken off"
            self._close(section)

    def _close(self, section: Section) -> None:
        section.finished = True
        self._open = {key: value for key, value in self._open.items() if value is not section}

    def _close_if_ended(self, event: Event) -> None:
        section = self._open.get(event.run_id)
        if section is None:
            return
        if event.type in (v.ROLLBACK_FINISHED, v.COMPLETION_FINISHED) or (
            event.type == v.RUN_FINISHED and section.outcome in FINAL_OUTCOMES
        ):
            section.ended = event.at
            self._close(section)
        if event.type == v.ROLLBACK_FINISHED and section.outcome == "rolled-back":
            self._signed.pop(event.week, None)  # a new run needs new signatures


def _tell(section: Section, event: Event, known: Mapping[str, _Known]) -> None:
    """What an event adds to its section."""
    data, at = event.data, event.at
    match event.type:
        case v.RUN_RESUMED:
            back = " backward" if data.get("direction") == "backward" else ""
            section.timeline.append(_by(event, f"went on{back}"))
        case v.RUN_PAUSED:
            section.outcome = "waiting"
            section.timeline.append(Happening(at, f"paused: {_text(data, 'why')}"))
        case v.RUN_INTERRUPTED:
            section.outcome = "interrupted"
            section.timeline.append(Happening(at, f"interrupted by signal {_text(data, 'signal')}"))
        case v.RUN_FINISHED:
            section.outcome = _text(data, "outcome")
        case v.LOCK_RELEASED:
            holder = data.get("holder")
            whose = _text(holder, "person") if isinstance(holder, Mapping) else ""
            why = f": {_text(data, 'reason')}" if data.get("reason") else ""
            section.timeline.append(_by(event, f"the lock of {whose} was taken away{why}"))
        case v.CHECKED:
            section.checks += [
                CheckResult(*(_text(result, key) for key in ("id", "title", "verdict", "detail")))
                for result in data.get("results", [])
            ]
        case v.ROLLBACK_FINISHED:
            section.outcome, section.left = (
                _text(data, "outcome"),
                [str(text) for text in data.get("left", [])],
            )
        case v.COMPLETION_FINISHED:
            section.outcome = "completed"
            section.timeline += [Happening(at, _text(line, "text")) for line in data.get("evidence", [])]
        case v.LOSS_ACCEPTED:
            summary = [str(text) for text in data.get("summary", [])]
            count = int(data.get("count", 0))
            taken = LossTaken(event.step, _text(data, "file"), _text(data, "digest"), count, summary)
            section.losses.append(taken)
        case v.OBLIGATION_OPENED:
            section.owed.append(
                Owed(event.step, _text(data, "name"), _text(data, "what"), _text(data, "ends"))
            )
        case v.OBLIGATION_CLOSED:
            _settle(section, event)
        case _ if event.type in _OF_STEP:
            _tell_step(_story(section, event, known), event)
            if event.type == v.WAITING:
                section.outcome = "waiting"
        case _:
            section.unknown += 1
    if event.type in (v.RUN_RESUMED, v.INTENT) and section.outcome in ("waiting", "interrupted"):
        section.outcome = "not ended"


def _settle(section: Section, event: Event) -> None:
    name = _text(event.data, "name")
    mine = [owed for owed in section.owed if owed.step == event.step and owed.name == name]
    for (
        owed
    ) in mine:  # more than one, where it was opened again on the way back: the end of it is the end of all
        owed.settled = True
    if mine:
        return
    section.timeline.append(Happening(event.at, f"the obligation {name} of step {event.step} ended"))


def _story(section: Section, event: Event, known: Mapping[str, _Known]) -> StepStory:
    """The step's story in the direction in which the section is going."""
    stories = section.taken_back if section.going_back else section.steps
    for story in stories:
        if story.id == event.step:
            return story
    of = known.get(event.step, _Known())
    story = StepStory(id=event.step, title=of.title, kind=of.kind, effect=of.effect, began=event.at)
    stories.append(story)
    return story


def _tell_step(story: StepStory, event: Event) -> None:
    data = event.data
    match event.type:
        case v.INTENT:
            story.kind, story.effect = _text(data, "kind"), _text(data, "effect")
            story.title = _text(data, "title") or story.title
            story.attempts, story.outcome = story.attempts + 1, "in doubt"
            if data.get("adopted"):
                story.notes.append("found done, and not done by this run")
                story.notes += [f"assumed: {text}" for text in data.get("assumed", [])]
        case v.CHECKPOINT:
            story.checkpoints.append(_text(data, "name"))
        case v.VERIFIED:
            _end(story, data, "done")
        case v.REVERTED:
            _end(story, data, "reverted")
        case v.WAITING:
            until = f" until {_text(data, 'until')}" if data.get("until") else ""
            story.outcome = "waiting"
            story.notes.append(f"waited for {_text(data, 'on')}{until}")
        case v.FAILED:
            story.outcome = "failed"
            doubt = " (its effect may have come about)" if data.get("unknown") else ""
            attempt = f"attempt {_text(data, 'attempt')} " if data.get("attempt") else ""
            story.notes.append(f"{attempt}failed: {_text(data, 'error')}{doubt}{_hint(data)}")
        case v.REVERT_FAILED:
            story.outcome = "could not be reverted"
            story.notes.append(f"{_text(data, 'error')}{_hint(data)}")
        case v.PROBED:
            story.notes.append(f"probed: {_text(data, 'found')}: {_text(data, 'detail')}")
        case v.REVERTING:
            story.outcome = "in doubt"


def _end(story: StepStory, data: Mapping[str, Any], outcome: str) -> None:
    story.outcome = outcome
    seconds = data.get("seconds")
    story.seconds = float(seconds) if isinstance(seconds, (int, float)) else None
    story.evidence = [_text(line, "text") for line in data.get("evidence", []) if isinstance(line, Mapping)]


def _by(event: Event, what: str) -> Happening:
    data = event.data
    return Happening(
        event.at, what, _text(data, "person"), _text(data, "person_from"), _text(data, "command")
    )


def _hint(data: Mapping[str, Any]) -> str:
    return f" ({_text(data, 'hint')})" if data.get("hint") else ""


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key, "")
    return "" if value is None else str(value)


def _holds(signature: SignatureUsed, at: datetime) -> bool:
    return not signature.expires or datetime.fromisoformat(signature.expires) > at


def _titles(plan: Mapping[str, Any]) -> dict[str, _Known]:
    """The titles that the journaled plan gives its steps, groups of parallel ones included."""
    found: dict[str, _Known] = {}
    entries = plan.get("steps", [])
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, Mapping):
            continue
        inner = entry.get("parallel")
        for step in inner if isinstance(inner, list) else [entry]:
            if isinstance(step, Mapping) and isinstance(step.get("id"), str) and step.get("title"):
                found[step["id"]] = _Known(str(step["title"]))
    return found


_OF_STEP = frozenset(
    {
        v.INTENT,
        v.CHECKPOINT,
        v.APPLIED,
        v.VERIFIED,
        v.WAITING,
        v.FAILED,
        v.PROBED,
        v.REVERTING,
        v.REVERTED,
        v.REVERT_FAILED,
    }
)
