"""What is wrong with a flag file before anybody writes to it."""

from __future__ import annotations

import re

from tracseq_migrate.adapters.dotenv.text import FALSE_WORDS, TRUE_WORDS, FlagText, Line


def findings(
    content: FlagText, asked: frozenset[str], known: frozenset[str], *, location: str, nested_prefix: str
) -> list[str]:
    """Findings in the order of the file, each with place and remedy; flags are in capitals.

    A value that keeps the gateway from starting counts for every known flag; what makes a line be read otherwise than it
    looks counts for the flags that are asked about. A line that loses against another is none: the one that wins is changed.
    """
    found: list[tuple[int, str]] = []
    for line in content.lines:
        messages = _about(content, line, asked, nested_prefix) or _about_value(content, line, asked | known)
        found += [(line.number, message) for message in messages]
    return [f"{location}:{number}: {message}" for number, message in found]


def _about(content: FlagText, line: Line, asked: frozenset[str], nested_prefix: str) -> list[str]:
    flag = content.names(line)
    if line.value is not None and str(line.key).upper() == nested_prefix.rstrip("_").upper():
        return [
            f"{line.key} sets flags all at once and may win over lines of their own (give each its own line)"
        ]
    found = [
        f"a line about {name} is inside of a quoted value that begins here (close the quote before it)"
        for name in sorted(asked)
        if _swallows(line.own, name)
    ]
    if line.error:
        return found + [
            f"the gateway ignores this line about {name} ({_remedy(name)})"
            for name in sorted(asked)
            if _mentions(line.own, name)
        ]
    if flag is None or flag not in asked:
        return found
    if line.start == 1 and content.text.startswith("\ufeff"):
        found.append(
            f"a byte order mark before {line.key} hides it from some readers (save the file as UTF-8 without one)"
        )
    if line.value is None:
        found.append(f"{line.key} has no `=` and declares nothing ({_remedy(flag)})")
    elif "$" in line.value and content.declared.get(flag) is line:
        found.append(
            f"{line.key} takes its value from another variable: nobody can tell it from here ({_remedy(flag)})"
        )
    return found


def _about_value(content: FlagText, line: Line, known: frozenset[str]) -> list[str]:
    flag = content.names(line)
    if flag is None or flag not in known or content.declared.get(flag) is not line or line.value is None:
        return []
    if "$" in line.value or line.value.lower() in TRUE_WORDS | FALSE_WORDS:
        return []
    return [f"{line.key} is {line.value!r}, with which the gateway does not start ({_remedy(flag)})"]


def _remedy(flag: str) -> str:
    return f"write `{flag}=true` or `{flag}=false`"


def _mentions(own: str, name: str) -> bool:
    return re.match(rf"\s*(?:export\s+)?['\"]?(?:\w+__)?{re.escape(name)}\b", own, re.IGNORECASE) is not None


def _swallows(own: str, name: str) -> bool:
    pattern = rf"[\r\n]\s*(?:export\s+)?(?:\w+__)?{re.escape(name)}\s*="
    return re.search(pattern, own, re.IGNORECASE) is not None
