"""Journals for the tests of the log: a told one, and any that hypothesis can think of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from tracseq_migrate.journal import chain
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.ports import Draft, Event, Person

BEGIN = datetime(2026, 11, 23, 15, 0, 0, tzinfo=UTC)
ADA = Person("ada", "system")
DIGEST = "d1" * 32
PLAN = {
    "steps": [
        {"id": "start", "title": "Start services", "services": {"up": ["rag"]}},
        {"parallel": [{"id": "one", "title": "Prove one"}, {"id": "two"}]},
    ]
}


def journal(drafts: Iterable[Draft]) -> list[Event]:
    """The drafts as a chain, a second apart."""
    events: list[Event] = []
    for number, draft in enumerate(drafts, 1):
        previous = events[-1].hash if events else chain.GENESIS
        events.append(chain.seal(draft, number, BEGIN + timedelta(seconds=number), previous))
    return events


def started(week: str, run_id: str, digest: str = DIGEST) -> Draft:
    return v.run_started(
        week,
        run_id,
        title="Notifications, storage, RAG",
        plan=PLAN,
        digest=digest,
        person=ADA,
        command=f"tracseq-migrate run {week}",
        environment="sandbox",
        version="0.1.0",
    )


def signed(
    week: str, item: str = "backup", digest: str = DIGEST, expires: str = "", evidence: str = ""
) -> Draft:
    return v.signed(
        week,
        item=item,
        ask="A backup was taken",
        digest=digest,
        person=ADA,
        claimed="grace",
        evidence=evidence,
        expires=expires,
    )


def intent(week: str, run_id: str, step: str, attempt: int = 1) -> Draft:
    return v.intent(
        week, run_id, step, kind="services", title="", effect="reversible", undo={}, attempt=attempt
    )


def verified(week: str, run_id: str, step: str, *texts: str) -> Draft:
    return v.verified(
        week, run_id, step, evidence=[{"text": text, "data": {}} for text in texts], seconds=1.25
    )


def failed(week: str, run_id: str, step: str, *, attempt: int = 1, unknown: bool = False) -> Draft:
    return v.failed(
        week, run_id, step, error="the monolith answered", hint="look", unknown=unknown, attempt=attempt
    )


def back(week: str, run_id: str, *, of: str, automatic: bool, to: str = "") -> Draft:
    return v.rollback_started(
        week,
        run_id,
        of=of,
        reason="step one failed" if automatic else "asked for",
        automatic=automatic,
        to=to,
        person=ADA,
        command=f"tracseq-migrate rollback {week}",
        version="0.1.0",
    )


def reverted(week: str, run_id: str, step: str) -> Draft:
    return v.reverted(week, run_id, step, evidence=[{"text": "it is stopped", "data": {}}], seconds=0.5)


TOLD = journal(
    [
        signed("week1", evidence="dump 1"),
        started("week1", "R1"),
        v.checked(
            "week1", "R1", results=[{"id": "gw", "title": "Ask it", "verdict": "pass", "detail": "200"}]
        ),
        intent("week1", "R1", "start"),
        v.applied("week1", "R1", "start"),
        verified("week1", "R1", "start", "rag runs", "it answers"),
        intent("week1", "R1", "one"),
        failed("week1", "R1", "one", unknown=True),
        back("week1", "R1", of="R1", automatic=True),
        v.reverting("week1", "R1", "start"),
        v.loss_accepted(
            "week1", "R1", "start", file="l.json", digest="e" * 64, count=3, summary=["zones: 3"]
        ),
        reverted("week1", "R1", "start"),
        v.rollback_finished("week1", "R1", outcome="rolled-back", left=[]),
        v.log_committed("week1", "R1", commit="abc", why_not=""),
        signed("week1", evidence="dump 2"),
        started("week1", "R2"),
        intent("week1", "R2", "start"),
        v.obligation_opened(
            "week1", "R2", "start", name="reload", what="reload the gateway", ends="when both agree"
        ),
        v.run_interrupted("week1", "R2", signal=2),
        v.run_resumed("week1", "R2", person=ADA, command="tracseq-migrate resume week1", direction="forward"),
        v.probed("week1", "R2", "start", found="done", detail="it runs", safe="either"),
        v.obligation_closed("week1", "R2", "start", name="reload"),
        verified("week1", "R2", "start", "rag runs"),
        v.waiting("week1", "R2", "two", on="a person", until="", next_command="run"),
        v.run_finished("week1", "R2", outcome="proven"),
        back("week1", "B1", of="R2", automatic=False, to="start"),
        reverted("week1", "B1", "two"),
        v.revert_failed("week1", "B1", "start", error="it hangs", hint="kill it"),
        v.rollback_finished("week1", "B1", outcome="residue", left=["start: it hangs"]),
    ]
)


def _of_run(week: str, run_id: str, step: str, text: str) -> list[Draft]:
    """One of each event that belongs to an execution."""
    other = "week2" if week == "week1" else "week1"
    return [
        started(week, run_id),
        v.run_resumed(week, run_id, person=ADA, command=text, direction="forward"),
        v.run_resumed(week, run_id, person=ADA, command=text, direction="backward"),
        v.run_paused(week, run_id, after=step, why=text, next_command="run"),
        v.run_interrupted(week, run_id, signal=15),
        v.run_finished(week, run_id, outcome="proven"),
        v.run_finished(week, run_id, outcome="soaking"),
        v.checked(week, run_id, results=[{"id": step, "title": text, "verdict": "unknown", "detail": text}]),
        signed(week, step, evidence=text),
        signed(week, step, expires=chain.stamp(BEGIN + timedelta(seconds=5))),
        signed(other, step, digest="ff" * 32),
        intent(week, run_id, step),
        v.checkpoint(week, run_id, step, name=text, data={}, direction="either"),
        v.applied(week, run_id, step),
        verified(week, run_id, step, text),
        v.waiting(week, run_id, step, on=text, until="", next_command="run"),
        failed(week, run_id, step),
        v.probed(week, run_id, step, found="done", detail=text, safe="either"),
        v.reverting(week, run_id, step),
        reverted(week, run_id, step),
        v.revert_failed(week, run_id, step, error=text, hint=""),
        back(week, run_id, of=run_id, automatic=True),
        back(week, f"B{run_id}", of=run_id, automatic=False),
        v.rollback_finished(week, run_id, outcome="rolled-back", left=[]),
        v.rollback_finished(week, run_id, outcome="residue", left=[text]),
        v.rollback_finished(week, f"B{run_id}", outcome="waiting", left=[]),
        v.obligation_opened(week, run_id, step, name="n", what=text, ends=text),
        v.obligation_closed(week, run_id, step, name="n"),
        v.loss_accepted(week, run_id, step, file=text, digest="e" * 64, count=1, summary=[text]),
        v.log_committed(week, run_id, commit="abc", why_not=""),
        Draft("of.a.later.version", week, run_id, step, {"x": text}),
        Draft("of.a.later.version", week, "", "", {"x": text}),
    ]


ANY_DRAFT = st.builds(
    lambda week, run, step, text, which: (drafts := _of_run(week, run, step, text))[which % len(drafts)],
    st.sampled_from(["week1", "week2"]),
    st.sampled_from(["R1", "R2", "R3"]),
    st.sampled_from(["start", "one", "two"]),
    st.sampled_from(["words", "## x\n| <!-- |", "**"]),
    st.integers(0, 1000),
)
ANY_JOURNAL = st.lists(ANY_DRAFT, max_size=30).map(journal)
