"""``python -m tests.replication.model [GUARD …]``: the traces to which leaving guards out leads; without names, all of them,
and then the whole protocol, larger than the tests explore it (a minute)."""

from __future__ import annotations

import sys
import time

from tests.replication.model.exploring import explore
from tests.replication.model.guards import GUARDS
from tests.replication.model.test_model import SMALLEST
from tests.replication.model.world import Scenario


def main(names: list[str]) -> int:
    """0 where each guard is needed, and the protocol with all of them breaks no rule."""
    good = True
    for name in names or GUARDS:
        explored = explore(SMALLEST.get(name, Scenario(second=0)), name)
        sys.stdout.write(
            f"without {name} ({explored.states} states): {GUARDS[name]}\n{explored.found or 'nothing goes wrong'}\n\n"
        )
        good = good and explored.found is not None
    if not names:
        began = time.monotonic()
        explored = explore(Scenario(writes=2, second=1))
        sys.stdout.write(
            f"with all of them: {explored.states} states, {explored.transitions} transitions, {explored.depth} steps deep, in"
            f" {time.monotonic() - began:.0f} s: {explored.found or 'no rule is broken'}\n"
        )
        good = good and explored.found is None
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
