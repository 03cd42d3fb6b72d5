"""A sample of the kill suite (see `docs/reliability.md`), and the tests of what the suite itself is made of."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.ledger import ROOT
from tests.chaos.suite import Wrong
from tests.chaos.suites.kill.bench import KillBench, decide, kill_bench
from tests.chaos.suites.kill.cases import At, NumberOfPoints, Point, endless, in_rest, parsed, single
from tests.chaos.suites.kill.judging import StepTold, Told, compare, plain
from tests.chaos.suites.kill.stories import STORIES
from tracseq_migrate import ports
from tracseq_migrate.operations.guarded import changing_methods

FLAGS = "(USE_NOTIFICATION_SERVICE, USE_STORAGE_SERVICE, USE_RAG_SERVICE)"
BIT_ONCE = (
    # What a write that was cut off had left stayed beside the flag file, since going back had nothing to write.
    f"run week1 / rollback / after FlagStore.write{FLAGS} #1",
    # The run had ended, its log was never written, and `resume` had nothing to do.
    "run week1 / resume / before Files.write(MIGRATION_LOG.md) #1",
    "rollback week1 / resume / before Files.write(MIGRATION_LOG.md) #1",
)
WHERE = 0.5
"""Where in the undisturbed run a further point is taken from."""

PROGRAM = """
import os, sys
from pathlib import Path
from tests.chaos.victim import Fate, Middles, Mortal
from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.ports import Files
fate = Fate(sys.argv[1], 0, os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND))
middles = Middles(fate)
middles.listen()
files = Mortal(LocalFiles(), Files, fate, middles)
files.exists(Path(sys.argv[3]))
files.write(Path(sys.argv[3]), b"new")
files.write(Path(sys.argv[3]), b"newer")
"""


def _write(folder: Path, die_at: str) -> tuple[int, list[str], str]:
    """Write a file twice in a process of its own: how it ended, which points it passed, and what is in the file."""
    told, file = folder / "points", folder / "place" / "file.txt"
    file.parent.mkdir(parents=True)
    file.write_text("old", "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, die_at, str(told), str(file)], cwd=ROOT, check=False
    )
    return done.returncode, told.read_text("utf-8").splitlines(), file.read_text("utf-8")


def test_points_are_found_and_each_of_them_kills(tmp_path: Path) -> None:
    code, points, text = _write(tmp_path / "nobody dies", "")
    assert (code, text) == (0, "newer")
    assert points[0] == "before Files.write(file.txt) #1"
    assert points[-1] == "after Files.write(file.txt) #2"
    middles = [point for point in points if point.startswith("in Files.write(file.txt) #1: ")]
    assert [name for name in ("open", "rename") if not any(f": {name} " in point for point in middles)] == []
    assert len(points) == len(set(points))
    for number, point in enumerate(points):
        # In a folder of its own: a later write takes away what a death has left.
        code, passed, text = _write(tmp_path / str(number), point)
        assert code == -signal.SIGKILL, point
        assert passed == points[: number + 1]
        first, second = (points.index(f"after Files.write(file.txt) #{each}") for each in (1, 2))
        assert text == ("newer" if number >= second else "new" if number >= first else "old"), point


def test_every_port_that_changes_something_is_found() -> None:
    from tests.chaos.victim import changing_port

    marked = {name for name in ports.__all__ if changing_methods(getattr(ports, name))}
    assert {"JournalStore", "Lease", "FlagStore", "Services", "Proxy", "Rollout", "Files"} <= marked
    assert {name for name in ports.__all__ if changing_port(getattr(ports, name))} == marked


def test_a_name_says_the_whole_case() -> None:
    assert parsed("run week1 / resume / before X(a, b) #2") == (
        STORIES["run week1"],
        [(Point("before X(a, b) #2"), "resume")],
    )
    assert parsed("rollback week2 / rollback / in X #1: http POST /y #1 / after 17 points / resume")[1] == [
        (Point("in X #1: http POST /y #1"), "rollback"),
        (NumberOfPoints(17), "resume"),
    ]
    assert parsed("run week2 / resume / at 1234 ms")[1] == [(At(1.234), "resume")]


def test_the_seed_decides_what_never_ends() -> None:
    points = {name: [f"before {name} #{number}" for number in range(5)] for name in STORIES}
    assert len(single(points)) == 40
    seconds = dict.fromkeys(STORIES, 2.0)
    drawn = [
        [next(cases) for _ in range(20)] for cases in (endless(points, seconds, seed) for seed in (1, 1, 2))
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    for case in drawn[0]:
        story, deaths = parsed(case)
        assert all(recovery in story.recoveries for _, recovery in deaths)


def test_the_order_leaves_nothing_out() -> None:
    points = {name: [f"before {name} #{number}" for number in range(7)] for name in STORIES}
    every = single(points)
    ordered = in_rest(every)
    assert sorted(ordered) == sorted(every)
    assert len(ordered) == len(set(ordered)) == 56


@pytest.mark.parametrize(
    ("story", "state", "recovery", "argv", "goal"),
    [
        ("run week1", "never-run", "resume", ("run", "week1", "--yes"), "week1"),
        ("run week1", "never-run", "rollback", (), "new"),
        ("run week1", "in-doubt", "resume", ("resume", "week1"), "week1"),
        ("run week1", "in-doubt", "rollback", ("rollback", "week1"), "new"),
        ("run week1", "proven", "resume", ("resume", "week1"), "week1"),
        ("run week1", "rolling-back", "resume", ("resume", "week1"), "new"),
        ("rollback week2", "proven", "resume", ("rollback", "week2"), "week1"),
        ("rollback week2", "rolling-back", "resume", ("resume", "week2"), "week1"),
        ("rollback week2", "rolled-back", "resume", ("rollback", "week2"), "week1"),
    ],
)
def test_one_command_follows_from_the_state(
    story: str, state: str, recovery: str, argv: tuple[str, ...], goal: str
) -> None:
    chosen = decide(STORIES[story], state, recovery)
    assert (chosen.argv, chosen.goal) == (argv, goal)


def test_what_may_differ_is_exactly_what_a_recovery_adds() -> None:
    def section(*evidence: str, outcome: str = "done", touched: bool = False) -> Told:
        steps = {
            "flags": StepTold(("flags", "", "flags", "reversible", outcome), frozenset(evidence), touched)
        }
        return Told(("run", "week1"), steps, {})

    wanted = section("flipped in N", "N readings agree")
    assert compare(wanted, wanted, resumed=True) == []
    assert compare(section("N readings agree", touched=True), wanted, resumed=True) == []
    assert compare(section("N readings agree"), wanted, resumed=True)
    assert compare(section("something else", touched=True), wanted, resumed=True)
    assert compare(section(touched=True), wanted, resumed=True)
    assert compare(section("flipped in N", "N readings agree", outcome="failed"), wanted, resumed=True)
    assert plain("12 of 12 in 3.1 ms") == plain("9 of 9 in 44 ms") != plain("12 of 12 failed")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillBench]:
    with kill_bench(tmp_path_factory.mktemp("kill")) as made:
        yield made


@pytest.mark.sandbox
@pytest.mark.long
def test_a_sample_of_the_points(bench: KillBench) -> None:
    points = bench.undisturbed("run week1").points
    assert len(points) == len(set(points))
    appends = [point for point in points if "JournalStore.append(" in point]
    assert {point.partition(" ")[0] for point in appends} == {"before", "in", "after"}
    for case in (f"run week1 / resume / {points[int(len(points) * WHERE)]}", *BIT_ONCE):
        tally = bench.carry_out(case)
        assert tally.counts["kills"] == 1, case
        assert tally.counts["asked_a_person"] == 0, case


@pytest.mark.sandbox
def test_a_point_that_is_never_reached_fails(bench: KillBench) -> None:
    with pytest.raises(Wrong, match="never reached"):
        bench.carry_out("rollback week1 / resume / before Nothing.happens #1")
