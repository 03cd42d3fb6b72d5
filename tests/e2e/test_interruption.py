"""A run that is interrupted or killed: the journal says how far it came, and going on or back ends as if nothing had been."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.e2e.driving import (
    ONLY_START,
    Call,
    Tool,
    interrupt,
    pids,
    rag_week,
    rotation,
    unhealthy,
    world,
    write_week,
)
from tests.sandbox_fixture import Sandbox, until

pytestmark = pytest.mark.sandbox


@pytest.fixture
def week(sandbox: Sandbox, tool: Tool) -> Tool:
    write_week(sandbox, rag_week())
    return tool


def is_in_doubt(tool: Tool) -> None:
    seen, code, again = tool.together(("status", "--json"), ("status", "--exit-code"), ("run", "try"))
    status = seen.expect(0).document
    (state,) = (line["state"] for line in status["weeks"] if line["week"] == "try")
    assert state == "in-doubt"
    assert status["lock"] is None
    assert status["next_command"] == "tracseq-migrate resume try"
    code.expect(7)
    refused = again.expect(7)
    assert "`tracseq-migrate resume try`" in refused.err
    assert "`tracseq-migrate rollback try`" in refused.err


def is_proven(sandbox: Sandbox, tool: Tool) -> None:
    seen, chain = tool.together(("status", "--json"), ("log", "verify"))
    chain.expect(0)
    status = seen.expect(0).document
    assert [line["state"] for line in status["weeks"] if line["week"] == "try"] == ["proven"]
    assert status["obligations"] == []
    assert set(rotation(sandbox).values()) == {"UP"}
    assert {
        name: sandbox.routing(name)["feature_flags"]["rag"] for name in sandbox.instances
    } == dict.fromkeys(sandbox.instances, True)
    tool("log", "verify").expect(0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_a_service_is_not_healthy_yet(
    sandbox: Sandbox, tool: Tool, number: signal.Signals
) -> None:
    write_week(sandbox, ONLY_START)
    before = world(sandbox)
    fault = unhealthy(sandbox, "rag")
    with tool.working("run", "try") as call:
        until(lambda: "rag" in pids(sandbox), "rag to run")
        outcome = interrupt(call, number).expect(128 + number)
    assert f"interrupted ({number.name}" in outcome.message
    assert world(sandbox) == before
    is_in_doubt(tool)
    fault.unlink()
    if number == signal.SIGINT:
        tool("resume").expect(0, "try is proven")
    tool("rollback", "try").expect(0)
    assert world(sandbox) == before


def test_interrupted_during_the_flip(sandbox: Sandbox, week: Tool) -> None:
    before, bytes_before = world(sandbox), sandbox.flag_file.read_bytes()
    with week.working("run", "try") as call:
        until(lambda: sandbox.flag_file.read_bytes() != bytes_before, "the flag to be declared")
        interrupt(call).expect(130)
    is_in_doubt(week)
    week("resume").expect(0, "try is proven")
    is_proven(sandbox, week)

    during = sandbox.flag_file.read_bytes()
    with week.working("rollback", "try") as call:
        until(lambda: sandbox.flag_file.read_bytes() != during, "the flag to be taken back")
        # Going back is not broken off by a signal: it comes to its end.
        ended = interrupt(call)
    assert ended.code in (0, 130), ended
    if ended.code:
        week("resume").expect(0)
    assert world(sandbox) == before
    assert week.state("try") == "rolled-back"


Moment = Callable[[Sandbox], object]

MOMENTS: dict[str, Moment] = {
    "the-service-starts": lambda sandbox: "rag" in pids(sandbox),
    "the-flag-is-declared": lambda sandbox: sandbox.flag_file.read_bytes(),
    "an-instance-starts-anew": lambda sandbox: {
        n: p for n, p in pids(sandbox).items() if n in sandbox.instances
    },
    "the-proxy-swaps": lambda sandbox: rotation(sandbox)["gateway-1"] == "UP",
}


def killed_when_it_changes(sandbox: Sandbox, tool: Tool, moment: Moment, *argv: str) -> Call:
    """A call that is killed as soon as something is no longer as it was when the call began."""
    was = moment(sandbox)
    with tool.working(*argv) as call:
        until(lambda: moment(sandbox) != was, "the moment")
        call.send(signal.SIGKILL)
        call.process.wait()
        assert call.process.returncode == -signal.SIGKILL
    return call


# Of every other moment the kill suite has a case (docs/reliability.md).
@pytest.mark.parametrize("moment", ["the-service-starts", "the-flag-is-declared"])
def test_killed_and_resumed(sandbox: Sandbox, week: Tool, moment: str) -> None:
    before = world(sandbox)
    killed_when_it_changes(sandbox, week, MOMENTS[moment], "run", "try")
    is_in_doubt(week)
    if moment == "the-flag-is-declared":
        (owed,) = week("status", "--json").document["obligations"]
        assert "USE_RAG_SERVICE=true" in owed["what"]
    week("resume").expect(0, "try is proven")
    is_proven(sandbox, week)

    if moment == "the-service-starts":
        week("rollback", "try").expect(0)
        assert world(sandbox) == before
        return
    # And killed on the way back, at the same kind of moment.
    killed_when_it_changes(sandbox, week, MOMENTS[moment], "rollback", "try")
    assert week.state("try") == "rolling-back"
    week("run", "try").expect(7)
    again = ("resume",) if moment == "the-proxy-swaps" else ("rollback", "try")
    week(*again).expect(0, "try is rolled-back")
    assert week("status", "--json").document["obligations"] == []
    assert world(sandbox) == before


def test_killed_and_rolled_back(sandbox: Sandbox, week: Tool) -> None:
    before = world(sandbox)
    killed_when_it_changes(sandbox, week, MOMENTS["an-instance-starts-anew"], "run", "try")
    week("rollback", "try").expect(0, "try is rolled-back")
    assert week("status", "--json").document["obligations"] == []
    assert world(sandbox) == before


def test_two_runs_at_once(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, ONLY_START)
    before = world(sandbox)
    fault = unhealthy(sandbox, "rag")
    with tool.working("run", "try") as first:
        first.until_said("start begins")
        second = tool.as_("frank")
        for outcome in second.together(
            ("run", "try"), ("run", "week1", "--yes"), ("resume", "try"), ("rollback", "try")
        ):
            message = outcome.expect(8).message
            assert "erin" in message, message
            assert f"pid {first.pid}" in message, message
            assert "run try" in message, message
        status = second("status", "--json").expect(0).document
        assert [line["state"] for line in status["weeks"] if line["week"] == "try"] == ["running"]
        assert (status["lock"]["person"], status["lock"]["pid"]) == ("erin", first.pid)
        # A signature needs no lock.
        second("approve", "week1", "on-call").expect(0)
        fault.unlink()
        first.end().expect(0, "try is proven")
    tool("rollback", "try").expect(0)
    assert world(sandbox) == before
