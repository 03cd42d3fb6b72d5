"""Real servers for everything that moves rows: started once a test session, two fresh databases a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.replication.databases import (
    QUICK,
    PairOfDatabases,
    Server,
    binaries,
    fresh_pair,
    server,
)


@pytest.fixture(scope="session")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Server]]:
    """``system`` and ``embedded``, as far as they are on this machine."""
    found = binaries()
    if not found:
        pytest.skip("no PostgreSQL server is on this machine")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(server(tmp_path_factory.mktemp(name), folder))
            for name, folder in found.items()
        }


@pytest.fixture
def pair_of_databases(
    clusters: Mapping[str, Server], request: pytest.FixtureRequest
) -> Iterator[PairOfDatabases]:
    """Fresh databases A and B. Parametrize it indirectly with `COMBINATIONS` where the versions matter.

    Without a parameter: the system's server and the wheel's; where only one of them is there, both databases are on it.
    """
    asked = getattr(request, "param", None)
    first, second = (asked or QUICK).split("->")
    if asked and not {first, second} <= set(clusters):
        pytest.skip(f"{asked} needs both servers")
    one = next(iter(clusters.values()))
    with fresh_pair(clusters.get(first, one), clusters.get(second, one)) as pair:
        yield pair
