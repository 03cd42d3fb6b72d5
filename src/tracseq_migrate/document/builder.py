"""The long way from text to values: with every finding, and with the place of every key and value."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, NoReturn

from tracseq_migrate.document.places import Place, Spot
from tracseq_migrate.document.scalars import UNFIT, resolve
from tracseq_migrate.document.text import Refused, finding_at
from tracseq_migrate.errors import Finding
from tracseq_migrate.frozen import slotted

if TYPE_CHECKING:
    from yaml import Event, Mark
    from yaml._yaml import Mark as CMark

MOST_VALUES = 100_000
"""Aliases counted as what they stand for."""
DEEPEST = 64
MOST_FINDINGS = 1_000
"""Of one file; nobody reads more at once, and to find them all would take longer than anybody waits."""

_CORE = "tag:yaml.org,2002:"
_TYPES = {"null": type(None), "bool": bool, "int": int, "float": float}


def _place(mark: Mark | CMark | None) -> Place:
    if mark is None:  # only events that stand for no text have none
        return Place(1, 1)
    return Place(mark.line + 1, mark.column + 1)


@slotted
class _Frame:
    """A mapping or list that is open. ``key`` waits for its value; ``before`` counts the values seen when it began."""

    value: dict[str, Any] | list[Any]
    spot: Spot
    anchor: str
    before: int
    key: str | None = None
    key_place: Place = field(default=Place(1, 1))
    discard: bool = False


@slotted
class _Anchored:
    value: Any
    spot: Spot
    size: int


class Builder:
    """Builds values from the parser's events, without recursion: ``root`` is the top one, with the spots of all in it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.root: tuple[Any, Spot] | None = None
        self._open: list[_Frame] = []
        self._anchors: dict[str, _Anchored | None] = {}
        self._values = 0
        self._documents = 0

    def build(self, text: str) -> None:
        """Read a text. Raises `Refused` where it cannot be read to its end; other findings are collected."""
        import yaml

        try:
            from yaml.cyaml import CSafeLoader as Loader
        except ImportError:  # a PyYAML that was built without libyaml reads the same, more slowly
            from yaml import SafeLoader as Loader  # type: ignore[assignment]
        try:
            for event in yaml.parse(text, Loader=Loader):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            place = _place(error.problem_mark or error.context_mark)
            self._refuse(place, *_syntax(error.problem or error.context or "not YAML", error.context))
        except yaml.YAMLError as error:
            self._refuse(Place(1, 1), f"not YAML: {error}")

    def _take(self, event: Event) -> None:
        import yaml

        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._begin(event, {}, "map")
        elif isinstance(event, yaml.SequenceStartEvent):
            self._begin(event, [], "seq")
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._end()
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(
                    _place(event.start_mark), "a second document begins here", "put it into a file of its own"
                )

    def _scalar(self, event: Any) -> None:
        place = _place(event.start_mark)
        frame = self._open[-1] if self._open else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            if event.tag not in (None, "!", _CORE + "str"):
                self._tag_refused(event.tag, place)
            if event.anchor:
                self._anchors[event.anchor] = _Anchored(event.value, Spot(place), 1)
            self._key(frame, event.value, place)
            return
        self._count(1, place)
        self._refuse_unfit(event.value, place)
        value: Any = event.value
        tag = event.tag
        try:
            if tag is None:
                value = resolve(event.value) if event.implicit[0] else event.value
            elif tag not in ("!", _CORE + "str"):
                value = self._tagged(tag, event.value, place)
        except ValueError as error:
            self._find(place, str(error), "put it in quotes where it is meant as text")
        spot = Spot(place)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value, spot, 1)
        self._add(value, spot)

    def _refuse_unfit(self, text: str, place: Place) -> None:
        unfit = UNFIT.search(text)
        if unfit is not None:
            self._find(place, f"U+{ord(unfit.group()):04X} cannot stand in a text", "take it out")

    def _tagged(self, tag: str, text: str, place: Place) -> Any:
        wanted = _TYPES.get(tag.removeprefix(_CORE)) if tag.startswith(_CORE) else None
        if wanted is None:
            self._tag_refused(tag, place)
            return text
        value = resolve(text)
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is not wanted:
            raise ValueError(f"{text!r} is not what its tag says")
        return value

    def _tag_refused(self, tag: str, place: Place) -> None:
        shown = "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
        self._find(place, f"the tag {shown!r} is not allowed", "plain values only: take the tag away")

    def _key(self, frame: _Frame, text: str, place: Place) -> None:
        self._refuse_unfit(text, place)
        frame.key, frame.key_place, frame.discard = text, place, False
        earlier = frame.spot.inner.get(text)
        if earlier is not None:
            first = earlier[0]
            frame.discard = True
            self._find(
                place,
                f"the key {text!r} stands here twice: first at {self.file}:{first.line}:{first.column}",
                "keep one of the two",
            )

    def _begin(self, event: Any, value: dict[str, Any] | list[Any], kind: str) -> None:
        place = _place(event.start_mark)
        frame = self._open[-1] if self._open else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            self._refuse(place, "a key must be plain text", "a list or a mapping cannot be a key")
        if len(self._open) >= DEEPEST:
            self._refuse(place, f"more than {DEEPEST} levels of nesting")
        if event.tag is not None and event.tag not in ("!", _CORE + kind):
            self._tag_refused(event.tag, place)
        anchor = event.anchor or ""
        if anchor:
            self._anchors[anchor] = None
        before = self._values
        self._count(1, place)
        self._open.append(_Frame(value, Spot(place), anchor, before))

    def _end(self) -> None:
        frame = self._open.pop()
        if frame.anchor:
            self._anchors[frame.anchor] = _Anchored(frame.value, frame.spot, self._values - frame.before)
        self._add(frame.value, frame.spot)

    def _alias(self, event: Any) -> None:
        place = _place(event.start_mark)
        frame = self._open[-1] if self._open else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            self._refuse(place, f"the alias *{event.anchor} stands where a key must be", "write the key out")
        if event.anchor not in self._anchors:
            self._refuse(
                place, f"the alias *{event.anchor} has no anchor before it", f"write &{event.anchor} there"
            )
        anchored = self._anchors[event.anchor]
        if anchored is None:
            self._refuse(place, f"the alias *{event.anchor} stands inside what it names", "write it out")
        self._count(anchored.size, place)
        self._add(anchored.value, anchored.spot)

    def _add(self, value: Any, spot: Spot) -> None:
        if not self._open:
            self.root = (value, spot)
            return
        frame = self._open[-1]
        if isinstance(frame.value, list):
            frame.spot.inner[len(frame.value)] = (spot.place, spot)
            frame.value.append(value)
            return
        key, frame.key = frame.key, None
        if key is not None and not frame.discard:
            frame.value[key] = value
            frame.spot.inner[key] = (frame.key_place, spot)

    def _count(self, number: int, place: Place) -> None:
        self._values += number
        if self._values > MOST_VALUES:
            self._refuse(
                place,
                f"more than {MOST_VALUES:,} values, aliases written out",
                "use fewer or smaller aliases",
            )

    def _find(self, place: Place, message: str, remedy: str = "") -> None:
        self.findings.append(finding_at(self.file, place, message, remedy))
        if len(self.findings) > MOST_FINDINGS:
            self._refuse(
                place,
                f"more than {MOST_FINDINGS:,} findings: the rest was not read",
                "mend those above first",
            )

    def _refuse(self, place: Place, message: str, remedy: str = "") -> NoReturn:
        raise Refused(finding_at(self.file, place, message, remedy), self.findings)


_REMEDIES = (
    ("mapping values are not allowed", "put a text that has ': ' in it into quotes, or mend the indentation"),
    ("that cannot start any token", "indent with spaces, and put text that begins with a mark into quotes"),
    ("a tab character", "indent with spaces, not tabs"),
    ("unexpected end of stream", "a quote or bracket that is opened must be closed"),
    ("could not find expected ':'", "a key is followed by ': ' and its value"),
    ("did not find expected key", "mend the indentation, or close a bracket or quote"),
    ("did not find expected '-' indicator", "mend the indentation of the list"),
    ("did not find expected ',' or", "close the bracket, or put a comma between the entries"),
    ("unknown escape character", "in double quotes a backslash begins an escape: use single quotes"),
)


def _syntax(problem: str, context: str | None) -> tuple[str, str]:
    remedy = next((remedy for part, remedy in _REMEDIES if part in problem), "")
    return f"not YAML: {problem}" + (f" {context}" if context else ""), remedy
