"""HttpGateway against answers that are not this gateway's: each `Unreachable`, each saying what was wrong."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.real_parts import Exchange, Handler, gateway_routes, serving
from tracseq_migrate.adapters.gateway import HttpGateway
from tracseq_migrate.adapters.http import HttpxHttp
from tracseq_migrate.ports import GatewayFlags, Unreachable

NAMES = {"USE_STORAGE_SERVICE": "storage", "USE_RAG_SERVICE": "rag"}

HEALTH = {"status": "healthy", "service": "TracSeq API Gateway (Monolith Router)", "version": "0.2.0"}
STATUS: dict[str, Any] = {
    "routing_configuration": {
        "microservices": {
            "storage": {"enabled": True, "url": "http://enhanced-storage-service:8082"},
            "rag": {"enabled": False, "url": None},
        }
    },
    "feature_flags": {"storage": True, "rag": False},
}


def saying(body: bytes | str | Mapping[str, object], status: int = 200) -> Handler:
    return lambda exchange: exchange.say(status, body)


def ask(health: Handler, status: Handler | None = None, **options: str) -> GatewayFlags:
    routes = {"/health": health, "/routing-status": status or saying(STATUS)}
    with serving(routes) as server:
        http = HttpxHttp({"gateway": server.url})
        gateway = HttpGateway(http, instances=[], names=NAMES, **options)
        return gateway.flags(timeout=5)


def changed(path: str, value: object) -> dict[str, Any]:
    """STATUS with one place set to a value; `...` takes the place away."""
    document = copy.deepcopy(STATUS)
    *parents, last = path.split(".")
    node = document
    for name in parents:
        node = node[name]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return document


def test_both_maps_are_read() -> None:
    flags = ask(saying(HEALTH))
    storage, rag = flags.readings["USE_STORAGE_SERVICE"], flags.readings["USE_RAG_SERVICE"]
    assert (storage.effective, storage.url) == (True, "http://enhanced-storage-service:8082")
    assert (rag.effective, rag.url) == (False, None)
    assert (flags.identity, flags.version) == (HEALTH["service"], "0.2.0")


def test_a_flag_in_one_map_only_has_no_effective_value() -> None:
    flags = ask(saying(HEALTH), saying(changed("routing_configuration.microservices.storage", ...)))
    reading = flags.readings["USE_STORAGE_SERVICE"]
    assert (reading.feature, reading.enabled, reading.effective) == (True, None, None)


def test_a_flag_that_the_gateway_does_not_know_is_none() -> None:
    document = changed("routing_configuration.microservices.rag", ...)
    del document["feature_flags"]["rag"]
    reading = ask(saying(HEALTH), saying(document)).readings["USE_RAG_SERVICE"]
    assert (reading.feature, reading.enabled, reading.effective) == (None, None, None)


def test_maps_that_disagree_have_no_effective_value() -> None:
    document = changed("feature_flags.storage", False)
    assert ask(saying(HEALTH), saying(document)).readings["USE_STORAGE_SERVICE"].effective is None


@pytest.mark.parametrize(
    ("health", "message"),
    [
        (
            saying({"status": "healthy", "service": "Dashboard Mock"}),
            "another program answered: .Dashboard Mock., exp",
        ),
        (saying({**HEALTH, "service": "\x1b[31mOther\r\nline"}), "another program answered: .Other line."),
        (saying({"status": "healthy"}), 'names no "service"'),
        (saying({**HEALTH, "service": ["TracSeq API Gateway"]}), 'names no "service"'),
        (saying({**HEALTH, "status": "degraded"}), 'status "degraded", expected "healthy"'),
        (saying({**HEALTH, "status": None}), 'status null, expected "healthy"'),
        (saying(HEALTH, 503), "answered 503, expected 200"),
        (saying("<html><title>nginx</title>"), "not with JSON .it looks like HTML: <html>"),
        (saying(""), "not with JSON .an empty body"),
        (saying("[1]"), "answered with a list, expected a JSON object"),
        (saying("[" * 100_000), "not with JSON"),
        (saying(b"\xff\xfe{}"), "not with JSON"),
    ],
)
def test_a_health_that_is_not_this_gateways(health: Handler, message: str) -> None:
    with pytest.raises(Unreachable, match=message) as caught:
        ask(health)
    assert "/health" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("feature_flags", ..., 'has no "feature_flags"'),
        ("routing_configuration", ..., 'has no "routing_configuration"'),
        ("routing_configuration.microservices", ..., 'has no "microservices"'),
        ("feature_flags", [], '"feature_flags" is a list, expected a map'),
        ("routing_configuration.microservices", None, '"microservices" is null, expected a map'),
        (
            "feature_flags.storage",
            "true",
            '"feature_flags.storage" is the text "true", expected true or false',
        ),
        ("feature_flags.rag", 1, '"feature_flags.rag" is the number 1, expected true or false'),
        ("feature_flags.rag", None, '"feature_flags.rag" is null, expected true or false'),
        ("routing_configuration.microservices.rag.enabled", ..., 'microservices.rag" has no "enabled"'),
        ("routing_configuration.microservices.rag.enabled", "no", 'rag.enabled" is the text "no"'),
        ("routing_configuration.microservices.rag", True, 'microservices.rag" is true, expected a map'),
        (
            "routing_configuration.microservices.rag.url",
            7,
            'rag.url" is the number 7, expected a text or null',
        ),
    ],
)
def test_a_routing_status_of_another_shape(path: str, value: object, message: str) -> None:
    with pytest.raises(Unreachable) as caught:
        ask(saying(HEALTH), saying(changed(path, value)))
    assert message in str(caught.value)
    assert "/routing-status" in str(caught.value)


def test_a_gateway_without_routing_status_is_another_or_an_older_one() -> None:
    with pytest.raises(
        Unreachable, match="answered 404, expected 200: this is not the gateway that routes by flags"
    ):
        ask(saying(HEALTH), saying({"detail": "Not Found"}, 404))


def test_the_expected_program_can_be_named() -> None:
    health = saying({"status": "healthy", "service": "Shop Edge Router 3"})
    assert ask(health, program="shop edge").identity == "Shop Edge Router 3"


def test_both_questions_share_one_timeout() -> None:
    def late(exchange: Exchange) -> None:
        time.sleep(0.4)
        exchange.say(200, json.dumps(HEALTH))

    def never(exchange: Exchange) -> None:
        exchange.stopping.wait(30)

    with serving({"/health": late, "/routing-status": never}) as server:
        gateway = HttpGateway(HttpxHttp({"gateway": server.url}), instances=[], names=NAMES)
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="/routing-status"):
            gateway.flags(timeout=0.8)
        assert server.seen == ["GET /health", "GET /routing-status"]
        # The second question got what was left of 0.8 s, not 0.8 s of its own; the slack is for a busy machine.
        assert time.monotonic() - begun < 10


def test_a_gateway_without_an_address_is_unreachable() -> None:
    gateway = HttpGateway(HttpxHttp({}), instances=["one"], names=NAMES)
    with pytest.raises(Unreachable, match="no address"):
        gateway.flags("one", timeout=1)
    with pytest.raises(Unreachable, match="no address"):
        gateway.flags(timeout=1)


def test_gateway_routes_of_the_tests_keep_the_contract() -> None:
    with serving(gateway_routes({"storage": True, "rag": False})) as server:
        flags = HttpGateway(HttpxHttp({"gateway": server.url}), instances=[], names=NAMES).flags(timeout=5)
    assert {name: reading.effective for name, reading in flags.readings.items()} == {
        "USE_STORAGE_SERVICE": True,
        "USE_RAG_SERVICE": False,
    }
