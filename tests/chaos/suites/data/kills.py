"""The tool or a PostgreSQL killed at a place that was chosen, gone on with as `status` says, and judged by the rows."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.ledger import ROOT
from tests.chaos.suite import Tally, Wrong
from tests.chaos.suites.data import oracle, world
from tests.chaos.suites.data.clusters import Kept
from tests.chaos.suites.data.writers import Key, Writer, shared_out
from tests.e2e.driving import environment
from tests.replication.databases import binaries

WRITERS = 2
HANGS = 150.0
SETTLED = 2.0
"""Seconds after which a commit that waited for no disk has reached it, whatever dies."""
_VICTIMS = ("tool", "tool", "old", "new")
_MOST_CALLS = 25

Chunks = dict[tuple[str, int], Any]


class Place:
    """Somewhere in the work, by what the databases say; ``reached`` is asked again and again."""

    def __init__(self, name: str, side: str, query: str, *, at_least: str = "1", linger: float = 0.0) -> None:
        self.name, self.side, self.query, self.at_least, self.linger = name, side, query, at_least, linger


_AT_WORK = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE {}"
)
_PHASES = "SELECT count(*) FROM tracseq_migrate.phase WHERE phase IN ({})"
_DONE = "SELECT count(*) FROM tracseq_migrate.chunk WHERE at IS NOT NULL"
_TO_COPY = "SELECT count(*) FROM tracseq_migrate.chunk WHERE at IS NULL"
_AWAY = "SELECT count(*) FROM tracseq_migrate.put_away"

FORWARD = (
    Place(
        "capture",
        "old",
        "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'tracseq\\_migrate%'",
        linger=0.05,
    ),
    Place("copy", "new", _DONE, at_least="chunks"),
    Place("copy", "new", _DONE, at_least="chunks"),
    Place("index build", "new", _PHASES.format("'copied', 'built'"), at_least="built"),
    Place("catching up", "new", _AT_WORK.format("'tracseq-migrate: apply%'"), linger=0.5),
    Place("comparison", "old", _AT_WORK.format("'tracseq-migrate: compare%'"), linger=0.25),
)
BACK = (
    Place("revert", "new", _AT_WORK.format("'tracseq-migrate: revert%'"), linger=0.6),
    Place("revert", "new", _AT_WORK.format("'tracseq-migrate: revert%'"), linger=0.15),
)


class KillBench:
    """Two clusters of two versions, where there are two; the same two for every case."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        found = list(binaries().values())
        self._sides: dict[str, Kept] = {}
        self._known: list[dict[Key, str]] = []
        self._shapes: dict[str, dict[str, list[tuple[Any, ...]]]] = {}
        self._seeds: dict[str, list[tuple[Any, ...]]] = {}
        try:
            self._sides = {
                "old": Kept(folder / "old", found[0], "old"),
                "new": Kept(folder / "new", found[-1], "new"),
            }
            for side, statements in (("old", world.OLD), ("new", world.NEW)):
                with self._sides[side].writer() as connection:
                    connection.execute(statements.encode())
                self._shapes[side] = oracle.shape(self._sides[side])
            self._seeds = oracle.rows_of(self._sides["new"])
            with self._sides["old"].looking() as connection:
                self._known = shared_out(connection, WRITERS)
            for each in self._sides.values():
                each.keep()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop both servers."""
        for each in self._sides.values():
            each.stop()

    def carry_out(self, case: str) -> Tally:
        """Kill, go on, judge; go back, kill, go on, judge.

        Raises:
            Wrong: a row is lost or wrong, what was copied was copied again, or it does not come to an end.
        """
        return _Case(self._folder / "typed", self._sides, self._known, self._shapes, self._seeds, case).tell()


class _Case:
    def __init__(
        self,
        folder: Path,
        sides: Mapping[str, Kept],
        known: Sequence[Mapping[Key, str]],
        shapes: Mapping[str, dict[str, list[tuple[Any, ...]]]],
        seeds: Mapping[str, list[tuple[Any, ...]]],
        case: str,
    ) -> None:
        self._chance = random.Random(case)
        self._short = case.split()[1] == "short"
        self._sides, self._shapes, self._seeds = sides, shapes, seeds
        self._counts: Counter[str] = Counter()
        self._told: list[str] = []
        self._chunks: Chunks = {}
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for each in sides.values():
            each.again()
        world.write(folder, sides["old"].dsn, sides["new"].dsn)
        self._writers = [
            Writer(sides["old"], mine, f"w{number}-", random.Random(f"{case} {number}"))
            for number, mine in enumerate(known)
        ]

    def tell(self) -> Tally:
        try:
            with self._writing():
                self._until(
                    "proven",
                    "run",
                    self._some(FORWARD, 2 if self._short else self._chance.randint(5, 8)),
                    self._chunks_kept,
                )
                if not self._short and self._chance.random() < 0.4:
                    self._followed()
            self._written()
            self._type("verify", "try", must=True)
            self._counts["rows equal"] += oracle.mapped(self._sides["old"], self._sides["new"])
            with self._writing():
                self._until(
                    "rolled-back",
                    "rollback",
                    self._some(BACK, 1 if self._short else self._chance.randint(1, 3)),
                    lambda _: None,
                )
            self._written()
            oracle.same_shape(self._shapes["old"], self._sides["old"])
            oracle.same_shape(self._shapes["new"], self._sides["new"])
            if oracle.rows_of(self._sides["new"]) != self._seeds:
                raise Wrong("the new side has other rows than before")
        except AssertionError as error:
            raise Wrong("\n".join([str(error), *self._told[-8:]])) from error
        for writer in self._writers:
            self._counts["transactions acknowledged"] += writer.acknowledged
            self._counts["transactions in doubt"] += writer.in_doubt
        kills = sum(number for name, number in self._counts.items() if name.startswith("killed "))
        self._counts["kills"] = kills
        return Tally(max(kills, 1), dict(self._counts))

    def _some(self, places: Sequence[Place], number: int) -> list[Place]:
        chosen = sorted(self._chance.choices(range(len(places)), k=number))
        return [places[each] for each in chosen]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with ExitStack() as stack:
            for writer in self._writers:
                stack.callback(writer.stop)
                writer.start()
            yield

    def _written(self) -> None:
        strange = [each for writer in self._writers for each in writer.strange]
        if strange:
            raise Wrong(f"a writer saw what cannot be: {strange[:3]}")
        rows = oracle.nothing_lost(self._sides["old"], [writer.known for writer in self._writers])
        self._counts["rows acknowledged"] += rows

    def _until(self, goal: str, command: str, places: list[Place], look: Callable[[str], None]) -> None:
        typed, argv = 0, [command, "try"]
        while True:
            typed += 1
            if typed > _MOST_CALLS:
                raise Wrong(f"it does not come to an end: {goal} is never reached")
            chosen = bool(places)
            victims: list[str] = []
            code = self._killed(argv, places, victims) if chosen else self._type(*argv)
            state, argv = self._status()
            look("new" if "new" in victims else "".join(victims[:1]))
            if state == goal:
                # What it was too quick for: its comparison can still be killed.
                for each in [
                    each for each in FORWARD[-1:] for _ in range(2) if command == "run" and not self._short
                ]:
                    self._killed(["verify", "try"], [each], [])
                return
            if command == "run" and state in ("residue", "rolled-back"):
                raise Wrong(
                    f"what was copied is thrown away after {victims} were killed: the week is {state}"
                )
            if code == 0:
                raise Wrong(f"exit 0, and the week is {state}")
            if not chosen and code not in (6, 7):
                raise Wrong(f"nobody was killed, and it ended with {code}")
            self._counts[f"then it is {state}"] += 1

    def _killed(self, argv: Sequence[str], places: list[Place], victims: list[str]) -> int:
        """Type it and kill at each place that is reached, as long as it lives; the exit code (negative: killed).

        The places that it came to are taken from ``places``, and who was killed is added to ``victims``.
        """
        process, passed = self._start(argv), []
        with process:
            try:
                while places and process.poll() is None:
                    place, victim = places.pop(0), self._chance.choice(_VICTIMS)
                    linger, share = self._chance.random() * place.linger, self._chance.random()
                    if self._reached(process, place, share):
                        time.sleep(linger)
                    if process.poll() is not None:
                        self._counts["places that it was too quick for"] += 1
                        break
                    victims.append(victim)
                    passed.append(f"{victim} in {place.name}")
                    self._counts[f"killed {victim}, {place.name}"] += 1
                    if victim == "tool":
                        process.kill()
                        break
                    self._sides[victim].kill()
                    time.sleep(self._chance.choice((0.0, 0.0, 1.5)))
                    self._sides[victim].start()
                out, err = process.communicate(timeout=HANGS)
            except subprocess.TimeoutExpired:
                raise Wrong(f"`{' '.join(argv)}` hangs after these were killed: {passed}") from None
            finally:
                if process.poll() is None:
                    process.kill()
        self._told.append(
            f"--- `{' '.join(argv)}`, killed: {passed}: exit {process.returncode}\n{out[-1500:]}{err[-1500:]}"
        )
        if "Traceback" in err:
            raise Wrong(f"a trace after these were killed: {passed}: {err[-2500:]}")
        return process.returncode

    def _reached(self, process: subprocess.Popen[str], place: Place, share: float) -> bool:
        cluster = self._sides[place.side]
        wanted, most = 1, 0
        with cluster.looking() as connection:

            def number(query: str) -> int:
                try:
                    row = connection.execute(query.encode()).fetchone()
                except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                    return 0
                return int(row[0]) if row else 0

            planned = False
            while process.poll() is None:
                if place.at_least == "chunks" and not planned:
                    done, open_chunks = number(_DONE), number(_TO_COPY)
                    if open_chunks:
                        planned, wanted = True, done + int(share * open_chunks) + 1
                        wanted = min(wanted, done + open_chunks)
                if place.at_least == "built":
                    if number(place.query):
                        away = number(_AWAY)
                        most = max(most, away)
                        if away <= most * (1.0 - share * 0.8):
                            return True
                elif (planned or place.at_least != "chunks") and number(place.query) >= wanted:
                    return True
                time.sleep(0.004)
        return False

    def _followed(self) -> None:
        """`sync run` carries changes over for a while, is killed, and another goes on."""
        for victim in (self._chance.choice(_VICTIMS), self._chance.choice(_VICTIMS), ""):
            process = self._start(["sync", "run"])
            with process:
                time.sleep(1.0 + self._chance.random())
                if process.poll() is None and victim:
                    self._counts[f"killed {victim}, following"] += 1
                if victim in self._sides:
                    self._sides[victim].kill()
                    self._sides[victim].start()
                    time.sleep(1.0)
                if process.poll() is not None:
                    raise Wrong(f"`sync run` ended: {process.communicate()}")
                if victim == "tool":
                    process.kill()
                else:
                    process.terminate()
                try:
                    out, err = process.communicate(timeout=HANGS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise Wrong("`sync run` does not end") from None
            self._told.append(f"--- `sync run`, {victim} killed: {out[-800:]}{err[-800:]}")
            if "Traceback" in err:
                raise Wrong(f"a trace after {victim} was killed under `sync run`: {err[-2500:]}")

    def _chunks_kept(self, victim: str) -> None:
        """What was copied before must not have been copied again."""
        with self._sides["new"].looking() as connection:
            try:
                rows = connection.execute(
                    "SELECT pair, number, at FROM tracseq_migrate.chunk WHERE at IS NOT NULL"
                ).fetchall()
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                rows = []
        now: Chunks = {(pair, number): at for pair, number, at in rows}
        latest = max(self._chunks.values(), default=None)
        again = {
            chunk: at
            for chunk, at in self._chunks.items()
            if now.get(chunk) != at and not (victim == "new" and (latest - at).total_seconds() < SETTLED)
        }
        if again:
            raise Wrong(
                f"{len(again)} of {len(self._chunks)} chunks were copied again or are gone: {list(again)[:4]}"
            )
        self._counts["chunks that were kept"] += len(self._chunks) if victim else 0
        self._chunks = now

    def _status(self) -> tuple[str, list[str]]:
        """The state of the week, and the words of the command that `status` says to type."""
        code, out = self._typed("status", "--json")
        if code:
            raise Wrong(f"`status` ends with {code}: {out}")
        document = json.loads(out)
        state = str(next(line["state"] for line in document["weeks"] if line["week"] == "try"))
        words = str(document["next_command"] or "").split()[1:]
        # Before the first run it says to look at the plan; whoever has looked runs it.
        return state, ["run", "try"] if state in ("never-run", "rolled-back") else words

    def _type(self, *argv: str, must: bool = False) -> int:
        code, out = self._typed(*argv)
        self._told.append(f"--- `{' '.join(argv)}`: exit {code}\n{out[-2500:]}")
        if "Traceback" in out:
            raise Wrong(f"a trace: {out[-2500:]}")
        if must and code:
            raise Wrong(f"`{' '.join(argv)}` ended with {code}: {out[-2500:]}")
        return code

    def _typed(self, *argv: str) -> tuple[int, str]:
        process = self._start(argv)
        with process:
            try:
                out, err = process.communicate(timeout=HANGS)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                raise Wrong(f"`{' '.join(argv)}` hangs: {out}{err}") from None
        return process.returncode, out if argv[0] == "status" and not process.returncode else out + err

    def _start(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.small_chunks", *argv],
            cwd=self._folder,
            env=environment(PYTHONPATH=os.pathsep.join(each for each in paths if each)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
