"""``python -m tracseq_migrate``, and the entry point of the command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, and end with its exit code."""
    from tracseq_migrate.cli.app import start

    sys.exit(start(sys.argv[1:]))


if __name__ == "__main__":
    main()
