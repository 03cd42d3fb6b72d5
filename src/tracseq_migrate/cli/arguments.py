"""Global options may stand anywhere in a command line: they are moved in front of the command before it is parsed."""

from __future__ import annotations

from collections.abc import Sequence

_FLAGS = frozenset({"--json", "-q", "--quiet", "-v", "-vv", "--verbose", "--no-color"})
_WITH_VALUE = frozenset({"-c", "--config", "-e", "--environment"})


def globals_first(argv: Sequence[str]) -> list[str]:
    """The same arguments, with the global options first; those behind ``--`` stay where they are.

    The sandbox's commands know ``--json`` themselves, so there it goes to the end instead.
    """
    front: list[str] = []
    rest: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            rest += [word, *words]
            break
        name = word.split("=", 1)[0]
        if word in _FLAGS:
            front.append(word)
        elif name in _WITH_VALUE:
            front.append(word)
            if name == word and words:
                front.append(words.pop(0))
        else:
            rest.append(word)
    if rest[:1] == ["sandbox"] and "--json" in front:
        front = [word for word in front if word != "--json"]
        rest.append("--json")
    return [*front, *rest]
