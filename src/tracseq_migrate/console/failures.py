"""An error as a person reads it: what failed, the state things are in, what to do next, and where there is more."""

from __future__ import annotations

from tracseq_migrate.console.ink import Ink, Line, Tone
from tracseq_migrate.errors import Interrupted, InvalidInput, TracseqMigrateError


def exit_code_of(error: TracseqMigrateError) -> int:
    """The code that the process ends with."""
    return error.code if isinstance(error, Interrupted) else int(error.exit_code)


def render_error(error: TracseqMigrateError, ink: Ink) -> str:
    """Four short lines, the first bold; findings stand one a line above them, ready to be jumped to."""
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
    lines.append(((f"{mark} {first}", Tone.BAD), f"\n{rest}" if rest else ""))
    lines.append((("  state: ", Tone.MUTED), error.state))
    if error.hint:
        lines.append((("  next:  ", Tone.MUTED), error.hint))
    page = error.page.rpartition("-")[0] + f"-{code}"
    lines.append((("  more:  ", Tone.MUTED), page, (f" (exit {code})", Tone.MUTED)))
    return "".join(ink.text(line) + "\n" for line in lines)
