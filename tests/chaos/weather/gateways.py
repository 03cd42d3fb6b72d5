"""Gateways that die, come back as they were, flap, hang, or talk nonsense: before a run, when they are told, on the way back."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable

from tests.chaos.suite import Tally
from tests.chaos.weather.hamlet import Gateway, Hamlet, reset, routing_status
from tests.chaos.weather.judge import ROLLBACK, RUN, Weather, endure
from tests.real_parts import Exchange, Handler


def _says(body: bytes, status: int = 200, **headers: str) -> Handler:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda exchange: exchange.say(status, body, named)


def _hangs(exchange: Exchange) -> None:
    exchange.stopping.wait(60)


def _drips(exchange: Exchange) -> None:
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not exchange.stopping.wait(0.1):
        exchange.wfile.write(b" ")


def _never_ends(exchange: Exchange) -> None:
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not exchange.stopping.is_set():
        exchange.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


def _cut(exchange: Exchange) -> None:
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")


GOOD = json.dumps(routing_status({"rag": True})).encode()

ANSWERS: dict[str, Handler] = {
    "html": _says(b"<html><body>It works!</body></html>", Content_Type="text/html"),
    "half": _says(GOOD[:60]),
    "list": _says(b"[]"),
    "words": _says(b'"enabled"'),
    "null": _says(b"null"),
    "flags-as-words": _says(GOOD.replace(b"true", b'"true"')),
    "flags-as-numbers": _says(GOOD.replace(b"true", b"1")),
    "deep": _says(b"[" * 200_000),
    "not-a-number": _says(GOOD.replace(b"true", b"NaN")),
    "not-text": _says(b"\xff\xfe\0{"),
    "escapes": _says(b'{"feature_flags": "\x1b]0;owned\x07\x1b[2J"}'),
    "packed": _says(gzip.compress(b"0" * 50_000_000), Content_Encoding="gzip"),
    "empty": _says(b""),
    "500": _says(b"{}", 500),
    "503": _says(b'{"detail":"Service unavailable: gateway"}', 503),
    "404": _says(b'{"detail":"Not Found"}', 404),
    "redirect-loop": _says(b"", 302, Location="/routing-status"),
    "redirect-elsewhere": _says(b"", 307, Location="http://127.0.0.1:9/routing-status"),
    "hangs": _hangs,
    "drips": _drips,
    "never-ends": _never_ends,
    "cut": _cut,
    "reset": reset,
}


def _turning(gateway: Gateway) -> Handler:
    """Another answer for each request: on, off, on."""
    asked = [0]

    def answer(exchange: Exchange) -> None:
        asked[0] += 1
        exchange.say(200, routing_status({"rag": asked[0] % 2 == 0}))

    return answer


def _flap(village: Hamlet) -> None:
    """Up a second, down a second, until the weather clears."""
    over = threading.Event()

    def flap() -> None:
        while not over.wait(1.0):
            village.gateway.down()
            if over.wait(1.0):
                break
            village.gateway.up()

    thread = threading.Thread(target=flap)
    thread.start()

    def stop() -> None:
        over.set()
        thread.join()

    village.afterwards(stop)


def _later(village: Hamlet, seconds: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, act)
    timer.start()

    def stop() -> None:
        timer.cancel()
        timer.join()

    village.afterwards(stop)


def _dies(village: Hamlet) -> None:
    village.gateway.down()


def _dies_and_returns(village: Hamlet) -> None:
    village.gateway.down()

    def back() -> None:
        village.gateway.take_up()
        village.gateway.up()

    _later(village, 2.0, back)


def _dies_and_returns_as_it_was(village: Hamlet) -> None:
    village.gateway.down()
    _later(village, 2.0, village.gateway.up)


def _stays(village: Hamlet) -> None:
    """It was told, and goes on with the old flags."""


def _hears_nothing(village: Hamlet) -> None:
    """Whoever tells it waits in vain."""
    over = threading.Event()
    village.afterwards(over.set)
    over.wait(30)


def _turns(village: Hamlet) -> None:
    village.gateway.take_up()
    village.gateway.weather["/routing-status"] = _turning(village.gateway)


DEEDS: dict[str, Callable[[Hamlet], None]] = {
    "dies": _dies,
    "dies-and-returns": _dies_and_returns,
    "dies-and-returns-as-it-was": _dies_and_returns_as_it_was,
    "stays-as-it-was": _stays,
    "hears-nothing": _hears_nothing,
    "flaps": _flap,
    "says-this-and-that": _turns,
}

HOPEFUL = frozenset({"dies-and-returns", "flaps"})
"""Where a run may even end well."""

MOMENTS = ("before", "when-told", "way-back")


def bad_answers(village: Hamlet, kind: str, moment: str) -> Tally:
    """/routing-status answers nonsense."""

    def spoil(each: Hamlet) -> None:
        each.gateway.weather["/routing-status"] = ANSWERS[kind]

    return _endured(village, spoil, moment, also_take_up=True)


def bad_deed(village: Hamlet, deed: str, moment: str) -> Tally:
    """The gateway does something else than it should."""
    return _endured(village, DEEDS[deed], moment)


def _endured(
    village: Hamlet, act: Callable[[Hamlet], None], moment: str, *, also_take_up: bool = False
) -> Tally:
    def begin(each: Hamlet) -> None:
        if moment == "before":
            act(each)
            return

        def told(gateway: Gateway) -> None:
            if also_take_up:
                gateway.take_up()
            act(each)

        each.gateway.on_reload = told

    def end(each: Hamlet) -> None:
        # As somebody does who starts it anew: it reads its file.
        time.sleep(0.05)
        each.gateway.take_up()

    argv = ROLLBACK if moment == "way-back" else RUN
    return endure(village, Weather(argv=argv, begin=begin, end=end))


def cases(village: Callable[[], Hamlet]) -> dict[str, Callable[[], Tally]]:
    """Every answer and every deed at every moment."""

    def answer(kind: str, moment: str) -> Callable[[], Tally]:
        return lambda: bad_answers(village(), kind, moment)

    def deed(kind: str, moment: str) -> Callable[[], Tally]:
        return lambda: bad_deed(village(), kind, moment)

    found = {
        f"gateway/answers-{kind}/{moment}": answer(kind, moment) for kind in ANSWERS for moment in MOMENTS
    }
    found |= {f"gateway/{kind}/{moment}": deed(kind, moment) for kind in DEEDS for moment in MOMENTS}
    return found
