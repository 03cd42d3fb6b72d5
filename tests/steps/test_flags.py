"""Kind ``flags``, where it gets difficult: the transaction breaks at each of its moves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operations.world import FLAG_FILE, INSTANCES, World
from tests.steps.bench import Bench
from tracseq_migrate.adapters.memory.http import Request
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import ServiceState
from tracseq_migrate.routing.flip import OWED, SWITCHING
from tracseq_migrate.step import Found, LossRefused
from tracseq_migrate.steps.flags import FlagsStep

STEP = {"flags": {"set": {"USE_STORAGE_SERVICE": True}, "writes": "stranded"}, "timeout": "60s"}


def _bench(step: dict[str, Any] = STEP, **how: Any) -> Bench:
    world = World(**how)
    world.services.states["storage"] = world.services.states["rag"] = ServiceState.RUNNING
    return Bench(world, step)


def test_what_is_measured_and_seen() -> None:
    bench = _bench()
    bench.prepare()
    assert bench.undo["values"] == {"USE_STORAGE_SERVICE": "false"}
    assert bench.undo["effective"] == {"USE_STORAGE_SERVICE": False}
    assert bench.apply() is None
    evidence = bench.verify()
    assert "readings on fresh connections agree" in evidence[0].text
    assert "answered by storage" in evidence[1].text
    assert bench.checkpoints == ["declared", SWITCHING]
    assert bench.world.prober.started


@pytest.mark.parametrize("strategy", ["proxy", "supervisor"])
def test_bytes_come_back_to_the_letter(strategy: str) -> None:
    bench = _bench(strategy=strategy)
    bench.there()
    assert bench.world.flags.text == FLAG_FILE.replace(
        "USE_STORAGE_SERVICE=false", "USE_STORAGE_SERVICE=true"
    )
    bench.back()
    assert bench.world.flags.text == FLAG_FILE


def test_a_flag_that_was_not_there_is_gone_again() -> None:
    bench = _bench()
    text = FLAG_FILE.replace("USE_STORAGE_SERVICE=false  # the freezers\n", "")
    bench.world.flags.text = text
    bench.there()
    assert bench.world.flags.text == text + "USE_STORAGE_SERVICE=true\n"
    bench.back()
    assert bench.world.flags.text == text


def test_a_flag_that_was_on_already_stays_on() -> None:
    bench = _bench()
    world = bench.world
    world.flags.text = FLAG_FILE.replace("USE_STORAGE_SERVICE=false", "USE_STORAGE_SERVICE=yes")
    for name in INSTANCES:
        world.gateway.reload(name)
    before = world.flags.text
    bench.there()
    assert "USE_STORAGE_SERVICE=true" in (world.flags.text or "")
    bench.back()
    assert world.flags.text == before
    assert world.effective("USE_STORAGE_SERVICE") == [True, True]


def test_a_plan_turns_no_flag_off() -> None:
    (finding,) = FlagsStep.model_validate({"set": {"USE_STORAGE_SERVICE": False}}).findings()
    assert "it turns USE_STORAGE_SERVICE off, which would hide what was written" in finding


def _silent(bench: Bench) -> None:
    bench.world.gateway.down["gateway-2"] = "it is down"


def _contrary(bench: Bench) -> None:
    bench.world.gateway.effective["gateway-2"]["USE_STORAGE_SERVICE"] = True


def _ignorant(bench: Bench) -> None:
    bench.world.gateway.unknown.add("USE_STORAGE_SERVICE")


def _uncounted(bench: Bench) -> None:
    bench.world.databases.down["storage"] = "row security"


def _missing(bench: Bench) -> None:
    bench.world.flags.text = None


@pytest.mark.parametrize(
    ("bend", "said"),
    [
        (_silent, "cannot be asked what is effective"),
        (_contrary, "the instances disagree"),
        (_ignorant, "does not know USE_STORAGE_SERVICE"),
        (_uncounted, "row security"),
        (_missing, "does not exist"),
    ],
)
def test_what_to_go_back_to_must_be_known_before_anything(bend: Any, said: str) -> None:
    bench = _bench()
    bend(bench)
    before = bench.world.snapshot()
    with pytest.raises(StepFailed, match=said):
        bench.prepare()
    assert bench.world.snapshot() == before


def test_somebody_else_writes_the_file_meanwhile() -> None:
    bench = _bench()
    world = bench.world
    bench.prepare()
    real = world.flags.preview

    def preview(entries: Any) -> Any:
        change = real(entries)
        world.flags.text = (world.flags.text or "") + "THEIRS=1\n"
        return change

    world.flags.preview = preview  # type: ignore[method-assign]  # between reading and writing
    with pytest.raises(StepFailed, match="changed by somebody else"):
        bench.apply()
    assert world.flags.text == FLAG_FILE + "THEIRS=1\n"
    world.flags.preview = real  # type: ignore[method-assign]
    bench.back()
    assert world.flags.text == FLAG_FILE + "THEIRS=1\n"
    assert bench.owed == []


def test_a_service_that_does_not_answer_through_a_prepared_instance_gets_no_clients() -> None:
    bench = _bench()
    world = bench.world
    bench.prepare()
    world.broken["storage"] = 500
    with pytest.raises(StepFailed, match="with an error"):
        bench.apply()
    assert world.proxy.rotation == {"gateway-1"}
    assert world.gateway.effective["gateway-1"]["USE_STORAGE_SERVICE"] is False
    assert SWITCHING not in bench.checkpoints
    assert bench.owed == [OWED]
    bench.back()
    assert world.proxy.rotation == frozenset(INSTANCES)
    assert world.flags.text == FLAG_FILE
    assert bench.owed == []


def test_the_effective_flag_counts_and_not_the_declared_one() -> None:
    bench = _bench()
    world = bench.world
    world.stuck.add("USE_STORAGE_SERVICE")
    bench.prepare()
    with pytest.raises(StepFailed, match="off, not on") as caught:
        bench.apply()
    assert "own environment" in caught.value.hint
    bench.back()
    assert world.flags.text == FLAG_FILE


def test_verify_sees_a_file_that_was_edited_although_the_gateway_still_follows() -> None:
    bench = _bench()
    bench.there()
    bench.world.flags.text = FLAG_FILE
    with pytest.raises(StepFailed, match=r"flags\.env says false"):
        bench.verify(settled=True)


def test_verify_sees_an_instance_out_of_rotation() -> None:
    bench = _bench()
    bench.there()
    bench.world.proxy.rotation = frozenset({"gateway-1"})
    with pytest.raises(StepFailed, match="gateway-2 out of"):
        bench.verify(settled=True)


def test_probe_tells_where_it_stands() -> None:
    bench = _bench()
    world = bench.world
    bench.prepare()
    assert bench.probe().found is Found.NOT_DONE
    world.flags.text = FLAG_FILE.replace("USE_STORAGE_SERVICE=false", "USE_STORAGE_SERVICE=true")
    assert bench.probe().found is Found.PARTLY
    for name in INSTANCES:
        world.gateway.reload(name)
        found = bench.probe().found
    assert found is Found.DONE
    world.proxy.rotation = frozenset({"gateway-2"})
    assert bench.probe().found is Found.PARTLY
    world.proxy.down = "gone"
    assert bench.probe().found is Found.UNKNOWN
    world.proxy.down, world.flags.text = "", None
    assert bench.probe().found is Found.UNKNOWN


def test_losses_are_counted_and_refused_at_the_last_moment() -> None:
    bench = _bench()
    world = bench.world
    bench.there()
    assert bench.losses() == []
    world.users_write("storage", "public.locations", id=8, name="new")
    (loss,) = bench.losses()
    assert (loss.where, loss.what, loss.key) == ("storage.public.locations", "inserted", "[8]")
    before = world.snapshot()
    with pytest.raises(LossRefused) as caught:
        bench.back()
    assert caught.value.losses == (loss,)
    assert world.snapshot() == before
    assert bench.back(accept_loss=True)
    assert world.effective("USE_STORAGE_SERVICE") == [False, False]


def test_a_less_gentle_way_back_is_tried_where_the_gentle_one_fails() -> None:
    """The first restart on the way back fails once; the flags are back all the same."""
    bench = _bench()
    world = bench.world
    bench.there()
    failed: list[str] = []

    def once(request: Request) -> None:
        if not failed and request.target == "gateway":
            failed.append("now")
            world.services.failing["gateway-2"] = "out of memory"

    world.on_request = once
    real = world.services.up

    def up(name: str, *, timeout: float) -> None:
        try:
            real(name, timeout=timeout)
        finally:
            world.services.failing.pop(name, None)

    world.services.up = up  # type: ignore[method-assign]  # a start that fails once
    assert bench.back()
    assert failed
    assert world.flags.text == FLAG_FILE
    assert world.proxy.rotation == frozenset(INSTANCES)
    assert not world.gateway.down


def test_a_flip_of_several_flags_proves_each() -> None:
    bench = _bench(
        {
            "flags": {
                "set": {"USE_STORAGE_SERVICE": True, "USE_RAG_SERVICE": True},
                "writes": {"storage": "stranded", "rag": "none"},
            }
        }
    )
    evidence = bench.there()
    assert len(evidence) == 3
    assert {line.data.get("prefix") for line in evidence[1:]} == {"/api/storage", "/api/rag"}
