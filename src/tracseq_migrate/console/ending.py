"""How an operation ended, in one sentence: the same in plain lines and on a terminal."""

from __future__ import annotations

from tracseq_migrate.console.ink import Ink
from tracseq_migrate.errors import Exit
from tracseq_migrate.operations.observer import Finished

_AT_REST = frozenset({"proven", "completed", "waiting", "soaking"})
"""States that promise that the effects of the steps hold."""


def ending(note: Finished, ink: Ink) -> tuple[str, str]:
    """The state of the week, and what there is to say about it beyond that; either may be empty.

    The summary is cut to its gist: what failed was told in full with its step, and is told again with the error.
    """
    summary = ink.gist(note.summary)
    if not note.week or not note.state:
        return "", summary
    for word in (note.state, note.state.replace("-", " ")):
        already = summary.removeprefix(f"{note.week} is {word}")
        if already != summary:  # it says the state itself
            return f"{note.week} is {note.state}{already}", ""
    if note.exit_code == Exit.DIFFERENT and note.state in _AT_REST:
        return f"{note.week} is {note.state} in the journal, but reality differs", summary
    return f"{note.week} is {note.state}", summary
