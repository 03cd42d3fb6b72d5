"""Who answered: every verdict that fingerprints and counters can give together, and that nothing but proof is proof."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest

from tracseq_migrate.adapters.memory.http import MemoryHttp, Request
from tracseq_migrate.adapters.memory.surroundings import MemoryClock
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Answer, Route, Unreachable
from tracseq_migrate.routing.proof import REQUESTS, Proof, Side, prove, who_answers

ROUTE = Route("USE_STORAGE_SERVICE", "storage", "/api/storage", "storage")
SERVICE, MONOLITH = "storage", "monolith"


class Sides:
    """A service, a monolith, and a gateway that sends each request where ``sends`` says."""

    def __init__(self) -> None:
        self.http = MemoryHttp({name: f"http://{name}.invalid" for name in ("gateway", SERVICE, MONOLITH)})
        self.counted: Counter[str] = Counter()
        self.counts = {SERVICE, MONOLITH}
        self.body: dict[str, Callable[[str], object]] = {
            SERVICE: lambda path: {"detail": "Not Found"},
            MONOLITH: lambda path: {"error": "Not found", "message": path},
        }
        self.status = {SERVICE: 404, MONOLITH: 404}
        self.sends: Callable[[int], str] = lambda index: SERVICE
        self.asked = 0
        self.live: dict[str, int] = {}
        """Requests of other people that a side answers while one of ours is on its way."""
        for name in (SERVICE, MONOLITH):
            self.http.otherwise[name] = self._side
        self.http.otherwise["gateway"] = self._gateway

    def who(self, *paths: str) -> Proof:
        return who_answers(
            self.http,
            MemoryClock(),
            ROUTE,
            monolith=MONOLITH,
            nonce="n0nce",
            timeout=60.0,
            paths=paths,
        )

    def prove(self) -> Proof:
        return prove(self.http, MemoryClock(), ROUTE, monolith=MONOLITH, nonce="n0nce", timeout=60.0)

    def _side(self, request: Request) -> Answer:
        if request.path == "/metrics":
            return self._metrics(request.target)
        return self._answer(request.target, request.path)

    def _gateway(self, request: Request) -> Answer:
        self.asked += 1
        for side, count in self.live.items():
            self.counted[side] += count
        side = self.sends(self.asked - 1)
        if side not in (SERVICE, MONOLITH):
            return Answer(200, (("Content-Type", "text/html"),), f"<html>{side}</html>".encode(), 0.0)
        return self._answer(side, request.path if side == MONOLITH else request.path.removeprefix("/api"))

    def _answer(self, side: str, path: str) -> Answer:
        self.counted[side] += 1
        return Answer(
            self.status[side],
            (("Content-Type", "application/json"), ("X-Request-Id", str(self.counted.total()))),
            json.dumps(self.body[side](path)).encode(),
            0.0,
        )

    def _metrics(self, side: str) -> Answer:
        if side not in self.counts:
            return Answer(404, (), b"", 0.0)
        text = (
            "# HELP http_requests_total requests\n# TYPE http_requests_total counter\n"
            f'http_requests_total{{method="GET",prefix="/api/storage",status="404"}} {self.counted[side]}\n'
            f'http_requests_total{{method="POST",prefix="/api/storage",status="201"}} 3.0 1700000000000\n'
            'http_requests_total{method="GET",prefix="/api/storagex",status="200"} 99\n'
            'http_requests_total{method="GET",prefix="other",status="200"} 7\n'
        )
        return Answer(200, (), text.encode(), 0.0)


@pytest.fixture
def sides() -> Sides:
    return Sides()


def _alike(sides: Sides) -> None:
    """Both sides are the same program, as far as answers tell."""
    sides.body[MONOLITH] = sides.body[SERVICE] = lambda path: {"detail": "Not Found"}


def test_the_service_by_both_kinds_of_evidence(sides: Sides) -> None:
    proof = sides.prove()
    assert (proof.side, proof.data["fingerprint"], proof.data["counters"]) == (
        Side.SERVICE,
        "service",
        "service",
    )
    assert proof.data["counted"] == {SERVICE: REQUESTS, MONOLITH: 0}
    assert proof.data["statuses"] == {"404": REQUESTS}
    assert sides.asked == REQUESTS


def test_the_monolith_by_both(sides: Sides) -> None:
    sides.sends = lambda index: MONOLITH
    assert sides.who().side is Side.MONOLITH
    with pytest.raises(StepFailed, match="monolith answered, not storage"):
        sides.prove()


def test_a_fingerprint_alone_is_enough(sides: Sides) -> None:
    sides.counts.clear()
    assert sides.prove().data["counters"] == "unknown"


def test_one_side_that_does_not_count_makes_counters_unknown(sides: Sides) -> None:
    for side in (SERVICE, MONOLITH):
        sides.counts = {SERVICE, MONOLITH} - {side}
        proof = sides.prove()
        assert (proof.data["counters"], proof.data["fingerprint"]) == ("unknown", "service")
        assert f"{side} does not count" in str(proof)


def test_counters_alone_are_enough_where_both_sides_answer_alike(sides: Sides) -> None:
    _alike(sides)
    proof = sides.prove()
    assert (proof.data["fingerprint"], proof.data["counters"], proof.side) == (
        "unknown",
        "service",
        Side.SERVICE,
    )
    assert "answer alike" in str(proof)
    sides.sends = lambda index: MONOLITH
    assert sides.who().side is Side.MONOLITH


def test_neither_is_no_proof(sides: Sides) -> None:
    _alike(sides)
    sides.counts.clear()
    assert sides.who().side is Side.UNKNOWN
    with pytest.raises(StepFailed, match="could not be proven") as caught:
        sides.prove()
    assert caught.value.unknown


@pytest.mark.parametrize("odd", range(REQUESTS))
def test_one_answer_of_the_other_side_is_seen_wherever_it_comes(sides: Sides, odd: int) -> None:
    sides.sends = lambda index: MONOLITH if index % REQUESTS == odd else SERVICE
    proof = sides.who()
    assert (proof.side, proof.data["fingerprint"], proof.data["counters"]) == (Side.MIXED, "both", "both")
    with pytest.raises(StepFailed, match="not storage alone") as caught:
        sides.prove()
    assert not caught.value.unknown


def test_one_answer_of_the_other_side_is_seen_by_counters_alone(sides: Sides) -> None:
    _alike(sides)
    sides.sends = lambda index: MONOLITH if index == 3 else SERVICE
    assert sides.who().side is Side.MIXED


def test_the_two_kinds_contradict_each_other(sides: Sides) -> None:
    """What looks like the service is counted by the monolith: something stands between."""

    def sends(index: int) -> str:
        sides.counted[MONOLITH] += 1
        sides.counted[SERVICE] -= 1
        return SERVICE

    sides.sends = sends
    proof = sides.who()
    assert (proof.data["fingerprint"], proof.data["counters"], proof.side) == (
        "service",
        "monolith",
        Side.MIXED,
    )


def test_somebody_else_answers(sides: Sides) -> None:
    sides.sends = lambda index: "a captive portal"
    proof = sides.who()
    assert proof.side is Side.MIXED
    assert proof.data["counted"] == {SERVICE: 0, MONOLITH: 0}
    with pytest.raises(StepFailed):
        sides.prove()


# Live traffic


def test_live_traffic_on_the_service_hides_nothing(sides: Sides) -> None:
    sides.live = {SERVICE: 5}
    assert sides.prove().data["counters"] == "service"


def test_live_traffic_on_both_hides_the_counters_and_the_fingerprint_tells(sides: Sides) -> None:
    sides.live = {SERVICE: 2, MONOLITH: 2}
    proof = sides.prove()
    assert (proof.data["counters"], proof.data["fingerprint"]) == ("unknown", "service")
    assert "live traffic" in str(proof)


def test_live_traffic_on_both_with_answers_alike_is_no_proof(sides: Sides) -> None:
    _alike(sides)
    sides.live = {SERVICE: 2, MONOLITH: 2}
    with pytest.raises(StepFailed, match="could not be proven"):
        sides.prove()


def test_live_traffic_on_the_service_does_not_hide_that_the_monolith_answered_us(sides: Sides) -> None:
    sides.live = {SERVICE: 5}
    sides.sends = lambda index: MONOLITH
    assert sides.who().side is Side.MONOLITH  # by the fingerprint: the counters cannot tell
    _alike(sides)
    with pytest.raises(StepFailed):
        sides.prove()


def test_a_counter_that_starts_anew_is_no_evidence(sides: Sides) -> None:
    def sends(index: int) -> str:
        if index == 6:
            sides.counted[SERVICE] = 0
        return SERVICE

    sides.sends = sends
    sides.counted[SERVICE] = 1000
    assert sides.who().data["counters"] == "unknown"


def test_counters_of_other_prefixes_count_for_nothing(sides: Sides) -> None:
    _alike(sides)
    other = Answer(200, (), b'http_requests_total{prefix="/api/rag"} 5\n', 0.0)
    for name in (SERVICE, MONOLITH):
        sides.http.answers[name, "/metrics"] = other
    assert sides.who().side is not Side.SERVICE
    with pytest.raises(StepFailed):
        sides.prove()


@pytest.mark.parametrize(
    "text", [b"", b"<html>", b"http_requests_total 5\n", b'up{prefix="/api/storage"} 1', b"\xff\xfe"]
)
def test_metrics_that_do_not_count_by_prefix(sides: Sides, text: bytes) -> None:
    sides.http.answers[SERVICE, "/metrics"] = Answer(200, (), text, 0.0)
    assert sides.prove().data["counters"] == "unknown"


# Answers that are no proof


@pytest.mark.parametrize("status", [500, 502, 503])
def test_errors_of_the_service_are_no_proof_although_it_answers(sides: Sides, status: int) -> None:
    sides.status[SERVICE] = status
    proof = sides.who()
    assert (proof.side, proof.errors) == (Side.SERVICE, REQUESTS)
    with pytest.raises(StepFailed, match=f"answered {REQUESTS} of {REQUESTS} requests with an error"):
        sides.prove()


def test_a_503_of_the_gateway_is_nobody(sides: Sides) -> None:
    unavailable = Answer(503, (), b'{"detail":"Service unavailable: microservice"}', 0.0)
    sides.http.otherwise["gateway"] = lambda request: unavailable
    proof = sides.who()
    assert proof.side is Side.MIXED
    with pytest.raises(StepFailed):
        sides.prove()


@pytest.mark.parametrize("down", [SERVICE, MONOLITH])
def test_a_side_that_cannot_be_asked_makes_it_unknown(sides: Sides, down: str) -> None:
    sides.http.down[down] = "no route to host"
    proof = sides.who()
    assert proof.side is Side.UNKNOWN
    assert "could not be asked directly" in str(proof)
    with pytest.raises(StepFailed) as caught:
        sides.prove()
    assert caught.value.unknown


def test_a_gateway_that_stops_answering_in_the_middle_makes_it_unknown(sides: Sides) -> None:
    def sends(index: int) -> str:
        if index == 5:
            raise Unreachable("gateway", "connection reset")
        return SERVICE

    sides.sends = sends
    proof = sides.who()
    assert proof.side is Side.UNKNOWN
    assert "connection reset" in str(proof)


# Fingerprints


def test_what_changes_from_answer_to_answer_tells_nothing(sides: Sides) -> None:
    """Both sides answer with a time and an id of their own: only what is stable counts."""
    _alike(sides)
    tick = iter(range(10_000))
    sides.body[SERVICE] = lambda path: {"at": f"2026-01-01T00:00:{next(tick):02d}", "path": path}
    sides.body[MONOLITH] = lambda path: {"at": f"2026-01-01T00:00:{next(tick):02d}", "path": path}
    proof = sides.who()
    assert proof.data["fingerprint"] == "unknown"
    assert proof.side is Side.SERVICE  # by the counters


def test_the_shape_tells_where_contents_change(sides: Sides) -> None:
    tick = iter(range(10_000))
    sides.counts.clear()
    sides.body[SERVICE] = lambda path: {"items": [{"id": next(tick)}]}
    sides.body[MONOLITH] = lambda path: {"items": [{"id": next(tick), "old": True}]}
    proof = sides.prove()
    assert "shape" in proof.data["telling"]
    assert "body" not in proof.data["telling"]


def test_a_path_that_is_echoed_is_no_difference(sides: Sides) -> None:
    """The nonce stands for itself on both sides; the prefix is taken off for one of them only, which is a difference."""
    _alike(sides)
    sides.body[SERVICE] = sides.body[MONOLITH] = lambda path: {"asked": path.rpartition("/")[2]}
    assert sides.who().data["fingerprint"] == "unknown"


def test_further_paths_are_asked(sides: Sides) -> None:
    _alike(sides)
    sides.counts.clear()
    sides.body[SERVICE] = lambda path: {"new": path.endswith("/zones")}
    sides.body[MONOLITH] = lambda path: {"new": False}
    assert sides.who().side is Side.UNKNOWN
    proof = sides.who("/api/storage/zones")
    assert proof.side is Side.SERVICE


def test_every_path_is_asked_however_many_there_are(sides: Sides) -> None:
    """The one path that tells the sides apart is the last of many, and the monolith answers."""
    _alike(sides)
    sides.counts.clear()
    sides.body[SERVICE] = lambda path: {"new": path.endswith("/zones")}
    sides.body[MONOLITH] = lambda path: {"new": False}
    sides.sends = lambda index: MONOLITH
    many = [f"/api/storage/{number}" for number in range(2 * REQUESTS)]
    assert sides.who(*many, "/api/storage/zones").side is Side.MONOLITH


def test_every_answer_is_asked_on_the_way_that_a_client_takes(sides: Sides) -> None:
    sides.prove()
    through = {request.path for request in sides.http.requests if request.target == "gateway"}
    direct = {request.path for request in sides.http.requests if request.target == SERVICE} - {"/metrics"}
    assert through == {"/api/storage", "/api/storage/tracseq-migrate-proof-n0nce"}
    assert direct == {"/storage", "/storage/tracseq-migrate-proof-n0nce"}
    assert {request.method for request in sides.http.requests} == {"GET"}
