"""Two and more at once, in a real sandbox: holders that stand still, people who only look, and the lock taken away."""

from __future__ import annotations

import signal
import threading

import pytest

from tests.e2e.driving import Outcome, Tool, world
from tests.e2e.standing_still import SHORT, all_of_it, journal_of, set_lease, stop_and_overtake
from tests.sandbox_fixture import Sandbox
from tracseq_migrate.journal import chain
from tracseq_migrate.journal import vocabulary as v


def test_one_that_stood_still_can_change_nothing_any_more(sandbox: Sandbox, tool: Tool) -> None:
    before = world(sandbox)
    set_lease(sandbox, SHORT)
    assert stop_and_overtake(sandbox, "bringing instances up") == "was fenced"
    events = journal_of(sandbox)
    assert chain.verify(events).broken is None
    assert [e.data["person"] for e in events if e.type in (v.RUN_STARTED, v.RUN_RESUMED)] == ["ada", "grace"]
    tool("verify").expect(0)
    tool("rollback", "week1").expect(0)
    assert world(sandbox) == before


@pytest.mark.long
def test_who_only_looks_disturbs_no_run_and_can_sign(sandbox: Sandbox, tool: Tool) -> None:
    ended = threading.Event()
    looks: list[Outcome] = []

    def look(*argv: str) -> None:
        while not ended.is_set():
            looks.append(tool(*argv))

    commands = [
        ("status", "--json"),
        ("plan", "week2"),
        ("log",),
        ("log", "verify"),
        ("verify",),
        ("lock", "show", "--json"),
        ("approve", "week1", "on-call", "--evidence", "grace is"),
    ]
    with tool.working("run", "week1", "--yes") as run:
        run.until_said("step ")
        lookers = [threading.Thread(target=look, args=argv) for argv in commands]
        for looker in lookers:
            looker.start()
        outcome = run.end()
        ended.set()
        for looker in lookers:
            looker.join()
    outcome.expect(0, "week1 is proven")
    assert len(looks) >= len(commands)
    for each in looks:
        # `verify` may find a step in the middle of its work, and says so.
        assert each.code in ((0, 7, 11) if each.argv[0] == "verify" else (0,)), each
        assert "Traceback" not in each.err
        assert "busy" not in each.err + each.out, each
    assert all(each.document["held"] in (True, False) for each in looks if each.argv[0] == "lock")
    events = journal_of(sandbox)
    assert chain.verify(events).broken is None
    signed = [e for e in events if e.type == v.SIGNED and e.data["evidence"] == "grace is"]
    assert len(signed) == sum(each.argv[0] == "approve" for each in looks)
    assert not any(e.type in (v.FAILED, v.ROLLBACK_STARTED) for e in events)
    tool("rollback", "week1").expect(0)


@pytest.mark.long
def test_the_lock_is_shown_waited_for_and_taken_away(sandbox: Sandbox, tool: Tool) -> None:
    before = world(sandbox)
    set_lease(sandbox, "1h")
    ada, grace = tool.as_("ada"), tool.as_("grace")
    free = grace("lock", "show").expect(0, "free").out
    assert "holder id" not in free
    with ada.working("-v", "run", "week1", "--yes") as first:
        first.until_said("starting storage")
        first.send(signal.SIGSTOP)
        shown = grace("lock", "show", "--json").expect(0).document
        assert (shown["held"], shown["person"], shown["pid"]) == (True, "ada", first.pid)
        assert shown["life"] == "alive"
        assert f"process {first.pid} is stopped" in shown["how"]
        assert shown["command"] == "tracseq-migrate -v run week1 --yes"
        grace("lock", "show").expect(0, "held", "by ada", shown["holder_id"], f"pid {first.pid}")

        for command in (["run"], ["resume"], ["rollback"]):
            grace(*command, "week1").expect(8, "ada", f"pid {first.pid}")
        grace("resume", "week1", "--lock-timeout", "300ms").expect(8, "ada", "waited 0.3 s")
        with grace.working("rollback", "week1", "--lock-timeout", "10m") as waiting:
            waiting.until_said("lock    another run holds the lock: ada")
            waiting.send(signal.SIGINT)
            waiting.end().expect(130, "waiting for the lock")

        grace("lock", "release", "00000000", "--yes").expect(4, shown["holder_id"], "ada")
        grace("lock", "release", shown["holder_id"], "--yes").expect(4, "lives, but is stopped", "--force")
        forced = ("lock", "release", shown["holder_id"], "--force", "--reason", "it stands still")
        grace(*forced).expect(4, "nobody is here to be asked", "--reason 'it stands still' --yes")
        taken = grace(*forced, "--yes")
        taken.expect(0, "released", "ada", "week1 is in-doubt", "tracseq-migrate resume week1")
        grace("lock", "show").expect(0, "free")
        grace("resume", "week1").expect(0, "week1 is proven")
        then = all_of_it(sandbox)
        first.send(signal.SIGCONT)
        first.end().expect(8, "grace", "no longer holds the lock")
    assert all_of_it(sandbox) == then
    log = (sandbox.folder / "MIGRATION_LOG.md").read_text()
    assert "the lock of ada was taken away: it stands still by grace" in log
    tool("rollback", "week1").expect(0)
    assert world(sandbox) == before
