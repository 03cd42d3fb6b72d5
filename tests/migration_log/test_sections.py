"""Sections: what belongs to which execution, and that what is finished never changes."""

from __future__ import annotations

from dataclasses import asdict

from hypothesis import given, settings

from tests.migration_log.stories import (
    ANY_JOURNAL,
    TOLD,
    back,
    intent,
    journal,
    reverted,
    signed,
    started,
    verified,
)
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.migration_log.sections import sections
from tracseq_migrate.ports import Draft, Event


def test_the_told_journal() -> None:
    first, second, third = sections(TOLD)
    assert [(s.action, s.run_id, s.outcome, s.finished) for s in (first, second, third)] == [
        ("run", "R1", "rolled-back", True),
        ("run", "R2", "proven", True),
        ("rollback", "B1", "residue", True),
    ]
    assert first.person == "ada"
    assert [(s.id, s.title, s.outcome, s.seconds, s.evidence) for s in first.steps] == [
        ("start", "Start services", "done", 1.25, ["rag runs", "it answers"]),
        ("one", "Prove one", "failed", None, []),
    ]
    assert first.steps[1].notes == [
        "attempt 1 failed: the monolith answered (its effect may have come about) (look)"
    ]
    assert [(s.id, s.kind, s.outcome, s.evidence) for s in first.taken_back] == [
        ("start", "services", "reverted", ["it is stopped"])
    ]
    assert (first.automatic, first.reason, first.of) == (True, "step one failed", "R1")
    assert [(loss.count, loss.file) for loss in first.losses] == [(3, "l.json")]
    assert [s.evidence for s in first.signatures] == ["dump 1"]
    assert [s.evidence for s in second.signatures] == ["dump 2"]
    assert [happened.text for happened in second.timeline] == ["began", "interrupted by signal 2", "went on"]
    assert [owed.settled for owed in second.owed] == [True]
    assert second.steps[0].notes == ["probed: done: it runs"]
    assert (third.kept, third.left) == ("start", ["start: it hangs"])
    assert [(s.id, s.outcome) for s in third.taken_back] == [
        ("two", "reverted"),
        ("start", "could not be reverted"),
    ]


def test_signatures_of_another_plan_or_expired_ones_were_not_used() -> None:
    (section,) = sections(
        journal(
            [
                signed("week1", "old", digest="00" * 32),
                signed("week1", "expired", expires="2026-11-23T15:00:02.000000Z"),
                signed("week2", "elsewhere"),
                signed("week1", "valid", expires="2026-11-23T16:00:00.000000Z"),
                started("week1", "R1"),
                signed("week1", "during"),
                signed("week1", "edited", digest="00" * 32),
            ]
        )
    )
    assert [s.item for s in section.signatures] == ["valid", "during"]


def test_a_run_that_never_ended_is_broken_off_by_the_rollback_that_takes_it_back() -> None:
    first, second = sections(
        journal(
            [
                started("week1", "R1"),
                intent("week1", "R1", "start"),
                back("week1", "B1", of="R1", automatic=False),
            ]
        )
    )
    assert (first.outcome, first.finished, first.ended) == ("broken off", True, None)
    assert first.timeline[-1].text == "taken back by rollback B1"
    assert first.steps[0].outcome == "in doubt"
    assert (second.outcome, second.finished) == ("not ended", False)


def test_a_soak_is_not_the_end() -> None:
    soaking = [started("week1", "R1"), v.run_finished("week1", "R1", outcome="soaking")]
    (section,) = sections(journal(soaking))
    assert (section.outcome, section.finished) == ("soaking", False)
    (section,) = sections(journal([*soaking, v.run_finished("week1", "R1", outcome="proven")]))
    assert (section.outcome, section.finished) == ("proven", True)


def test_what_was_owed_again_on_the_way_back_ends_once_for_all() -> None:
    def owed(what: str) -> Draft:
        return v.obligation_opened("week1", "R1", "start", name="reload", what=what, ends="when it did")

    ended = v.obligation_closed("week1", "R1", "start", name="reload")
    begun = [started("week1", "R1"), intent("week1", "R1", "start"), owed("there"), ended]
    again = [*begun, back("week1", "R1", of="R1", automatic=True), owed("back")]
    (section,) = sections(journal(again))
    assert section.still_owed
    (section,) = sections(journal([*again, ended]))
    assert [owed.settled for owed in section.owed] == [True, True]
    assert not section.still_owed


def test_what_comes_after_the_end_has_a_section_of_its_own() -> None:
    events = journal(
        [
            started("week1", "R1"),
            v.run_finished("week1", "R1", outcome="proven"),
            v.log_committed("week1", "R1", commit="abc", why_not=""),
            verified("week1", "R1", "start", "still so"),
        ]
    )
    first, second = sections(events)
    assert sections(events[:2]) == [first]
    assert (second.continued, second.run_id, second.digest) == (True, "R1", first.digest)
    assert second.steps[0].evidence == ["still so"]


def test_weeks_do_not_mix() -> None:
    first, second = sections(
        journal(
            [
                started("week1", "R1"),
                started("week2", "R2"),
                intent("week1", "R1", "start"),
                intent("week2", "R2", "one"),
                reverted("week1", "R1", "start"),
            ]
        )
    )
    assert [s.id for s in first.steps] == ["start"]
    assert [s.id for s in second.steps] == ["one"]
    assert not first.finished


@settings(max_examples=300, deadline=None)
@given(ANY_JOURNAL)
def test_a_finished_section_never_changes(events: list[Event]) -> None:
    """Whatever is appended, in whatever order: sections stay where they are, and finished ones stay what they are."""
    final = [asdict(section) for section in sections(events)]
    for end in range(len(events)):
        for number, section in enumerate(sections(events[:end])):
            assert final[number]["run_id"] == section.run_id
            if section.finished:
                assert final[number] == asdict(section)


@settings(max_examples=200, deadline=None)
@given(ANY_JOURNAL)
def test_nothing_of_an_execution_is_left_out(events: list[Event]) -> None:
    found = sections(events)
    told = sum(len(s.steps) + len(s.taken_back) + len(s.timeline) + len(s.checks) + s.unknown for s in found)
    ids = {event.run_id for event in events if event.run_id and event.type not in (v.SIGNED, v.LOG_COMMITTED)}
    assert {section.run_id for section in found} == ids
    assert [section.number for section in found] == list(range(1, len(found) + 1))
    assert told >= len({event.run_id for event in events if event.type == v.RUN_STARTED})
