"""Taking secrets out of whatever is shown, journaled or logged. Never fails: an output is not lost for a secret's sake."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

MARK = "***"
_SHORT = 4
_DEEPEST = 100

_IN_URL = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/?#:@'\"]{0,300}:)[^\s/?#'\"]{0,1000}(@)")
_IN_WORDS = re.compile(
    r"""(\b\w{0,60}(?:password|passwd|passphrase)\s*=\s*)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s&;,'"()]+)""",
    re.IGNORECASE,
)


class Redactor:
    """Replaces secrets by ``***`` in texts and JSON values; and passwords in URLs and connection strings, known or not.

    A secret of less than four characters is taken out only where it stands alone, since it is a part of too many words.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted(
            {secret for secret in secrets if secret.strip()}, key=lambda secret: (-len(secret), secret)
        )
        parts = [
            re.escape(secret) if len(secret) >= _SHORT else rf"(?<!\w){re.escape(secret)}(?!\w)"
            for secret in known
        ]
        self._secrets = re.compile("|".join(parts)) if parts else None

    def text(self, text: str) -> str:
        """The text without secrets; the very same object where there are none."""
        if self._secrets is not None:
            text = self._secrets.sub(MARK, text)
        if "@" in text and "://" in text:
            text = _IN_URL.sub(rf"\1{MARK}\2", text)
        if "=" in text:
            text = _IN_WORDS.sub(rf"\1{MARK}", text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value without secrets in its texts, keys among them; the very same object where there are none."""
        return self._value(value, ())

    def _value(self, value: Any, inside: tuple[int, ...]) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if not isinstance(value, (dict, list, tuple)):
            return value
        if (
            id(value) in inside or len(inside) > _DEEPEST
        ):  # round in a circle, or deeper than anything is shown
            return MARK
        way = (*inside, id(value))
        if isinstance(value, dict):
            pairs = [
                (key, each, self._value(key, way), self._value(each, way)) for key, each in value.items()
            ]
            if all(key is new_key and each is new for key, each, new_key, new in pairs):
                return value
            return {new_key: new for _, _, new_key, new in pairs}
        items = [self._value(each, way) for each in value]
        if all(old is new for old, new in zip(value, items, strict=True)):
            return value
        return items if isinstance(value, list) else tuple(items)
