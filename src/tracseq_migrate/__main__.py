"""``python -m tracseq_migrate``, and the entry point of the command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, and end with its exit code."""
    import gc

    # Importing makes many objects and no rubbish: looking for it every 700 of them is a tenth of the start, and even once on the
    # way is a twentieth. A command that only looks ends before this many are there.
    gc.set_threshold(200_000, 20, 20)
    from tracseq_migrate.cli.signals import quiet

    quiet()  # first of all: a signal while the rest is imported ends the tool without a trace
    from tracseq_migrate.cli.app import start

    code = start(sys.argv[1:])
    gc.freeze()  # nor need the last look for rubbish, at the interpreter's end, go through all that was imported
    sys.exit(code)


if __name__ == "__main__":
    main()
