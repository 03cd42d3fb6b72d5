"""Bad weather: every case ends in time, in a state that `status` names, and one command goes on or back."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.chaos.suite import Tally
from tests.chaos.weather import disk, flagfile, gateways, sandboxed, surroundings, wire
from tests.chaos.weather.disk import Disk, NotPossible
from tests.chaos.weather.hamlet import Hamlet, hamlet
from tests.chaos.weather.judge import ROLLBACK, RUN
from tests.sandbox_fixture import Sandbox, bring_up, take_down


class Weather:
    """What the cases of a worker share; each part is made when a case first wants it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._village: Hamlet | None = None
        self._disk: tuple[Disk, Hamlet] | None = None
        self._sandbox: Sandbox | None = None

    def village(self) -> Hamlet:
        """A hamlet on the machine's own disk."""
        if self._village is None:
            self._village = self._stack.enter_context(hamlet(self._folder / "project"))
        return self._village

    def disk(self) -> tuple[Disk, Hamlet]:
        """A hamlet on a small disk of its own."""
        if self._disk is None:
            self._disk = self._stack.enter_context(disk.on_a_small_disk(self._folder))
        return self._disk

    def sandbox(self) -> Sandbox:
        """A whole sandbox."""
        if self._sandbox is None:
            place = self._folder / "sandbox"
            place.mkdir()
            self._stack.callback(take_down, place)
            self._sandbox = bring_up(place, users=0)
        return self._sandbox

    def carry_out(self, case: str) -> Tally:
        """As the frame wants it; what this machine cannot have is counted, and proves nothing."""
        try:
            return self._found(case)()
        except NotPossible as error:
            return Tally(0, {f"not possible here: {error}"[:80]: 1})

    def _found(self, case: str) -> Callable[[], Tally]:
        kinds: dict[str, Callable[[], dict[str, Callable[[], Tally]]]] = {
            "wire": wire.cases,
            "flag-file": lambda: flagfile.cases(self.village),
            "gateway": lambda: gateways.cases(self.village),
            "clock": lambda: surroundings.cases(self.village),
            "names": lambda: surroundings.cases(self.village),
            "sandbox": lambda: sandboxed.cases(self.sandbox),
        }
        made = kinds.get(case.partition("/")[0])
        found = made() if made is not None else disk.found(case, self.village, self.disk)
        return found[case]


def _measured() -> tuple[int, dict[str, dict[str, int]]]:
    """How many pages a run takes, and how often each command makes each call: the points follow the program."""
    pages, calls = 0, {}
    with tempfile.TemporaryDirectory(prefix="weather-") as name:
        try:
            with disk.on_a_small_disk(Path(name)) as (small, village):
                pages = disk.pages_of_a_run(small, village)
        except NotPossible:
            pages = 0
        with hamlet(Path(name) / "project") as village:
            try:
                calls = {"run": disk.calls_of(village, RUN), "rollback": disk.calls_of(village, ROLLBACK)}
            except NotPossible:
                calls = {}
    return pages, calls


class Suite:
    """`make chaos SUITE=weather`."""

    name = "weather"

    def cases(self, seed: int) -> Iterator[str]:
        """The kinds one after the other, each in an order of the seed's; with an end."""
        source = random.Random(seed)
        fixed = [
            [*wire.cases()],
            [*flagfile.cases(_nobody)],
            [*gateways.cases(_nobody)],
            [*surroundings.cases(_nobody)],
            [*sandboxed.CASES],
            disk.names(*_measured()),
        ]
        for kind in fixed:
            source.shuffle(kind)
        # In turns, so that a run that is broken off has seen something of each.
        for row in itertools.zip_longest(*fixed):
            yield from (case for case in row if case is not None)

    @contextmanager
    def bench(self, folder: Path) -> Iterator[Weather]:
        """Hamlets, a small disk and a sandbox, as they are wanted."""
        with ExitStack() as stack:
            yield Weather(folder, stack)


def _nobody() -> Hamlet:
    raise AssertionError("names are listed, and nothing is carried out")


SUITE = Suite()
