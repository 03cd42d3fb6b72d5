"""Flags in a file of ``NAME=value`` lines, read as the gateway reads it: by python-dotenv's rules."""

from tracseq_migrate.adapters.dotenv.store import DotenvFlagStore

__all__ = ["DotenvFlagStore"]
