"""Reading answers of HTTP/1.1 from bytes, however they are cut."""

from __future__ import annotations

import contextlib

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracseq_migrate.adapters.http_answer import AnswerReader, NotHttp, TooLarge
from tracseq_migrate.adapters.http_request import InvalidRequest, request_bytes, where

OK = b"HTTP/1.1 200 OK\r\n"


def read(
    data: bytes, *, method: str = "GET", ended: bool = False, most: int = 1000, step: int = 0
) -> AnswerReader | None:
    """The reader of a whole answer, or None where it is not whole."""
    reader = AnswerReader(method, most)
    whole = False
    size = step or max(len(data), 1)
    for at in range(0, len(data), size):
        whole = reader.feed(data[at : at + size]) or whole
    if ended and not whole:
        whole = reader.ended()
    return reader if whole else None


ANSWERS = [
    (OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    (OK + b"Content-Length: 0\r\n\r\n", b""),
    (OK + b"Content-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    (OK + b"Transfer-Encoding: Chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", b"hello"),
    (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", b"hello"),
    (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\nok",
        b"ok",
    ),
    (b"HTTP/1.0 200\nContent-Length: 2\n\nok", b"ok"),
    (b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    (b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nTrailer: x\n  y\n\n", b"ok"),
    (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\n", b"ok"),
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b""),
    (b"HTTP/1.1 304 Not Modified\r\n\r\n", b""),
]


@pytest.mark.parametrize(("data", "body"), ANSWERS)
@pytest.mark.parametrize("step", [0, 1, 2, 7])
def test_an_answer_is_whole_however_it_is_cut(data: bytes, body: bytes, step: int) -> None:
    reader = read(data, step=step)
    assert reader is not None
    assert bytes(reader.body) == body


@pytest.mark.parametrize(("data", "body"), ANSWERS)
def test_no_beginning_of_an_answer_is_taken_for_the_whole(data: bytes, body: bytes) -> None:
    for length in range(len(data)):
        assert read(data[:length], ended=True) is None


def test_without_a_length_the_body_ends_with_the_connection() -> None:
    assert read(OK + b"\r\nhello") is None
    reader = read(OK + b"\r\nhello", ended=True)
    assert reader is not None
    assert bytes(reader.body) == b"hello"


def test_the_answer_to_head_has_no_body() -> None:
    reader = read(OK + b"Content-Length: 5\r\n\r\n", method="HEAD")
    assert reader is not None
    assert (reader.status, bytes(reader.body)) == (200, b"")


def test_headers_are_as_they_came_but_for_folding() -> None:
    reader = read(OK + b"X-A:  one \r\nx-a:two\r\nLong: a\r\n  b\r\nEmpty:\r\nContent-Length: 0\r\n\r\n")
    assert reader is not None
    assert reader.headers == (
        ("X-A", "one"), ("x-a", "two"), ("Long", "a b"), ("Empty", ""), ("Content-Length", "0"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\x15\x03\x01",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b"Space : x\r\n\r\n",
        OK + b"Nul: a\0b\r\n\r\n",
        OK + b" folded: first\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        OK + b"Content-Length: -5\r\n\r\n",
        OK + b"Content-Length: +5\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 110_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nno colon\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n folded: first\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: " + b"y" * 200_000,
        OK + b"X: " + b"y" * 200_000,
    ],
)
def test_what_is_not_http_is_refused_at_once(data: bytes) -> None:
    for step in (0, 1000):
        with pytest.raises(NotHttp):
            read(data, step=step)


def by_h11(data: bytes, cut: int) -> tuple[int, bytes] | None:
    """Status and body of a whole answer, as who asks a single question reads them; None where it is refused."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=102_400)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        for piece in (*filter(None, (data[:cut], data[cut:])), b""):
            connection.receive_data(piece)
            while True:
                event = connection.next_event()
                if event in (h11.NEED_DATA, h11.PAUSED):
                    break
                if isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return status, body
    except h11.RemoteProtocolError:
        return None
    return None


PIECES = [
    b"HTTP/1.1 200 OK", b"HTTP/2.0 204", b"HTTP/1.2 404 no", b"HTTP/1.1 099 x", b"HTTP/1.1 200 a\x0bb", b"HTTP/3 200",
    b"\r\n", b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x0b", b"\x01", b"\xff", b"0", b"3", b"03", b"abc", b"abc\r\n", b";e=f",
    b"Content-Length: 3", b"content-length: 3, 3", b"Content-Length: x", b"Transfer-Encoding: chunked",
    b"transfer-encoding: CHUNKED", b"Transfer-Encoding: gzip", b"X: y", b"X:", b"no colon", b": x", b"X : y",
]  # fmt: skip
HEADS = [
    b"",
    OK,
    OK + b"Content-Length: 3\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
]


@given(
    st.sampled_from(HEADS), st.lists(st.sampled_from(PIECES), max_size=9).map(b"".join), st.integers(0, 150)
)
@settings(max_examples=500, deadline=None)
def test_many_answers_read_at_once_are_judged_as_single_ones_are(head: bytes, rest: bytes, cut: int) -> None:
    data, ours = head + rest, None
    reader = AnswerReader("GET", 1000)
    with contextlib.suppress(NotHttp):
        if any(reader.feed(piece) for piece in (data[:cut], data[cut:]) if piece) or reader.ended():
            ours = (reader.status, bytes(reader.body))
    assert ours == by_h11(data, cut)


@pytest.mark.parametrize("size", [102_300, 102_500, 131_000, 131_072, 131_100, 200_000])
def test_long_headers_are_judged_as_those_of_single_answers(size: int) -> None:
    """Whoever reads 64 KiB at once may have them whole before they are too long."""
    data = OK + b"X: " + b"y" * size + b"\r\nContent-Length: 0\r\n\r\n"
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=102_400)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
    connection.send(h11.EndOfMessage())
    status, reader = 0, AnswerReader("GET", 1000)
    with contextlib.suppress(h11.RemoteProtocolError):
        for at in range(0, len(data), 65_536):
            connection.receive_data(data[at : at + 65_536])
            event = connection.next_event()
            status = event.status_code if isinstance(event, h11.Response) else 0
    with contextlib.suppress(NotHttp):
        for at in range(0, len(data), 65_536):
            reader.feed(data[at : at + 65_536])
    assert reader.status == status


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 11\r\n\r\n",
        b"\r\nhello world",
        b"Transfer-Encoding: chunked\r\n\r\nb\r\nhello world",
        b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nhello world",
    ],
)
def test_no_more_than_the_bound_is_kept(rest: bytes) -> None:
    with pytest.raises(TooLarge, match="10"):
        read(OK + rest, most=10)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", OK, OK + b"Transfer-Encoding: chunked\r\n\r\n"]),
    st.integers(1, 50),
)
def test_whatever_comes_is_an_answer_or_refused(data: bytes, before: bytes, step: int) -> None:
    try:
        reader = read(before + data, step=step, ended=True)
    except (NotHttp, TooLarge):
        return
    assert reader is None or 200 <= reader.status <= 999


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://host", "host", "/"),
        ("http://host:80/a", "host", "/a"),
        ("https://host:443/a?b=c%20d#e", "host", "/a?b=c%20d"),
        ("http://Host:8080//a/%2f/ü x", "host:8080", "//a/%2f/%C3%BC%20x"),
        ("http://[::1]:81/", "[::1]:81", "/"),
        ("http://bücher.example/", "xn--bcher-kva.example", "/"),
    ],
)
def test_a_url_says_whom_to_ask_and_for_what(url: str, authority: str, path: str) -> None:
    at = where(url)
    assert (at.authority, at.path) == (authority, path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host",
        "ftp://host",
        "http://",
        "http:///a",
        "http://a b/",
        "http://h:port/",
        "http://h/\r\nX: y",
        "http://[::1",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        where(url)


def test_a_request_says_what_it_is_asked_to_say() -> None:
    at = where("http://user:p%40ss@host:81/a")
    sent = request_bytes(at, method="POST", headers={"X-A": "b", "User-Agent": "me"}, body={"k": "ü"})
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a HTTP/1.1\r\nhost: host:81\r\n")
    assert b"\r\nauthorization: Basic dXNlcjpwQHNz\r\n" in head
    assert b"\r\nuser-agent: me\r\n" in head
    assert b"content-length: " + str(len(body)).encode() in head
    assert body == '{"k":"ü"}'.encode()
    assert b"content-length: 0" in request_bytes(at, method="PUT")
    assert b"content-length" not in request_bytes(at, method="GET")


@pytest.mark.parametrize(
    ("method", "headers", "body"),
    [("GE T", {}, None), ("GET", {"X": "a\r\nY: b"}, None), ("GET", {"X Y": "a"}, None), ("GET", {"X": "漢"}, None),
     ("GET", {}, float("nan")), ("GET", {}, object())],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused(method: str, headers: dict[str, str], body: object) -> None:
    with pytest.raises(InvalidRequest):
        request_bytes(where("http://host/"), method=method, headers=headers, body=body)
