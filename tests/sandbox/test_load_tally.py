"""What is counted, what is remembered, and what a mix means."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys

import pytest

from tracseq_migrate.sandbox.load.clients import Mix
from tracseq_migrate.sandbox.load.connection import Kind
from tracseq_migrate.sandbox.load.ledger import Ledger
from tracseq_migrate.sandbox.load.resource import Resource, normal
from tracseq_migrate.sandbox.load.resources import RESOURCES
from tracseq_migrate.sandbox.load.tally import Latency, Seen, Tally


def seen(
    ended: float,
    *,
    due: float | None = None,
    kind: Kind | None = None,
    prefix: str = "/api/samples",
    write: bool = False,
    missing: bool = False,
) -> Seen:
    due = ended if due is None else due
    return Seen("GET", "/", prefix, write, due, due, ended, kind, "", missing)


def test_percentiles_are_values_that_were_seen() -> None:
    latency = Latency.of([float(n) for n in range(100, 0, -1)])
    assert (latency.count, latency.p50, latency.p95, latency.p99, latency.max) == (
        100,
        50.0,
        95.0,
        99.0,
        100.0,
    )
    assert Latency.of([7.0]) == Latency(1, 7.0, 7.0, 7.0, 7.0)
    assert Latency.of([]) == Latency()


def test_waiting_counts_from_when_a_request_was_due() -> None:
    tally = Tally(0.0)
    tally.record(seen(5.0, due=1.0, write=True))
    assert tally.latency(write=True).max == 4.0
    assert tally.latency(write=False).count == 0


def test_the_longest_time_without_a_success_has_a_beginning_and_an_end() -> None:
    tally = Tally(10.0, sent_until=20.0)
    tally.record(seen(13.0))
    tally.record(seen(14.0, kind=Kind.REFUSED))
    tally.record(seen(17.5))
    assert tally.longest_without_success == 4.5
    tally.record(seen(25.0))
    tally.end(26.0)
    assert tally.longest_without_success == 4.5, "after the last request was sent, silence means nothing"
    assert tally.rate == pytest.approx(0.4), "four requests in the ten seconds in which they were sent"
    silent = Tally(10.0, sent_until=20.0)
    silent.end(21.0)
    assert silent.longest_without_success == 10.0


def test_a_prefix_is_unavailable_from_its_first_failure_to_the_end_of_its_next_success() -> None:
    tally = Tally(0.0)
    tally.record(seen(1.0, due=0.9, kind=Kind.HTTP_503, prefix="/api/auth"))
    tally.record(seen(1.5, due=1.4))
    tally.record(seen(2.0, due=1.9, kind=Kind.HTTP_503, prefix="/api/auth"))
    tally.record(seen(2.1, due=0.5, prefix="/api/auth"))
    tally.record(seen(3.0, due=2.9, prefix="/api/auth"))
    tally.record(seen(5.0, due=4.0, kind=Kind.TIMEOUT))
    tally.end(9.0)
    assert tally.unavailable == {"/api/auth": pytest.approx(2.1), "/api/samples": pytest.approx(5.0)}
    assert tally.failures == {Kind.HTTP_503: 2, Kind.TIMEOUT: 1}


def test_a_row_that_is_not_there_is_no_failure_until_it_turns_out_to_be_there() -> None:
    tally = Tally(0.0)
    absent = seen(1.0, write=True, missing=True)
    tally.record(absent)
    assert (tally.missing_writes, tally.failures.total()) == (1, 0)
    tally.not_missing_but_wrong(absent)
    assert (tally.missing_writes, tally.failures) == (0, {Kind.WRONG_ANSWER: 1})


def test_the_ledger_lends_a_row_to_one_client_only() -> None:
    ledger, rng = Ledger(), random.Random(1)
    row = ledger.new("samples", "a")
    assert ledger.lend("samples", rng) is None, "not there yet"
    ledger.acknowledge(row, {"barcode": "a"})
    ledger.give_back(row)
    assert ledger.lend("samples", rng) is row
    assert ledger.lend("samples", rng) is None
    ledger.acknowledge(row, None)
    ledger.give_back(row)
    assert ledger.lend("samples", rng) is None, "deleted"
    assert [each.acceptable for each in ledger.rows()] == [[None]]


def test_a_write_of_unknown_fate_leaves_two_values_and_ends_the_writing() -> None:
    ledger, rng = Ledger(), random.Random(1)
    row = ledger.new("samples", "a")
    ledger.acknowledge(row, {"barcode": "a", "name": "old"})
    ledger.doubt(row, {"barcode": "a", "name": "new"})
    ledger.give_back(row)
    assert ledger.lend("samples", rng) is None
    assert row.acceptable == [{"barcode": "a", "name": "old"}, {"barcode": "a", "name": "new"}]
    assert (ledger.acknowledged, ledger.unknown) == (1, 1)


def test_a_refused_creation_is_forgotten_a_refused_change_is_not() -> None:
    ledger = Ledger()
    ledger.refuse(ledger.new("samples", "never"))
    row = ledger.new("samples", "there")
    ledger.acknowledge(row, {"barcode": "there"})
    ledger.refuse(row)
    assert [(each.key, each.acceptable) for each in ledger.rows()] == [("there", [{"barcode": "there"}])]


def test_a_row_set_aside_comes_back_now_and_then() -> None:
    ledger, rng = Ledger(), random.Random(1)
    row = ledger.new("samples", "a")
    ledger.acknowledge(row, {"barcode": "a"})
    ledger.set_aside(row)
    tries = [ledger.lend("samples", rng) for _ in range(200)]
    assert tries.count(row) == 1
    assert tries[0] is None


def test_the_ledger_file_has_a_line_a_write() -> None:
    file = io.StringIO()
    ledger = Ledger(file)
    row = ledger.new("samples", "a")
    ledger.acknowledge(row, {"barcode": "a"})
    ledger.doubt(row, None)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [(line["fate"], line["resource"], line["key"], line["value"]) for line in lines] == [
        ("acknowledged", "samples", "a", {"barcode": "a"}),
        ("unknown", "samples", "a", None),
    ]


def test_a_mix_names_weights() -> None:
    mix = Mix.parse("reads=3, users=1,samples=0.5,jobs=0")
    assert mix == Mix(reads=3.0, pages=0.0, writes={"users": 1.0, "samples": 0.5})
    assert Mix.parse("storage=2").writes == {"locations": 1.0, "movements": 1.0}
    assert set(Mix.parse(None).writes) == set(RESOURCES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reads", "'reads' is not NAME=WEIGHT with a weight of 0 or more"),
        ("reads=-1", "'reads=-1' is not NAME=WEIGHT"),
        ("reads=nan", "'reads=nan' is not NAME=WEIGHT"),
        ("reads=many", "'reads=many' is not NAME=WEIGHT"),
        ("sample=1", "'sample' is not one of reads, pages, users, samples"),
        ("users=1,users=2", "'users' is weighted twice"),
        ("reads=0,users=0", "every weight is 0"),
        ("", "'' is not NAME=WEIGHT"),
    ],
)
def test_a_mix_that_makes_no_sense(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mix.parse(text)


def test_times_are_the_same_however_they_are_written() -> None:
    assert normal("moved_at", "2026-01-02T03:04:05Z") == normal(
        "moved_at", "2026-01-02T04:04:05.000000+01:00"
    )
    assert normal("moved_at", "soon") == "soon"
    assert normal("name", "2026-01-02T03:04:05Z") == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=RESOURCES)
def test_both_sides_keep_the_same_fields(resource: Resource) -> None:
    assert list(resource.old.fields) == list(resource.new.fields)
    body = resource.create(random.Random(1), "word")
    missing = set(resource.fields) - set(body) - {resource.at_location}
    assert not missing, "what is compared is what was sent"


def test_nothing_is_shared_with_the_applications() -> None:
    script = (
        "import importlib, pkgutil, sys\n"
        "from tracseq_migrate.sandbox import load\n"
        "for module in pkgutil.iter_modules(load.__path__, load.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(len([name for name in sys.modules if name.startswith(load.__name__ + '.')]))\n"
        "print([name for name in sys.modules if name.startswith('tracseq_migrate.sandbox.')\n"
        "       and not name.startswith('tracseq_migrate.sandbox.load')])\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    loaded, others = out.splitlines()
    assert int(loaded) > 5
    assert others == "[]"
