"""From a document to a week plan, with every finding at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from itertools import islice
from typing import Annotated, Any

from pydantic import Field, ValidationError

from tracseq_migrate import document as documents
from tracseq_migrate.document import (
    MOST_FINDINGS,
    Document,
    Path,
    Place,
    Places,
    findings_from,
    first_of,
    quoted,
)
from tracseq_migrate.document.places import Spot
from tracseq_migrate.errors import Finding, InvalidInput
from tracseq_migrate.frozen import frozen, slotted
from tracseq_migrate.plan.model import (
    TEXTS,
    ChecklistItem,
    Name,
    Need,
    Retry,
    Risk,
    Sentence,
    Source,
    StepEntry,
    Time,
    WeekPlan,
    Written,
)
from tracseq_migrate.step import Step
from tracseq_migrate.steps import kinds

PARALLEL = "parallel"


class WrittenPlan(Written):
    """A week plan as its file has it; its steps are read one by one."""

    week: Name
    """The week's name, as commands take it: week3. The file's name begins with it."""
    title: Sentence
    """What moves this week, in a few words."""
    risk: Risk
    """How much users would feel a failure."""
    about: str = ""
    """What a person should know who runs this week."""
    progress: Annotated[int, Field(ge=0, le=100)] = 0
    """Per cent of the whole migration that is done when this week is."""
    needs: tuple[Need, ...] = ()
    """The weeks that must be in force before this one begins."""
    checklist: tuple[ChecklistItem, ...] = ()
    """What people sign before anything changes."""
    preflight: tuple[Any, ...] = ()
    """Questions that must pass before anything changes."""
    steps: Annotated[tuple[Any, ...], Field(min_length=1)]
    """What is done, in this order; going back takes the reverse one."""


class WrittenEntry(Written):
    """What every step has besides its kind."""

    id: Name
    """The step's name: unique in the plan; the journal and the commands know it by that."""
    title: Sentence | None = None
    """What people see of it; each kind has a title of its own."""
    timeout: Time | None = None
    """How long it may take, tries and waits together; each kind has a time of its own."""
    retry: Retry | None = None
    """How often it is tried again when it fails."""


class WrittenCheck(WrittenEntry):
    """A preflight check; its id may be left out."""

    id: Name = ""


@frozen
class Read:
    """A file that was read. ``partial`` has the parts of the plan that are right, for further checks, and the plan itself
    where there are no findings; it is None where nothing can be made of the file."""

    file: str
    findings: tuple[Finding, ...]
    partial: WeekPlan | None

    def plan(self) -> WeekPlan:
        """The plan. Raises `InvalidInput` with every finding where there are any."""
        if self.findings or self.partial is None:
            raise InvalidInput(self.findings)
        return self.partial


def read(body: bytes, file: str) -> Read:
    """Read a plan from the bytes of a file."""
    document, findings = documents.inspect(body, file)
    if document is None:
        return Read(file, tuple(findings), None)
    reader = _Reader(document)
    plan = reader.plan()
    return Read(file, tuple(first_of([*findings, *reader.findings])), plan)


def from_document(document: Mapping[str, Any]) -> WeekPlan:
    """See `WeekPlan.from_document`."""
    file = f"the journaled plan of {document.get('week', '?')}"
    written = {key: value for key, value in document.items() if key != TEXTS}
    reader = _Reader(Document(file, written, Places(Spot(Place(1, 1)))))
    plan = reader.plan()
    if reader.findings:
        raise InvalidInput(
            reader.findings,
            hint="Another version of tracseq-migrate wrote this plan: use that version for this week.",
        )
    kept = {name: getattr(plan, name) for name in WeekPlan.__match_args__ if name not in ("source", TEXTS)}
    return WeekPlan(**kept, texts=dict(document.get(TEXTS, {})))


@slotted
class _Reader:
    document: Document
    findings: list[Finding] = field(default_factory=list)
    _ids: dict[str, Path] = field(default_factory=dict)
    _entries: dict[str, Path] = field(default_factory=dict)

    def plan(self) -> WeekPlan:
        """What of the plan is right; all of it where there are no findings."""
        head, week = self._head()
        preflight = self._preflight(self.document.value.get("preflight"))
        steps = self._steps(self.document.value.get("steps"))
        self._items(head.checklist)
        return WeekPlan(
            week=week,
            title=head.title,
            risk=head.risk,
            about=head.about,
            progress=head.progress,
            needs=head.needs,
            checklist=head.checklist,
            preflight=tuple(preflight),
            steps=tuple(steps),
            source=Source(self.document, dict(self._entries)),
        )

    def _head(self) -> tuple[WrittenPlan, str]:
        """What stands at the top, with stand-ins for what was refused; and the week's name, empty where it was."""
        value: dict[str, Any] = self.document.value
        try:
            head = WrittenPlan.model_validate_json(json.dumps(_bounded(value)), strict=True)
            return head, head.week
        except ValidationError as error:
            self.findings += findings_from(error, self.document, model=WrittenPlan)
            refused = {
                str(details["loc"][0]) for details in error.errors(include_url=False, include_context=False)
            }
        right = {key: value[key] for key in WrittenPlan.model_fields if key in value and key not in refused}
        for key, model in (("needs", Need), ("checklist", ChecklistItem)):
            if key in refused and isinstance(value[key], list):
                right[key] = [each for each in value[key] if _fits(model, each)]
        whole = {"week": "x", "title": "x", "risk": "low", "steps": [{}], **right}
        head = WrittenPlan.model_validate_json(json.dumps(whole), strict=True)
        return head, head.week if "week" in right else ""

    def _enough(self) -> bool:
        """Whether there are more findings than will be told."""
        return len(self.findings) > MOST_FINDINGS

    def _preflight(self, raws: Any) -> list[StepEntry]:
        entries = []
        for index, raw in enumerate(raws if isinstance(raws, list) else ()):
            if self._enough():
                break
            entry = self._entry(raw, ("preflight", index), WrittenCheck, derived=f"preflight-{index + 1}")
            if entry is not None:
                entries.append(entry)
        return entries

    def _steps(self, raws: Any) -> list[StepEntry]:
        entries: list[StepEntry] = []
        group = 0
        for index, raw in enumerate(raws if isinstance(raws, list) else ()):
            if self._enough():
                break
            at: Path = ("steps", index)
            if not isinstance(raw, dict) or PARALLEL not in raw:
                entries += filter(None, [self._entry(raw, at, WrittenEntry)])
                continue
            group += 1
            for key in raw:
                if key != PARALLEL:
                    self._find(
                        (*at, key),
                        f"{quoted(key)} cannot stand beside 'parallel'",
                        "move it into a step of the group",
                    )
            members = raw[PARALLEL]
            if not isinstance(members, list) or not members:
                self._find(
                    (*at, PARALLEL),
                    "'parallel': "
                    + (
                        "too few steps: at least 1"
                        if members == []
                        else f"expected a list of steps, found {quoted(members)}"
                    ),
                    key=False,
                )
                continue
            for number, member in enumerate(members):
                if self._enough():
                    break
                way: Path = (*at, PARALLEL, number)
                if isinstance(member, dict) and PARALLEL in member:
                    self._find(
                        (*way, PARALLEL),
                        "a parallel group cannot stand inside another",
                        "put its steps beside it",
                    )
                    continue
                entries += filter(None, [self._entry(member, way, WrittenEntry, group=group)])
        return entries

    def _entry(
        self, raw: Any, at: Path, model: type[WrittenEntry], *, derived: str = "", group: int = 0
    ) -> StepEntry | None:
        if not isinstance(raw, dict):
            self._find(
                at,
                f"expected a step (a mapping), found {quoted(raw)}",
                "such as {id: start, services: {up: [storage]}}",
            )
            return None
        known = kinds()
        written = [key for key in raw if key in known]
        unknown = [key for key in raw if key not in known and key not in WrittenEntry.model_fields]
        for key in unknown:
            what = "key" if written else "kind"
            remedy = self.document.did_you_mean(
                key, {*known, *WrittenEntry.model_fields} if written else known, what=f"{what}s"
            )
            self._find((*at, key), f"unknown {what} {quoted(key)}", remedy)
        if not written and not unknown:
            self._find(at, "this step does not say what it does", f"it needs one of: {', '.join(known)}")
        for extra in written[1:]:
            self._find(
                (*at, extra),
                f"'{written[0]}' and '{extra}' are two kinds",
                "one step does one thing: make it two steps",
            )
        head = self._written(raw, at, model, set(known) | set(unknown))
        step = self._step(known[written[0]], raw[written[0]], (*at, written[0])) if written else None
        name = (head.id if head is not None else "") or derived or _text(raw.get("id"))
        if name:
            self._name(name, (*at, "id") if "id" in raw else at)
            self._entries.setdefault(name, at)
        if step is None or not name:
            return None
        for message in step.findings():
            self._find((*at, step.kind), message)
        # An entry whose head was refused is kept too, so that what its step names is checked with the rest.
        return StepEntry(
            id=name,
            step=step,
            timeout=head.timeout if head is not None and head.timeout is not None else step.default_timeout,
            retry=head.retry if head is not None else None,
            group=group,
            written_title=(head.title if head is not None else None) or "",
        )

    def _written(
        self, raw: Mapping[str, Any], at: Path, model: type[WrittenEntry], without: set[str]
    ) -> WrittenEntry | None:
        own = {key: value for key, value in raw.items() if key not in without}
        try:
            return model.model_validate_json(json.dumps(own), strict=True)
        except ValidationError as error:
            self.findings += findings_from(error, self.document, at=at, model=model)
            return None

    def _step(self, kind: type[Step], body: Any, at: Path) -> Step | None:
        try:
            return kind.model_validate_json(json.dumps(body), strict=True)
        except ValidationError as error:
            self.findings += findings_from(error, self.document, at=at, model=kind)
            return None

    def _items(self, items: Sequence[ChecklistItem]) -> None:
        written = self.document.value.get("checklist")
        places: Iterable[int] = range(len(items))
        if isinstance(written, list) and len(written) > len(items):  # some were refused
            places = [number for number, each in enumerate(written) if _fits(ChecklistItem, each)]
        for index, item in zip(places, items, strict=True):
            if self._enough():
                break
            at: Path = ("checklist", index)
            self._name(item.id, (*at, "id"))
            if item.yes and item.evidence == "required":
                self._find(
                    (*at, "yes"),
                    "--yes can give no evidence, and this item requires it",
                    "drop one of the two",
                )
            if item.yes and item.approvals > 1:
                self._find(
                    (*at, "yes"),
                    f"--yes is one person, and this item needs {item.approvals}",
                    "drop one of the two",
                )

    def _name(self, name: str, at: Path) -> None:
        first = self._ids.setdefault(name, at)
        if first is not at:
            place = self.document.places.value(first)
            self._find(
                at,
                f"the id '{name}' is taken: {self.document.file}:{place.line}:{place.column}",
                "ids of steps, checks and checklist items are unique in a plan",
                key=False,
            )

    def _find(self, at: Path, message: str, remedy: str = "", *, key: bool = True) -> None:
        self.findings.append(self.document.finding(at, message, remedy, key=key))


def _bounded(value: dict[str, Any]) -> dict[str, Any]:
    """A plan's top without the unknown keys that are too many to be told."""
    if len(value) <= MOST_FINDINGS:
        return value
    unknown = islice((key for key in value if key not in WrittenPlan.model_fields), MOST_FINDINGS + 1)
    return {
        key: value[key] for key in (*(each for each in WrittenPlan.model_fields if each in value), *unknown)
    }


def _fits(model: type[Written], value: Any) -> bool:
    try:
        model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    return True


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
