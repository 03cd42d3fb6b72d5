"""What a step costs: 200 trivial steps, journaled durably, against bash with a synced journal line and against other tools.

    python benchmarks/steps.py [rounds] [--many 10000]

A trivial step makes a file (`touch`) and sees that it is there (`test -e`): two programs, in every row. The peers:

- bash runs both programs and appends a line to a journal, synced by `sync FILE`: what a careful shell script does.
- terraform (`terraform_data` with `local-exec`, one at a time), pyinfra and ansible (local connection), each where it is
  found on PATH, or in the folder of TRACSEQ_BENCH_TOOLS. None of them syncs a journal.

Start-up is excluded in every row: the time of a run with one step is taken from the time of a run with all of them. Our
steps are timed by the journal too, from the first intent to the last step seen done; the whole run also looks, before it
begins, at every step's effect, and renders the log afterwards, so it has a row of its own.

``--many`` runs that many steps of ours as well, in as many weeks as it takes, and prints the cost of the first and the last tenth
and the memory held.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

NOWHERE = Path(__file__).parent / "nowhere"
STEPS = 200
IN_A_WEEK = 5_000
"""A plan file has at most a MiB, and 100,000 values."""
Prepare = Callable[[Path, int], list[str]]


def bash(folder: Path, steps: int) -> list[str]:
    script = folder / "steps.sh"
    script.write_text(
        "set -e\nTEST=$(type -P test)\n"
        f"for i in $(seq {steps}); do\n"
        "  touch done-$i; $TEST -e done-$i\n"
        '  echo "{\\"step\\": $i, \\"state\\": \\"done\\"}" >> journal; sync journal\n'
        "done\n"
    )
    return ["bash", str(script)]


def ours(folder: Path, steps: int) -> list[str]:
    shutil.copytree(NOWHERE, folder, dirs_exist_ok=True)
    return plan(folder, "bench", range(steps))


def plan(folder: Path, name: str, numbers: range) -> list[str]:
    """Write a plan of our steps; gives the command that runs it."""
    entries = "".join(
        f"  - {{id: s{i:05}, command: {{run: [touch, done-{i}], verify: [test, -e, done-{i}], "
        f"probe: [test, -e, done-{i}], revert: [rm, done-{i}]}}}}\n"
        for i in numbers
    )
    (folder / "weeks").mkdir(exist_ok=True)
    (folder / "weeks" / f"{name}.yaml").write_text(
        f"week: {name}\ntitle: Trivial steps\nrisk: low\nsteps:\n{entries}"
    )
    return [sys.executable, "-m", "tracseq_migrate", "-q", "run", name, "--yes"]


def terraform(folder: Path, steps: int) -> list[str]:
    blocks = []
    for i in range(steps):
        after = f"  depends_on = [terraform_data.s{i - 1}]\n" if i else ""
        command = f'command = "touch done-{i}; test -e done-{i}"'
        blocks.append(
            f'resource "terraform_data" "s{i}" {{\n{after}  provisioner "local-exec" {{ {command} }}\n}}\n'
        )
    (folder / "main.tf").write_text("".join(blocks))
    subprocess.run(["terraform", "init", "-input=false"], cwd=folder, check=True, capture_output=True)
    return ["terraform", "apply", "-auto-approve", "-input=false", "-parallelism=1"]


def pyinfra(folder: Path, steps: int) -> list[str]:
    lines = ["from pyinfra.operations import server\n"]
    lines += [
        f"server.shell(name='s{i}', commands=['touch done-{i}; test -e done-{i}'])\n" for i in range(steps)
    ]
    (folder / "deploy.py").write_text("".join(lines))
    return ["pyinfra", "-y", "@local", "deploy.py"]


def ansible(folder: Path, steps: int) -> list[str]:
    tasks = "".join(
        f"    - {{name: s{i}, ansible.builtin.shell: 'touch done-{i}; test -e done-{i}'}}\n"
        for i in range(steps)
    )
    (folder / "play.yml").write_text(
        f"- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n{tasks}"
    )
    return [
        "ansible-playbook",
        "-i",
        "localhost,",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
        "play.yml",
    ]


def carry_out(prepare: Prepare, steps: int) -> tuple[float, float]:
    """Seconds of a whole run in a new folder, and of the steps in it by our journal (0 for others)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        argv = prepare(folder, steps)
        began = time.perf_counter()
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        made = len(list(folder.glob("done-*")))
        if done.returncode or made != steps:
            raise SystemExit(
                f"{argv[0]} made {made} of {steps} (exit {done.returncode}):\n{done.stdout}{done.stderr}"
            )
        return seconds, sum(journaled(folder)) if prepare is ours else 0.0


def journaled(folder: Path, week: str = "bench") -> list[float]:
    """Seconds from one step's end to the next one's, the first from its intent."""
    (path,) = folder.glob(".tracseq-migrate/*/journal.sqlite3")
    moments_of = "SELECT at FROM events WHERE type = ? AND week = ? ORDER BY seq"
    connection = sqlite3.connect(path)
    try:
        (first,) = connection.execute(moments_of, ("step.intent", week)).fetchone()
        ends = connection.execute(moments_of, ("step.verified", week))
        moments = [datetime.fromisoformat(at) for at in (first, *(at for (at,) in ends))]
    finally:
        connection.close()
    return [(b - a).total_seconds() for a, b in itertools.pairwise(moments)]


def many(steps: int) -> None:
    """The same cost a step, and memory that does not grow with the steps already done."""
    print(f"\n{steps:,} steps of ours, in weeks of {IN_A_WEEK:,} that share a journal")
    each: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(NOWHERE, folder, dirs_exist_ok=True)
        for first in range(0, steps, IN_A_WEEK):
            week = f"bench{first // IN_A_WEEK + 1}"
            held = watched(plan(folder, week, range(first, min(first + IN_A_WEEK, steps))), folder)
            each += journaled(folder, week)
            middle = held[len(held) // 5 : -len(held) // 10] or held
            print(
                f"  {week}: memory {middle[0]:.0f} MiB early, {middle[-1]:.0f} MiB late, {max(held):.0f} MiB at most"
            )
    tenth = max(1, steps // 10)
    early, late = statistics.median(each[:tenth]), statistics.median(each[-tenth:])
    print(f"  {sum(each) / steps * 1000:.2f} ms a step (mean)")
    print(f"  first tenth {early * 1000:.2f} ms, last tenth {late * 1000:.2f} ms (medians)")


def watched(argv: list[str], folder: Path) -> list[float]:
    """Run a week; the memory that it held, in MiB, four times a second."""
    held = []
    with subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with contextlib.suppress(OSError, IndexError):  # it ended just now
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
                held.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
            time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"{argv[-2]} ended with {process.returncode}")
    return held


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", type=int, nargs="?", default=5)
    parser.add_argument("--many", type=int, default=0)
    asked = parser.parse_args()
    os.environ["PATH"] += os.pathsep + os.environ.get("TRACSEQ_BENCH_TOOLS", "")
    rows: dict[str, tuple[Prepare, str]] = {
        "bash, synced journal line": (bash, "bash"),
        "tracseq-migrate": (ours, sys.executable),
        "terraform": (terraform, "terraform"),
        "pyinfra": (pyinfra, "pyinfra"),
        "ansible": (ansible, "ansible-playbook"),
    }
    present = {label: prepare for label, (prepare, program) in rows.items() if shutil.which(program)}
    missing = [label for label in rows if label not in present]
    whole: dict[str, list[float]] = {label: [] for label in present}
    by_journal: list[float] = []
    for number in range(asked.rounds):
        for label, prepare in present.items():
            if number and prepare in (terraform, pyinfra, ansible):
                continue  # they are far off: once is enough
            one, _ = carry_out(prepare, 1)
            seconds, journal = carry_out(prepare, STEPS)
            whole[label].append((seconds - one) / (STEPS - 1))
            if prepare is ours:
                by_journal.append(journal / STEPS)
    peer = statistics.median(whole["bash, synced journal line"])
    print(f"{STEPS} steps, milliseconds a step, start-up excluded ({asked.rounds} rounds, medians)")

    def row(label: str, seconds: float) -> None:
        print(f"  {label:34} {seconds * 1000:7.2f} ms  {seconds / peer:6.2f} x")

    row("bash, synced journal line", peer)
    row("tracseq-migrate, steps", statistics.median(by_journal))
    row("tracseq-migrate, whole run", statistics.median(whole["tracseq-migrate"]))
    for label in ("terraform", "pyinfra", "ansible"):
        if label in whole:
            row(label, statistics.median(whole[label]))
    for label in missing:
        print(f"  {label}: not found on PATH")
    if asked.many:
        many(asked.many)


if __name__ == "__main__":
    main()
