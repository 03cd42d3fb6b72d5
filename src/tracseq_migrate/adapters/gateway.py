"""The gateway's account of itself, by /health and /routing-status."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tracseq_migrate.adapters.wording import one_line
from tracseq_migrate.ports import Answer, GatewayFlags, Http, Reading, Unreachable


class HttpGateway:
    """`Gateway` over `Http`; every question goes out on a fresh connection.

    Args:
        http: knows ``target`` and every name of ``instances``.
        target: where clients reach the gateway.
        instances: the instances' names, in order.
        names: variable -> key in the two maps of /routing-status.
        program: text that the service name in /health must contain, letter case aside.
    """

    def __init__(
        self,
        http: Http,
        *,
        instances: Sequence[str],
        names: Mapping[str, str],
        target: str = "gateway",
        program: str = "TracSeq API Gateway",
    ) -> None:
        self._http = http
        self._target = target
        self._instances = tuple(instances)
        self._names = dict(names)
        self._program = program

    @property
    def url(self) -> str:
        return self._http.url(self._target)

    @property
    def instances(self) -> Sequence[str]:
        return self._instances

    def flags(self, instance: str | None = None, *, timeout: float) -> GatewayFlags:
        if instance is not None and instance not in self._instances:
            known = ", ".join(self._instances) or "none"
            raise Unreachable(
                f"gateway instance {instance}", f"the environment has no such instance (it has: {known})"
            )
        target = instance or self._target
        until = time.monotonic() + timeout
        health, identity, version = self._health(target, timeout)
        left = max(until - time.monotonic(), 0.0)
        status = self._ask(target, "/routing-status", left)
        where = self._where(target, "/routing-status")
        features = _map(status, where, "feature_flags")
        services = _map(_map(status, where, "routing_configuration"), where, "microservices")
        readings = {
            variable: _reading(where, key, features, services) for variable, key in self._names.items()
        }
        return GatewayFlags(
            instance=target, readings=readings, identity=identity, version=version, health=health
        )

    def _health(self, target: str, timeout: float) -> tuple[Mapping[str, Any], str, str]:
        health = self._ask(target, "/health", timeout)
        where = self._where(target, "/health")
        service = health.get("service")
        if not isinstance(service, str) or not service.strip():
            raise Unreachable(
                where, 'the answer names no "service", so it cannot be told which program answered'
            )
        if self._program.casefold() not in service.casefold():
            raise Unreachable(
                where, f'another program answered: "{one_line(service)}", expected "{self._program}"'
            )
        if health.get("status") != "healthy":
            said = one_line(json.dumps(health.get("status")), 60)
            raise Unreachable(where, f'the gateway says of itself status {said}, expected "healthy"')
        version = health.get("version")
        return health, one_line(service), one_line(version) if isinstance(version, str) else ""

    def _where(self, target: str, path: str) -> str:
        name = "gateway" if target == self._target else f"gateway instance {target}"
        try:
            return f"{name} ({one_line(self._http.url(target))}{path})"
        except KeyError:
            raise Unreachable(name, "the environment gives no address for it") from None

    def _ask(self, target: str, path: str, timeout: float) -> dict[str, Any]:
        where = self._where(target, path)
        (answer,) = self._http.ask_all([(target, path)], timeout=timeout)
        if isinstance(answer, Unreachable):
            raise Unreachable(where, answer.why, sent=answer.sent) from answer
        if answer.status != 200:
            why = f"answered {answer.status}, expected 200"
            if answer.status == 404 and path == "/routing-status":
                why += ": this is not the gateway that routes by flags, or an older one"
            raise Unreachable(where, why + _said(answer))
        try:
            document = json.loads(answer.body, object_pairs_hook=_told_once, parse_constant=_refused)
        except _Ambiguous as error:
            raise Unreachable(where, f'the answer says "{one_line(error.key, 40)}" twice') from None
        except (ValueError, RecursionError):
            raise Unreachable(where, f"answered 200, but not with JSON{_said(answer)}") from None
        if not isinstance(document, dict):
            raise Unreachable(
                where, f"answered with {_kind(document)}, expected a JSON object{_said(answer)}"
            )
        return document


class _Ambiguous(ValueError):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _told_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A map of JSON, each key once: of two values for one flag, nobody can tell which is in force."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Ambiguous(key)
        found[key] = value
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _said(answer: Answer) -> str:
    text = one_line(answer.body[:4000].decode("utf-8", "replace"), 120)
    if not text:
        return " (an empty body)"
    if text[:1] == "<":
        return f" (it looks like HTML: {text})"
    return f" (it begins: {text})"


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return json.dumps(value)
        case str():
            return f'the text "{one_line(value, 40)}"'
        case int() | float():
            return f"the number {one_line(str(value), 40)}"
        case list():
            return "a list"
        case _:
            return "an object"


def _map(document: Mapping[str, Any], where: str, name: str) -> Mapping[str, Any]:
    if name not in document:
        raise Unreachable(where, f'the answer has no "{name}": this is not a gateway that routes by flags')
    found = document[name]
    if not isinstance(found, dict):
        raise Unreachable(where, f'"{name}" is {_kind(found)}, expected a map')
    return found


def _reading(where: str, key: str, features: Mapping[str, Any], services: Mapping[str, Any]) -> Reading:
    feature = _flag(where, f"feature_flags.{key}", features[key]) if key in features else None
    if key not in services:
        return Reading(feature=feature, enabled=None)
    entry = services[key]
    place = f"routing_configuration.microservices.{key}"
    if not isinstance(entry, dict):
        raise Unreachable(where, f'"{place}" is {_kind(entry)}, expected a map')
    if "enabled" not in entry:
        raise Unreachable(where, f'"{place}" has no "enabled"')
    url = entry.get("url")
    if url is not None and not isinstance(url, str):
        raise Unreachable(where, f'"{place}.url" is {_kind(url)}, expected a text or null')
    return Reading(feature=feature, enabled=_flag(where, f"{place}.enabled", entry["enabled"]), url=url)


def _flag(where: str, place: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise Unreachable(where, f'"{place}" is {_kind(value)}, expected true or false')
    return value
