"""One of many who want the lock: holds the tool imported, and types a command whenever it is told to, through the real door.

In: a line of JSON with ``at`` (on the monotonic clock that all processes of a machine share) and ``argv``. Out: a line with the
exit code and what was written.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from pathlib import Path

from tracseq_migrate.cli.app import start


def main() -> None:
    """Answer until the input ends."""
    asked, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    with asked, answers, Path(os.devnull).open("r+b") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(nothing.fileno(), 1)
        for line in asked:
            order = json.loads(line)
            out, err = io.StringIO(), io.StringIO()
            time.sleep(max(0.0, order["at"] - time.monotonic()))
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = start(order["argv"])
            answers.write(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
