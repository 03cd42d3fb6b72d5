"""Users, samples and sequencing jobs change their owner, there and back, again and again, while people write.

A case is a round: users there, samples and jobs there, samples and jobs back, users back. ``SEED NUMBER calm`` are rounds in
which nothing goes wrong; in ``SEED NUMBER FAULT at CHANGE`` something does in the middle of one of the four changes. After
every change everybody rests, and every row that anybody was told of is looked for where its owner is.
"""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from tests.chaos.suite import Tally, Wrong
from tests.chaos.suites.cutover import faults
from tests.chaos.suites.cutover.people import People, in_flight
from tests.e2e.driving import Outcome, Tool, tool_of, write_week
from tests.e2e.standing_still import set_lease
from tests.replication.weather.proxy import Wire, wire
from tests.sandbox_fixture import Sandbox, bring_up, take_down

WEEK = """\
week: try
title: Users move, then samples and sequencing jobs
risk: high
steps:
  - id: start
    services: {up: [auth, samples, sequencing]}
  - id: follow-users
    replicate: {from: main, to: auth, mapping: users}
  - id: one-place
    sql: {database: samples, scripts: sql/samples}
  - id: follow-samples
    replicate: {from: main, to: samples, mapping: samples, after: one-place}
  - id: follow
    replicate: {from: main, to: sequencing, mapping: sequencing}
  - id: users
    cutover:
      replications: [{from: main, to: auth, mapping: users}]
      flags: {USE_AUTH_SERVICE: true}
      writers:
        - {application: tracseq-monolith, because: it is behind the gateway}
        - {application: oracle, because: it tries whether it may write and writes nothing}
  - id: core
    cutover:
      replications:
        - {from: main, to: samples, mapping: samples}
        - {from: main, to: sequencing, mapping: sequencing}
      flags: {USE_SAMPLE_SERVICE: true, USE_SEQUENCING_SERVICE: true}
      writers:
        - {application: tracseq-monolith, because: it is behind the gateway}
        - {application: oracle, because: it tries whether it may write and writes nothing}
"""
NEW = {"users": ("auth",), "core": ("samples", "sequencing")}
TABLES = {"auth": "users", "samples": "samples", "sequencing": "sequencing_jobs"}
MOVED = {"users": "users", "core": "samples"}
"""What people write of that which a step moves: these are the ones that wait."""
CHANGES = (("users", "forward"), ("core", "forward"), ("core", "back"), ("users", "back"))
"""The step that is done, or undone; after each of them the run stops."""
FORWARD = {"users": ("--yes", "--until", "users"), "core": ("--yes",)}
BACK = {"users": ("--to", "follow"), "core": ("--to", "users")}
STOPS = {"users": 9, "core": 0}
"""The exit code of a run that stops behind the step."""
TRIES = 12
BROKEN_OFF = ("in-doubt", "rolling-back")
LEASE = "6s"
_ROOT = Path(__file__).parents[4]


class Bench:
    """A sandbox whose tool reaches its databases through wires, and people at work in it."""

    def __init__(self, sandbox: Sandbox, people: People, wires: Mapping[str, Wire]) -> None:
        self._sandbox, self._people, self._wires = sandbox, people, wires
        self._tool = tool_of(sandbox)
        self._there = dict.fromkeys(NEW, False)

    # -- the case ----------------------------------------------------------------------------------------------------------

    def carry_out(self, case: str) -> Tally:
        """One round.

        Raises:
            Wrong: somebody was asked where nobody should be, or nothing ended it.
            Lost: an acknowledged write is not there.
        """
        _, _, what, *where = case.split()
        counts: Counter[str] = Counter()
        chance = random.Random(case)
        self._people.taken()
        for number, (step, direction) in enumerate(CHANGES):
            fault = what if where and int(where[1]) == number else ""
            counts += self._change(step, direction, fault, chance)
        return Tally(len(CHANGES), dict(counts))

    def self_test(self) -> None:
        """The oracle would see it."""
        self._people.would_see(self._owners())

    def _change(self, step: str, direction: str, fault: str, chance: random.Random) -> Counter[str]:
        self._people.work()
        time.sleep(0.3)
        argv = ["run", "try", *FORWARD[step]] if direction == "forward" else ["rollback", "try", *BACK[step]]
        counts: Counter[str] = Counter({"cutovers" if direction == "forward" else "rollbacks": 1})
        if fault:
            counts += self._disturbed(argv, step, direction, fault, chance)
        else:
            self._tool(*argv).expect(STOPS[step] if direction == "forward" else 0)
        time.sleep(0.3)
        self._people.rest()
        self._there[step] = direction == "forward"
        self._one_owner(step)
        counts["rows looked at"] = self._people.judge(self._owners())
        seen = self._people.taken()
        under_way, gap = in_flight(seen, MOVED[step])
        counts += seen.counts
        counts["under way at the change"] = under_way
        counts["changes with fewer than 4 under way"] = int(under_way < 4)
        if not fault:
            counts["gaps in ms"] = round(gap * 1000)
            counts["gaps over a second"] = int(gap > 1.0)
            counts["undisturbed changes"] = 1
        return counts

    def _disturbed(
        self, argv: list[str], step: str, direction: str, fault: str, chance: random.Random
    ) -> Counter[str]:
        bad = faults.Faults(self._sandbox, self._wires, chance)
        counts: Counter[str] = Counter({f"fault: {fault}": 1})
        with self._tool.working(*argv) as call:
            if not faults.until_watched(call, self._sandbox.folder):
                raise Wrong(f"it ended before its cutover: {call.end()}")
            time.sleep(chance.uniform(0.0, faults.AFTER))
            if call.process.poll() is not None:
                counts["faults after the end"] += 1
            bad.named(fault)(call)
            if bad.overtaken is None:
                first = call.end()
            else:
                try:
                    self._until_there(step, direction, counts, faults.second(self._sandbox))
                finally:
                    call.send(signal.SIGCONT)
                first = call.end()
                if first.code not in (0, 8, 9):
                    raise Wrong(f"the one that stood still: {first}")
                counts[
                    "stood still, and was fenced" if first.code == 8 else "stood still, and had ended"
                ] += 1
        faults.until_alone(self._sandbox.folder)
        if not self._is_there(step, direction, self._tool):
            self._until_there(step, direction, counts, self._tool)
        return counts

    def _until_there(self, step: str, direction: str, counts: Counter[str], tool: Tool) -> None:
        """Type what `status` says, or the command again, until the week is where it was to go."""
        told: list[Outcome] = []
        for _ in range(TRIES):
            if self._state(tool) in BROKEN_OFF:
                until = FORWARD[step][1:] if direction == "forward" else ()
                argv = ["resume", "try", *until]
            elif direction == "forward":
                argv = ["run", "try", *FORWARD[step]]
            else:
                argv = ["rollback", "try", *BACK[step]]
            outcome = tool(*argv, "--lock-timeout", "60s")
            told.append(outcome)
            counts["commands afterwards"] += 1
            if "Traceback" in outcome.err:
                raise Wrong(f"a trace: {outcome}")
            if outcome.code in (0, 9) and self._is_there(step, direction, tool):
                return
            if outcome.code == 6:
                raise Wrong(f"a person was asked: {outcome}")
            time.sleep(1.0)
        raise Wrong("it never came to its end:\n" + "\n".join(map(str, told[-3:])))

    def _is_there(self, step: str, direction: str, tool: Tool) -> bool:
        return self._state(tool) not in BROKEN_OFF and self._owned(step) is (direction == "forward")

    def _state(self, tool: Tool) -> str:
        for _ in range(TRIES):
            look = tool("status", "--json")
            if look.code == 0:
                return str(next(line["state"] for line in look.document["weeks"] if line["week"] == "try"))
            time.sleep(1.0)
        raise Wrong(f"status does not come: {look}")

    # -- who owns what -----------------------------------------------------------------------------------------------------

    def _owners(self) -> dict[str, str]:
        return {
            "users": "auth" if self._there["users"] else "main",
            "samples": "samples" if self._there["core"] else "main",
            "templates": "main",
        }

    def _owned(self, step: str) -> bool:
        """Whether the old side refuses writes; seen by trying. (The new one takes them before its first cutover as well.)"""
        return not any(self._takes_writes("main", TABLES[name]) for name in NEW[step])

    def _one_owner(self, step: str) -> None:
        """Each table takes writes on one side, the right one."""
        wrong = []
        for new in NEW[step]:
            there = self._takes_writes(new, TABLES[new])
            here = self._takes_writes("main", TABLES[new])
            if (here, there) != (not self._there[step], self._there[step]):
                wrong.append(f"{TABLES[new]}: main takes writes: {here}, {new}: {there}")
        if wrong:
            raise Wrong("; ".join(wrong))

    def _takes_writes(self, database: str, table: str) -> bool:
        dsn = self._sandbox.document["databases"][database]
        with psycopg.connect(dsn, autocommit=True, application_name="oracle") as connection:
            try:
                connection.execute(f"UPDATE {table} SET id = id WHERE false".encode())
            except psycopg.errors.SerializationFailure:
                return False
        return True


class Suite:
    """`make chaos SUITE=cutover`."""

    name = "cutover"

    def cases(self, seed: int) -> Iterator[str]:
        """Without an end: two calm rounds, and one with a fault, the faults in turn and each at every change."""
        source = random.Random(seed)
        turns: list[tuple[str, int]] = []
        for number in itertools.count():
            if number % 3 != 2:
                yield f"{seed} {number} calm"
                continue
            if not turns:
                turns = list(itertools.product(faults.NAMES, range(len(CHANGES))))
                source.shuffle(turns)
            fault, change = turns.pop()
            yield f"{seed} {number} {fault} at {change}"

    @contextmanager
    def bench(self, folder: Path) -> Iterator[Bench]:
        with ExitStack() as stack:
            place = folder / "sandbox"
            place.mkdir()
            stack.callback(take_down, place)
            sandbox = bring_up(place, users=50)
            write_week(sandbox, WEEK)
            for what in ("mappings", "sql"):
                source = _ROOT / "weeks" / what if what == "mappings" else _ROOT / "sql"
                if source.exists():
                    shutil.copytree(source, sandbox.folder / "weeks" / what, dirs_exist_ok=True)
            set_lease(sandbox, LEASE)
            wires = {name: stack.enter_context(_through_a_wire(sandbox, name)) for name in ("main", *TABLES)}
            people = People(sandbox.gateway_url, sandbox.state.url("monolith"), sandbox.document["databases"])
            stack.enter_context(people)
            bench = Bench(sandbox, people, wires)
            bench.self_test()
            tool_of(sandbox)("run", "try", "--until", "follow", "--yes").expect(9)
            yield bench


@contextmanager
def _through_a_wire(sandbox: Sandbox, name: str) -> Iterator[Wire]:
    """The tool and `sync run` reach a database through a wire from here on; the applications do not."""
    secrets = sandbox.state.layout.secrets
    with wire(sandbox.document["databases"][name]) as made:
        file = secrets / f"{name}-wire.dsn"
        file.write_text(made.dsn)
        file.chmod(0o600)
        text = sandbox.config.read_text()
        old, new = f"file:secrets/{name}.dsn", f"file:secrets/{name}-wire.dsn"
        assert text.count(old) == 1
        sandbox.config.write_text(text.replace(old, new))
        yield made


SUITE = Suite()
__all__ = ["SUITE", "Bench", "Suite"]
