"""The chain: whatever is changed in it afterwards is found, and the first event that does not fit is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracseq_migrate.journal import chain
from tracseq_migrate.ports import Draft, Event

AT = datetime(2026, 3, 3, 12, 0, 0, 123456, tzinfo=UTC)


def chained(*drafts: Draft) -> list[Event]:
    events: list[Event] = []
    for draft in drafts:
        previous = events[-1].hash if events else chain.GENESIS
        events.append(chain.seal(draft, len(events) + 1, AT + timedelta(seconds=len(events)), previous))
    return events


EVENTS = chained(
    *(
        Draft("note", "week1", "run", f"step-{n}", {"n": n, "text": "ä\n", "deep": [{"x": None}]})
        for n in range(6)
    )
)


def test_a_whole_chain() -> None:
    verdict = chain.verify(EVENTS)
    assert (verdict.events, verdict.head, verdict.broken) == (6, EVENTS[-1].hash, None)
    empty = chain.verify([])
    assert (empty.events, empty.head, empty.broken) == (0, chain.GENESIS, None)


CHANGES: dict[str, Callable[[Event], Event]] = {
    "at": lambda e: replace(e, at=e.at + timedelta(microseconds=1)),
    "type": lambda e: replace(e, type="Note"),
    "week": lambda e: replace(e, week="week2"),
    "run_id": lambda e: replace(e, run_id="other"),
    "step": lambda e: replace(e, step=""),
    "data": lambda e: replace(e, data={**e.data, "n": 99}),
    "another key": lambda e: replace(e, data={**e.data, "new": 1}),
    "a missing key": lambda e: replace(e, data={"n": e.data["n"]}),
    "a kind": lambda e: replace(e, data={**e.data, "n": str(e.data["n"])}),
    "hash": lambda e: replace(e, hash="f" * 64),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("index", [0, 2, 5])
def test_a_changed_event_is_named(what: str, index: int) -> None:
    events = list(EVENTS)
    events[index] = CHANGES[what](events[index])
    verdict = chain.verify(events)
    assert verdict.broken == chain.Break(index + 1, "its content was changed after it was written")
    assert verdict.events == index


@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_missing_event_is_named(index: int) -> None:
    verdict = chain.verify(EVENTS[:index] + EVENTS[index + 1 :])
    assert verdict.broken == chain.Break(index + 2, f"event {index + 1} is missing")


def test_a_missing_event_whose_gap_was_closed_is_named() -> None:
    events = [*EVENTS[:2], *(replace(event, seq=event.seq - 1) for event in EVENTS[3:])]
    verdict = chain.verify(events)
    assert verdict.broken == chain.Break(3, "it does not follow the event before it")


def test_swapped_events_are_named() -> None:
    events = list(EVENTS)
    events[2], events[3] = events[3], events[2]
    assert chain.verify(events).broken == chain.Break(4, "event 3 is missing")
    events[2], events[3] = replace(events[2], seq=3), replace(events[3], seq=4)
    assert chain.verify(events).broken == chain.Break(3, "it does not follow the event before it")


def test_a_number_that_was_used_before_is_named() -> None:
    verdict = chain.verify([*EVENTS[:3], EVENTS[2], *EVENTS[3:]])
    assert verdict.broken == chain.Break(3, "its number was used before")


def test_a_number_of_its_own_does_not_help() -> None:
    """Renumbered and linked by hand, but not sealed: the content says so."""
    first = replace(EVENTS[1], seq=1, previous=chain.GENESIS)
    assert chain.verify([first]).broken == chain.Break(1, "its content was changed after it was written")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
DATA = st.dictionaries(st.text(), JSON, max_size=4)


@given(DATA)
def test_what_was_sealed_reads_back_and_fits(data: dict[str, Any]) -> None:
    event = chain.seal(Draft("note", "week1", data=data), 1, AT, chain.GENESIS)
    assert chain.verify([event]).broken is None
    again = replace(event, data=json.loads(json.dumps(event.data)))
    assert chain.verify([again]).broken is None


@given(DATA.filter(bool), st.data())
def test_any_change_of_the_bytes_of_data_breaks_the_chain(data: dict[str, Any], draw: st.DataObject) -> None:
    """The stored text is permuted; where it still is JSON and means something else, the chain says so."""
    event = chain.seal(Draft("note", "week1", data=data), 1, AT, chain.GENESIS)
    text = chain.canonical(event.data)
    permuted = "".join(draw.draw(st.permutations(text)))
    try:
        changed = json.loads(permuted)
        same = chain.canonical(changed) == text
    except ValueError:
        return  # no JSON any more: the store cannot even read it
    broken = chain.verify([replace(event, data=changed)]).broken
    assert (broken is None) is same


@given(DATA, DATA)
def test_other_data_has_another_hash(one: dict[str, Any], two: dict[str, Any]) -> None:
    seal = [chain.seal(Draft("note", data=data), 1, AT, chain.GENESIS).hash for data in (one, two)]
    assert (seal[0] == seal[1]) is (chain.canonical(one) == chain.canonical(two))


def test_the_fields_cannot_flow_into_each_other() -> None:
    hashes = {
        chain.digest_of(1, AT, draft, chain.GENESIS)
        for draft in (
            Draft("a", "bc"),
            Draft("ab", "c"),
            Draft("a", "b", "c"),
            Draft("abc"),
            Draft("a", "", "bc"),
        )
    }
    assert len(hashes) == 5


def test_times_are_utc_with_microseconds() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert chain.stamp(elsewhere) == chain.stamp(AT) == "2026-03-03T12:00:00.123456Z"
    assert chain.parse_stamp(chain.stamp(AT)) == AT
    assert chain.stamp(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000000Z"
    with pytest.raises(ValueError, match="without a zone"):
        chain.stamp(AT.replace(tzinfo=None))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_json_is_never_sealed(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        chain.seal(Draft("note", data={"x": value}), 1, AT, chain.GENESIS)
