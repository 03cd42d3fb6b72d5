"""The whole command line on a journal that is damaged, lost, moved, or whose plan was edited; with steps that need no sandbox."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.adapters.test_sqlite_journal import forge
from tests.e2e.driving import COMMAND, environment
from tests.sandbox_fixture import until
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal
from tracseq_migrate.cli.app import start
from tracseq_migrate.journal import chain
from tracseq_migrate.ports import Record

ENVIRONMENT = """\
version: 1
environments:
  lab:
    sandbox: true
    identity: variable
    plans: weeks
    gateway:
      url: http://127.0.0.1:9
      monolith: monolith
      instances: [{name: gateway-1, url: "http://127.0.0.1:9"}]
      flags: {file: flags.env}
      reload: {strategy: command, command: ["true"]}
    services:
      monolith: {url: "http://127.0.0.1:19"}
    databases:
      main: {dsn: "file:secret"}
"""
WEEK = """\
week: week9
title: Two programs and a person
risk: low
steps:
  - id: one
    command: {run: [touch, one], verify: [test, -e, one], probe: [test, -e, one], revert: [rm, -f, one]}
  - id: look
    pause: {ask: Has somebody looked}
  - id: two
    command: {run: [touch, two], verify: [test, -e, two], probe: [test, -e, two], revert: [rm, -f, two]}
"""
SLOW = """\
week: week9
title: Programs that take their time
risk: low
steps:
  - id: one
    command: {run: [touch, one], verify: [test, -e, one], probe: [test, -e, one], revert: [rm, -f, one]}
  - id: two
    command:
      run: [sh, -c, "for n in $(seq 600); do test -e go && exit; sleep 0.1; done"]
      verify: [test, -e, one]
      probe: ["false"]
      revert: ["true"]
"""


@dataclass
class Ended:
    code: int
    out: str
    err: str

    def expect(self, code: int, *texts: str) -> Ended:
        assert self.code == code, f"{self.code}\n{self.out}\n{self.err}"
        flat = " ".join((self.out + self.err).split())
        for text in texts:
            assert text in flat, f"{text!r} is missing:\n{flat}"
        if code:
            assert f"docs/runbook.md#exit-{code}" in self.err
        return self


@dataclass
class Lab:
    """A project folder, and the command line in it."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Ended:
        self.capture.readouterr()
        code = start(words)
        said = self.capture.readouterr()
        return Ended(code, said.out, said.err)

    @property
    def state(self) -> Path:
        return self.folder / ".tracseq-migrate" / "lab"

    @property
    def journal(self) -> Path:
        return self.state / "journal.sqlite3"

    def plan(self, text: str) -> None:
        (self.folder / "weeks" / "week9.yaml").write_text(text)

    def events(self) -> list[Record]:
        return list(SqliteJournal(self.journal, environment="lab").records())

    def files(self) -> dict[str, bytes]:
        """What nobody may change: the journal's files, the log, and what the steps made."""
        parts = [p for p in self.folder.rglob("*") if p.is_file() and not p.name.endswith(("-shm", ".lock"))]
        return {str(path): body for path in parts if (body := path.read_bytes())}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lab:
    folder = tmp_path / "project"
    (folder / "weeks").mkdir(parents=True)
    (folder / "tracseq-migrate.yaml").write_text(ENVIRONMENT)
    (folder / "flags.env").write_text("USE_STORAGE_SERVICE=false\n")
    (folder / "secret").write_text("postgresql://lab:pass-one@127.0.0.1:1/main\n")
    (folder / "secret").chmod(0o600)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TRACSEQ_MIGRATE_IDENTITY", "erin")
    made = Lab(folder, capsys)
    made.plan(WEEK)
    return made


@pytest.fixture
def waiting(lab: Lab) -> Lab:
    """Week 9 waits for a person, one step done."""
    lab("run", "week9").expect(9)
    return lab


# What an edit voids


def edited(lab: Lab) -> None:
    lab.plan(WEEK.replace("touch, two", "touch, zwei"))


def test_an_edited_run_goes_back_and_not_forward(waiting: Lab) -> None:
    edited(waiting)
    before = waiting.events()
    for words in (["run", "week9"], ["resume", "week9"], ["resume"]):
        waiting(*words).expect(4, "was run with another plan", '- "two"', '+ "zwei"', "rollback week9")
    waiting("approve", "week9", "look").expect(4, "its plan was edited since")
    assert waiting.events() == before
    # The way back is that of the plan as it was run, whatever the file says, or whether there is one.
    (waiting.folder / "weeks" / "week9.yaml").unlink()
    waiting("rollback", "week9").expect(0)
    assert not (waiting.folder / "one").exists()


def test_the_way_back_is_the_journaled_one(waiting: Lab) -> None:
    waiting.plan(WEEK.replace("revert: [rm, -f, one]", "revert: [touch, wrong]"))
    waiting("rollback", "week9").expect(0)
    assert not (waiting.folder / "one").exists()
    assert not (waiting.folder / "wrong").exists()


def respaced(lab: Lab) -> None:
    lab.plan(
        "# a comment\n\n" + WEEK.replace("title: ", "title:     ").replace("\n  - ", "\n\n  -   # why\n    ")
    )


def reordered(lab: Lab) -> None:
    lab.plan(
        WEEK.replace(
            "week: week9\ntitle: Two programs and a person\n",
            "title: 'Two programs and a person'\nweek: week9\n",
        )
    )


def other_secret(lab: Lab) -> None:
    (lab.folder / "secret").write_text("postgresql://lab:pass-two@127.0.0.1:1/main\n")


def other_log(lab: Lab) -> None:
    with (lab.folder / "tracseq-migrate.yaml").open("a") as file:
        file.write("    log: {git: {author: 'A <a@example.org>'}}\n")


@pytest.mark.parametrize("change", [respaced, reordered, other_secret, other_log])
def test_what_means_the_same_voids_nothing(waiting: Lab, change: Callable[[Lab], None]) -> None:
    waiting("approve", "week9", "look").expect(0)
    change(waiting)
    waiting("run", "week9").expect(0, "week9 is proven")


def other_service(lab: Lab) -> None:
    path = lab.folder / "tracseq-migrate.yaml"
    path.write_text(path.read_text().replace("127.0.0.1:19", "127.0.0.1:20"))


def other_database(lab: Lab) -> None:
    (lab.folder / "secret").write_text("postgresql://lab:pass-one@127.0.0.1:1/other\n")


@pytest.mark.parametrize("change", [other_service, other_database])
def test_another_environment_voids_the_way_forward(waiting: Lab, change: Callable[[Lab], None]) -> None:
    change(waiting)
    waiting("run", "week9").expect(4, "the environment (gateway, services, databases) is not")
    waiting("rollback", "week9").expect(0)


# What is damaged, lost, or of something else


def emptied(lab: Lab) -> None:
    lab.journal.write_bytes(b"")


def no_database(lab: Lab) -> None:
    lab.journal.write_bytes(b"not a database, but long enough to be looked at\n" * 200)


def cut(lab: Lab) -> None:
    lab.journal.write_bytes(lab.journal.read_bytes()[:20000])


def broken(lab: Lab) -> None:
    forge(lab.journal, "UPDATE events SET week = 'week8' WHERE seq = 3")


def removed(lab: Lab) -> None:
    lab.journal.unlink()


def folder_removed(lab: Lab) -> None:
    shutil.rmtree(lab.state)


def older(lab: Lab) -> None:
    forge(lab.journal, "DELETE FROM events WHERE seq > 4")


def older_with_its_head(lab: Lab) -> None:
    """As a backup of the whole folder, put back: only the log knows better."""
    older(lab)
    (lab.state / "journal.head").unlink()


def of_another_program(lab: Lab) -> None:
    lab.journal.unlink()
    with sqlite3.connect(lab.journal) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()


def of_another_environment(lab: Lab) -> None:
    forge(lab.journal, "UPDATE meta SET value = 'production'")


def of_a_newer_version(lab: Lab) -> None:
    forge(lab.journal, "PRAGMA user_version = 2")


ACTING = (
    ["run", "week9"],
    ["resume"],
    ["rollback", "week9"],
    ["approve", "week9", "look"],
    ["log", "render"],
)


@pytest.mark.parametrize(
    ("damage", "looks", "text"),
    [
        (emptied, 6, "it was cut off or replaced"),
        (no_database, 6, "is damaged: file is not a database"),
        (cut, 6, "is damaged"),
        (broken, 6, "broken at event 3: its content was changed"),
        (removed, 0, "is gone: journal.head"),
        (folder_removed, 0, "was rendered up to event"),
        (older, 0, "events are lost"),
        (older_with_its_head, 0, "was rendered up to event"),
    ],
)
def test_a_journal_that_is_not_whole_is_named_kept_and_replaced(
    waiting: Lab, damage: Callable[[Lab], None], looks: int, text: str
) -> None:
    waiting("state", "export", "good.jsonl").expect(0)
    count = len(waiting.events())
    damage(waiting)
    before = waiting.files()
    for words in ACTING:
        waiting(*words).expect(6, text, "state import FILE")
    waiting("status").expect(looks, text)
    waiting("log", "verify").expect(6)
    if not looks:
        assert waiting("status", "--exit-code").code == 6
        assert text in " ".join(json.loads(waiting("status", "--json").out)["lost"].split())
        seen = waiting("log", "show").expect(6, text, "state import FILE")
        assert "ever run" not in seen.out
        assert json.loads(waiting("log", "show", "--json").out)["lost"]
    assert waiting.files() == before, "it is left as it is"
    done = waiting("state", "import", "good.jsonl", "--json").expect(0)
    view = json.loads(done.out)
    assert view["events"] == count
    bodies = {Path(each).read_bytes() for each in view["kept"]}
    there = [body for path, body in before.items() if path == str(waiting.journal)]
    assert set(there) <= bodies or not view["damage"], "it is kept to the byte"
    waiting("log", "verify").expect(0)
    waiting("rollback", "week9").expect(0, "week9 is rolled-back")
    assert not (waiting.folder / "one").exists()


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (of_another_program, "is an SQLite file of another program"),
        (of_another_environment, "is of the environment 'production', not of 'lab'"),
        (of_a_newer_version, "was written by a newer tracseq-migrate (format 2)"),
    ],
)
def test_what_belongs_to_something_else_is_left_alone(
    waiting: Lab, damage: Callable[[Lab], None], text: str
) -> None:
    waiting("state", "export", "good.jsonl").expect(0)
    damage(waiting)
    before = waiting.files()
    for words in (*ACTING, ["status"], ["state", "import", "good.jsonl"], ["state", "export", "other.jsonl"]):
        waiting(*words).expect(3, text)
    assert waiting.files() == before


def test_a_torn_log_after_a_kill_is_noticed(lab: Lab) -> None:
    """The journal of a killed process is in its write-ahead log; SQLite reads what fits of it, and says nothing."""
    lab.plan(SLOW)
    with subprocess.Popen(
        [*COMMAND, "run", "week9"], cwd=lab.folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "two begins" in line:
                break
        lost_before = process.poll()
        process.send_signal(signal.SIGKILL)
        process.stdout.read()
    assert lost_before is None
    until(lambda: "in-doubt" in lab("status").out, "the killed run is in doubt")
    log = lab.journal.with_name("journal.sqlite3-wal")
    whole = log.read_bytes()
    log.write_bytes(whole[:-4200])
    before = lab.files()
    lab("resume", "week9").expect(6, "was acknowledged here", "lost")
    lab("status").expect(0, "was acknowledged here")
    assert lab.files() == before
    log.write_bytes(whole)
    lab("rollback", "week9").expect(0)


# Moving


def test_a_journal_moves_to_another_machine(
    waiting: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = waiting("state", "export").expect(0).out
    assert text.isascii()
    file = tmp_path / "moved.jsonl"
    file.write_text(text)
    there = tmp_path / "there"
    shutil.copytree(waiting.folder, there, ignore=shutil.ignore_patterns(".tracseq-migrate"))
    monkeypatch.chdir(there)
    lab = Lab(there, waiting.capture)
    lab("run", "week9").expect(6, "state import FILE")  # the log came along, the journal did not
    lab("state", "import", str(file)).expect(0, "taken in")
    lab("state", "import", str(file)).expect(0, "nothing to take in")
    lab("approve", "week9", "look").expect(0)
    lab("run", "week9").expect(0, "week9 is proven")
    lab("state", "import", str(file)).expect(4, "only the first")
    lab("state", "export", "-", "--json").expect(0)


def test_an_export_during_a_run_is_whole_and_disturbs_nobody(waiting: Lab) -> None:
    exported: list[str] = []
    ended = threading.Event()

    def keep_exporting() -> None:
        while not ended.is_set():
            done = subprocess.run(
                [*COMMAND, "state", "export"],
                cwd=waiting.folder,
                env=environment(),
                capture_output=True,
                text=True,
                check=True,
            )
            exported.append(done.stdout)

    other = threading.Thread(target=keep_exporting)
    other.start()
    try:
        waiting("approve", "week9", "look").expect(0)
        until(lambda: bool(exported), "an export")
        waiting("run", "week9").expect(0, "week9 is proven")
    finally:
        ended.set()
        other.join()
    events = waiting.events()
    for text in exported:
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line["hash"] for line in lines if line["type"] == "event"] == [
            record.hash for record in events[: lines[0]["events"]]
        ]
    assert chain.verify_records(events).broken is None


def test_an_import_waits_for_nobody_and_names_who_is_at_work(lab: Lab, tmp_path: Path) -> None:
    lab.plan(SLOW)
    with subprocess.Popen(
        [*COMMAND, "run", "week9"], cwd=lab.folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "two begins" in line:
                break
        lab("state", "export", "good.jsonl").expect(0)
        lab("state", "import", "good.jsonl").expect(8, "erin")
        process.send_signal(signal.SIGINT)
        (lab.folder / "go").touch()
        process.stdout.read()
    assert process.returncode == 130


def test_usage(lab: Lab) -> None:
    lab("state", "export", "x.jsonl").expect(4, "no events")
    lab("state", "import", "nowhere.jsonl").expect(3, "nowhere.jsonl: No such file")
    (lab.folder / "week.yaml").write_text(WEEK)
    lab("state", "import", "week.yaml").expect(3, "no export of a state")
    assert not lab.state.exists()
