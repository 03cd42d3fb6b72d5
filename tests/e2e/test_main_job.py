"""The main job: weeks 1 and 2 there and back, on real processes, by the command line alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.driving import Tool, pids, rag_week, world, write_week
from tests.sandbox_fixture import Sandbox

pytestmark = pytest.mark.sandbox

WEEK1 = {"USE_NOTIFICATION_SERVICE", "USE_STORAGE_SERVICE", "USE_RAG_SERVICE"}


def status_of(tool: Tool) -> dict[str, Any]:
    """What `status --json` says; nothing may have drifted."""
    status = tool("status", "--json").expect(0).document
    assert [line for line in status["flags"] if line["drift"]] == []
    assert isinstance(status, dict)
    return status


def on(status: dict[str, Any]) -> set[str]:
    """The flags that are effective."""
    return {line["flag"] for line in status["flags"] if line["effective"]}


def test_weeks_one_and_two_there_and_back(sandbox: Sandbox, tool: Tool) -> None:
    before = world(sandbox)

    status, plan = tool.together(("status",), ("plan", "week1", "--detailed-exitcode"))
    status.expect(0, "tracseq-migrate plan week1")
    plan.expect(10, "+USE_STORAGE_SERVICE=true")
    assert world(sandbox) == before
    run = tool("run", "week1", "--yes").expect(0, "week1 is proven")
    assert run.err == ""
    seen = status_of(tool)
    assert on(seen) == WEEK1
    assert seen["progress"] == 30
    assert {line["name"] for line in seen["services"] if line["health"] == "pass"} == {
        "monolith",
        "notifications",
        "storage",
        "rag",
    }

    tool("run", "week2", "--yes").expect(0, "week2 is proven")
    both = world(sandbox)
    seen = status_of(tool)
    assert on(seen) == {*WEEK1, "USE_TEMPLATE_SERVICE"}
    assert seen["progress"] == 50
    verified, refused = tool.together(("verify",), ("rollback", "week1"))
    verified.expect(0)
    assert "`tracseq-migrate rollback week2`" in refused.expect(4).err
    assert world(sandbox) == both

    tool("rollback", "week2").expect(0, "week2 is rolled-back")
    assert on(status_of(tool)) == WEEK1
    tool("rollback", "week1").expect(0, "week1 is rolled-back")

    assert world(sandbox) == before
    seen = status_of(tool)
    assert on(seen) == set()
    assert {line["week"]: line["state"] for line in seen["weeks"]} == {
        "week1": "rolled-back",
        "week2": "rolled-back",
        "week3": "never-run",
        "week4": "never-run",
    }
    assert seen["obligations"] == []
    assert seen["lock"] is None

    log = (sandbox.folder / "MIGRATION_LOG.md").read_text("utf-8")
    assert [line.partition(":")[0] for line in log.splitlines() if line.startswith("## ")] == [
        "## 1. run week1",
        "## 2. run week2",
        "## 3. rollback week2",
        "## 4. rollback week1",
    ]
    chain, runs = tool.together(("log", "verify"), ("log", "--json"))
    chain.expect(0, "whole")
    assert [(run["week"], run["action"]) for run in runs.document["runs"]] == [
        ("week1", "run"),
        ("week2", "run"),
        ("week2", "rollback"),
        ("week1", "rollback"),
    ]


def test_a_second_run_changes_nothing_and_rollback_restores_what_was_before_the_first(
    sandbox: Sandbox, tool: Tool
) -> None:
    write_week(sandbox, rag_week())
    before = world(sandbox)
    tool("run", "try").expect(0)
    file = sandbox.flag_file.stat()
    running, after = pids(sandbox), world(sandbox)

    again = tool("run", "try").expect(0, "proven already")

    assert "begin" not in again.out
    now = sandbox.flag_file.stat()
    assert (now.st_ino, now.st_mtime_ns) == (file.st_ino, file.st_mtime_ns)
    assert pids(sandbox) == running
    assert world(sandbox) == after
    tool("rollback", "try").expect(0)
    assert world(sandbox) == before
    tool("rollback", "try").expect(0, "rolled-back already")


def test_one_gateway_without_a_proxy_says_what_the_flip_cost(single: Sandbox) -> None:
    tool = Tool(single.folder)
    before = world(single)
    tool("plan", "week1").expect(0, "requests will fail")

    events = tool("run", "week1", "--yes", "--json").expect(0).events

    flags = next(event for event in events if event["type"] == "step.done" and event["step"] == "flags")
    flip = next(text for text in flags["evidence"] if text.startswith("flipped by supervisor"))
    assert "none failed" not in flip
    assert "longest without an answer" in flip
    # The next one is foretold by what this one cost.
    tool("plan", "week2").expect(0, "the last one took clients")
    tool("rollback", "week1").expect(0)
    assert world(single) == before
