"""What people sign: by whom, with what evidence, until when, for which plan; and what is printed where nobody can be asked."""

from __future__ import annotations

from signal import SIGINT
from typing import Any

import pytest

from tests.operations.world import PLANS, Outcome, World, program
from tracseq_migrate.adapters.memory.http import Request
from tracseq_migrate.adapters.memory.people import MemoryAsker
from tracseq_migrate.errors import Interrupted, NotAllowed, UsageError
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.operations.observer import CheckDone
from tracseq_migrate.ports import Holder, Unreachable

BACKUP = {"id": "backup", "ask": "A backup was restored", "evidence": "required"}
TOLD = {"id": "told", "ask": "Users were told", "evidence": "none", "yes": True}
BOTH = {"id": "both", "ask": "Two of us looked", "approvals": 2}
SHIFT = {"id": "shift", "ask": "Somebody is on call", "expires": "12h"}


def _world(*items: dict[str, Any]) -> World:
    world = World()
    world.plan("week9", program("p"), checklist=list(items))
    return world


def _run(world: World, *, yes: bool = False, **confirm: str) -> Outcome:
    return world.run("week9", assume_yes=yes, confirm=confirm)


def test_where_nobody_can_be_asked_the_exact_commands_are_printed() -> None:
    world = _world(BACKUP, TOLD, BOTH, SHIFT)
    start = world.snapshot()
    ended = _run(world)
    assert ended.code == 4
    for command in (
        '`tracseq-migrate approve week9 backup --evidence "..."`',
        "`tracseq-migrate approve week9 told`",
        "`tracseq-migrate approve week9 both`",
        "`tracseq-migrate approve week9 shift`",
        "`tracseq-migrate run week9`",
    ):
        assert command in ended.text
    assert world.snapshot() == start
    assert not world.journal.events
    assert not world.asker.asked


def test_what_is_printed_is_enough() -> None:
    world = _world(BACKUP, TOLD)
    assert _run(world).code == 4
    assert (
        world.approve("week9", "backup", evidence="dump 7").next_command
        == "tracseq-migrate approve week9 told"
    )
    assert world.approve("week9", "told").next_command == "tracseq-migrate run week9"
    assert _run(world).code == 0


def test_confirm_signs_as_oneself() -> None:
    world = _world(BACKUP, SHIFT)
    assert _run(world, backup="dump 7").code == 4
    assert _run(world, shift="").code == 0  # the other signature was kept
    signed = [event.data for event in world.journal.events if event.type == v.SIGNED]
    assert [(data["item"], data["person"], data["evidence"]) for data in signed] == [
        ("backup", "ada", "dump 7"),
        ("shift", "ada", ""),
    ]


def test_confirm_of_an_item_that_there_is_not() -> None:
    world = _world(BACKUP)
    ended = _run(world, bakcup="dump")
    assert ended.code == 2
    assert "backup" in ended.text


@pytest.mark.parametrize("evidence", ["", "   "])
def test_evidence_that_is_required_must_be_given(evidence: str) -> None:
    world = _world(BACKUP)
    ended = _run(world, backup=evidence)
    assert ended.code == 4
    assert "--evidence" in ended.text
    with pytest.raises(NotAllowed):
        world.approve("week9", "backup", evidence=evidence)
    assert not world.journal.events


def test_yes_answers_what_the_plan_lets_it_answer_and_nothing_else() -> None:
    world = _world(TOLD, SHIFT)
    ended = _run(world, yes=True)
    assert ended.code == 4
    assert "approve week9 shift" in ended.text
    assert "approve week9 told" not in ended.text


def test_two_approvals_are_two_people() -> None:
    world = _world(BOTH)
    first = world.approve("week9", "both")
    assert [line.id for line in first.still_open] == ["both"]
    assert "1 more must sign, and not the same person" in first.still_open[0].detail
    with pytest.raises(NotAllowed, match="you have signed both already; 2 different people must"):
        world.approve("week9", "both", by="grace")  # the same person by another name
    assert _run(world, both="me again").code == 4
    world.identity.name = "grace"
    assert not world.approve("week9", "both").still_open
    assert _run(world).code == 0


def test_a_name_that_was_claimed_stands_beside_the_identity() -> None:
    world = _world(SHIFT)
    world.approve("week9", "shift", by="Dr. Hopper")
    (event,) = world.journal.events
    assert (event.data["person"], event.data["person_from"], event.data["claimed"]) == (
        "ada",
        "variable",
        "Dr. Hopper",
    )


def test_a_signature_expires() -> None:
    world = _world(SHIFT)
    world.approve("week9", "shift")
    world.clock.forward(12 * 3600 - 1)
    assert world.status().next_command
    assert _run(world, shift="").code == 0
    world.rollback("week9")
    world.approve("week9", "shift")
    world.clock.forward(12 * 3600)
    ended = _run(world)
    assert ended.code == 4
    assert "expired" in ended.text


def test_an_edited_plan_voids_signatures() -> None:
    world = _world(SHIFT)
    world.approve("week9", "shift")
    world.plan("week9", program("p"), program("q"), checklist=[SHIFT])
    ended = _run(world)
    assert ended.code == 4
    assert "edited after it was signed" in ended.text


def test_another_environment_voids_signatures() -> None:
    world = _world(SHIFT)
    world.approve("week9", "shift")
    world.environment["gateway"] = "production"
    assert _run(world).code == 4


def test_white_space_voids_nothing() -> None:
    world = _world(SHIFT)
    world.approve("week9", "shift")
    world.files.bodies[PLANS / "week9.yaml"] += b"\n\n# a comment\n"
    assert _run(world).code == 0


def test_a_rollback_asks_for_new_approvals() -> None:
    world = _world(SHIFT)
    world.approve("week9", "shift")
    assert _run(world).code == 0
    assert world.rollback("week9").code == 0
    assert _run(world).code == 4


def test_a_person_at_a_terminal_is_asked_item_by_item() -> None:
    world = _world(BACKUP, TOLD, SHIFT)
    world.asker = MemoryAsker([True, "dump 7", True, True, ""])
    assert _run(world).code == 0
    assert world.asker.asked == [
        "backup: A backup was restored?",
        "evidence (required): ",
        "told: Users were told?",
        "shift: Somebody is on call?",
        "evidence (may be empty): ",
    ]


def test_a_no_at_the_terminal_is_a_no() -> None:
    world = _world(TOLD, SHIFT)
    start = world.snapshot()
    world.asker = MemoryAsker([True, False])
    ended = _run(world)
    assert ended.code == 12
    assert "Somebody is on call" in ended.text
    assert world.snapshot() == start
    assert world.week("week9").status is WeekStatus.NEVER_RUN


@pytest.mark.parametrize(("answered", "kept"), [(0, 0), (1, 1)])
def test_a_signal_instead_of_an_answer_changes_nothing_and_says_what_to_type(
    answered: int, kept: int
) -> None:
    world = _world(TOLD, SHIFT)
    start = world.snapshot()

    class Impatient(MemoryAsker):
        def confirm(self, question: str) -> bool:
            if len(self.asked) == answered:
                raise Interrupted(SIGINT, state="The question was not answered.")
            return super().confirm(question)

    world.asker = Impatient([True])
    ended = _run(world)
    assert ended.code == 130
    assert "Nothing was changed" in ended.text
    assert ("what you signed before (1) stays signed" in ended.text) is bool(kept)
    assert "`tracseq-migrate run week9` asks again" in ended.text
    assert world.snapshot() == start
    assert len(world.week("week9").signatures) == kept


def test_a_required_evidence_that_is_left_empty_at_the_terminal_is_asked_for_again() -> None:
    world = _world(BACKUP)
    world.asker = MemoryAsker([True, "", "  ", "dump 7"])
    assert _run(world).code == 0
    assert world.asker.asked[1:] == ["evidence (required): "] * 3


def test_the_terminal_does_not_ask_one_person_for_two_signatures() -> None:
    world = _world(BOTH)
    world.asker = MemoryAsker([True, ""])
    ended = _run(world)
    assert ended.code == 4
    assert world.asker.asked == ["both: Two of us looked?", "evidence (may be empty): "]
    world.asker = MemoryAsker([])
    assert _run(world).code == 4
    assert not world.asker.asked


def test_what_cannot_be_approved() -> None:
    world = _world(SHIFT)
    with pytest.raises(UsageError, match="shift"):
        world.approve("week9", "shfit")
    assert _run(world, shift="").code == 0
    run_id = world.week("week9").run_id
    world.journal.append(
        [v.run_finished("week9", run_id, outcome=WeekStatus.COMPLETED)], epoch=None, at=world.clock.now()
    )
    with pytest.raises(NotAllowed):
        world.approve("week9", "shift")


def test_approving_needs_no_lease() -> None:
    world = _world(SHIFT)
    world.lease.acquire(Holder("x", "grace", "other", 1, "run week1"), timeout=0)
    assert not world.approve("week9", "shift").still_open


# Preflight


def test_only_a_pass_passes() -> None:
    """What fails and what cannot be asked are told apart, and neither passes; all of them are named at once."""
    world = World()
    world.plan(
        "week9",
        {"id": "up", "services": {"up": ["storage"]}},
        {"id": "on", "flags": {"set": {"USE_STORAGE_SERVICE": True}, "writes": "stranded"}},
        preflight=[
            {"http": {"target": "gateway", "path": "/health"}},
            {"http": {"target": "rag", "path": "/health"}},
            {"http": {"target": "monolith", "path": "/health", "expect": {"status": 204}}},
        ],
    )
    world.services.unreachable["storage"] = "the supervisor is gone"

    def silent(request: Request) -> None:
        if request.target == "storage":
            raise Unreachable("GET /health (storage)", "no answer in time")

    world.on_request = silent
    world.gateway.unknown.add("USE_STORAGE_SERVICE")
    start = world.snapshot()
    ended = world.run("week9")
    assert ended.code == 4
    checks = {note.id: note.verdict for note in world.notes if isinstance(note, CheckDone)}
    verdicts = {name: verdict for name, verdict in checks.items() if name.startswith("preflight")}
    assert verdicts == {"preflight-1": "pass", "preflight-2": "unknown", "preflight-3": "fail"}
    for text in ("status 200, not 204", "the supervisor is gone", "does not know USE_STORAGE_SERVICE"):
        assert text in ended.text
    assert world.snapshot() == start
    assert not world.journal.events


def test_a_value_that_the_gateway_would_not_start_with_is_found_before() -> None:
    world = World()
    assert world.flags.text is not None
    world.flags.text += "USE_STORAGE_SERVICE=maybe\n"
    start = world.snapshot()
    ended = world.run("week1")
    assert ended.code == 4
    assert "maybe" in ended.text
    assert world.snapshot() == start


def test_the_entry_that_wins_is_the_one_that_is_changed() -> None:
    world = World()
    assert world.flags.text is not None
    world.flags.text += "FEATURE_FLAGS__USE_STORAGE_SERVICE=false\n"
    before = world.flags.text
    assert world.run("week1").code == 0
    assert "FEATURE_FLAGS__USE_STORAGE_SERVICE=true" in world.flags.text
    assert world.rollback("week1").code == 0
    assert world.flags.text == before


def test_a_gateway_that_does_not_follow_the_file_is_found_before() -> None:
    world = World()
    world.gateway.effective["gateway-1"]["USE_RAG_SERVICE"] = True
    ended = world.run("week1")
    assert ended.code == 4
    assert "does not follow flags.env" in ended.text


def test_an_instance_out_of_rotation_is_found_before() -> None:
    world = World()
    world.proxy.rotation = frozenset({"gateway-1"})
    ended = world.run("week1")
    assert ended.code == 4
    assert "gateway-2" in ended.text
