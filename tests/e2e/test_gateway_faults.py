"""The faults of the real gateway: each ends as promised, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.e2e.driving import rag_week, tool_of, world, write_week
from tests.sandbox_fixture import Sandbox, bring_up, take_down

pytestmark = pytest.mark.sandbox


@dataclass(frozen=True)
class Case:
    """A fault: with what gateway, how a run of ``flag``'s week ends, and what it says."""

    fault: str
    gateway: str
    code: int
    says: tuple[str, ...]
    flag: str = "USE_RAG_SERVICE"


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


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sandbox]]:
    """A sandbox with each fault, brought up side by side."""
    folders = {name: tmp_path_factory.mktemp(name) for name in CASES}

    def up(name: str) -> Sandbox:
        case = CASES[name]
        return bring_up(folders[name], users=0, gateway=case.gateway, gateway_faults=(case.fault,))

    with ThreadPoolExecutor(3) as pool:
        try:
            yield dict(zip(CASES, pool.map(up, CASES), strict=True))
        finally:
            list(pool.map(take_down, folders.values()))


def one_of_one_map(sandbox: Sandbox) -> str:
    """A flag that this gateway has in one map only."""
    answer = sandbox.routing("gateway-1")
    keys = answer["feature_flags"].keys() - answer["routing_configuration"]["microservices"].keys()
    assert keys, answer
    return "USE_SPREADSHEET_SERVICE" if "spreadsheet" in keys else f"USE_{sorted(keys)[0].upper()}_SERVICE"


@pytest.mark.parametrize("fault", CASES)
def test_a_run_against_a_gateway_with_a_fault(faulty: dict[str, Sandbox], fault: str) -> None:
    sandbox, case = faulty[fault], CASES[fault]
    tool = tool_of(sandbox)
    plan = rag_week()
    if fault == "one-map":
        flag = one_of_one_map(sandbox)
        service = {"USE_SPREADSHEET_SERVICE": "spreadsheets"}.get(flag, flag.split("_")[1].lower())
        plan = plan.replace("USE_RAG_SERVICE", flag).replace("[rag]", f"[{service}]")
        plan = plan.replace("writes: none", "writes: stranded")
        plan = plan.replace("/api/rag, answered_by: rag", f"/api/{service}, answered_by: {service}")
    write_week(sandbox, plan)
    before = world(sandbox)

    done = tool("run", "try").expect(case.code, *case.says)

    if case.code:
        assert done.message.count("\n") < 14, done
        assert tool.state("try") == ("rolled-back" if case.code == 5 else "never-run")
    else:
        tool("rollback", "try").expect(0)
    assert world(sandbox) == before
    tool("log", "verify").expect(0)
