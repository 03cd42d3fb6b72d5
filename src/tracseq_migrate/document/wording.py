"""Small pieces of the sentences that findings are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

NAME_PATTERN = r"^[a-z][a-z0-9-]*$"
"""The shape of every name that people give: weeks, steps, services, environments."""

_LONGEST = 60
_LISTED = 12


def shown(path: Path) -> str:
    """A file as a finding names it: relative where it lies below the current folder, so that it can be clicked or typed."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def quoted(value: Any) -> str:
    """A value as a finding names it: text in quotes with its control characters spelled out, anything long cut short."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case str():
            return repr(value if len(value) <= _LONGEST else value[: _LONGEST - 3] + "...")
        case _:
            return str(value)


def keys_of(value: Any) -> frozenset[str]:
    """The keys of a value that should be a mapping; none where it is something else."""
    return frozenset(value) if isinstance(value, dict) else frozenset()


def closest(name: str, known: Iterable[str]) -> str:
    """The known name that was most likely meant; empty where none is near.

    The words that all of them begin or end with (``USE_..._SERVICE``) do not make two names near.
    """
    import difflib

    names = sorted(known)
    told_apart = _told_apart([name, *names])
    folded: dict[str, str] = {}
    for each, part in zip(names, told_apart[1:], strict=True):
        folded.setdefault(part, each)
    near = difflib.get_close_matches(told_apart[0], folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else ""


def _told_apart(names: Sequence[str]) -> list[str]:
    """Each name in small letters, without the words that all of them begin or end with."""
    split = [re.split(r"[_-]", name.casefold()) for name in names]
    while min(map(len, split)) > 1 and len({words[0] for words in split}) == 1:
        split = [words[1:] for words in split]
    while min(map(len, split)) > 1 and len({words[-1] for words in split}) == 1:
        split = [words[:-1] for words in split]
    return ["_".join(words) for words in split]


def did_you_mean(name: str, known: Iterable[str], *, what: str) -> str:
    """A remedy for an unknown name: the nearest one, else all of them, else that there are none. ``what`` is plural."""
    names = sorted(known)
    near = closest(name, names)
    if near:
        return f"did you mean '{near}'?"
    if not names:
        return f"there are no {what} here"
    listed = ", ".join(names[:_LISTED])
    return f"the {what} here are: {listed}{', ...' if len(names) > _LISTED else ''}"
