"""The journal is lost, and the weeks are rebuilt from what is so; then they go back as if nothing had been lost."""

from __future__ import annotations

import shutil

import pytest

from tests.e2e.driving import Tool, pids, world
from tests.e2e.standing_still import journal_of
from tests.sandbox_fixture import Sandbox
from tracseq_migrate.journal import chain


def lose(sandbox: Sandbox) -> None:
    shutil.rmtree(sandbox.state.layout.journal)


@pytest.mark.long
def test_after_a_loss_two_weeks_are_adopted_and_go_back(sandbox: Sandbox, tool: Tool) -> None:
    before = world(sandbox)
    tool("run", "week1", "--yes").expect(0)
    lose(sandbox)
    standing, running = world(sandbox), pids(sandbox)
    log = (sandbox.folder / "MIGRATION_LOG.md").read_bytes()

    for command in (["run", "week1", "--yes"], ["resume", "week1"], ["rollback", "week1"]):
        tool(*command).expect(6, "state adopt WEEK", "MIGRATION_LOG.md was rendered up to event")

    tool("state", "adopt", "week2", "--yes").expect(4, "week2 needs week1", "state adopt week1")
    asked = tool("state", "adopt", "week1").expect(4, "would be adopted", "state adopt week1 --yes")
    assert "assumed" in asked.out
    assert not (sandbox.state.layout.journal / "sandbox" / "journal.sqlite3").exists()

    adopted = tool("--json", "state", "adopt", "week1", "--yes").expect(0).document
    assert (adopted["state"], adopted["written"]) == ("proven", True)
    assert {step["found"] for step in adopted["steps"]} == {"done"}
    assert all(step["evidence"] for step in adopted["steps"])
    assert any("cannot be rebuilt" in note for note in adopted["notes"])
    assert (world(sandbox), pids(sandbox)) == (standing, running)  # it only looked

    text = (sandbox.folder / "MIGRATION_LOG.md").read_text()
    assert "adopted from reality by erin" in text
    assert "is kept aside, beside this one" in text
    kept = [path for path in sandbox.folder.glob("MIGRATION_LOG*") if path.name != "MIGRATION_LOG.md"]
    assert [path.read_bytes() for path in kept] == [log]
    assert chain.verify(journal_of(sandbox)).broken is None
    tool("log", "verify").expect(0)
    tool("log").expect(0, "adopt", "proven", "erin")
    tool("verify").expect(0)
    tool("run", "week1", "--yes").expect(0, "verified again")
    tool("state", "adopt", "week1", "--yes").expect(4, "the journal knows week1")
    tool("rollback", "week1").expect(0, "week1 is rolled-back")
    assert world(sandbox) == before


@pytest.mark.long
def test_what_users_wrote_before_the_loss_is_not_left_without_a_word(sandbox: Sandbox, tool: Tool) -> None:
    before = world(sandbox)
    tool("run", "week1", "--yes").expect(0)
    tool("sandbox", "load", "--dir", ".", "--rate", "30", "--for", "2s").expect(0)
    lose(sandbox)
    tool("state", "adopt", "week1", "--yes").expect(0)
    refused = tool("rollback", "week1").expect(4, "would be left on the new side", "--accept-loss")
    tool("rollback", "week1", "--accept-loss").expect(0)
    assert world(sandbox) == before
    (listed,) = (sandbox.state.layout.journal / "sandbox" / "losses").glob("week1-*.jsonl")
    count = len(listed.read_text().splitlines())
    assert f"{count} writes would be left" in refused.err


@pytest.mark.long
def test_a_week_that_is_half_there_goes_on(sandbox: Sandbox, tool: Tool) -> None:
    before = world(sandbox)
    tool("run", "week1", "--yes", "--until", "start").expect(9)
    lose(sandbox)
    adopted = tool("--json", "state", "adopt", "week1", "--yes").expect(0).document
    assert adopted["state"] == "waiting"
    found = {step["step"]: step["found"] for step in adopted["steps"]}
    assert (found["start"], found["flags"], found["rag-proof"]) == ("done", "not done", "not done")
    tool("resume", "week1").expect(4, "approve week1 on-call")
    tool("run", "week1", "--yes").expect(0, "week1 is proven")
    tool("rollback", "week1").expect(0)
    assert world(sandbox) == before


def test_nothing_there_is_nothing_adopted(sandbox: Sandbox, tool: Tool) -> None:
    before = world(sandbox)
    tool("state", "adopt", "week1", "--yes").expect(4, "nothing of week1 is in force", "never-run")
    sandbox.stop("gateway-2")
    tool("state", "adopt", "week1", "--yes").expect(1, "gateway-2", "Nothing was journaled")
    sandbox.start("gateway-2")
    assert world(sandbox).flag_bytes == before.flag_bytes
    assert not (sandbox.state.layout.journal / "sandbox" / "journal.sqlite3").exists()
