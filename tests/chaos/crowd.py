"""A crowd that wants one lock: workers that live long, an environment that needs no sandbox, and a week that holds until told.

The week's one step is a program that waits for a file. So whoever gets the lock keeps it until all the others were refused, and
every one of them must have been refused by a holder that was at work.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.ledger import ROOT
from tests.chaos.suite import Wrong
from tests.e2e.driving import environment
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal
from tracseq_migrate.journal import chain
from tracseq_migrate.journal import vocabulary as v

ENVIRONMENT = """\
version: 1
default: crowd
environments:
  crowd:
    sandbox: true
    identity: variable
    gateway:
      url: http://127.0.0.1:9
      monolith: monolith
      instances: [{name: gateway-1, url: "http://127.0.0.1:9"}]
      flags: {file: flags.env}
      reload: {strategy: command, command: ["true"]}
    services:
      monolith: {url: "http://127.0.0.1:9"}
"""
PLAN = """\
week: crowded
title: One at a time
risk: low
steps:
  - id: hold
    command:
      run: [sh, hold.sh, there]
      verify: [test, -e, there]
      probe: [test, -e, there]
      revert: [sh, hold.sh, gone]
    timeout: 3m
"""
HOLD = """\
echo "$1" >> effects
while [ ! -e open ]; do sleep 0.01; done
if [ "$1" = there ]; then : > there; else rm -f there; fi
"""
HANGS = 150.0


@dataclass(frozen=True)
class Answer:
    """How one of them ended."""

    person: str
    pid: int
    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"{self.person} (pid {self.pid}) ended with {self.code}\n{self.out}\n{self.err}"


class Contender:
    """A worker, by its process."""

    def __init__(self, person: str, folder: Path) -> None:
        self.person = person
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.contender"],
            cwd=folder,
            env=environment(TRACSEQ_MIGRATE_IDENTITY=person, PYTHONPATH=f"{ROOT}:{ROOT / 'src'}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, argv: Sequence[str], at: float) -> Answer:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"at": at, "argv": list(argv)}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Wrong(f"{self.person} died")
        said = json.loads(line)
        return Answer(self.person, self.process.pid, said["code"], said["out"], said["err"])

    def end(self) -> None:
        with self.process:
            assert self.process.stdin is not None
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()


class Crowd:
    """Contenders in one folder; each `fresh` gives them a journal that does not exist yet."""

    def __init__(self, folder: Path, contenders: Sequence[Contender]) -> None:
        self.folder = folder
        self.contenders = contenders
        self._rounds = 0
        self._state = ""

    def fresh(self, name: str) -> None:
        """Begin with no journal at all."""
        self._state, self._rounds = name, 0
        text = ENVIRONMENT.replace(
            "    identity:", f"    state: state-{name}\n    log: {{file: {name}.md}}\n    identity:"
        )
        (self.folder / "tracseq-migrate.yaml").write_text(text)
        for left in ("there", "open", "effects"):
            (self.folder / left).unlink(missing_ok=True)

    def round(self) -> tuple[Answer, list[Answer]]:
        """All type the same at once: who got the lock, and the others, who were refused while it was held.

        Raises:
            Wrong: more or fewer than one got it, or a refusal is not as it must be.
        """
        argv = ["run", "crowded", "--yes"] if self._rounds % 2 == 0 else ["rollback", "crowded"]
        self._rounds += 1
        gate = self.folder / "open"
        gate.unlink(missing_ok=True)
        at = time.monotonic() + 0.05
        answers: list[Answer] = []
        with ThreadPoolExecutor(len(self.contenders)) as pool:
            asked = [pool.submit(contender.ask, argv, at) for contender in self.contenders]
            try:
                for future in as_completed(asked, timeout=HANGS):
                    answers.append(future.result())
                    if len(answers) == len(self.contenders) - 1:
                        gate.touch()
            except TimeoutError:
                raise Wrong(f"only {len(answers)} of {len(asked)} were refused while it was held") from None
            finally:
                gate.touch()
        refused, winner = answers[:-1], answers[-1]
        if winner.code != 0:
            raise Wrong(f"the one that got the lock did not end well: {winner}")
        for each in refused:
            named = winner.person in each.err and f"pid {winner.pid}" in each.err
            if each.code != 8 or not named or "Traceback" in each.err:
                raise Wrong(f"refused, but not by exit 8 and the name of {winner.person}: {each}")
        return winner, refused

    def judge(self, winners: Sequence[str]) -> int:
        """The journal of this beginning is one valid chain, and tells of these winners one after the other; its length.

        Raises:
            Wrong: it is not.
        """
        journal = SqliteJournal(
            self.folder / f"state-{self._state}" / "crowd" / "journal.sqlite3", environment="crowd"
        )
        events = list(journal.read())
        journal.close()
        broken = chain.verify(events).broken
        if broken:
            raise Wrong(f"the chain is broken: {broken}")
        began = [e.data["person"] for e in events if e.type in (v.RUN_STARTED, v.ROLLBACK_STARTED)]
        if began != list(winners):
            raise Wrong(f"the journal has {began}, but the lock went to {winners}")
        at_work = ""
        for event in events:
            if event.type in (v.RUN_STARTED, v.ROLLBACK_STARTED):
                if at_work:
                    raise Wrong(f"event {event.seq} begins an execution in the middle of another")
                at_work = event.run_id
            elif event.run_id and event.run_id != at_work:
                raise Wrong(
                    f"event {event.seq} is of {event.run_id}, in the middle of {at_work or 'nothing'}"
                )
            if event.type in (v.RUN_FINISHED, v.ROLLBACK_FINISHED):
                at_work = ""
        effects = (self.folder / "effects").read_text().split()
        if effects != ["there", "gone"] * (len(winners) // 2) + ["there"] * (len(winners) % 2):
            raise Wrong(f"the effects are {effects}")
        return len(events)


@contextmanager
def crowd(folder: Path, size: int) -> Iterator[Crowd]:
    """A crowd of that size in an empty folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weeks").mkdir()
    (folder / "weeks" / "crowded.yaml").write_text(PLAN)
    (folder / "hold.sh").write_text(HOLD)
    (folder / "flags.env").write_text("USE_AUTH_SERVICE=false\n")
    contenders: list[Contender] = []
    try:
        contenders.extend(Contender(f"person-{number:02}", folder) for number in range(size))
        yield Crowd(folder, contenders)
    finally:
        (folder / "open").touch()
        for each in contenders:
            each.end()
