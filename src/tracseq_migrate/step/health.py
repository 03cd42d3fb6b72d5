"""Whether services are healthy: one judgement, for the steps that wait for it and for whoever only looks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence

from tracseq_migrate import duration
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Answer, Http, Unreachable
from tracseq_migrate.step.answers import Evidence

_WELL = ("healthy", "ok", "up", "pass")


def see_health(
    http: Http,
    paths: Mapping[str, str],
    names: Sequence[str],
    *,
    monolith: str,
    patience: Callable[[], float],
) -> dict[str, Evidence | StepFailed | Unreachable]:
    """Of each service, all asked at once: a 200 whose JSON, where it is JSON, says healthy, from the service itself and not from
    the monolith; or why it is not seen to be healthy.

    Args:
        paths: where each service, and the monolith, is asked for its health.
        monolith: its name as a target.
        patience: seconds that a request may take, from when it begins.
    """
    asked = [(name, paths[name]) for name in names]
    answers = dict(zip(names, http.ask_all(asked, timeout=patience()), strict=True))
    itself: object = None
    if any(name != monolith and _named(answer) for name, answer in answers.items()):
        if monolith in answers:
            itself = _named(answers[monolith])
        else:
            with contextlib.suppress(Unreachable):
                itself = _named(http.request(monolith, paths[monolith], timeout=patience()))
    return {
        name: _judge(name, answer, paths[name], http.url(name), None if name == monolith else itself)
        for name, answer in answers.items()
    }


def json_object(body: bytes) -> dict[str, object]:
    """A body as a JSON object; an empty one where it is none."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _named(answer: Answer | Unreachable) -> object:
    """What whoever answered calls itself."""
    return None if isinstance(answer, Unreachable) else json_object(answer.body).get("service")


def _judge(
    name: str, answer: Answer | Unreachable, path: str, url: str, monolith: object
) -> Evidence | StepFailed | Unreachable:
    """``monolith`` is what the monolith calls itself, None where that is not known."""
    if isinstance(answer, Unreachable):
        return answer
    if answer.status != 200:
        return StepFailed(f"GET {path} at {name} answers {answer.status}")
    mine = json_object(answer.body)
    status = mine.get("status")
    if isinstance(status, str) and status.lower() not in _WELL:
        return StepFailed(f"GET {path} at {name} says status {status!r}")
    if mine.get("service") and mine["service"] == monolith:
        return StepFailed(f"{url} is {monolith!r}, the monolith, not {name}")
    return Evidence(
        f"{name} is healthy ({answer.status} in {duration.show(answer.seconds)})",
        {"service": name, "status": answer.status, "seconds": round(answer.seconds, 6)},
    )
