"""Names that are looked up slowly, never, or badly: the time that was given holds, and threads do not pile up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence

import pytest

from tests.real_parts import RealServer, wait_until
from tracseq_migrate.adapters import reaching
from tracseq_migrate.adapters.http import HttpxHttp
from tracseq_migrate.adapters.resolving import Resolver
from tracseq_migrate.ports import Unreachable


class SlowLookup:
    """Answers when it is let; counts who asked."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.asked = 0

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        self.let.wait(30)
        return ["127.0.0.1"]


def soon() -> float:
    return time.monotonic() + 0.1


def test_a_look_up_that_hangs_ends_at_the_time_given_and_is_one() -> None:
    lookup = SlowLookup()
    resolver = Resolver(lookup)
    try:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                resolver.addresses("slow.invalid", 80, until=soon())
        assert lookup.asked == 1
    finally:
        lookup.let.set()
    assert resolver.addresses("slow.invalid", 80, until=time.monotonic() + 10) == ["127.0.0.1"]
    wait_until(lambda: all(thread.name != "resolver" for thread in threading.enumerate()), "the threads end")


def test_what_is_an_address_is_not_looked_up() -> None:
    lookup = SlowLookup()
    resolver = Resolver(lookup)
    assert [*resolver.addresses("127.0.0.1", 80, until=0), *resolver.addresses("::1", 80, until=0)] == [
        "127.0.0.1",
        "::1",
    ]
    assert lookup.asked == 0


def test_a_failure_is_told_to_everybody_who_asked_and_not_kept() -> None:
    answers: list[Sequence[str]] = [["127.0.0.1"]]

    def lookup(host: str, port: int) -> Sequence[str]:
        if len(answers) == 1:
            answers.append([])
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return answers[0]

    resolver = Resolver(lookup)
    with pytest.raises(socket.gaierror):
        resolver.addresses("name.invalid", 80, until=time.monotonic() + 10)
    assert resolver.addresses("name.invalid", 80, until=time.monotonic() + 10) == ["127.0.0.1"]


def test_a_request_to_a_name_that_hangs_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    lookup = SlowLookup()
    monkeypatch.setattr(reaching, "_resolver", Resolver(lookup))
    try:
        with pytest.raises(Unreachable, match=r"gateway\.invalid was not resolved within 0\.2 s") as caught:
            HttpxHttp({"a": "http://gateway.invalid:1"}).request("a", "/", timeout=0.2)
    finally:
        lookup.let.set()
    assert not caught.value.sent
    assert not caught.value.refused


def test_the_second_address_is_tried_when_the_first_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    server = RealServer({"/": lambda each: each.say(200, "here")})
    try:
        monkeypatch.setattr(reaching, "_resolver", Resolver(lambda host, port: ["127.0.0.99", "127.0.0.1"]))
        answer = HttpxHttp({"a": f"http://two.invalid:{server.port}"}).request("a", "/", timeout=5)
        assert answer.body == b"here"
    finally:
        server.close()
    # Refused, which is as good as an answer, only where every address says so.
    with pytest.raises(Unreachable, match="connection refused") as caught:
        HttpxHttp({"a": f"http://two.invalid:{server.port}"}).request("a", "/", timeout=5)
    assert caught.value.refused
