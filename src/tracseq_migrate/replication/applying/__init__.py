"""Apply: what the log of the origin names is read there, mapped, and made so on the destination; in both directions."""

from tracseq_migrate.replication.applying.applier import Applier, applier
from tracseq_migrate.replication.applying.outcomes import Aligned, Batch, Drained
from tracseq_migrate.replication.applying.sequences import Advanced, advance
from tracseq_migrate.replication.applying.trouble import Stuck

__all__ = [
    "Advanced",
    "Aligned",
    "Applier",
    "Batch",
    "Drained",
    "Stuck",
    "advance",
    "applier",
]
