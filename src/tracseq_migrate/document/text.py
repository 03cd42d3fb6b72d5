"""From bytes to text, refusing what is no text of UTF-8; and what a refusal is made of."""

from __future__ import annotations

import re

from tracseq_migrate.document.places import Place
from tracseq_migrate.errors import Finding
from tracseq_migrate.printable import one_line

MOST_BYTES = 1024 * 1024

# The few that are not allowed, not all that are: those would take 5 ms to compile.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def finding_at(file: str, place: Place, message: str, remedy: str = "") -> Finding:
    """What a file says may stand in a message; there it may neither begin a new line nor steer a terminal."""
    return Finding(file, place.line, place.column, one_line(message), one_line(remedy))


class Refused(Exception):
    """A file that is not read further; ``before`` are the findings up to there."""

    def __init__(self, finding: Finding, before: list[Finding]) -> None:
        super().__init__(finding.message)
        self.finding = finding
        self.before = before


def decode(body: bytes, file: str) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        Refused: it is too large, not UTF-8, or has characters that no text needs.
    """
    if len(body) > MOST_BYTES:
        raise Refused(
            Finding(file, 1, 1, f"the file has {len(body):,} bytes; at most {MOST_BYTES:,} are read"), []
        )
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Refused(Finding(file, 1, 1, "the file is UTF-16, not UTF-8", "save it as UTF-8"), [])
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = body[: error.start].decode("utf-8", "replace")
        message = f"not UTF-8: byte 0x{body[error.start]:02x} at offset {error.start}"
        if b"\0" in body:
            message = f"not a text file: {message}"
        raise Refused(Finding(file, *_place_after(before), message, "save it as UTF-8"), []) from None
    bad = _UNPRINTABLE.search(text)
    if bad is not None:
        place = _place_after(text[: bad.start()])
        code = ord(bad.group())
        what = "not a text file: a NUL byte" if code == 0 else f"the control character U+{code:04X}"
        raise Refused(Finding(file, *place, what, "take it out"), [])
    return text


def _place_after(text: str) -> Place:
    breaks = list(_BREAK.finditer(text))
    return Place(len(breaks) + 1, len(text) - (breaks[-1].end() if breaks else 0) + 1)
