"""The faults of the real gateway: each ends as promised, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.e2e.driving import Outcome, World, rag_week, tool_of, world, write_week
from tests.sandbox_fixture import Sandbox, bring_up, take_down
from tracseq_migrate.sandbox.gateway.flags import FLAGS

pytestmark = pytest.mark.sandbox


@dataclass(frozen=True)
class Case:
    """A fault: with what gateway, how a run ends, and what it says."""

    fault: str
    gateway: str
    code: int
    says: tuple[str, ...]


CASES = {
    case.fault.partition("=")[0]: case
    for case in (
        Case("strict-env", "single", 5, ("Extra inputs are not permitted", "gateway-1")),
        Case("env-shadow", "proxy", 5, ("has USE_RAG_SERVICE off, not on", "the process's own environment")),
        Case("stuck-flag", "single", 5, ("has USE_RAG_SERVICE off, not on", "does not follow it")),
        Case("slow-start=3", "proxy", 0, ("try is proven",)),
        Case("unknown-flag", "single", 4, ("does not know USE_RAG_SERVICE", "update the gateway")),
        Case("one-map", "single", 4, ("in feature_flags only", "would not route by it")),
    )
}


@dataclass(frozen=True)
class Tried:
    """A run against a gateway with a fault, and the way back where it stands: what was said, and what it left."""

    run: Outcome
    state: str
    before: World
    after: World
    chain: Outcome


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Tried]]:
    """Every fault in a sandbox of its own, tried side by side: most of it is waiting."""
    folders = {name: tmp_path_factory.mktemp(name) for name in CASES}

    def one(name: str) -> Tried:
        case = CASES[name]
        return attempt(
            bring_up(folders[name], users=0, gateway=case.gateway, gateway_faults=(case.fault,)), case
        )

    with ThreadPoolExecutor(3) as pool:
        try:
            yield dict(zip(CASES, pool.map(one, CASES), strict=True))
        finally:
            list(pool.map(take_down, folders.values()))


def attempt(sandbox: Sandbox, case: Case) -> Tried:
    tool = tool_of(sandbox)
    flag, service = "USE_RAG_SERVICE", "rag"
    if case.fault == "one-map":
        flag, service = one_of_one_map(sandbox)
    plan = rag_week().replace("USE_RAG_SERVICE", flag).replace("rag", service)
    write_week(sandbox, plan.replace("writes: none", "writes: stranded"))
    before = world(sandbox)
    run = tool("run", "try")
    state = tool.state("try")
    if run.code == 0:
        tool("rollback", "try").expect(0)
    return Tried(run, state, before, world(sandbox), tool("log", "verify"))


def one_of_one_map(sandbox: Sandbox) -> tuple[str, str]:
    """A flag that this gateway has in one map only, and its service."""
    answer = sandbox.routing("gateway-1")
    keys = answer["feature_flags"].keys() - answer["routing_configuration"]["microservices"].keys()
    flags = {flag.key: flag for flag in FLAGS}
    return next((flags[key].variable, flags[key].service) for key in sorted(keys))


@pytest.mark.parametrize("fault", CASES)
def test_a_run_against_a_gateway_with_a_fault(tried: dict[str, Tried], fault: str) -> None:
    case, seen = CASES[fault], tried[fault]
    seen.run.expect(case.code, *case.says)
    if case.code:
        assert seen.run.message.count("\n") < 14, seen.run
    assert seen.state == {0: "proven", 4: "never-run", 5: "rolled-back"}[case.code]
    assert seen.after == seen.before
    seen.chain.expect(0)
