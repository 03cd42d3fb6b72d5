"""The journal and its lease in one SQLite file: write-ahead log, every commit synced before it returns."""

from tracseq_migrate.adapters.sqlite_journal.lease import SqliteLease
from tracseq_migrate.adapters.sqlite_journal.store import SqliteJournal
from tracseq_migrate.adapters.sqlite_journal.vault import SqliteVault

__all__ = ["SqliteJournal", "SqliteLease", "SqliteVault"]
