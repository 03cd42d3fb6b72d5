"""Flag files of every shape that python-dotenv knows, and what it makes of them: the peer of the tool's own reading."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from tests.chaos.suite import Wrong

PREFIX = "FEATURE_FLAGS__"
DIFFERENCES = ("a byte order mark", "a value from another variable")
"""By name, what the tool reads otherwise than python-dotenv does, and says so. See `docs/environment.md`."""

_NAMES = (
    *(
        "USE_A",
        "use_a",
        "Use_A",
        "USE_B",
        "use_b",
        "FEATURE_FLAGS__USE_A",
        "feature_flags__use_b",
        "X",
        "\u00c9",
    ),
    *(
        "U\u017fE_A",
        "USE-A",
        "USE.A",
        "FEATURE_FLAGS",
        "a b",
        "'USE_A'",
        "'USE A'",
        "''",
        '"USE_A"',
        "export",
        "exportX",
    ),
)
_VALUES = (
    *("true", "false", "", "1", "'true'", '"false"', "' no '", "'open", '"open', "true#c", "a b", "#x", "$X", "${USE_A}"),
    *("'it\\'s'", '"a\nb"', "'a\r\nUSE_A=true\r\n'", '"esc\\n\\""', "''", "=", "a=b", "\u00fc", "'a' b", "'a'#c", '"a" # c'),
    *("${USE_A:-x}", "'$X'", "\\n", "'\\n'", '"\\t\\x"', "a\\", "`a`", "\u2028", "a\x85b", "\x1c", "true\x0b", "\u00a0"),
)  # fmt: skip
_BLANKS = ("", "", "", "", " ", "\t", "  ", "\x0b", "\x0c", "\u00a0", "\u2003")
_BREAKS = ("\n", "\n", "\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\n\r")
_COMMENTS = ("", "", "", " # c", "#c", "\t# true", " #'", ' # "')
_RUBBISH = (
    "",
    "# comment",
    "   # USE_A=true",
    "not a line",
    "- USE_A: true",
    "''=x",
    "=x",
    "'",
    "\ufeff",
    "USE_A",
    "\x00",
)


def file_of(r: random.Random) -> str:
    """A file."""
    lines = [_line(r) + r.choice(_BREAKS) for _ in range(r.randrange(9))]
    return r.choice(("", "", "", "", "\ufeff")) + "".join(lines) + r.choice((_line(r), "", ""))


def _line(r: random.Random) -> str:
    if r.random() < 0.2:
        return r.choice(_RUBBISH)
    parts = [
        r.choice(_BLANKS),
        r.choice(("", "", "", "export ", "export\t")),
        r.choice(_NAMES),
        r.choice(_BLANKS),
    ]
    parts += [
        r.choice(("=", "=", "=", "=", ":", "")),
        r.choice(_BLANKS),
        r.choice(_VALUES),
        r.choice(_BLANKS),
    ]
    return "".join([*parts, r.choice(_COMMENTS)])


def as_the_gateway(path: Path, *, interpolate: bool) -> dict[str, str]:
    """What the gateway makes of a file: one mapping, then letter case dropped, then the nested names."""
    found: dict[str, str | None] = {}
    for name, value in dotenv_values(path, interpolate=interpolate, encoding="utf-8").items():
        small = name.lower()
        found[small.upper() if small.isascii() else small] = value
    given = {name: value for name, value in found.items() if value is not None}
    nested = {name.removeprefix(PREFIX): value for name, value in given.items() if name.startswith(PREFIX)}
    return {name: value for name, value in given.items() if not name.startswith(PREFIX)} | nested


def compare(path: Path, text: str, own: Mapping[str, str]) -> str:
    """In a word, how the tool's reading (``own``) of a file and the gateway's compare.

    Raises:
        Wrong: they differ, and not in one of the ways that have a name.
    """
    theirs = as_the_gateway(path, interpolate=True)
    if theirs == own:
        return "agree"
    if text.startswith("\ufeff"):
        path.write_bytes(text.removeprefix("\ufeff").encode())
        theirs = as_the_gateway(path, interpolate=True)
        if theirs == own:
            return f"differ: {DIFFERENCES[0]}"
    literally = as_the_gateway(path, interpolate=False)
    if literally == own and any("$" in value for value in own.values()):
        return f"differ: {DIFFERENCES[1]}"
    raise Wrong(f"{text!r} is {literally} to python-dotenv, and {dict(own)} to the tool")
