"""From bytes to values with places, refusing everything that would be read otherwise than it was meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from tracseq_migrate.document.places import Place, Places, Spot
from tracseq_migrate.document.plain import values
from tracseq_migrate.document.scalars import UNFIT, resolve
from tracseq_migrate.document.wording import did_you_mean
from tracseq_migrate.errors import Finding, InvalidInput
from tracseq_migrate.printable import one_line

if TYPE_CHECKING:
    from yaml import Event, Mark
    from yaml._yaml import Mark as CMark

MOST_BYTES = 1024 * 1024
MOST_VALUES = 100_000
"""Aliases counted as what they stand for."""
DEEPEST = 64
MOST_FINDINGS = 1_000
"""Of one file; nobody reads more at once, and to find them all would take longer than anybody waits."""
_MOST_COMPARED = 10_000
"""Names held against wrong ones, for suggestions."""

# The few that are not allowed, not all that are: those would take 5 ms to compile.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_CORE = "tag:yaml.org,2002:"
_TYPES = {"null": type(None), "bool": bool, "int": int, "float": float}


class Document:
    """A file that was read: ``value`` is its top mapping, in plain Python values whose keys are all text.

    Args:
        places: where everything stands, or how to find that out once somebody asks.
    """

    __slots__ = ("_compared", "_places", "file", "value")

    def __init__(self, file: str, value: dict[str, Any], places: Places | Callable[[], Places]) -> None:
        self.file = file
        self.value = value
        self._places = places
        self._compared = 0

    @property
    def places(self) -> Places:
        """Where everything stands."""
        if not isinstance(self._places, Places):
            self._places = self._places()
        return self._places

    def finding(
        self, path: tuple[str | int, ...], message: str, remedy: str = "", *, key: bool = False
    ) -> Finding:
        """A finding at a value of this document, or at its key."""
        place = self.places.key(path) if key else self.places.value(path)
        return _finding(self.file, place, message, remedy)

    def did_you_mean(self, name: str, known: Collection[str], *, what: str) -> str:
        """See `wording.did_you_mean`. A file with thousands of wrong names gets no suggestion for the last of them: they
        would take longer than anybody waits."""
        if self._compared > _MOST_COMPARED:
            return ""
        self._compared += len(known)
        return did_you_mean(name, known, what=what)

    def at(self, path: tuple[str | int, ...]) -> Any:
        """The value at a path; None where there is none."""
        value: Any = self.value
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def read(body: bytes, file: str) -> Document:
    """A document that has nothing wrong with it.

    Raises:
        InvalidInput: with every finding.
    """
    document, findings = inspect(body, file)
    if findings or document is None:
        raise InvalidInput(findings)
    return document


def inspect(body: bytes, file: str) -> tuple[Document | None, list[Finding]]:
    """What can be read of a file, and everything that is wrong with it as YAML.

    The document is None where nothing can be made of the file; otherwise it may be looked at further, so that a person
    gets all findings at once. Of two equal keys the first is kept.
    """
    try:
        text = _decode(body, file)
        plain = values(text, most=MOST_VALUES, deepest=DEEPEST)
        if plain is not None:
            return Document(file, plain, partial(_places, text, file)), []
        builder = _Builder(file)
        builder.build(text)
    except _Refused as refused:
        return None, [*refused.before, refused.finding]
    if builder.root is None:
        return None, [Finding(file, 1, 1, "the file is empty", "it needs a mapping of keys and values")]
    value, spot = builder.root
    if value is None:
        return None, [
            Finding(file, *spot.place, "the file is empty", "it needs a mapping of keys and values")
        ]
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else "a single value"
        finding = Finding(
            file,
            *spot.place,
            f"the top of the file is {kind}, not a mapping",
            "it needs keys and values, such as 'week: week1'",
        )
        return None, [*builder.findings, finding]
    return Document(file, value, Places(spot)), builder.findings


def _places(text: str, file: str) -> Places:
    """The places of a text that was read the short way: it is read once more."""
    builder = _Builder(file)
    builder.build(text)
    if builder.root is None or builder.findings:
        raise AssertionError(f"{file} is read in two ways")
    return Places(builder.root[1])


def _finding(file: str, place: Place, message: str, remedy: str = "") -> Finding:
    """What a file says may stand in a message; there it may neither begin a new line nor steer a terminal."""
    return Finding(file, place.line, place.column, one_line(message), one_line(remedy))


class _Refused(Exception):
    def __init__(self, finding: Finding, before: list[Finding]) -> None:
        super().__init__(finding.message)
        self.finding = finding
        self.before = before


def _decode(body: bytes, file: str) -> str:
    if len(body) > MOST_BYTES:
        raise _Refused(
            Finding(file, 1, 1, f"the file has {len(body):,} bytes; at most {MOST_BYTES:,} are read"), []
        )
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Refused(Finding(file, 1, 1, "the file is UTF-16, not UTF-8", "save it as UTF-8"), [])
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = body[: error.start].decode("utf-8", "replace")
        message = f"not UTF-8: byte 0x{body[error.start]:02x} at offset {error.start}"
        if b"\0" in body:
            message = f"not a text file: {message}"
        raise _Refused(Finding(file, *_place_after(before), message, "save it as UTF-8"), []) from None
    bad = _UNPRINTABLE.search(text)
    if bad is not None:
        place = _place_after(text[: bad.start()])
        code = ord(bad.group())
        what = "not a text file: a NUL byte" if code == 0 else f"the control character U+{code:04X}"
        raise _Refused(Finding(file, *place, what, "take it out"), [])
    return text


def _place_after(text: str) -> Place:
    breaks = list(_BREAK.finditer(text))
    return Place(len(breaks) + 1, len(text) - (breaks[-1].end() if breaks else 0) + 1)


def _place(mark: Mark | CMark | None) -> Place:
    if mark is None:  # only events that stand for no text have none
        return Place(1, 1)
    return Place(mark.line + 1, mark.column + 1)


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is open. ``key`` waits for its value; ``before`` counts the values seen when it began."""

    value: dict[str, Any] | list[Any]
    spot: Spot
    anchor: str
    before: int
    key: str | None = None
    key_place: Place = field(default=Place(1, 1))
    discard: bool = False


@dataclass(slots=True)
class _Anchored:
    value: Any
    spot: Spot
    size: int


class _Builder:
    """Builds values from the parser's events, without recursion."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.root: tuple[Any, Spot] | None = None
        self._open: list[_Frame] = []
        self._anchors: dict[str, _Anchored | None] = {}
        self._values = 0
        self._documents = 0

    def build(self, text: str) -> None:
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
        self.findings.append(_finding(self.file, place, message, remedy))
        if len(self.findings) > MOST_FINDINGS:
            self._refuse(
                place,
                f"more than {MOST_FINDINGS:,} findings: the rest was not read",
                "mend those above first",
            )

    def _refuse(self, place: Place, message: str, remedy: str = "") -> NoReturn:
        raise _Refused(_finding(self.file, place, message, remedy), self.findings)


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
