"""Start-up of the commands against a bare typer command, alternating, in one run. Prints medians and ratios.

    python benchmarks/startup.py [rounds]

The peer is a typer application with one command and one option, started by the same interpreter. Bytecode caches are on, as
they are for an installed tool.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEER = """
import typer
app = typer.Typer()
@app.command()
def hello(name: str = "you") -> None:
    print(name)
app()
"""

SAMPLE = Path(__file__).parent / "nowhere"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "peer.py").write_text(PEER)
        shutil.copytree(SAMPLE, folder, dirs_exist_ok=True)
        # The program that people type: ``python -m`` costs some milliseconds of its own.
        tool = [sys.executable, str(Path(sys.executable).with_name("tracseq-migrate"))]
        commands = {
            "bare typer command": [sys.executable, str(folder / "peer.py")],
            "--version": [*tool, "--version"],
            "--help": [*tool, "--help"],
            "status": [*tool, "status"],
            "plan week1 --offline": [*tool, "plan", "week1", "--offline"],
            "validate": [*tool, "validate"],
        }
        times: dict[str, list[float]] = {label: [] for label in commands}
        for _ in range(rounds + 1):
            for label, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, cwd=folder, env=variables, capture_output=True, check=True)
                times[label].append(time.perf_counter() - began)
    medians = {label: statistics.median(measured[1:]) for label, measured in times.items()}
    peer = medians["bare typer command"]
    print(
        f"{rounds} rounds, alternating; in brackets the middle half of the rounds, in which the noise of the machine shows"
    )
    for label, median in medians.items():
        low, _, high = statistics.quantiles(times[label][1:], n=4)
        noise = f"[{low * 1000:.0f} to {high * 1000:.0f}]"
        print(f"{label:24} {median * 1000:6.0f} ms  {noise:16} {median / peer:5.2f} x")


if __name__ == "__main__":
    main()
