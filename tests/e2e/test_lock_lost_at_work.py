"""A run whose lock is taken away in the middle of a program of its own; with steps that need no sandbox."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.adapters.test_subprocess_commands import alive, gone
from tests.e2e.driving import COMMAND, environment
from tests.e2e.test_state_lost_and_moved import ENVIRONMENT
from tests.sandbox_fixture import until
from tracseq_migrate.adapters.sqlite_journal import SqliteLease
from tracseq_migrate.adapters.sqlite_journal.machine import host_name
from tracseq_migrate.cli.app import start
from tracseq_migrate.cli.session import Session
from tracseq_migrate.cli.wiring import opened
from tracseq_migrate.errors import Locked
from tracseq_migrate.ports import Holder

WEEK = """\
week: week9
title: A program that takes its time
risk: low
steps:
  - id: one
    command:
      run: ["echo $$ > begun; until [ -e go ]; do sleep 0.02; done; touch effect"]
      verify: [test -e effect]
      probe: [test -e effect]
      revert: [rm -f effect]
      shell: true
"""
# A service whose `down` costs the run its lock.
SERVICE = """\
      monolith:
        url: "http://127.0.0.1:19"
        start: {command: {up: [touch, started], down: [./down]}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "project"
    (made / "weeks").mkdir(parents=True)
    (made / "tracseq-migrate.yaml").write_text(ENVIRONMENT)
    (made / "flags.env").write_text("USE_STORAGE_SERVICE=false\n")
    (made / "secret").write_text("postgresql://lab:pass-one@127.0.0.1:1/main\n")
    (made / "secret").chmod(0o600)
    (made / "weeks" / "week9.yaml").write_text(WEEK)
    monkeypatch.chdir(made)
    monkeypatch.setenv("TRACSEQ_MIGRATE_IDENTITY", "erin")
    return made


@pytest.mark.parametrize("stopped", [False, True])
def test_after_a_release_its_program_does_nothing_more(
    folder: Path, capsys: pytest.CaptureFixture[str], *, stopped: bool
) -> None:
    journal = folder / ".tracseq-migrate" / "lab" / "journal.sqlite3"
    with subprocess.Popen(
        [*COMMAND, "run", "week9", "--yes"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as run:
        until(
            lambda: (folder / "begun").exists() and bool((folder / "begun").read_text().strip()),
            "the program works",
        )
        program = int((folder / "begun").read_text())
        if stopped:
            run.send_signal(signal.SIGSTOP)
        lease = SqliteLease(journal, environment="lab")
        seen = lease.look()
        assert seen is not None
        code = start(
            ["lock", "release", seen.info.holder.holder_id, "--force", "--reason", "it hangs", "--yes"]
        )
        said = " ".join(capsys.readouterr().out.split())
        lives = not gone(program)
        (folder / "go").touch()
        back = start(["rollback", "week9"])
        run.send_signal(signal.SIGCONT)
        out, _ = run.communicate(timeout=60)
    told = capsys.readouterr()
    if alive(program):
        os.kill(program, signal.SIGKILL)
    assert code == 0
    assert "can begin nothing any more, and journal nothing" in said
    assert "the programs that it was running were ended" in said
    assert not lives
    assert back == 0, told.err
    assert not (folder / "effect").exists()
    assert run.returncode == 8, out


def test_a_run_that_is_fenced_between_down_and_up_starts_nothing(folder: Path) -> None:
    config = folder / "tracseq-migrate.yaml"
    before = '      monolith: {url: "http://127.0.0.1:19"}\n'
    assert before in ENVIRONMENT
    config.write_text(ENVIRONMENT.replace(before, SERVICE))
    down = folder / "down"
    down.write_text("#!/bin/sh\ntouch stopping\nuntil [ -e go ]; do sleep 0.02; done\ntouch stopped\n")
    down.chmod(0o700)
    (folder / "go").touch()
    me = Holder("a1", "ada", host_name(), os.getpid(), "tracseq-migrate run week9")
    with opened(Session(config=config), offline=True, watched=False) as system:
        system.gate.epoch = system.lease.acquire(me, timeout=0).epoch
        system.services.restart("monolith", timeout=30)
        assert (folder / "started").exists()
        (folder / "started").unlink()
        # Taken away while `down` runs: the program that does so stands for another's command on another machine.
        away = (
            "import sys; from pathlib import Path; from tracseq_migrate.adapters.sqlite_journal import SqliteLease; "
            "from tracseq_migrate.ports import Holder; "
            "SqliteLease(Path(sys.argv[1]), environment='lab').take_away('a1', Holder('b2', 'bob', 'far', 1, 'lock release'))"
        )
        journal = folder / ".tracseq-migrate" / "lab" / "journal.sqlite3"
        (folder / "away.py").write_text(away)
        down.write_text(f"#!/bin/sh\nexec {COMMAND[0]} away.py {journal}\n")
        with pytest.raises(Locked):
            system.services.restart("monolith", timeout=30)
    assert not (folder / "started").exists()
