"""``python -m tracseq_migrate.cli.guard WEEK STEP [global options]``: waits for its starter's end, and goes on for it.

Its input is a pipe. A line ``done`` there is the good end. The pipe's end without it means that the other is dead: then
the week is resumed as far as the end of the step, or all the way back, as a person would with ``resume WEEK --until
STEP``, unless somebody else was faster.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

_AT_MOST = "2m"
"""How long the lock of the one that died is waited for."""


def main(argv: Sequence[str]) -> int:
    """Wait, and go on; the exit code of what was gone on with, or 0."""
    week, step, *options = argv
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    _import_everything()
    own = os.dup(1)
    # What is told from here on is told to the log: the other may be gone, and its pipe with it.
    os.dup2(2, 1)
    try:
        os.write(own, b"ready\n")
    except BrokenPipeError:
        return 0  # it died before it began: it begins only when it has read this
    finally:
        os.close(own)
    if b"done" in _until_the_end():
        return 0
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    from tracseq_migrate.cli.app import start

    return start([*options, "resume", week, "--until", step, "--as-guardian", "--lock-timeout", _AT_MOST])


def _import_everything() -> None:
    """Nothing is left to be read from a disk that may be full or gone when it counts."""
    import tracseq_migrate.adapters.postgres.session
    import tracseq_migrate.cli.resume
    import tracseq_migrate.cli.wiring
    import tracseq_migrate.console.plain
    import tracseq_migrate.console.screen
    import tracseq_migrate.operations.run
    import tracseq_migrate.replication.cutover
    import tracseq_migrate.steps.cutover  # noqa: F401


def _until_the_end() -> bytes:
    said = b""
    while part := os.read(0, 4096):
        said += part
        if b"done" in said:
            break
    return said


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
