"""Events through the template, and a footer that says of which journal it is a render."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NoReturn

from tracseq_migrate import duration
from tracseq_migrate.errors import Finding, InvalidInput
from tracseq_migrate.journal.replay import State, replay
from tracseq_migrate.migration_log.file import footer_line
from tracseq_migrate.migration_log.markdown import Markdown, code, md, prose
from tracseq_migrate.migration_log.sections import sections
from tracseq_migrate.migration_log.template import Template, packaged_template
from tracseq_migrate.ports import Event


def render(events: Iterable[Event], *, environment: str, template: Template | None = None) -> str:
    """The whole log, ending in its footer; the same events and template always give the same text.

    Args:
        events: the journal from its beginning.
        environment: the name in the title.
        template: the operator's own; None takes the packaged one.

    Raises:
        InvalidInput: the template is broken, or does something that it may not; with its file and line.
    """
    from jinja2 import DictLoader, StrictUndefined, TemplateSyntaxError

    from tracseq_migrate.migration_log.machine import TemplateMachine

    template = template or packaged_template()
    state = State()
    told = sections(_folding(events, state))  # one pass: a long journal is never in memory as a whole
    # Markdown has no autoescape in Jinja; every expression that is not Markdown already is escaped at the way out.
    machine = TemplateMachine(
        loader=DictLoader({}),  # there is nothing to include
        autoescape=False,
        finalize=md,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    machine.filters.update(md=md, code=code, prose=prose, safe=Markdown, time=_time, took=_took)
    values: dict[str, Any] = {
        "environment": environment,
        "sections": told,
        "weeks": [state.weeks[name] for name in sorted(state.weeks)],
        "obligations": list(state.obligations.values()),
        "events": state.events,
        "unknown": state.unknown,
        "last_at": state.last_at,
    }
    try:
        body = machine.from_string(template.text).render(values)
    except TemplateSyntaxError as error:
        raise InvalidInput(
            [Finding(template.name, error.lineno, 1, error.message or "broken template")]
        ) from error
    except Exception as error:  # noqa: BLE001 - whatever an operator's template does is a finding, never a crash
        _refuse(template, error)
    body = body.rstrip("\n") + "\n\n"
    return body + footer_line(state.events, state.head, body.encode(), environment)


def _folding(events: Iterable[Event], state: State) -> Iterator[Event]:
    for event in events:
        replay((event,), state)
        yield event


def _refuse(template: Template, error: Exception) -> NoReturn:
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"
    ]
    message = f"the template failed: {type(error).__name__}: {error}"
    raise InvalidInput(
        [Finding(template.name, lines[-1] if lines and lines[-1] else 1, 1, message)]
    ) from error


def _time(at: datetime | str | None) -> str:
    """RFC 3339 in UTC, to the second."""
    if isinstance(at, str):
        at = datetime.fromisoformat(at) if at else None
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


def _took(seconds: float | None) -> str:
    return "" if seconds is None else duration.show(seconds)
