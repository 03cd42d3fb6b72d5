"""What is wrong with a flag file before anybody writes to it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tracseq_migrate.adapters.dotenv.text import FALSE_WORDS, TRUE_WORDS, FlagText, Line


def findings(content: FlagText, flags: Iterable[str], *, location: str, nested_prefix: str) -> list[str]:
    """Findings about these flags (in capitals), in the order of the file, each with place and remedy."""
    found: list[tuple[int, str]] = []
    wanted = frozenset(flags)
    if content.text.startswith("\ufeff"):
        hidden = "the file begins with a byte order mark, which hides its first name from some readers"
        found.append((1, f"{hidden} (save it as UTF-8 without one)"))
    for line in content.lines:
        found += [(line.number, message) for message in _about(content, line, wanted, nested_prefix)]
    return [f"{location}:{number}: {message}" for number, message in sorted(found, key=lambda item: item[0])]


def _about(content: FlagText, line: Line, flags: frozenset[str], nested_prefix: str) -> list[str]:
    flag = content.names(line)
    whole = nested_prefix.rstrip("_").upper()
    if whole and line.key is not None and line.key.upper() == whole and line.value is not None:
        return [
            f"{line.key} sets flags all at once and may win over lines of their own (give each its own line)"
        ]
    found = [
        f"a line about {name} is inside of a quoted value that begins here (close the quote before it)"
        for name in sorted(flags)
        if _swallows(line.own, name)
    ]
    if line.error:
        return found + [
            f"the gateway ignores this line about {name} (write `{name}=true` or `{name}=false`)"
            for name in sorted(flags)
            if _mentions(line.own, name)
        ]
    if flag not in flags:
        return found
    winner = content.declared.get(flag)
    if line.value is None:
        found.append(f"{line.key} has no `=` and declares nothing (write `{flag}=true` or `{flag}=false`)")
    elif winner is not line and winner is not None:
        why = "is declared again"
        if str(winner.key).upper() != str(line.key).upper():
            why = f"loses against {winner.key}"
        found.append(f"{line.key} {why} in line {winner.number}, which wins (remove this line)")
    elif "$" in line.value:
        found.append(
            f"{line.key} takes its value from another variable: nobody can tell it from here"
            f" (write `{flag}=true` or `{flag}=false`)"
        )
    elif line.value.lower() not in TRUE_WORDS | FALSE_WORDS:
        found.append(
            f"{line.key} is {line.value!r}, with which the gateway does not start"
            f" (write `{flag}=true` or `{flag}=false`)"
        )
    return found


def _mentions(own: str, name: str) -> bool:
    return re.match(rf"\s*(?:export\s+)?['\"]?(?:\w+__)?{re.escape(name)}\b", own, re.IGNORECASE) is not None


def _swallows(own: str, name: str) -> bool:
    pattern = rf"[\r\n]\s*(?:export\s+)?(?:\w+__)?{re.escape(name)}\s*="
    return re.search(pattern, own, re.IGNORECASE) is not None
