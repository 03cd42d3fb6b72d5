"""ThreadProber on real servers, and what a report says of samples that are known exactly."""

from __future__ import annotations

import threading
import time

import pytest

from tests.real_parts import Exchange, free_ports, serving, wait_until
from tracseq_migrate.adapters.http import HttpxHttp
from tracseq_migrate.adapters.memory.http import MemoryHttp, MemoryProber
from tracseq_migrate.adapters.prober import Sample, ThreadProber, summarise
from tracseq_migrate.ports import ProbeTarget

A, B = ProbeTarget("gateway", "/a"), ProbeTarget("gateway", "/b")


def fine(exchange: Exchange) -> None:
    exchange.say(200, "fine")


def test_it_asks_at_its_rate_on_fresh_connections() -> None:
    ports: list[int] = []

    def note(exchange: Exchange) -> None:
        ports.append(exchange.client_address[1])
        exchange.say(200, "fine")

    with serving({"*": note}) as server:
        probing = ThreadProber({"gateway": server.url}).start([A, B], rate=50)
        assert {"GET /a", "GET /b"} <= set(server.seen), "start returns when every target was asked"
        wait_until(lambda: len(server.seen) >= 30, "it goes on asking")
        report = probing.stop()
        assert report.requests == len(server.seen)
    assert (report.failed, report.by_kind, report.unavailable) == (0, {}, 0.0)
    assert len(set(ports)) == len(ports)
    # An open loop asks no faster than its rate, whatever the machine does; the first request is due at once.
    assert report.requests <= report.elapsed * 50 + 1
    assert 0 < report.median <= report.p99 <= report.slowest <= report.elapsed


def test_stop_gives_the_same_report_again_and_leaves_no_thread() -> None:
    with serving({"*": fine}) as server:
        before = set(threading.enumerate())
        probing = ThreadProber({"gateway": server.url}).start([A], rate=100)
        first = probing.stop()
        assert {
            each.name for each in set(threading.enumerate()) - before if each.name.startswith("prober")
        } == set()
        asked = len(server.seen)
        time.sleep(0.1)
        assert probing.stop() is first
        assert len(server.seen) == asked


def test_an_outage_is_measured() -> None:
    broken = threading.Event()

    def sometimes(exchange: Exchange) -> None:
        exchange.say(503 if broken.is_set() else 200, "x")

    with serving({"*": sometimes}) as server:
        probing = ThreadProber({"gateway": server.url}).start([A], rate=50)
        broken.set()
        asked = len(server.seen)
        begun = time.monotonic()
        wait_until(lambda: len(server.seen) >= asked + 10, "it meets the fault")
        lasted = time.monotonic() - begun
        broken.clear()
        asked = len(server.seen)
        wait_until(lambda: len(server.seen) >= asked + 10, "it meets the recovery")
        report = probing.stop()
    assert report.failed >= 9
    assert set(report.by_kind) == {"http-503"}
    # From the first to the last failure there is at least this much, less a period at each end.
    assert lasted - 0.05 < report.unavailable < report.elapsed


def test_who_does_not_answer_is_a_failure_and_start_returns_all_the_same() -> None:
    [nobody] = free_ports(1)
    report = ThreadProber({"gateway": f"http://127.0.0.1:{nobody}"}).start([A], rate=100).stop()
    assert report.requests == report.failed == report.by_kind["refused"] > 0
    assert 0 < report.unavailable <= report.elapsed


def test_a_slow_gateway_is_asked_all_the_same() -> None:
    """An open loop: while requests are held, the next ones go out when they are due."""
    open_gate = threading.Event()

    def held(exchange: Exchange) -> None:
        if exchange.path == "/a":
            open_gate.wait(20)
        exchange.say(200, "x")

    with serving({"*": held}) as server:
        prober = ThreadProber({"gateway": server.url}, timeout=20)
        holder: list[float] = []

        def probe() -> None:
            holder.append(prober.start([A], rate=50).stop().slowest)

        thread = threading.Thread(target=probe)
        thread.start()
        wait_until(lambda: len(server.seen) >= 8, "eight requests are under way at once")
        open_gate.set()
        thread.join()
    assert holder[0] >= 7 / 50, "the first one was held while seven more became due"


def test_a_request_that_never_ends_counts_as_a_timeout() -> None:
    def never(exchange: Exchange) -> None:
        exchange.stopping.wait(30)

    with serving({"*": never}) as server:
        report = ThreadProber({"gateway": server.url}, timeout=0.2).start([A], rate=20).stop()
    assert set(report.by_kind) == {"timeout"}
    assert report.requests == report.failed


def test_a_404_is_an_answer() -> None:
    with serving({}) as server:
        report = ThreadProber({"gateway": server.url}).start([A], rate=50).stop()
    assert (report.failed, report.requests > 0) == (0, True)


@pytest.mark.parametrize("kind", ["memory", "real"])
def test_a_prober_refuses_what_it_cannot_do(kind: str) -> None:
    targets = {"gateway": "http://127.0.0.1:1"}
    prober = ThreadProber(targets) if kind == "real" else MemoryProber(MemoryHttp(targets))
    with pytest.raises(ValueError, match="something to ask for"):
        prober.start([], rate=1)
    with pytest.raises(ValueError, match="positive number"):
        prober.start([A], rate=0)
    with pytest.raises(KeyError):
        prober.start([ProbeTarget("stranger", "/")], rate=1)


@pytest.mark.parametrize("kind", ["memory", "real"])
def test_a_prober_reports_failures_by_kind(kind: str) -> None:
    def broken(exchange: Exchange) -> None:
        exchange.say(500, "boom")

    with serving({"/a": fine, "/b": broken}) as server:
        if kind == "real":
            report = ThreadProber({"gateway": server.url}).start([A, B], rate=100).stop()
        else:
            report = MemoryProber(HttpxHttp({"gateway": server.url})).start([A, B], rate=100).stop()
    assert set(report.by_kind) == {"http-500"}
    assert 0 < report.failed == report.by_kind["http-500"] < report.requests


def test_a_report_of_known_samples() -> None:
    samples = [
        Sample(A, 0.0, 0.1, ""),
        Sample(A, 1.0, 1.5, "refused"),
        Sample(A, 2.0, 2.5, "http-503"),
        Sample(B, 2.5, 2.6, ""),
        Sample(A, 3.0, 3.2, ""),
        Sample(B, 3.5, 3.6, "refused"),
        Sample(A, 4.0, 4.1, ""),
    ]
    report = summarise(samples, began=0.0, ended=5.0)
    assert (report.requests, report.failed, report.by_kind) == (7, 3, {"http-503": 1, "refused": 2})
    assert report.unavailable == pytest.approx(2.2), (
        "from 1.0 to 3.2 on /a; the good answer on /b does not end it"
    )
    assert (report.median, report.slowest) == pytest.approx((0.1, 0.5))
    assert (report.p99, report.elapsed) == pytest.approx((0.5, 5.0))


def test_an_outage_that_no_good_answer_ended_lasts_to_the_end() -> None:
    assert summarise([Sample(A, 1.0, 1.1, "reset")], began=0.0, ended=4.0).unavailable == pytest.approx(3.0)


def test_an_answer_out_of_order_does_not_end_an_outage_that_began_later() -> None:
    samples = [Sample(A, 0.0, 3.0, ""), Sample(A, 1.0, 1.1, "refused"), Sample(A, 2.0, 2.2, "")]
    assert summarise(samples, began=0.0, ended=4.0).unavailable == pytest.approx(1.2)


def test_no_sample_is_no_number() -> None:
    report = summarise([], began=0.0, ended=1.0)
    assert (report.requests, report.median, report.p99, report.slowest, report.unavailable) == (0, 0, 0, 0, 0)
