"""Start-up of the commands against a bare typer command, alternating, in one run. Prints medians and ratios.

    python benchmarks/startup.py [rounds]

The peer is a typer application with one command and one option, started by the same interpreter. Bytecode caches are on, as
they are for an installed tool.
"""

from __future__ import annotations

import os
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

ENVIRONMENT = """
version: 1
environments:
  nowhere:
    gateway:
      url: http://127.0.0.1:9
      monolith: monolith
      instances: [{name: gateway-1, url: "http://127.0.0.1:9"}]
      flags: {file: flags.env}
      reload: {strategy: command, command: ["true"]}
    services:
      monolith: {url: "http://127.0.0.1:19"}
      notifications: {url: "http://127.0.0.1:29"}
      storage: {url: "http://127.0.0.1:39"}
      rag: {url: "http://127.0.0.1:49"}
      templates: {url: "http://127.0.0.1:59"}
"""


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "peer.py").write_text(PEER)
        (folder / "tracseq-migrate.yaml").write_text(ENVIRONMENT)
        (folder / "flags.env").write_text("USE_STORAGE_SERVICE=false\n")
        tool = [sys.executable, "-m", "tracseq_migrate"]
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
    for label, median in medians.items():
        print(f"{label:24} {median * 1000:6.0f} ms  {median / peer:5.2f} x")


if __name__ == "__main__":
    main()
