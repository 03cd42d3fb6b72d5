"""An error as a person reads it: what failed, the state things are in, what to do next, and where there is more."""

from __future__ import annotations

import textwrap

from tracseq_migrate.console.ink import Ink, Line, Tone
from tracseq_migrate.errors import Interrupted, InvalidInput, TracseqMigrateError


def exit_code_of(error: TracseqMigrateError) -> int:
    """The code that the process ends with."""
    return error.code if isinstance(error, Interrupted) else int(error.exit_code)


def page_of(error: TracseqMigrateError) -> str:
    """The section of the runbook for the code that the process ends with."""
    return f"{error.page.rpartition('-')[0]}-{exit_code_of(error)}"


def render_error(error: TracseqMigrateError, ink: Ink, columns: int = 0) -> str:
    """Four short lines, the first bold; findings stand one a line above them, ready to be jumped to.

    ``columns`` folds what is prose; 0 folds nothing. Commands are never folded, so that they can be copied.
    """
    lines: list[Line] = []
    if isinstance(error, InvalidInput):
        lines += [(str(finding),) for finding in error.findings]
        count = len(error.findings)
        failed = f"{count} finding{'' if count == 1 else 's'} to mend"
    else:
        failed = error.message
    code = exit_code_of(error)
    mark = ink.marks.back if code == 5 else ink.marks.waiting if code == 9 else ink.marks.failed
    first, _, rest = failed.partition("\n")
    lines.append(
        ((_folded(f"{mark} {first}", columns, len(mark) + 1), Tone.BAD), f"\n{rest}" if rest else "")
    )
    lines.append((("  state: ", Tone.MUTED), _folded(f"  state: {error.state}", columns, 9)[9:]))
    if error.hint:
        lines.append((("  next:  ", Tone.MUTED), error.hint))
    lines.append((("  more:  ", Tone.MUTED), page_of(error), (f" (exit {code})", Tone.MUTED)))
    return "".join(ink.text(line) + "\n" for line in lines)


def _folded(text: str, columns: int, indent: int) -> str:
    """The text with each line folded between words; a word that is too long stays whole."""
    if not columns:
        return text
    return "\n".join(
        textwrap.fill(
            line,
            columns,
            initial_indent=" " * indent if number else "",
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
        )
        for number, line in enumerate(text.split("\n"))
    )
