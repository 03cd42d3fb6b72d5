"""Reading one HTTP/1.1 answer from bytes as they come, whoever brings them: no socket, no time, a bound on everything."""

from __future__ import annotations

import re

_MOST_UNFINISHED = 102_400
"""Bytes of a head, a line between chunks, or trailers that are kept while their end has not come. What has come whole is
taken, as whoever asks single questions takes it: both must judge an answer alike."""
_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")
_LINES = re.compile(rb"\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/[0-9]\.[0-9] ([1-9][0-9]{2})(?: [^\0\r\n\v\f]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\0\r\n\v\f]*?)[ \t]*")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,20})(?:;[^\n]*)?[ \t]*")


class NotHttp(Exception):
    """What came is no answer of HTTP/1.1; the text says why, and may hold what the other side sent."""


class TooLarge(Exception):
    """The body is larger than the bound, which is its text."""


class AnswerReader:
    """The answer to one request on a connection that carries no other.

    `feed` is given what comes and says whether the answer is whole; at the end of the connection, `ended` says the same.
    Answers of the series 100 are passed over. The body is as it was sent, chunks put together, its encoding left alone.

    Args:
        method: of the request; the answer to HEAD has no body, whatever its headers say.
        max_body: bytes of a body; a larger one raises `TooLarge`.
    """

    def __init__(self, method: str, max_body: int) -> None:
        self.status = 0
        self.headers: tuple[tuple[str, str], ...] = ()
        self.body = bytearray()
        self._bodiless = method == "HEAD"
        self._max_body = max_body
        self._buffer = bytearray()
        self._searched = 0
        self._left: int | None = None
        """Bytes of the body, or of the present chunk, that are still to come; None: the body ends with the connection."""
        self._chunked = False
        self._in_chunk = False
        self._trailing = False
        self._whole = False

    def feed(self, piece: bytes) -> bool:
        """Take what came; whether the answer is whole now.

        Raises:
            NotHttp, TooLarge: it will never be.
        """
        if self.status:
            return self._more(piece)
        self._buffer += piece
        while True:
            # What was searched in vain needs no second look, but for an end of line that came in halves.
            head = _HEAD_ENDS.search(self._buffer, self._searched)
            if head is None:
                self._searched = max(len(self._buffer) - 3, 0)
                self._refuse_early()
                return False
            lines = _LINES.split(bytes(self._buffer[: head.start()]))
            del self._buffer[: head.end()]
            self._searched = 0
            if self._begun(lines):
                rest = bytes(self._buffer)
                self._buffer.clear()
                return self._more(rest)

    def ended(self) -> bool:
        """The connection ended in an orderly way; whether the answer is whole."""
        if self.status and self._left is None and not self._chunked:
            self._whole = True
        return self._whole

    def _refuse_early(self) -> None:
        """One who speaks another protocol is not waited for until the time is over."""
        begin = bytes(self._buffer[:5])
        if not b"HTTP/"[: len(begin)] == begin:
            raise NotHttp(f"it begins {_shown(self._buffer)}")
        if len(self._buffer) > _MOST_UNFINISHED:
            raise NotHttp(f"its headers are longer than {_MOST_UNFINISHED} bytes")

    def _begun(self, lines: list[bytes]) -> bool:
        """Take the status and the headers; whether they are those of the answer, and not of one that goes before it."""
        line = _STATUS_LINE.fullmatch(lines[0])
        if line is None:
            raise NotHttp(f"it begins {_shown(lines[0])}")
        status = int(line[1])
        headers = _fields(lines[1:])
        if status == 101:
            raise NotHttp("it changes to another protocol, which nobody asked for")
        chunked, length = _framing(headers)
        if status < 200:
            return False
        self.status, self.headers = status, headers
        self._frame(chunked, length)
        return True

    def _frame(self, chunked: bool, length: int | None) -> None:
        """How the end of the body is known. A transfer coding goes before a length."""
        if self._bodiless or self.status in (204, 304):
            self._left = 0
        elif chunked:
            self._chunked = True
            self._left = 0
        else:
            self._left = length
            if length is not None and length > self._max_body:
                raise TooLarge(self._max_body)

    def _more(self, piece: bytes) -> bool:
        if self._whole:
            return True
        if self._chunked:
            self._buffer += piece
            self._whole = self._chunks()
            return self._whole
        if self._left is None:
            self._take(piece)
            return False
        self._take(piece[: self._left])
        self._left -= min(self._left, len(piece))
        self._whole = self._left == 0
        return self._whole

    def _take(self, piece: bytes) -> None:
        self.body += piece
        if len(self.body) > self._max_body:
            raise TooLarge(self._max_body)

    def _chunks(self) -> bool:
        """Take what chunks there are in the buffer; whether the last one and its trailers were among them."""
        at = 0
        try:
            while True:
                if self._left:
                    piece = bytes(self._buffer[at : at + self._left])
                    self._take(piece)
                    self._left -= len(piece)
                    at += len(piece)
                    if self._left:
                        return False
                if self._trailing:
                    return self._trailers(at)
                if self._in_chunk:
                    end = bytes(self._buffer[at : at + 2])
                    if not b"\r\n".startswith(end):
                        raise NotHttp("a chunk is longer than it was said to be")
                    if len(end) < 2:
                        return False
                    at += 2
                    self._in_chunk = False
                line_ends = self._buffer.find(b"\r\n", at)
                if line_ends < 0:
                    self._bound(at, "a line between its chunks is")
                    return False
                self._left = _chunk_size(bytes(self._buffer[at:line_ends]))
                at = line_ends + 2
                self._in_chunk = self._left > 0
                self._trailing = self._left == 0
        finally:
            del self._buffer[:at]

    def _trailers(self, at: int) -> bool:
        """Whether what follows the last chunk has come whole; it must be headers, or nothing."""
        rest = bytes(self._buffer[at:])
        if rest.startswith((b"\n", b"\r\n")):
            return True
        ends = _HEAD_ENDS.search(rest)
        if ends is None:
            self._bound(at, "its trailers are")
            return False
        _framing(_fields(_LINES.split(rest[: ends.start()])))
        return True

    def _bound(self, at: int, what: str) -> None:
        if len(self._buffer) - at > _MOST_UNFINISHED:
            raise NotHttp(f"{what} longer than {_MOST_UNFINISHED} bytes")


def _framing(headers: tuple[tuple[str, str], ...]) -> tuple[bool, int | None]:
    """Whether a body after these headers comes in chunks, and its length where one is said."""
    lengths: set[str] = set()
    codings: list[str] = []
    for name, value in headers:
        lowered = name.lower()
        if lowered == "content-length":
            lengths |= {each.strip() for each in value.split(",")}
        elif lowered == "transfer-encoding":
            codings.append(value.lower())
    if codings and codings != ["chunked"]:
        raise NotHttp(f"its transfer coding is {_shown(', '.join(codings).encode('latin-1'))}")
    if not lengths:
        return bool(codings), None
    text = lengths.pop()
    if lengths or not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise NotHttp(f"its length is said to be {_shown(text.encode('latin-1'))}")
    return bool(codings), int(text)


def _fields(lines: list[bytes]) -> tuple[tuple[str, str], ...]:
    whole: list[bytes] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and whole:
            # Folded, as it was once allowed: the line goes on with the one before.
            whole[-1] += b" " + line.lstrip(b" \t")
        else:
            whole.append(line)
    found: list[tuple[str, str]] = []
    for line in whole:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise NotHttp(f"one of its headers is {_shown(line)}")
        found.append((field[1].decode("latin-1"), field[2].decode("latin-1")))
    return tuple(found)


def _chunk_size(line: bytes) -> int:
    size = _CHUNK_SIZE.fullmatch(line)
    if size is None:
        raise NotHttp(f"a chunk is said to have the length {_shown(line)}")
    return int(size[1], 16)


def _shown(text: bytes | bytearray) -> str:
    return repr(bytes(text[:40]))[1:]
