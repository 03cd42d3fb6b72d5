"""One suite for every `Clock`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tracseq_migrate.adapters.clock import SystemClock
from tracseq_migrate.adapters.memory.surroundings import MemoryClock
from tracseq_migrate.ports import Clock


@pytest.fixture(params=[SystemClock, MemoryClock], ids=["system", "memory"])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


def test_now_is_in_utc(clock: Clock) -> None:
    assert clock.now().utcoffset() == timedelta(0)


def test_sleeping_passes_time_on_both(clock: Clock) -> None:
    now, monotonic = clock.now(), clock.monotonic()
    clock.sleep(0.05)
    # The wall clock of a machine may be set meanwhile, so only the direction is sure.
    assert clock.now() > now
    assert clock.monotonic() - monotonic >= 0.05


def test_a_negative_sleep_is_none(clock: Clock) -> None:
    before = clock.monotonic()
    clock.sleep(-1)
    assert clock.monotonic() >= before
