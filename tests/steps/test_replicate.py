"""Kind ``replicate`` on real PostgreSQL: there, back, and there again; broken off, taken up, adopted, refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.operations.world import World
from tests.replication.conftest import clusters, pair_of_databases
from tests.replication.databases import PairOfDatabases
from tests.steps.bench import Bench
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import SYNC, ServiceState
from tracseq_migrate.replication.catalog.reading import read
from tracseq_migrate.step import BrokenOff, Found

__all__ = ["clusters", "pair_of_databases"]

PEOPLE = """
CREATE TYPE public.kind AS ENUM ('red', 'green', 'blue');
CREATE TABLE public.people (id serial PRIMARY KEY, name varchar(80) NOT NULL, kind public.kind, note text);
INSERT INTO public.people (name, kind, note)
SELECT 'person ' || n, (ARRAY['red', 'green', 'blue']::public.kind[])[1 + n % 3], CASE WHEN n % 2 = 0 THEN 'note ' || n END
FROM generate_series(1, 500) AS n;
"""
PERSONS = """
CREATE TABLE public.persons (id integer PRIMARY KEY, full_name varchar(80) NOT NULL, color text, remark text);
CREATE INDEX persons_name ON public.persons (full_name);
"""
MAPPING = """\
version: 1
tables:
  - from: people
    to: persons
    columns:
      id: id
      full_name: name
      color: {from: kind}
      remark: note
    back:
      kind: {unfit: "colours are three, here"}
"""
STEP = {"replicate": {"from": "a", "to": "b", "mapping": "people"}}
TEXTS = {"mappings/people.yaml": MAPPING}


class DataBench(Bench):
    """The step in the fake world, with two real databases in it."""

    def __init__(self, pair: PairOfDatabases, mapping: str = MAPPING) -> None:
        world = World()
        world.services.states[SYNC] = ServiceState.EXTERNAL
        super().__init__(world, STEP)
        self._system = replace(self._system, sessions=pair.sessions, free_sessions=pair.sessions)
        self._texts = {"mappings/people.yaml": mapping}

    def ctx(self, *, writing: bool = True, **more: Any) -> Any:
        return super().ctx(writing=writing, **{"texts": self._texts, **more})


@pytest.fixture
def pair(pair_of_databases: PairOfDatabases) -> PairOfDatabases:
    pair_of_databases.run("a", PEOPLE)
    pair_of_databases.run("b", PERSONS)
    return pair_of_databases


def shape(pair: PairOfDatabases, side: str) -> tuple[Any, Any]:
    with pair.open(side) as session:
        catalog = read(session)
        return catalog.shape(), catalog.ours


def people(pair: PairOfDatabases) -> list[tuple[Any, ...]]:
    return pair.rows("a", "SELECT id, name, kind::text, note FROM public.people ORDER BY id")


def persons(pair: PairOfDatabases) -> list[tuple[Any, ...]]:
    return pair.rows("b", "SELECT id, full_name, color, remark FROM public.persons ORDER BY id")


def test_there_back_and_there_again(pair: PairOfDatabases) -> None:
    bench = DataBench(pair)
    start = shape(pair, "a"), shape(pair, "b")
    for _ in range(2):
        assert any("500 rows are equal" in line.text for line in bench.there())
        assert persons(pair) == people(pair)
        assert bench.owed == [SYNC]
        assert bench.probe().found is Found.DONE
        pair.run("a", "UPDATE public.people SET name = name || '!' WHERE id % 7 = 0")
        assert bench.verify()
        assert persons(pair) == people(pair)
        assert "both catalogs are as they were before" in [line.text for line in bench.back()]
        assert (shape(pair, "a"), shape(pair, "b")) == start
        assert persons(pair) == []
        assert bench.owed == []
        assert bench.probe().found is Found.NOT_DONE


def test_applied_twice_and_reverted_twice_is_the_same(pair: PairOfDatabases) -> None:
    bench = DataBench(pair)
    start = shape(pair, "a"), shape(pair, "b")
    bench.there()
    pair.run("a", "DELETE FROM public.people WHERE id % 5 = 0")
    assert bench.apply() is None
    assert persons(pair) == people(pair)
    assert bench.back()
    assert bench.back()
    assert (shape(pair, "a"), shape(pair, "b")) == start


def test_a_signal_breaks_it_off_where_it_can_be_taken_up(pair: PairOfDatabases) -> None:
    bench = DataBench(pair)
    bench.prepare()
    ctx = bench.ctx()

    class _Asked:
        requested = 15

    with pytest.raises(BrokenOff):
        bench.step.apply(replace(ctx, interrupt=_Asked()), bench.undo)
    assert bench.probe().found is Found.PARTLY
    assert bench.apply() is None
    assert bench.verify()
    assert persons(pair) == people(pair)


def test_what_the_new_side_has_of_its_own_is_a_loss_with_its_row(pair: PairOfDatabases) -> None:
    bench = DataBench(pair)
    bench.there()
    assert bench.losses() == []
    pair.run("b", "UPDATE public.persons SET remark = 'mine' WHERE id = 3")
    pair.run("b", "INSERT INTO public.persons VALUES (9999, 'stranger', 'red', NULL)")
    found = {(each.what, each.key): each.row for each in bench.losses()}
    assert found == {
        ("updated", '{"id": "3"}'): {"id": 3, "full_name": "person 3", "color": "red", "remark": "mine"},
        ("inserted", '{"id": "9999"}'): {"id": 9999, "full_name": "stranger", "color": "red", "remark": None},
    }


def test_a_replication_that_the_journal_does_not_know_is_refused_and_can_be_adopted(
    pair: PairOfDatabases,
) -> None:
    DataBench(pair).there()
    another = DataBench(pair)
    (concern,) = another.step.concerns(another.ctx(writing=False))
    assert concern.verdict == "fail"
    assert "state adopt" in concern.remedy
    adopted = another.step.adopt(another.ctx(writing=False))
    assert adopted.found is Found.DONE
    another.undo = adopted.undo
    assert another.back()
    assert persons(pair) == []


def test_what_does_not_fit_is_a_concern_with_its_count(pair: PairOfDatabases) -> None:
    pair.run("b", "ALTER TABLE public.persons ADD CHECK (full_name <> 'person 7')")
    bench = DataBench(pair)
    failed = [each for each in bench.step.concerns(bench.ctx(writing=False)) if each.verdict != "pass"]
    assert ["1 of 500 rows" in each.detail for each in failed] == [True]
    assert shape(pair, "a")[1] == shape(pair, "b")[1] == ()


def test_the_preview_says_what_is_recorded_and_kept(pair: PairOfDatabases) -> None:
    lines = [line.text for line in DataBench(pair).preview().lines]
    assert any(line.startswith("a.people -> b.persons") for line in lines)
    assert any("record every changed key" in line for line in lines)
    assert len(DataBench(pair).preview(offline=True).lines) == 1


@pytest.mark.parametrize(
    ("throttle", "wrong"),
    [
        ({"active": 1000}, []),
        ({"standby_lag": "10s"}, []),
        ({"query": "SELECT 1", "at_most": 2}, []),
        ({}, ["exactly one"]),
        ({"active": 3, "query": "SELECT 1", "at_most": 2}, ["exactly one"]),
        ({"query": "SELECT 1"}, ["go together"]),
    ],
)
def test_a_throttle_is_one_question(
    pair: PairOfDatabases, throttle: dict[str, Any], wrong: list[str]
) -> None:
    step = type(DataBench(pair).step).model_validate(STEP["replicate"] | {"throttle": throttle})
    found = step.findings()
    assert len(found) == len(wrong)
    assert all(part in text for part, text in zip(wrong, found, strict=True))


def test_a_throttle_that_is_never_met_holds_the_copy_and_a_signal_is_heard(pair: PairOfDatabases) -> None:
    bench = DataBench(pair)
    never = STEP["replicate"] | {"throttle": {"query": "SELECT 2", "at_most": 1}}
    bench.step = type(bench.step).model_validate(never)
    bench.prepare()

    class _Later:
        looks = 0

        @property
        def requested(self) -> int:
            self.looks += 1
            return 15 if self.looks > 15 else 0

    with pytest.raises(BrokenOff):
        bench.step.apply(replace(bench.ctx(), interrupt=_Later()), bench.undo)
    assert persons(pair) == []
    assert bench.back()


def test_what_another_step_makes_first_is_claimed_by_no_check_and_asked_when_it_has_run(
    pair: PairOfDatabases,
) -> None:
    bench = DataBench(pair)
    bench.step = type(bench.step).model_validate(STEP["replicate"] | {"after": "schema"})
    pair.run("b", "ALTER TABLE public.persons RENAME COLUMN remark TO remarks")
    assert bench.step.concerns(bench.ctx(writing=False)) == []
    assert "asked when schema has run" in bench.preview().lines[0].text
    with pytest.raises(StepFailed, match="remark"):
        bench.prepare()
    pair.run("b", "ALTER TABLE public.persons RENAME COLUMN remarks TO remark")
    assert bench.there()
    assert bench.back()
