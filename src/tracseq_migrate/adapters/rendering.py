"""Rendering with a template of the operator's own, in a process that can do nothing else, in bounded time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import tracseq_migrate
from tracseq_migrate.errors import Finding, InvalidInput
from tracseq_migrate.migration_log.template import Template
from tracseq_migrate.ports import Event

_MEMORY = 1024 * 1024 * 1024
_MAX_TEXT = 64 * 1024 * 1024


def render_apart(
    events: Sequence[Event], *, environment: str, template: Template, seconds: float = 20.0
) -> str:
    """As `migration_log.rendering.render`, with a template that nobody vouches for.

    Args:
        seconds: how long it may take; the journal of some hundred thousand events takes about five.

    Raises:
        InvalidInput: also where the template takes too long, or makes too much of it.
    """
    asked = {
        "events": [asdict(event) | {"at": event.at.isoformat()} for event in events],
        "environment": environment,
        "template": {"name": template.name, "text": template.text},
        "memory": _MEMORY,
        "seconds": int(seconds) + 1,
    }
    place = Path(tracseq_migrate.__file__).parents[1]
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tracseq_migrate.migration_log"],
            input=json.dumps(asked).encode(),
            capture_output=True,
            env={"PYTHONPATH": str(place), "PATH": os.defpath},
            cwd="/",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _refused(template, f"it was not done within {seconds:g} s") from None
    if done.returncode or len(done.stdout) > _MAX_TEXT:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit {done.returncode}"
        why = "it makes more than 64 MiB of text" if not done.returncode else f"its process ended by {how}"
        raise _refused(template, why)
    answer = json.loads(done.stdout)
    if "findings" in answer:
        raise InvalidInput([Finding(template.name, *finding) for finding in answer["findings"]])
    return str(answer["text"])


def _refused(template: Template, why: str) -> InvalidInput:
    remedy = "make it do less: it runs with bounded time and memory, and may read no file"
    return InvalidInput([Finding(template.name, 1, 1, f"the template could not be rendered: {why}", remedy)])
