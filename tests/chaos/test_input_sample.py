"""A sample of the suite ``input``, and that it makes the same inputs again and sees what is wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.suite import Wrong
from tests.chaos.suites.input import SUITE
from tests.chaos.suites.input.corpus import KINDS, corpus
from tests.chaos.suites.input.dotenv_files import compare
from tests.chaos.suites.input.judge import Judge
from tests.chaos.suites.input.mutations import BOMBS, LARGEST
from tests.chaos.suites.input.worker import input_of

SAMPLE = 60


@pytest.mark.parametrize("kind", [*KINDS, "dotenv"])
def test_bent_input_is_read_or_refused_and_nothing_else(kind: str, tmp_path: Path) -> None:
    judge, met = Judge(tmp_path), Counter[str]()
    for number in range(SAMPLE):
        body, r = input_of(kind, "sample", number)
        met[judge.meet(kind, body, r)] += 1
    assert met.total() == SAMPLE
    assert len(met) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_bent_was_right_before(kind: str, tmp_path: Path) -> None:
    judge = Judge(tmp_path)
    met = {judge.meet(kind, body, input_of(kind, "right", 0)[1]) for body in corpus(kind)[:3]}
    assert any("read" in word or "changed" in word for word in met)


def test_a_seed_makes_an_input_again() -> None:
    assert input_of("plan", "7", 3)[0] == input_of("plan", "7", 3)[0]
    assert len({input_of("plan", "7", number)[0] for number in range(20)}) > 10


def test_every_bomb_is_met(tmp_path: Path) -> None:
    judge = Judge(tmp_path)
    for bomb in BOMBS:
        _, r = input_of("plan", "bombs", 0)
        body = bomb(r)
        assert len(body) <= LARGEST
        assert judge.meet("plan", body, r) == "plan refused"


def test_a_reading_that_differs_from_python_dotenvs_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "flags.env"
    path.write_text("USE_A=true\n")
    assert compare(path, "USE_A=true\n", {"USE_A": "true"}) == "agree"
    with pytest.raises(Wrong):
        compare(path, "USE_A=true\n", {"USE_A": "false"})


def test_a_case_counts_its_inputs(tmp_path: Path) -> None:
    with SUITE.bench(tmp_path) as bench:
        tally = bench.carry_out("answer/sample")
    assert tally.tried == sum(tally.counts.values()) == 2_000
