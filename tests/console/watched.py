"""A program for the tests of real streams: shows samples on the streams that it was given. Arguments: what, and options."""

from __future__ import annotations

import os
import sys
import time

from tests.console.samples import HEADER, STORY, VIEWS
from tracseq_migrate.console.screen import Screen
from tracseq_migrate.errors import RolledBack


def main(what: str, *options: str) -> int:
    screen = Screen(
        stdout=sys.stdout,
        stderr=sys.stderr,
        stdin=sys.stdin,
        environ=os.environ,
        as_json="--json" in options,
        quiet="-q" in options,
        no_color="--no-color" in options,
    )
    screen.header(HEADER)
    code = 0
    if what == "story":
        observer = screen.observer()
        for note in STORY:
            observer.emit(note)
            time.sleep(0.01)
        code = screen.error(RolledBack("step two failed"))
    elif what == "stuck":
        observer = screen.observer()
        for note in STORY[:6]:
            observer.emit(note)
        time.sleep(60)
    elif what == "asker":
        sys.stderr.write(f"{screen.asker().present}\n")
    else:
        screen.show(VIEWS[what])
    return 1 if screen.close() else code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
