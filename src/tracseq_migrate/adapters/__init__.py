"""The only I/O: one file, or one folder, an outside thing; a protocol each of `tracseq_migrate.ports`."""
