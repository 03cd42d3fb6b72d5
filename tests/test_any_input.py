"""Whatever the input: what is valid is read to the same thing however it is spelled, and what is not is refused at its place."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import strategies
from tests.chaos.suites.input import corpus, judge
from tests.plan.surroundings import Lab
from tracseq_migrate import config, document, plan
from tracseq_migrate.adapters.dotenv import DotenvFlagStore
from tracseq_migrate.adapters.gateway import HttpGateway
from tracseq_migrate.adapters.memory.surroundings import MemoryFiles
from tracseq_migrate.config import TRACSEQ_ROUTES, Environment
from tracseq_migrate.errors import Finding, InvalidInput, InvalidSetup, StepFailed
from tracseq_migrate.plan import WeekPlan
from tracseq_migrate.ports import GatewayFlags, Unreachable
from tracseq_migrate.steps import kinds

# The machine may be busy: how long one example takes proves nothing.
patient = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
FILE = Path("/lab/tracseq-migrate.yaml")
KEYS = {route.flag: route.key for route in TRACSEQ_ROUTES}


def _plan(body: bytes, week: str) -> WeekPlan:
    return plan.read(body, f"{week}.yaml").plan()


def _json(value: object) -> bytes:
    # Not in ASCII: JSON would write one character as two halves, which YAML does not know.
    return json.dumps(value, ensure_ascii=False).encode()


def _environment(body: bytes) -> Environment:
    files = MemoryFiles()
    files.bodies[FILE] = body
    return config.load(FILE, files, {})


def test_every_kind_of_step_has_a_strategy() -> None:
    assert strategies.BODIES.keys() == kinds().keys()


@patient
@given(strategies.plans(), st.data())
def test_a_plan_means_the_same_however_it_is_spelled(written: dict[str, Any], data: st.DataObject) -> None:
    one = _plan(data.draw(strategies.spelled(written)), written["week"])
    other = _plan(data.draw(strategies.spelled(written)), written["week"])
    assert one == other
    assert plan.digest(one, {}, {}) == plan.digest(other, {}, {})
    assert plan.check(one, Lab()) == []


@patient
@given(strategies.plans())
def test_a_plan_comes_back_from_the_journal_with_the_same_digest(written: dict[str, Any]) -> None:
    read = _plan(_json(written), written["week"])
    again = WeekPlan.from_document(json.loads(json.dumps(read.document())))
    assert again == read
    assert plan.digest(again, {}, {}) == plan.digest(read, {}, {})


@patient
@given(strategies.plans(), strategies.plans())
def test_plans_that_mean_different_things_have_different_digests(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    first, second = (_plan(_json(each), each["week"]) for each in (one, other))
    assert (first == second) == (plan.digest(first, {}, {}) == plan.digest(second, {}, {}))


@patient
@given(strategies.bent(strategies.plans()), st.data())
def test_a_plan_with_one_thing_bent_is_read_or_refused_at_a_place(bent: Any, data: st.DataObject) -> None:
    body = data.draw(strategies.spelled(bent))
    found = plan.read(body, "w.yaml")
    findings = list(found.findings)
    if found.partial is not None:
        findings += plan.check(found.partial, Lab())
    judge.in_range(findings, body, "w.yaml")
    assert found.partial is not None or findings


@patient
@given(strategies.environments(), st.data())
def test_an_environment_means_the_same_however_it_is_spelled(
    written: dict[str, Any], data: st.DataObject
) -> None:
    one, other = (_environment(data.draw(strategies.spelled(written))) for _ in range(2))
    assert one == other
    assert json.dumps(one.digest_view()) == json.dumps(other.digest_view())
    assert list(one.services) != []


@patient
@given(strategies.bent(strategies.environments()), st.data())
def test_an_environment_with_one_thing_bent_is_read_or_refused_at_a_place(
    bent: Any, data: st.DataObject
) -> None:
    body = data.draw(strategies.spelled(bent))
    files = MemoryFiles()
    files.bodies[FILE] = body
    looked = config.inspect(FILE, files, {})
    judge.in_range(looked.findings, body, document.shown(FILE))
    assert looked.environment is not None or looked.findings


@contextmanager
def _flag_file(body: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flags.env"
        path.write_bytes(body)
        yield path


@patient
@given(
    strategies.flag_files.map(str.encode) | strategies.near_flag_files,
    st.sampled_from(strategies.FLAGS),
    st.sampled_from(["true", "false", None]),
)
def test_of_any_flag_file_only_what_is_asked_for_changes(body: bytes, flag: str, value: str | None) -> None:
    with _flag_file(body) as path:
        store = DotenvFlagStore(path, names=strategies.FLAGS)
        try:
            before = store.read()
            after = store.write({flag: value}, expected=before.digest)
        except (InvalidSetup, StepFailed):
            assert path.read_bytes() == body
            return
        judge.only_asked(body, path.read_bytes(), flag, value)
        assert value is None or after.values[flag] == value
        assert store.read() == after


class _Gateway(judge.Canned):
    def flags(self) -> GatewayFlags:
        return HttpGateway(self, instances=[], names=KEYS).flags(timeout=1.0)


def _said(health: bytes, status: bytes) -> GatewayFlags:
    return _Gateway({"/health": health, "/routing-status": status}).flags()


@patient
@given(strategies.answers())
def test_what_a_gateway_says_in_both_maps_is_effective(
    said: tuple[dict[str, Any], dict[str, Any], dict[str, bool]],
) -> None:
    health, status, flags = said
    found = _said(json.dumps(health).encode(), json.dumps(status).encode())
    assert {KEYS[name]: reading.effective for name, reading in found.readings.items()} == {
        key: flags.get(key) for key in KEYS.values()
    }


def _truth(status: Any, key: str) -> bool | None:
    """On or off where both maps say so in so many words."""
    try:
        feature = status["feature_flags"][key]
        enabled = status["routing_configuration"]["microservices"][key]["enabled"]
    except (KeyError, TypeError, IndexError):
        return None
    return feature if feature is enabled and isinstance(feature, bool) else None


@patient
@given(strategies.answers(), st.data())
def test_an_answer_with_one_thing_bent_never_turns_a_flag(
    said: tuple[dict[str, Any], Mapping[str, Any], dict[str, bool]], data: st.DataObject
) -> None:
    health, status, _ = said
    bent = data.draw(strategies.bent(st.just(status)))
    try:
        found = _said(json.dumps(health).encode(), json.dumps(bent).encode())
    except Unreachable as refused:
        assert str(refused).isprintable()
        return
    for name, reading in found.readings.items():
        assert reading.effective is _truth(bent, KEYS[name])


@patient
@given(strategies.answers(), st.binary(max_size=60) | strategies.json_values.map(json.dumps).map(str.encode))
def test_an_answer_of_any_bytes_is_unknown_and_never_a_pass(
    said: tuple[dict[str, Any], dict[str, Any], dict[str, bool]], body: bytes
) -> None:
    health, status, _ = (json.dumps(each).encode() for each in said)
    for answers in ((body, status), (health, body)):
        with pytest.raises(Unreachable) as refused:
            _said(*answers)
        assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (b'{"feature_flags": {"storage": true, "storage": false}}', 'the answer says "storage" twice'),
        (
            b'{"feature_flags": {}, "feature_flags": {"storage": true}}',
            'the answer says "feature_flags" twice',
        ),
        (b'{"feature_flags": {"storage": NaN}}', "answered 200, but not with JSON"),
    ],
)
def test_an_answer_that_can_be_read_in_two_ways_is_no_answer(status: bytes, message: str) -> None:
    with pytest.raises(Unreachable, match=message):
        _said(json.dumps(corpus.HEALTH).encode(), status)


def test_a_place_outside_of_the_file_would_be_seen() -> None:
    body = b"a: 1\nb: 2\n"
    judge.in_range([Finding("f", 2, 5, "m")], body, "f")
    for line, column in ((0, 1), (5, 1), (1, 7), (2, 0)):
        with pytest.raises(AssertionError):
            judge.in_range([Finding("f", line, column, "m")], body, "f")


def test_a_byte_that_changes_besides_would_be_seen() -> None:
    before = b"# c\nUSE_A=false # x\nB=1\n"
    judge.only_asked(before, b"# c\nUSE_A=true # x\nB=1\n", "USE_A", "true")
    judge.only_asked(before, b"# c\nB=1\n", "USE_A", None)
    for after in (b"# C\nUSE_A=true # x\nB=1\n", b"# c\nUSE_A=true # x\nB=1", b"# c\nB=2\n"):
        with pytest.raises(AssertionError):
            judge.only_asked(before, after, "USE_A", "true" if b"USE_A" in after else None)


def test_refusals_of_a_plan_are_errors_of_ours() -> None:
    with pytest.raises(InvalidInput):
        _plan(b"week: [", "w")
