"""A whole small TracSeq on this machine, of real processes and real PostgreSQL."""
