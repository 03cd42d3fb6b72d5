"""A sample of the weather, one case or two of each kind; the whole is `make chaos SUITE=weather`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.suites.weather import SUITE, Weather

pytestmark = pytest.mark.sandbox

CASES = (
    "disk/room-0/run",
    "disk/room-0/rollback",
    "disk/append-12/run",
    "disk/fdatasync-EIO-at-20/run",
    "disk/read-only/rollback",
    "flag-file/replaced/between",
    "flag-file/pipe/between",
    "flag-file/other-program/replaces",
    "gateway/dies-and-returns-as-it-was/when-told",
    "clock/hours-back/between",
    "names/hang/run",
    "limit/open-files-14/run",
)


@pytest.fixture(scope="module")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weather]:
    with SUITE.bench(tmp_path_factory.mktemp("weather")) as made:
        yield made


@pytest.mark.parametrize("case", CASES)
def test_it_ends_in_time_and_one_command_goes_on(weather: Weather, case: str) -> None:
    tally = weather.carry_out(case)
    if not tally.tried:
        pytest.skip(next(iter(tally.counts)))
    assert tally.counts


def test_what_comes_over_a_connection(weather: Weather) -> None:
    for case in (
        "wire/slow-body/http",
        "wire/endless-headers/http",
        "wire/wrong-certificate/tls",
        "wire/slow-body/supervisord",
    ):
        tally = weather.carry_out(case)
        assert not tally.tried or tally.counts
