"""An error as a person reads it: what failed, the state things are in, what to do next, and where there is more."""

from __future__ import annotations

import re
import textwrap

from tracseq_migrate.console.ink import Ink, Line, Tone
from tracseq_migrate.errors import Interrupted, InvalidInput, TracseqMigrateError

_COMMAND = re.compile(r"`[^`\n]+`\S*")
_GLUE = "\x1f"  # where a text of others has one, it comes out as a space


def exit_code_of(error: TracseqMigrateError) -> int:
    """The code that the process ends with."""
    return error.code if isinstance(error, Interrupted) else int(error.exit_code)


def page_of(error: TracseqMigrateError) -> str:
    """The section of the runbook for the code that the process ends with."""
    return f"{error.page.rpartition('-')[0]}-{exit_code_of(error)}"


def render_error(
    error: TracseqMigrateError, ink: Ink, columns: int = 0, *, findings_shown: bool = False
) -> str:
    """Four short lines, the first bold; findings stand one a line above them, ready to be jumped to.

    ``columns`` folds what is prose; 0 folds nothing. A command is never folded, so that it can be copied in one piece; one
    that does not fit begins a line of its own. ``findings_shown``: they were listed already, and are only counted.
    """
    lines: list[Line] = []
    if isinstance(error, InvalidInput):
        lines += [] if findings_shown else [(str(finding),) for finding in error.findings]
        count = len(error.findings)
        failed = f"{count} finding{'' if count == 1 else 's'} to mend"
    else:
        failed = error.message
    code = exit_code_of(error)
    mark = ink.marks.back if code == 5 else ink.marks.waiting if code == 9 else ink.marks.failed
    first, *rest = failed.strip().split("\n")
    below = "".join(f"\n{line if line.startswith(' ') else f'  {line}'.rstrip()}" for line in rest)
    lines.append(((f"{mark} {_folded(first, columns, len(mark) + 1)}", Tone.BAD), below))
    lines.append((("  state: ", Tone.MUTED), _folded(error.state, columns, 9)))
    if error.hint:
        lines.append((("  next:  ", Tone.MUTED), _folded(error.hint, columns, 9, whole=True)))
    lines.append((("  more:  ", Tone.MUTED), page_of(error), (f" (exit {code})", Tone.MUTED)))
    return "".join(ink.text(line) + "\n" for line in lines)


def _folded(text: str, columns: int, indent: int, *, whole: bool = False) -> str:
    """The text folded between words for a place that is ``indent`` wide to its left; a word that is too long stays whole.

    With ``whole``, what stands in backticks counts as one word.
    """
    if not columns:
        return text
    if whole:
        text = _COMMAND.sub(lambda match: match[0].replace(" ", _GLUE), text)
    folded = [
        textwrap.fill(
            line,
            columns,
            # What stands to the left of the first line is glued to its first word, so that the two are not parted.
            initial_indent="" if number == 0 else " " * indent,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
        )
        for number, line in enumerate((_GLUE * indent + text).split("\n"))
    ]
    return "\n".join(folded)[indent:].replace(_GLUE, " ")
