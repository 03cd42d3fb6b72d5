"""The short way from text to values: for files in which nothing is out of the ordinary, and without any place.

Nearly every file is such a one, and nearly nobody ever asks where in it something stands. Whatever is not plain (a tag, an
anchor, a key that stands twice, a syntax error, a limit that is passed) is left to the long way of `reader`, which knows the
places and says what is wrong: this module never refuses anything itself, so the two cannot differ in what they refuse.
"""

from __future__ import annotations

import re
from typing import Any

from tracseq_migrate.document.scalars import resolve

_ESCAPE = re.compile(r"\\[0xuU]")


def values(text: str, *, most: int, deepest: int) -> dict[str, Any] | None:
    """The top mapping of a plain document; None where the text has to be read the long way.

    Args:
        most: how many values it may have, lists and mappings counted too.
        deepest: how many lists and mappings may be open at once.
    """
    try:
        from yaml.cyaml import CSafeLoader
    except ImportError:  # without libyaml nothing is gained here
        return None
    from yaml import YAMLError

    if _ESCAPE.search(text):  # it may say what no text may hold
        return None
    try:
        return _values(CSafeLoader(text), most, deepest)
    except (YAMLError, ValueError):  # not YAML, or a number that is refused
        return None


def _values(loader: Any, most: int, deepest: int) -> dict[str, Any] | None:
    from yaml.events import (
        AliasEvent,
        DocumentStartEvent,
        MappingEndEvent,
        MappingStartEvent,
        ScalarEvent,
        SequenceEndEvent,
        SequenceStartEvent,
    )

    # One loop over all events with nothing called that need not be: this is most of the time that reading takes.
    around: list[Any] = []  # what is open, outermost first; the innermost is `here`
    top: dict[str, Any] | None = None
    here: Any = None
    mapping = False  # whether `here` is one
    key: str | None = None
    count = 0
    documents = 0
    for event in iter(loader.get_event, None):
        kind = type(event)
        if kind is ScalarEvent:
            if event.tag is not None or event.anchor is not None or here is None:
                return None
            written = event.value
            if not mapping:
                here.append(resolve(written) if event.implicit[0] else written)
            elif key is None:
                if written in here:
                    return None
                key = written
                continue
            else:
                here[key] = resolve(written) if event.implicit[0] else written
                key = None
            count += 1
            if count > most:
                return None
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            if event.tag is not None or event.anchor is not None or len(around) >= deepest:
                return None
            inner: Any = {} if kind is MappingStartEvent else []
            if here is None:
                if kind is not MappingStartEvent:
                    return None
                top = inner
            elif not mapping:
                here.append(inner)
            elif key is None:
                return None
            else:
                here[key] = inner
                key = None
            around.append(inner)
            here, mapping = inner, kind is MappingStartEvent
            count += 1
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            around.pop()
            here = around[-1] if around else None
            mapping = type(here) is dict
        elif kind is AliasEvent:
            return None
        elif kind is DocumentStartEvent:
            documents += 1
    return top if documents == 1 and count <= most else None
