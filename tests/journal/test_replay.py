"""The fold: what events mean, one by one; and that nothing which it does not know can stop it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.journal.test_chain import AT, DATA, chained
from tests.operations.world import World
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import State, StepStatus, WeekStatus, replay
from tracseq_migrate.ports import Draft, Event, Person

ADA = Person("ada", "system")
WEEK, RUN = "week1", "r1"


def _started(run_id: str = RUN, week: str = WEEK) -> Draft:
    return v.run_started(
        week,
        run_id,
        title="T",
        plan={"week": week},
        digest="d",
        person=ADA,
        command="c",
        environment="e",
        version="0",
    )


def _intent(step: str, undo: dict[str, Any] | None = None, attempt: int = 1) -> Draft:
    return v.intent(
        WEEK, RUN, step, title=step, kind="command", effect="reversible", undo=undo or {}, attempt=attempt
    )


def _verified(step: str) -> Draft:
    return v.verified(WEEK, RUN, step, evidence=[{"text": "seen", "data": {}}], seconds=1.0)


def _rollback(to: str = "", run_id: str = "b1") -> Draft:
    return v.rollback_started(
        WEEK, run_id, of=RUN, reason="r", automatic=False, to=to, person=ADA, command="c", version="0"
    )


def _signed(item: str, expires: str = "") -> Draft:
    return v.signed(
        WEEK, item=item, ask="?", digest="d", person=ADA, claimed="", evidence="", expires=expires
    )


def _state(*drafts: Draft) -> State:
    return replay(chained(*drafts))


def test_a_week_that_the_journal_never_heard_of() -> None:
    week = State().week("week7")
    assert (week.week, week.status, week.steps) == ("week7", WeekStatus.NEVER_RUN, {})


def test_a_step_from_intent_to_verified() -> None:
    drafts = [_started(), _intent("a"), v.applied(WEEK, RUN, "a"), _verified("a")]
    expected = [None, StepStatus.INTENT, StepStatus.APPLIED, StepStatus.VERIFIED]
    for count, status in enumerate(expected, start=1):
        step = _state(*drafts[:count]).week(WEEK).steps.get("a")
        assert (step.status if step else None) is status
    whole = _state(*drafts).week(WEEK)
    assert whole.status is WeekStatus.RUNNING
    assert (whole.begun, whole.run_id, whole.plan) == (1, RUN, {"week": WEEK})
    assert whole.steps["a"].evidence == [{"text": "seen", "data": {}}]
    assert not whole.in_doubt()


def test_what_is_not_settled_is_in_doubt() -> None:
    for last in (
        v.applied(WEEK, RUN, "a"),
        v.failed(WEEK, RUN, "a", error="e", hint="", unknown=True, attempt=1),
    ):
        assert [step.id for step in _state(_started(), _intent("a"), last).week(WEEK).in_doubt()] == ["a"]
    assert [step.id for step in _state(_started(), _intent("a")).week(WEEK).in_doubt()] == ["a"]
    reverted = v.reverted(WEEK, RUN, "a", evidence=[], seconds=0)
    assert not _state(_started(), _intent("a"), reverted).week(WEEK).in_doubt()


def test_an_undo_is_that_of_the_first_intent() -> None:
    again = _intent("a", {"before": "new"}, attempt=2)
    step = _state(_started(), _intent("a", {"before": "old"}), again).week(WEEK).steps["a"]
    assert (step.undo, step.attempts) == ({"before": "old"}, 2)


def test_steps_go_back_in_reverse_order_of_completion() -> None:
    week = _state(_started(), _intent("a"), _intent("b"), _verified("b"), _verified("a"), _intent("c")).week(
        WEEK
    )
    assert [step.id for step in week.completed_steps()] == ["c", "a", "b"]


def test_a_full_rollback_forgets_undo_signatures_and_obligations() -> None:
    owed = v.obligation_opened(WEEK, RUN, "a", name="reload", what="w", ends="e")
    drafts = [_signed("x"), _started(), _intent("a", {"before": 1}), owed, _verified("a"), _rollback()]
    before = _state(*drafts)
    assert before.week(WEEK).status is WeekStatus.ROLLING_BACK
    assert (before.week(WEEK).rollback_id, list(before.obligations)) == ("b1", [(WEEK, "a", "reload")])
    after = _state(*drafts, v.rollback_finished(WEEK, "b1", outcome="rolled-back", left=[]))
    week = after.week(WEEK)
    assert week.status is WeekStatus.ROLLED_BACK
    assert (week.steps, week.signatures, week.plan, week.digest, week.rollback_id) == ({}, [], {}, "", "")
    assert not after.obligations
    anew = replay(chained(_started("r2"), _intent("a", {"before": 2})), replace(after))
    assert anew.week(WEEK).steps["a"].undo == {"before": 2}


def test_a_rollback_as_far_as_a_step_keeps_the_rest() -> None:
    week = _state(
        _started(),
        _intent("a"),
        _verified("a"),
        _intent("b"),
        _verified("b"),
        _rollback(to="a"),
        v.reverted(WEEK, "b1", "b", evidence=[], seconds=0),
        v.rollback_finished(WEEK, "b1", outcome="waiting", left=[]),
    ).week(WEEK)
    assert (week.status, list(week.steps)) == (WeekStatus.WAITING, ["a"])
    assert week.next_command == "tracseq-migrate run week1"


def test_a_residue_says_what_is_left() -> None:
    left = v.rollback_finished(WEEK, "b1", outcome="residue", left=["b: no"])
    failed = v.revert_failed(WEEK, "b1", "b", error="no", hint="")
    week = _state(_started(), _intent("b"), _verified("b"), _rollback(), failed, left).week(WEEK)
    assert (week.status, week.left) == (WeekStatus.RESIDUE, ["b: no"])
    assert week.steps["b"].status is StepStatus.REVERT_FAILED
    assert _state(_started("r2")).week(WEEK).left == []


def test_checkpoints_keep_their_order_and_the_newest_has_the_say() -> None:
    points = [
        v.checkpoint(WEEK, RUN, "a", name="one", data={}, direction="either"),
        v.checkpoint(WEEK, RUN, "a", name="two", data={}, direction="forward"),
    ]
    step = _state(_started(), _intent("a"), *points).week(WEEK).steps["a"]
    assert ([c.name for c in step.checkpoints], step.direction) == (["one", "two"], "forward")


def test_waits_end_when_the_run_goes_on() -> None:
    waiting = v.waiting(WEEK, RUN, "a", on="a person", until="", next_command="approve")
    drafts = [_started(), _intent("a"), waiting]
    week = _state(*drafts).week(WEEK)
    assert (week.status, week.waiting_on, week.next_command) == (WeekStatus.WAITING, "a person", "approve")
    resumed = v.run_resumed(WEEK, RUN, person=ADA, command="c", direction="forward")
    week = _state(*drafts, resumed).week(WEEK)
    assert (week.status, week.waiting_on, week.next_command) == (WeekStatus.RUNNING, "", "")
    back = v.run_resumed(WEEK, RUN, person=ADA, command="c", direction="backward")
    assert _state(*drafts, back).week(WEEK).status is WeekStatus.ROLLING_BACK


def test_signatures_carry_their_end() -> None:
    moment = datetime(2026, 3, 4, tzinfo=UTC)
    week = _state(_signed("x"), _signed("y", "2026-03-04T00:00:00Z")).week(WEEK)
    assert [(s.item, s.expires, s.at) for s in week.signatures] == [
        ("x", None, AT),
        ("y", moment, AT + timedelta(seconds=1)),
    ]
    assert week.status is WeekStatus.NEVER_RUN  # a signature is no run


def test_the_order_of_weeks_is_the_order_of_the_journal() -> None:
    """Whatever the clocks of two machines say."""
    events = chained(_started("late", "week1"), _started("early", "week2"))
    early = [replace(event, at=AT - timedelta(hours=event.seq)) for event in events]
    state = replay(early)
    assert state.week("week1").begun < state.week("week2").begun


def test_a_fold_can_go_on_where_it_stopped() -> None:
    world = World()
    assert world.run("week1").code == 0
    assert world.rollback("week1").code == 0
    events = world.journal.events
    for cut in range(len(events)):
        assert replay(events[cut:], replay(events[:cut])) == replay(events)


@given(
    st.lists(
        st.tuples(st.text(), st.sampled_from(["", WEEK, "week2"]), st.sampled_from(["", "a", "b"]), DATA),
        max_size=5,
    )
)
def test_unknown_events_change_nothing_but_their_count(
    strange: list[tuple[str, str, str, dict[str, Any]]],
) -> None:
    known = [_started(), _intent("a"), _verified("a")]
    unknown = [Draft(f"future.{kind}", week, RUN, step, data) for kind, week, step, data in strange]
    plain, mixed = _state(*known), _state(*known, *unknown)
    assert mixed.unknown == len(unknown)
    assert mixed.events == len(known) + len(unknown)
    assert mixed.weeks == plain.weeks
    assert mixed.obligations == plain.obligations


def test_a_part_of_a_story_that_is_not_known_is_counted() -> None:
    state = _state(_started(), v.applied(WEEK, RUN, "a"), v.reverted(WEEK, RUN, "b", evidence=[], seconds=0))
    assert state.unknown == 2
    assert state.week(WEEK).steps == {}


def test_every_word_of_the_vocabulary_is_known_to_the_fold() -> None:
    """A word that is written and not read would be a state that nobody sees."""
    words = {value for name, value in vars(v).items() if name.isupper() and isinstance(value, str)}
    assert len(words) > 20
    for word in words:
        data = _example(word)
        assert replay([*chained(_started(), _intent("a")), _sealed(word, data)]).unknown == 0, word


def _example(word: str) -> dict[str, Any]:
    """Data that any event can be folded with: texts, where nothing else is needed."""
    lists: dict[str, Any] = {
        name: [] for name in ("left", "evidence") if (name, word) != ("evidence", v.SIGNED)
    }
    mappings: dict[str, Any] = {name: {} for name in ("plan", "undo", "data")}
    outcome = {"outcome": "residue" if word == v.ROLLBACK_FINISHED else "proven", "direction": "forward"}
    return defaultdict(str, {**lists, **mappings, **outcome, "signal": 2})


def _sealed(word: str, data: dict[str, Any]) -> Event:
    return replace(chained(Draft(word, WEEK, RUN, "a"))[0], seq=3, data=data)
