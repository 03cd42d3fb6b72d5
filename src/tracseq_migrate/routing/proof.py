"""Who answered? No header tells, so two kinds of evidence are taken, and both may come under live load.

*Fingerprint*: the same requests go directly to the service and to the monolith, several times; what is stable on each side
and differs between them tells the sides apart; the gateway's answers are held against that. *Counters*: where both sides
count requests by prefix, a burst through the gateway must be found, whole, in the counter of the one and not of the other.

The service is proven when at least one kind is conclusive and none contradicts. Everything else is no proof.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports import Answer, Clock, Http, Route, Unreachable

REQUESTS = 12
"""Requests of one burst through the gateway, each on a fresh connection."""

_DIRECT = 3
"""How often each side is asked directly, to learn what is stable."""

_SAMPLE = re.compile(r"^http_requests_total\{([^}]*)\}\s+([0-9.eE+]+)\s*(?:\d+)?$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Side(StrEnum):
    SERVICE = "service"
    MONOLITH = "monolith"
    MIXED = "both"
    UNKNOWN = "unknown"


@frozen
class Proof:
    """Who answered through the gateway: ``side``, the reasons in words, and the numbers behind them."""

    side: Side
    reasons: Sequence[str]
    data: Mapping[str, Any]

    def __str__(self) -> str:
        return "; ".join(self.reasons)

    @property
    def errors(self) -> int:
        """How many answers of the burst had a status of 500 or more."""
        statuses: Mapping[str, int] = self.data.get("statuses", {})
        return sum(count for status, count in statuses.items() if int(status) >= 500)


def who_answers(
    http: Http,
    clock: Clock,
    route: Route,
    *,
    monolith: str,
    through: str = "gateway",
    paths: Sequence[str] = (),
    nonce: str,
    timeout: float,
    requests: int = REQUESTS,
) -> Proof:
    """Ask through the gateway (or one of its instances) and directly, and compare.

    Args:
        http: targets by name; ``route.service`` and ``monolith`` are asked directly.
        clock: for the time limit.
        route: the prefix in question.
        monolith: the target that answers where the flag is off.
        through: ``gateway`` or an instance's name.
        paths: further GET paths below the prefix; a path that exists nowhere and the prefix itself are always asked.
        nonce: makes that path unique.
        timeout: seconds for the whole proof.
        requests: how many requests make the burst.
    """
    deadline = clock.monotonic() + timeout

    def left() -> float:
        return max(0.05, min(5.0, deadline - clock.monotonic()))

    asked = [f"{route.prefix}/tracseq-migrate-proof-{nonce}", route.prefix, *paths]
    requests = max(requests, len(asked))
    sides = {Side.SERVICE: route.service, Side.MONOLITH: monolith}
    try:
        stable = {
            side: {path: _stable(http, name, _own_path(path, side), nonce, left) for path in asked}
            for side, name in sides.items()
        }
    except Unreachable as error:
        return Proof(
            Side.UNKNOWN, [f"{error.what} could not be asked directly: {error.why}"], {"asked": asked}
        )
    telling = {path: _telling(stable[Side.SERVICE][path], stable[Side.MONOLITH][path]) for path in asked}
    before = {side: _count(http, name, route.prefix, left()) for side, name in sides.items()}
    verdicts: list[Side] = []
    statuses: dict[str, int] = {}
    try:
        for index in range(requests):
            path = asked[index % len(asked)]
            answer = http.request(through, path, timeout=left())
            statuses[str(answer.status)] = statuses.get(str(answer.status), 0) + 1
            features = _features(answer, nonce)
            if telling[path]:  # where both sides answer alike, an answer is asked for the counters' sake only
                verdicts.append(_match(features, telling[path], stable, path))
    except Unreachable as error:
        return Proof(Side.UNKNOWN, [f"{through} gave no answer: {error.why}"], {"asked": asked})
    after = {side: _count(http, name, route.prefix, left()) for side, name in sides.items()}
    by_print, print_reason = _by_fingerprint(verdicts, telling, route, monolith)
    by_count, count_reason, rise = _by_counters(before, after, requests, route, monolith)
    worse = [
        f"{path}: {stable[Side.SERVICE][path]['status']} instead of {stable[Side.MONOLITH][path]['status']}"
        for path in asked
        if stable[Side.MONOLITH][path].get("status", "").startswith("2")
        and stable[Side.SERVICE][path].get("status", "2")[:1] != "2"
    ]
    data = {
        "worse": worse,
        "prefix": route.prefix,
        "through": through,
        "requests": requests,
        "statuses": statuses,
        "fingerprint": str(by_print),
        "telling": sorted({name for names in telling.values() for name in names}),
        "counters": str(by_count),
        "counted": rise,
    }
    return Proof(_together(by_print, by_count), [print_reason, count_reason], data)


def prove(
    http: Http,
    clock: Clock,
    route: Route,
    *,
    monolith: str,
    through: str = "gateway",
    paths: Sequence[str] = (),
    nonce: str,
    timeout: float,
    requests: int = REQUESTS,
) -> Proof:
    """As `who_answers`, but anything other than sound answers of the service is an error.

    Raises:
        StepFailed: the monolith answered, both did, the service answered with errors, or there is no proof.
    """
    proof = who_answers(
        http,
        clock,
        route,
        monolith=monolith,
        through=through,
        paths=paths,
        nonce=nonce,
        timeout=timeout,
        requests=requests,
    )
    worse: Sequence[str] = proof.data.get("worse", ())
    if proof.side is Side.SERVICE and not proof.errors and not worse:
        return proof
    if proof.side is Side.SERVICE and worse and not proof.errors:
        raise StepFailed(
            f"{route.prefix} through {through}: {route.service} answers, but worse than {monolith} does: {'; '.join(worse)}",
            hint=f"Look at what {route.service} lacks, before users do.",
        )
    what = {
        Side.SERVICE: f"{route.service} answered {proof.errors} of {requests} requests with an error",
        Side.MONOLITH: f"{monolith} answered, not {route.service}",
        Side.MIXED: f"it is not {route.service} alone that answered",
        Side.UNKNOWN: "who answered could not be proven",
    }[proof.side]
    raise StepFailed(
        f"{route.prefix} through {through}: {what} ({proof})",
        hint=f"Compare by hand: the same GET at the gateway, at {route.service} and at {monolith}.",
        unknown=proof.side is Side.UNKNOWN,
    )


def _together(by_print: Side, by_count: Side) -> Side:
    said = {side for side in (by_print, by_count) if side is not Side.UNKNOWN}
    if len(said) == 1:
        return said.pop()
    return Side.UNKNOWN if not said else Side.MIXED


def _own_path(path: str, side: Side) -> str:
    """A service is reached without ``/api``: the gateway takes it off on the way there."""
    if side is Side.SERVICE and path.startswith("/api/"):
        return path.removeprefix("/api")
    return path


def _features(answer: Answer, nonce: str) -> dict[str, str]:
    """What can be told about an answer, name -> value. What the gateway itself sets is left out."""
    kind = (answer.header("content-type") or "").replace(" ", "").lower()
    body = answer.body.replace(nonce.encode(), b"NONCE")
    features = {
        "status": str(answer.status),
        "content type": kind,
        "body": hashlib.sha256(body).hexdigest(),
    }
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return features
    features["shape"] = json.dumps(_shape(parsed), sort_keys=True)
    if isinstance(parsed, dict):
        features["keys"] = ",".join(sorted(parsed))
    return features


def _shape(value: Any, depth: int = 0) -> Any:
    """The skeleton of a JSON value: keys and kinds, texts by what they look like."""
    if depth > 8:
        return "..."
    if isinstance(value, dict):
        return {key: _shape(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(_shape(item, depth + 1), sort_keys=True) for item in value})
    if isinstance(value, str):
        if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value, re.IGNORECASE):
            return "uuid"
        return "time" if re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:", value) else "text"
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is None else "boolean"
    return "number"


def _stable(http: Http, target: str, path: str, nonce: str, left: Any) -> dict[str, str]:
    """The features that were the same every time that a side was asked directly."""
    seen = [_features(http.request(target, path, timeout=left()), nonce) for _ in range(_DIRECT)]
    first = seen[0]
    return {name: value for name, value in first.items() if all(s.get(name) == value for s in seen)}


def _telling(service: Mapping[str, str], monolith: Mapping[str, str]) -> frozenset[str]:
    """The features that are stable on both sides and differ."""
    return frozenset(name for name in service.keys() & monolith.keys() if service[name] != monolith[name])


def _match(
    features: Mapping[str, str],
    telling: frozenset[str],
    stable: Mapping[Side, Mapping[str, Mapping[str, str]]],
    path: str,
) -> Side:
    """Whose answer this is, by a vote of the features that tell the sides apart.

    A feature that looks like neither side has changed since it was learnt, as a list does under live load: it has no vote.
    """
    votes = {
        side
        for side in (Side.SERVICE, Side.MONOLITH)
        for name in telling
        if features.get(name) == stable[side][path][name]
    }
    return Side.UNKNOWN if not votes else Side.MIXED if len(votes) > 1 else votes.pop()


def _by_fingerprint(
    verdicts: Sequence[Side], telling: Mapping[str, frozenset[str]], route: Route, monolith: str
) -> tuple[Side, str]:
    features = ", ".join(sorted({name for names in telling.values() for name in names}))
    if not features:
        return Side.UNKNOWN, f"{route.service} and {monolith} answer alike, so a fingerprint tells nothing"
    told = [side for side in verdicts if side is not Side.UNKNOWN]
    if not told or 2 * len(told) < len(verdicts):
        return Side.UNKNOWN, f"{len(verdicts) - len(told)} of {len(verdicts)} answers look like neither side"
    silent = f", {len(verdicts) - len(told)} tell nothing" if len(told) < len(verdicts) else ""
    for side, name in ((Side.SERVICE, route.service), (Side.MONOLITH, monolith)):
        if all(one is side for one in told):
            text = (
                f"{len(told)} of {len(verdicts)} answers have the fingerprint of {name} ({features}){silent}"
            )
            return side, text
    counts = {side: sum(1 for one in told if one is side) for side in Side}
    return (
        Side.MIXED,
        f"of {len(verdicts)} answers {counts[Side.SERVICE]} look like {route.service}'s, "
        f"{counts[Side.MONOLITH]} like {monolith}'s, {counts[Side.MIXED]} like both{silent}",
    )


def _count(http: Http, target: str, prefix: str, timeout: float) -> float | None:
    """How many requests a side has counted for a prefix; None where it does not count."""
    try:
        answer = http.request(target, "/metrics", timeout=timeout)
    except Unreachable:
        return None
    if answer.status != 200:
        return None
    samples = []
    for labels, value in _SAMPLE.findall(answer.body.decode("utf-8", "replace")):
        try:
            number = float(value)
        except ValueError:
            return None
        if not math.isfinite(number):
            return None
        samples.append((dict(_LABEL.findall(labels)), number))
    if not any("prefix" in labels for labels, _ in samples):
        return None
    return sum(value for labels, value in samples if labels.get("prefix") == prefix)


def _by_counters(
    before: Mapping[Side, float | None],
    after: Mapping[Side, float | None],
    requests: int,
    route: Route,
    monolith: str,
) -> tuple[Side, str, dict[str, float]]:
    rise: dict[str, float] = {}
    for side, name in ((Side.SERVICE, route.service), (Side.MONOLITH, monolith)):
        start, end = before[side], after[side]
        if start is None or end is None or end < start:
            return Side.UNKNOWN, f"{name} does not count requests by prefix", {}
        rise[name] = end - start
    here, there = rise[route.service], rise[monolith]
    text = f"{route.service} counted {here:g} of {requests} requests, {monolith} {there:g}"
    if here >= requests and there == 0:
        return Side.SERVICE, text, rise
    if there >= requests and here == 0:
        return Side.MONOLITH, text, rise
    if here < requests and there < requests:
        return Side.MIXED, text, rise
    return Side.UNKNOWN, f"{text}, so live traffic hides whose they were", rise
