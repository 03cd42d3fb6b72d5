"""Renders with a template that nobody vouches for, in a process of its own: `adapters.rendering` starts it.

In: one JSON document on standard input. Out: one on standard output, the text or the findings. The process can open no file
and reach no network, since it may hold no descriptor more; its memory and its time are bounded by the system.
"""

from __future__ import annotations

import json
import resource
import sys
from contextlib import suppress
from datetime import datetime

from tracseq_migrate.errors import InvalidInput
from tracseq_migrate.migration_log.rendering import render
from tracseq_migrate.migration_log.template import Template
from tracseq_migrate.ports import Event


def main() -> None:
    """Read, bind itself, render, write."""
    asked = json.load(sys.stdin)
    events = [Event(**{**event, "at": datetime.fromisoformat(event["at"])}) for event in asked["events"]]
    template = Template(**asked["template"])
    # What is imported only once the process is bound would have to be opened: so all of it is used before.
    for warming in ("{{ 'a\\n' }}{{ lipsum(1) }}", "{% include 'x' %}", "{{ nothing }}", "{%"):
        with suppress(InvalidInput):
            render([], environment="", template=Template("", warming))
    _bind(asked["memory"], asked["seconds"])
    answer: dict[str, object]
    try:
        answer = {"text": render(events, environment=asked["environment"], template=template)}
    except InvalidInput as error:
        answer = {"findings": [[f.line, f.column, f.message, f.remedy] for f in error.findings]}
    except (MemoryError, RecursionError) as error:
        answer = {"findings": [[1, 1, f"the template failed: {type(error).__name__}", ""]]}
    sys.stdout.write(json.dumps(answer))


def _bind(memory: int, seconds: int) -> None:
    for what, limit in (
        (resource.RLIMIT_NOFILE, 3),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
    ):
        resource.setrlimit(what, (limit, limit))


if __name__ == "__main__":
    main()
