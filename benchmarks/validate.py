"""`validate` of 1,000 services and 10,000 steps against PyYAML's C loader reading the same text, in one run and one process.

    python benchmarks/validate.py [rounds]

The peer is ``yaml.load(text, Loader=yaml.CSafeLoader)`` over the environment file and every plan: it makes values, and knows
neither what they mean nor that a key stands twice. Start-up is excluded on both sides; the two alternate, and the best of each
counts, so that what else runs on the machine matters little.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.document import inspect
from tracseq_migrate.operations.validate import validate

SERVICES = 1_000
PLANS = 20
STEPS = 500
"""In each plan."""


def environment() -> str:
    """An environment with a thousand services, each with its flag and its database."""
    names = "".join(
        f"          USE_{n}_SERVICE: {{key: s{n}, prefix: /api/s{n}, service: service-{n}}}\n"
        for n in range(SERVICES)
    )
    services = "".join(
        f"      service-{n}:\n        url: http://127.0.0.1:{4000 + n}\n        health: /health\n"
        f"        start: {{supervisor: service-{n}}}\n        database: db-{n}\n"
        for n in range(SERVICES)
    )
    databases = "".join(
        f"      db-{n}: {{dsn: postgresql://127.0.0.1:5432/db_{n}}}\n" for n in range(SERVICES)
    )
    return f"""\
version: 1
environments:
  bench:
    supervisor: run/supervisor.sock
    gateway:
      url: http://127.0.0.1:8089
      monolith: monolith
      instances:
        - {{name: gateway-1, url: "http://127.0.0.1:8090"}}
      flags:
        file: flags.env
        names:
{names}      reload: {{strategy: command, command: ["true"]}}
    services:
      monolith: {{url: "http://127.0.0.1:3000", database: main}}
{services}    databases:
      main: {{dsn: postgresql://127.0.0.1/main}}
{databases}"""


def plan(number: int) -> str:
    """A plan that starts services, asks for their health, turns their flags on and proves who answers."""
    steps = "".join(
        f"""\
  - id: start-{n}
    services:
      up: [service-{n}]
    timeout: 3m
  - id: health-{n}
    http: {{target: service-{n}, path: /health, expect: {{status: 200}}}}
    retry: {{attempts: 3, wait: 2s}}
  - id: flags-{n}
    title: switch service {n} on
    flags:
      set:
        USE_{n}_SERVICE: true
      writes: stranded
  # the proof
  - id: proof-{n}
    route: {{prefix: /api/s{n}, answered_by: service-{n}}}
"""
        for n in ((number * STEPS + k) % SERVICES for k in range(STEPS // 4))
    )
    return f"""\
week: week{number}
title: Week {number} of many
risk: low
progress: 10
checklist:
  - id: ready
    ask: Everything that must be ready is ready
    expires: 12h
preflight:
  - http: {{target: gateway, path: /health, expect: {{status: 200, json: {{status: healthy}}}}}}
steps:
{steps}"""


def best(rounds: int, *timed: Callable[[], None]) -> list[float]:
    """The best time of each, in seconds; they take turns."""
    times = [float("inf")] * len(timed)
    for _ in range(rounds):
        for place, each in enumerate(timed):
            began = time.perf_counter()
            each()
            times[place] = min(times[place], time.perf_counter() - began)
    return times


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    texts = [environment(), *(plan(number) for number in range(PLANS))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "weeks").mkdir()
        file = folder / "tracseq-migrate.yaml"
        file.write_text(texts[0])
        for number, text in enumerate(texts[1:]):
            (folder / "weeks" / f"week{number}.yaml").write_text(text)

        def own() -> None:
            _, findings = validate(
                LocalFiles(), os.environ, config=file, cwd=folder, environment=None, week=None, offline=False
            )
            if findings:
                raise SystemExit(f"the files of the benchmark are wrong: {findings[0]}")

        def reading() -> None:
            for text in texts:
                inspect(text.encode(), "bench.yaml")

        def peer() -> None:
            for text in texts:
                yaml.load(text, Loader=yaml.CSafeLoader)

        def events() -> None:
            for text in texts:
                loader = yaml.CSafeLoader(text)
                while loader.get_event() is not None:
                    pass

        times = best(rounds, own, reading, peer, events)
    rows = ("validate", "  of which reading", "PyYAML's C loader", "libyaml's events alone")
    print(
        f"{SERVICES:,} services, {PLANS * STEPS:,} steps, {sum(map(len, texts)):,} characters; best of {rounds}"
    )
    for row, seconds in zip(rows, times, strict=True):
        print(f"{row:24} {seconds * 1000:7.0f} ms  {seconds / times[2]:5.2f} x")
    print(
        f"bound by pydantic and the checks ({(times[0] - times[1]) / times[0]:.0%} of validate), "
        f"then by libyaml's events ({times[3] / times[0]:.0%})"
    )


if __name__ == "__main__":
    main()
