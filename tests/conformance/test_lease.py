"""One suite for every `Lease`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tracseq_migrate.adapters.memory.journal import MemoryLease
from tracseq_migrate.adapters.sqlite_journal import SqliteLease
from tracseq_migrate.errors import Locked, NotAllowed
from tracseq_migrate.ports import Holder, Lease

ADA = Holder("one", "ada", "host-a", 4711, "tracseq-migrate run week1")
GRACE = Holder("two", "grace", "host-a", 4712, "tracseq-migrate rollback week1")

Another = Callable[[], Lease]
"""Makes the lease as one more process sees it."""


@pytest.fixture(params=["memory", "sqlite"])
def another(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Another]:
    if request.param == "memory":
        shared = MemoryLease()
        yield lambda: shared
        return
    made: list[SqliteLease] = []

    def make() -> SqliteLease:
        made.append(SqliteLease(tmp_path / "state" / "sandbox.journal", environment="sandbox"))
        return made[-1]

    yield make
    for lease in made:
        lease.close()


def test_nobody_holds_it_first(another: Another) -> None:
    assert another().show() is None


def test_acquire_shows_the_holder_to_everybody(another: Another) -> None:
    before = datetime.now(UTC)
    info = another().acquire(ADA, timeout=0)
    assert info.holder == ADA
    assert info.epoch >= 1
    assert before <= info.since <= datetime.now(UTC) < info.expires
    seen = another().show()
    assert seen is not None
    assert (seen.holder, seen.epoch, seen.since) == (ADA, info.epoch, info.since)


def test_a_second_is_refused_with_all_that_is_known(another: Another) -> None:
    info = another().acquire(ADA, timeout=0)
    with pytest.raises(Locked) as caught:
        another().acquire(GRACE, timeout=0)
    for part in ("ada", "host-a", "4711", "`tracseq-migrate run week1`", info.since.isoformat()[:19]):
        assert part in caught.value.message
    seen = another().show()
    assert seen is not None
    assert seen.holder == ADA


def test_released_it_is_free_and_the_epoch_grows(another: Another) -> None:
    lease = another()
    first = lease.acquire(ADA, timeout=0)
    lease.release(first.epoch)
    assert another().show() is None
    second = another().acquire(GRACE, timeout=0)
    assert second.epoch > first.epoch


def test_check_passes_for_the_holder_only(another: Another) -> None:
    lease = another()
    first = lease.acquire(ADA, timeout=0).epoch
    lease.check(first)
    for wrong in (first - 1, first + 1):
        with pytest.raises(Locked):
            lease.check(wrong)
    lease.release(first)
    with pytest.raises(Locked, match="given back"):
        lease.check(first)
    other = another()
    second = other.acquire(GRACE, timeout=0).epoch
    with pytest.raises(Locked, match="grace"):
        lease.check(first)
    other.check(second)


def test_releasing_a_lost_lease_is_harmless(another: Another) -> None:
    lease = another()
    old = lease.acquire(ADA, timeout=0).epoch
    lease.release(old)
    holder = another()
    new = holder.acquire(GRACE, timeout=0).epoch
    lease.release(old)
    lease.release(0)
    holder.check(new)
    seen = another().show()
    assert seen is not None
    assert seen.holder == GRACE


def test_releasing_where_nobody_ever_held_it(another: Another) -> None:
    another().release(1)
    assert another().show() is None


def test_another_may_release_for_a_holder_who_is_then_fenced(another: Another) -> None:
    lease = another()
    epoch = lease.acquire(ADA, timeout=0).epoch
    another().release(epoch)
    assert another().show() is None
    with pytest.raises(Locked):
        lease.check(epoch)


def test_waits_until_it_is_free(another: Another) -> None:
    lease = another()
    first = lease.acquire(ADA, timeout=0).epoch

    def give_back() -> None:
        time.sleep(0.2)
        lease.release(first)

    thread = threading.Thread(target=give_back)
    thread.start()
    second = another().acquire(GRACE, timeout=30)
    thread.join()
    assert second.epoch > first


def test_one_of_many_gets_it(another: Another) -> None:
    got: list[int] = []
    refused: list[Locked] = []

    def work(lease: Lease, number: int) -> None:
        try:
            got.append(
                lease.acquire(Holder(str(number), f"p{number}", "host-a", number, "run"), timeout=0).epoch
            )
        except Locked as error:
            refused.append(error)

    threads = [threading.Thread(target=work, args=(another(), number)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert len(refused) == 5


def test_looking_tells_of_the_holder_and_of_nobody(another: Another) -> None:
    assert another().look() is None
    holder = another()
    info = holder.acquire(ADA, timeout=0)
    seen = another().look()
    assert seen is not None
    assert (seen.info.holder, seen.info.epoch) == (ADA, info.epoch)
    assert seen.life in ("alive", "believed")
    assert seen.how
    holder.release(info.epoch)
    assert another().look() is None


def test_taken_away_the_holder_is_fenced_and_the_lease_is_free(another: Another) -> None:
    lease = another()
    epoch = lease.acquire(ADA, timeout=0).epoch
    taken = another().take_away("one", GRACE)
    assert (taken.holder, taken.epoch) == (ADA, epoch)
    assert another().show() is None
    with pytest.raises(
        Locked, match=r"taken away by grace on host-a, pid 4712, `tracseq-migrate rollback week1`"
    ):
        lease.check(epoch)
    lease.release(epoch)  # what the fenced one gives back is nobody's
    assert another().acquire(GRACE, timeout=0).epoch > epoch + 1


def test_only_the_holder_that_is_named_loses_it(another: Another) -> None:
    with pytest.raises(NotAllowed, match="nobody does"):
        another().take_away("one", GRACE)
    lease = another()
    epoch = lease.acquire(ADA, timeout=0).epoch
    with pytest.raises(
        NotAllowed, match=r"two does not hold the lock any more: ada on host-a.* does \(one\)"
    ):
        another().take_away("two", GRACE)
    lease.check(epoch)
