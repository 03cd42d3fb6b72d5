"""A plan is read whole or refused with every finding: exact words at exact places."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracseq_migrate import duration, plan
from tracseq_migrate.errors import InvalidInput
from tracseq_migrate.plan import ChecklistItem, Need, Retry, StepEntry, WeekPlan
from tracseq_migrate.steps import kinds

HEAD = "week: week1\ntitle: A week\nrisk: low\n"
STEP = "steps:\n  - {id: one, pause: {ask: Look}}\n"


def _findings(text: str) -> list[str]:
    found = plan.read(text.encode(), "w.yaml")
    assert found.findings == tuple(sorted(found.findings))
    with pytest.raises(InvalidInput) as refused:
        found.plan()
    assert refused.value.findings == found.findings
    return [str(finding).removeprefix("w.yaml:") for finding in found.findings]


def _plan(text: str) -> WeekPlan:
    return plan.read(text.encode(), "w.yaml").plan()


WHOLE = """\
week: week3
title: Authentication
risk: high
about: Everybody signs in again.
progress: 70
needs: [{week: week2}]
checklist:
  - {id: told, ask: Users know, evidence: required, expires: 12h, approvals: 2}
  - {id: ready, ask: We are ready, yes: true}
preflight:
  - http: {target: gateway, path: /health, expect: {status: [200, 204], json: {status: healthy, note: null}}}
  - {id: proof-before, title: The monolith answers, route: {prefix: /api/auth, answered_by: monolith}}
steps:
  - {id: start, services: {up: [auth]}, timeout: 90s, retry: {attempts: 3}}
  - parallel:
      - {id: a, http: {target: auth, path: /a, within: 1m30s}}
      - {id: b, http: {target: auth, path: /b}}
  - parallel:
      - {id: c, http: {target: auth, path: /c}}
  - id: script
    command: {run: [./x, "1"], verify: [./y], probe: [./z], revert: [./w], env: {A: "1"}}
  - {id: flags, flags: {set: {USE_AUTH_SERVICE: true}, writes: {auth: stranded}}}
  - {id: look, pause: {ask: Does it look right?}}
"""


def test_a_plan_is_read_as_it_is_written() -> None:
    week = _plan(WHOLE)
    assert (week.week, week.title, week.risk, week.about, week.progress) == (
        "week3",
        "Authentication",
        "high",
        "Everybody signs in again.",
        70,
    )
    assert week.needs == (Need(week="week2"),)
    assert week.checklist == (
        ChecklistItem.model_validate(
            {"id": "told", "ask": "Users know", "evidence": "required", "expires": "12h", "approvals": 2}
        ),
        ChecklistItem(id="ready", ask="We are ready", yes=True),
    )
    assert week.checklist[1].evidence == "optional"
    assert [(entry.id, entry.step.kind, entry.title) for entry in week.preflight] == [
        ("preflight-1", "http", week.preflight[0].step.title),
        ("proof-before", "route", "The monolith answers"),
    ]
    assert [(entry.id, entry.step.kind, entry.timeout, entry.group) for entry in week.entries()] == [
        ("start", "services", 90.0, 0),
        ("a", "http", kinds()["http"].default_timeout, 1),
        ("b", "http", kinds()["http"].default_timeout, 1),
        ("c", "http", kinds()["http"].default_timeout, 2),
        ("script", "command", kinds()["command"].default_timeout, 0),
        ("flags", "flags", kinds()["flags"].default_timeout, 0),
        ("look", "pause", kinds()["pause"].default_timeout, 0),
    ]
    assert week.steps[0].retry == Retry(attempts=3)
    assert week.steps[0].retry.wait == 1.0
    assert [[entry.id for entry in group] for group in week.groups()] == [
        ["start"],
        ["a", "b"],
        ["c"],
        ["script"],
        ["flags"],
        ["look"],
    ]


def test_a_plan_goes_into_the_journal_and_comes_back_equal() -> None:
    week = _plan(WHOLE)
    journaled = json.loads(json.dumps(week.document()))
    back = WeekPlan.from_document(journaled)
    assert back == week
    assert back.document() == week.document()
    assert back.source is None
    assert WeekPlan.from_document(back.document()) == back


def test_a_journaled_plan_keeps_what_its_file_left_to_a_default() -> None:
    journaled = _plan(HEAD + STEP).document()
    assert journaled["progress"] == 0
    assert journaled["steps"] == [
        {
            "id": "one",
            "pause": {"ask": "Look", "yes": False},
            "timeout": duration.write(kinds()["pause"].default_timeout),
        }
    ]


def test_a_plan_of_an_older_version_lacks_fields_and_is_read() -> None:
    journaled = _plan(WHOLE).document()
    del journaled["progress"], journaled["about"]
    del journaled["checklist"][0]["yes"]
    del journaled["steps"][0]["services"]["down"]
    assert WeekPlan.from_document(journaled).steps == _plan(WHOLE).steps


def test_a_plan_of_a_newer_version_that_cannot_be_read_says_what_to_do() -> None:
    journaled = _plan(HEAD + STEP).document()
    journaled["steps"][0]["teleport"] = journaled["steps"][0].pop("pause")
    with pytest.raises(InvalidInput) as refused:
        WeekPlan.from_document(journaled)
    assert "the journaled plan of week1:1:1: unknown kind 'teleport'" in refused.value.message
    assert (
        refused.value.hint
        == "Another version of tracseq-migrate wrote this plan: use that version for this week."
    )


def test_two_files_that_mean_the_same_are_equal_plans() -> None:
    other = "# another\n" + HEAD.replace("risk: low", 'risk: "low"') + "progress: 0\n" + STEP.replace(
        "- {id: one, pause: {ask: Look}}", "- pause:\n      yes: false\n      ask: 'Look'\n    id: one"
    )  # fmt: skip
    assert _plan(other) == _plan(HEAD + STEP)


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("title: A week\nrisk: low\n" + STEP, ["1:1: missing key 'week'"]),
        (HEAD, ["1:1: missing key 'steps'"]),
        (HEAD + "steps: []", ["4:8: too few entries: at least 1"]),
        (HEAD + "steps: none", ["4:8: 'steps': expected a list, found 'none' (write it as a list: [...])"]),
        (HEAD + "stpes:\n  - 1\n" + STEP, ["4:1: unknown key 'stpes' (did you mean 'steps'?)"]),
        (
            HEAD.replace("low", "lov") + STEP,
            ["3:7: 'risk': expected one of 'low', 'medium', 'high', found 'lov' (did you mean 'low'?)"],
        ),
        (
            HEAD.replace("week1", "Week 1") + STEP,
            ["1:7: 'Week 1' is not of the right form (small letters, digits and dashes, a letter first)"],
        ),
        (HEAD + "progress: 101\n" + STEP, ["4:11: 101 is too large: at most 100"]),
        (HEAD + "needs: [week0]\n" + STEP, ["4:9: expected a mapping, found 'week0'"]),
        (
            HEAD + "needs: [{weak: week0}]\n" + STEP,
            ["4:9: missing key 'week'", "4:10: unknown key 'weak' (did you mean 'week'?)"],
        ),
        (
            HEAD + "checklist: [{id: a, ask: Yes?, evidence: maybe}]\n" + STEP,
            ["4:42: 'evidence': expected one of 'required', 'optional', 'none', found 'maybe'"],
        ),
        (
            HEAD + "checklist: [{id: a, ask: Yes?, expires: 12}]\n" + STEP,
            ["4:41: write a duration with its unit, such as 30s, 5m or 48h"],
        ),
        (
            HEAD + "checklist: [{id: a, ask: Yes?, expires: 12x}]\n" + STEP,
            ["4:41: '12x' is not a duration; write it with units, such as 30s, 5m, 1h30m or 250ms"],
        ),
        (
            HEAD + "checklist: [{id: a, ask: Yes?, expires: 0s}]\n" + STEP,
            ["4:41: '0s' is too small: more than 0"],
        ),
        (
            HEAD + "checklist: [{id: a, ask: Yes?, yes: true, evidence: required}]\n" + STEP,
            ["4:32: --yes can give no evidence, and this item requires it (drop one of the two)"],
        ),
        (
            HEAD + "checklist: [{id: a, ask: Yes?, yes: true, approvals: 2}]\n" + STEP,
            ["4:32: --yes is one person, and this item needs 2 (drop one of the two)"],
        ),
        (
            HEAD + "checklist: [{id: a, ask: 1?, approvals: no}, {id: one, ask: Yes?}]\n" + STEP,
            [
                "4:41: 'approvals': expected a whole number, found 'no'",
                "4:51: the id 'one' is taken: w.yaml:6:10 (ids of steps, checks and checklist items are unique in a plan)",
            ],
        ),
        (
            HEAD + STEP + "  - {id: one, pause: {ask: Again}}",
            [
                "6:10: the id 'one' is taken: w.yaml:5:10 (ids of steps, checks and checklist items are unique in a plan)"
            ],
        ),
        (HEAD + STEP + "  - {pause: {ask: Again}}", ["6:5: missing key 'id'"]),
        (
            HEAD + STEP + "  - {id: Two, pause: {ask: Again}}",
            ["6:10: 'Two' is not of the right form (small letters, digits and dashes, a letter first)"],
        ),
        (
            HEAD + STEP + "  - {id: two, puase: {ask: Again}}",
            ["6:15: unknown kind 'puase' (did you mean 'pause'?)"],
        ),
        (
            HEAD + STEP + "  - {id: two, teleport: {}}",
            [f"6:15: unknown kind 'teleport' (the kinds here are: {', '.join(kinds())})"],
        ),
        (
            HEAD + STEP + "  - {id: two, pause: {ask: Again}, timout: 3s}",
            ["6:36: unknown key 'timout' (did you mean 'timeout'?)"],
        ),
        (
            HEAD + STEP + "  - {id: two}",
            [f"6:5: this step does not say what it does (it needs one of: {', '.join(kinds())})"],
        ),
        (
            HEAD + STEP + "  - {id: two, pause: {ask: x}, services: {up: [auth]}}",
            ["6:32: 'pause' and 'services' are two kinds (one step does one thing: make it two steps)"],
        ),
        (
            HEAD + STEP + "  - two",
            [
                "6:5: expected a step (a mapping), found 'two' (such as {id: start, services: {up: [storage]}})"
            ],
        ),
        (
            HEAD + STEP + "  - {id: two, pause: }",
            ["6:22: 'pause': expected a mapping, found nothing (give it a value, or take the key away)"],
        ),
        (
            HEAD + STEP + "  - {id: two, pause: {ask: x, yes: on}}",
            ["6:36: 'yes': expected true or false, found 'on' (write true or false)"],
        ),
        (
            HEAD + STEP + "  - {id: two, pause: {ask: x}, retry: {attempts: 0}}",
            ["6:50: 0 is too small: at least 1"],
        ),
        (
            HEAD + STEP + "  - {id: two, pause: {ask: x}, timeout: 0s}",
            ["6:41: '0s' is too small: more than 0"],
        ),
        (
            HEAD + STEP + "  - {id: two, flags: {set: {USE_X: yes}, writes: stranded}}",
            ["6:36: 'USE_X': expected true or false, found 'yes' (write true or false)"],
        ),
        (
            HEAD + STEP + "  - {id: two, flags: {set: {USE_X: true}}}",
            [
                "6:15: it turns flags on, but does not say what becomes of the data behind them: "
                "add `writes: stranded`, or `writes: {SERVICE: stranded | none}`"
            ],
        ),
        (
            HEAD + STEP + "  - {id: two, command: {run: [x], verify: [y]}}",
            [
                "6:15: it has no way back: give `revert: [..]`, or say why there is none with `irreversible: REASON`"
            ],
        ),
        (
            HEAD + STEP + "  - {id: two, command: {run: x, verify: [y], irreversible: why}}",
            ["6:30: 'run': expected a list, found 'x' (write it as a list: [...])"],
        ),
        (HEAD + STEP + "  - {parallel: a}", ["6:16: 'parallel': expected a list of steps, found 'a'"]),
        (HEAD + STEP + "  - {parallel: []}", ["6:16: 'parallel': too few steps: at least 1"]),
        (
            HEAD + STEP + "  - {parallel: [{id: a, pause: {ask: x}}], timeout: 3s}",
            ["6:44: 'timeout' cannot stand beside 'parallel' (move it into a step of the group)"],
        ),
        (
            HEAD + STEP + "  - {parallel: [{parallel: [{id: a, pause: {ask: x}}]}]}",
            ["6:18: a parallel group cannot stand inside another (put its steps beside it)"],
        ),
        (
            "- a",
            [
                "1:1: the top of the file is a list, not a mapping (it needs keys and values, such as 'week: week1')"
            ],
        ),
        ("", ["1:1: the file is empty (it needs a mapping of keys and values)"]),
        (
            HEAD + "title: B\n" + STEP,
            ["4:1: the key 'title' stands here twice: first at w.yaml:2:1 (keep one of the two)"],
        ),
    ],
)
def test_what_is_wrong_with_a_plan_is_said_at_its_place(text: str, findings: list[str]) -> None:
    assert _findings(text) == findings


def test_everything_wrong_is_told_at_once() -> None:
    text = """\
week: week1
week: week2
titel: A week
risk: lov
needs: [week0]
checklist: [{id: a, ask: x, approvals: 9}]
steps:
  - {id: One, pause: {aks: x}}
  - {id: two, flgs: {}}
  - {id: two, pause: {ask: x}, retry: {attempts: x}}
"""
    assert [finding.partition(": ")[0] for finding in _findings(text)] == [
        "1:1",
        "2:1",
        "3:1",
        "4:7",
        "5:9",
        "6:40",
        "8:10",
        "8:22",
        "8:23",
        "9:15",
        "10:10",
        "10:50",
    ]


_name = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
_seconds = st.integers(1, 10**7).map(lambda ms: duration.parse(f"{ms}ms")) | st.sampled_from(
    [90.0, 3600.5, 86400.0]
)
_time = _seconds.map(duration.write)
_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
_body = st.one_of(
    st.fixed_dictionaries({"pause": st.fixed_dictionaries({"ask": _text}, optional={"yes": st.booleans()})}),
    st.fixed_dictionaries(
        {"services": st.fixed_dictionaries({"up": st.lists(_name, min_size=1, unique=True)})}
    ),
    st.fixed_dictionaries(
        {"http": st.fixed_dictionaries({"target": _name, "path": st.just("/x")}, optional={"within": _time})}
    ),
)


_retry = st.fixed_dictionaries({"attempts": st.integers(1, 5)}, optional={"wait": _time})
_extra = st.fixed_dictionaries({}, optional={"title": _text, "timeout": _time, "retry": _retry})


@st.composite
def _written(draw: st.DrawFn) -> dict[str, Any]:
    ids = iter(draw(st.lists(_name, min_size=12, max_size=12, unique=True)))

    def entry() -> dict[str, Any]:
        extra = draw(_extra)
        return {"id": next(ids), **draw(_body), **extra}

    steps = [
        {"parallel": [entry() for _ in range(draw(st.integers(1, 2)))]} if draw(st.booleans()) else entry()
        for _ in range(draw(st.integers(1, 4)))
    ]
    return {
        "week": draw(_name),
        "title": draw(_text),
        "risk": draw(st.sampled_from(["low", "medium", "high"])),
        "progress": draw(st.integers(0, 100)),
        "needs": [{"week": name} for name in draw(st.lists(_name, max_size=2))],
        "steps": steps,
    }


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_written())
def test_whatever_is_written_comes_back_from_the_journal_equal(written: dict[str, Any]) -> None:
    week = WeekPlan.from_document(written)
    journaled = json.loads(json.dumps(week.document()))
    assert WeekPlan.from_document(journaled) == week
    assert WeekPlan.from_document(journaled).document() == journaled
    assert [len(list(group)) for group in week.groups()] == [
        len(item.get("parallel", [item])) for item in written["steps"]
    ]


@settings(deadline=None)
@given(st.floats(0, 10**9) | _seconds)
def test_a_duration_is_written_so_that_it_reads_back_exactly(seconds: float) -> None:
    assert duration.parse(duration.write(seconds)) == seconds


def test_an_entry_says_what_it_does_where_the_plan_gives_no_title() -> None:
    step = kinds()["pause"].model_validate({"ask": "Look"})
    assert StepEntry("a", step, 1.0).title == step.title
    assert StepEntry("a", step, 1.0, written_title="Mine").title == "Mine"
