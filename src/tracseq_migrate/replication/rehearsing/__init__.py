"""People of a rehearsal, and the door that they come through: made up, on clones, and counted like real ones."""

from tracseq_migrate.replication.rehearsing.door import Door
from tracseq_migrate.replication.rehearsing.writers import Tally, Writers

__all__ = ["Door", "Tally", "Writers"]
