"""Taking secrets out of whatever is shown, journaled or logged. Never fails: an output is not lost for a secret's sake."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

MARK = "***"
SHORT = 4
"""A secret of fewer characters is taken out only where it stands alone, since it is a part of too many words."""
_WRITTEN = 6
"""From so many characters on, a secret is looked for as base64 and in hexadecimal, too."""
_LINE = 8
"""From so many characters on, a line of a secret of several lines is one by itself."""
_DEEPEST = 100

_IN_URL = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/?#:@'\"]{0,300}:)[^\s/?#'\"]{0,1000}(@)")
_IN_WORDS = re.compile(
    r"""(\b\w{0,60}(?:password|passwd|passphrase|secret|token|api_?key)\s*=\s*)"""
    r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s&;,'"()]+)""",
    re.IGNORECASE,
)
_IN_JSON = re.compile(
    r"""("\w{0,60}(?:password|passwd|passphrase|secret|token|api_?key)"\s*:\s*")(?:[^"\\]|\\.)+(")""",
    re.IGNORECASE,
)
_IN_HEADERS = re.compile(
    r"""(\b(?:proxy-authorization|authorization|x-api-key|x-auth-token|set-cookie|cookie)["']?\s*[:=]\s*["']?"""
    r"""(?:(?:bearer|basic|token|digest|negotiate)\s+)?|\bbearer\s+(?=\S{16}))[^\s"',;]+""",
    re.IGNORECASE,
)
_CUT = re.compile(r"((?:(?!…|\.\.\.)[\s\S]){1,2000})(…|\.{3,})")
_HINTS = re.compile(r"[=:@]|bearer", re.IGNORECASE)


class Redactor:
    """Replaces secrets by ``***`` in texts and JSON values; and passwords in URLs, connection strings and headers, known or not.

    A known secret is found as it is, and as it is written elsewhere: in a URL, in JSON (twice over, too), in quotes of a
    shell, of SQL, of Python, in HTML, as base64 (by itself or inside of something longer), in hexadecimal; folded at its
    blanks; each of its lines; where two overlap; and its beginning, where a text was cut there with ``…`` or ``...``.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {secret for secret in secrets if secret.strip()}
        known |= {part for secret in known for part in _lines(secret)}
        forms = sorted(
            {form for secret in known for form in _forms(secret)}, key=lambda form: (-len(form), form)
        )
        self._needles = tuple(dict.fromkeys(form.split()[0] for form in forms if form.split()))
        self._forms = tuple(forms)
        # Of a URL the password is one by itself; its beginning is that of other URLs, too.
        self._cuttable = tuple(form for form in forms if len(form) > SHORT and "://" not in form)

    def text(self, text: str) -> str:
        """The text without secrets; the very same object where there are none."""
        if any(needle in text for needle in self._needles):
            text = self._without(text)
        if self._cuttable and ("…" in text or "..." in text):
            text = _CUT.sub(lambda match: self._uncut(match[1]) + match[2], text)
        if _HINTS.search(text):
            if "://" in text:
                text = _IN_URL.sub(rf"\1{MARK}\2", text)
            text = _IN_WORDS.sub(rf"\1{MARK}", text)
            text = _IN_JSON.sub(rf"\1{MARK}\2", text)
            text = _IN_HEADERS.sub(rf"\1{MARK}", text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value without secrets in its texts, keys among them; the very same object where there are none."""
        return self._value(value, ())

    @cached_property
    def _secrets(self) -> re.Pattern[str]:
        """Compiled when the first secret is met: most commands meet none."""
        return re.compile(f"(?=({'|'.join(map(_pattern, self._forms))}))")

    def _without(self, text: str) -> str:
        pieces, done = [], 0
        for begin, end in _merged(match.span(1) for match in self._secrets.finditer(text)):
            pieces += [text[done:begin], MARK]
            done = end
        return "".join([*pieces, text[done:]]) if done else text

    def _uncut(self, text: str) -> str:
        """A text that was cut at its end, without the beginning of a secret there."""
        cut = len(text)
        for form in self._cuttable:
            at = text.find(form[:SHORT], max(0, len(text) - len(form)))
            while at >= 0:
                if form.startswith(text[at:]):
                    cut = min(cut, at)
                    break
                at = text.find(form[:SHORT], at + 1)
        return text if cut == len(text) else text[:cut] + MARK

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


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans in the order of their beginnings, those that overlap as one."""
    begin = end = -1
    for each_begin, each_end in spans:
        if each_begin < end:
            end = max(end, each_end)
            continue
        if end > begin:
            yield begin, end
        begin, end = each_begin, each_end
    if end > begin:
        yield begin, end


def _lines(secret: str) -> Iterator[str]:
    """The lines of a secret that has several, a key for instance: programs print them one by one."""
    lines = [line.strip() for line in secret.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _LINE)


def _forms(secret: str) -> Iterator[str]:
    """The secret, and how it looks where something else has written it."""
    yield secret
    if len(secret) < SHORT or "://" in secret:  # of a URL, the password is a secret by itself
        return
    import json
    from urllib.parse import quote, quote_plus

    for safe in ("", "/", "!'()*", "-._~!$&'()*+,;=:@"):
        escaped = quote(secret, safe=safe, errors="surrogatepass")
        yield from (escaped, re.sub("%..", lambda match: match[0].lower(), escaped))
    yield quote_plus(secret, errors="surrogatepass")
    for ascii_only in (True, False):
        once = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield from (once, once.replace("/", "\\/"), json.dumps(once, ensure_ascii=ascii_only)[1:-1])
    yield from (repr(secret)[1:-1], secret.replace("'", "\\'"), secret.replace("'", "'\"'\"'"))
    yield from (secret.replace("'", "''"), secret.replace('"', '""'), re.sub(r"([\\'\" ])", r"\\\1", secret))
    in_html = secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    yield from (in_html, in_html.replace('"', "&quot;").replace("'", "&#x27;"))
    if len(secret) >= _WRITTEN:
        yield from _encoded(secret.encode(errors="surrogatepass"))


def _encoded(secret: bytes) -> Iterator[str]:
    from base64 import b64encode

    for before in range(3):
        # Three bytes are four letters: the letters that share bits with what stands before or behind are left out.
        letters = b64encode(b"\0" * before + secret).decode()
        begin = (before * 8 + 5) // 6
        end = (before + len(secret)) * 8 // 6
        inner = letters[begin:end]
        yield from (inner, inner.replace("+", "-").replace("/", "_"))
    yield from (secret.hex(), secret.hex().upper())


def _pattern(form: str) -> str:
    """A form as a pattern: its white space may be any, since texts are folded and put on one line."""
    words = [re.escape(word) for word in re.split(r"\s+", form.strip())]
    pattern = r"\s+".join(words)
    return pattern if len(form) >= SHORT else rf"(?<!\w){pattern}(?!\w)"
