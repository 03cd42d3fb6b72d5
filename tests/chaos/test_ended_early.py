"""A long suite that is told to end takes down what it brought up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.ledger import ROOT
from tests.sandbox_fixture import until

SUITE = """
import subprocess, sys, time
from contextlib import contextmanager
from pathlib import Path
from tests.chaos.suite import Tally

class Suite:
    name = "ended"
    def cases(self, seed):
        yield "only"
    @contextmanager
    def bench(self, folder):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path("{told}").write_text(str(child.pid))
        try:
            yield self
        finally:
            time.sleep(0.3)  # long enough for a second signal to come in the middle
            child.terminate()
            child.wait()
            Path("{told}.down").write_text(str(child.returncode))
    def carry_out(self, case):
        time.sleep(600)
        return Tally()

SUITE = Suite()
"""
START = """
import sys, types
suite = types.ModuleType("tests.chaos.suites.ended")
exec(open(sys.argv.pop(1)).read(), suite.__dict__)
sys.modules[suite.__name__] = suite
from tests.chaos import __main__ as chaos
chaos.NAMES.append("ended")
sys.exit(chaos.main())
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_suite_that_is_told_to_end_takes_down_what_it_brought_up(
    tmp_path: Path, ending: signal.Signals
) -> None:
    told = tmp_path / "told"
    (tmp_path / "suite.py").write_text(SUITE.replace("{told}", str(told)))
    words = [str(tmp_path / "suite.py"), "ended", "--ledger", str(tmp_path / "ledger.jsonl")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", START, *words], cwd=ROOT, env=environment) as suite:
        until(lambda: told.exists() and bool(told.read_text()), "the suite to be at work", seconds=60)
        suite.send_signal(ending)
        suite.send_signal(signal.SIGTERM)
        assert suite.wait(timeout=60) == 128 + ending
    assert (tmp_path / "told.down").exists()
    assert not Path(f"/proc/{told.read_text()}").exists()
    assert not list(tmp_path.glob("chaos-*"))
