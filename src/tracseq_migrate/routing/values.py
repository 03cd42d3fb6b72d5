"""How the gateway spells booleans: these texts, in any letter case, and it refuses to start with any other."""

from __future__ import annotations

TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})
FALSE = frozenset({"false", "0", "no", "off", "f", "n"})


def read(text: str | None) -> bool | None:
    """The meaning of a declared value; a flag that is not declared is off; None where the gateway would refuse it."""
    if text is None:
        return False
    folded = text.lower()
    return True if folded in TRUE else False if folded in FALSE else None


def spell(value: bool) -> str:
    return "true" if value else "false"
