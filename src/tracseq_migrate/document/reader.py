"""From bytes to values with places, refusing everything that would be read otherwise than it was meant."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from tracseq_migrate.document.builder import DEEPEST, MOST_VALUES, Builder
from tracseq_migrate.document.places import Places
from tracseq_migrate.document.plain import values
from tracseq_migrate.document.text import Refused, decode, finding_at
from tracseq_migrate.document.wording import did_you_mean
from tracseq_migrate.errors import Finding, InvalidInput

_MOST_COMPARED = 10_000
"""Names held against wrong ones, for suggestions."""


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
        return finding_at(self.file, place, message, remedy)

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
        text = decode(body, file)
        plain = values(text, most=MOST_VALUES, deepest=DEEPEST)
        if plain is not None:
            return Document(file, plain, partial(_places, text, file)), []
        builder = Builder(file)
        builder.build(text)
    except Refused as refused:
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
    builder = Builder(file)
    builder.build(text)
    if builder.root is None or builder.findings:
        raise AssertionError(f"{file} is read in two ways")
    return Places(builder.root[1])
