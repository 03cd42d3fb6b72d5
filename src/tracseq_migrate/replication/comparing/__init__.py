"""Whether the two sides hold the same rows under the mapping: exact, while people write.

Both sides are looked at in snapshots that align (`Snapshots`). Where they agree, a comparison is one scan a side and nothing of
the rows leaves the servers but a count and a sum. Where they do not, the rows that differ are found by key, and looked at again
in later snapshots before anybody is told.
"""

from tracseq_migrate.replication.comparing.comparison import compare
from tracseq_migrate.replication.comparing.result import (
    Comparison,
    Difference,
    DifferingColumn,
    TableComparison,
    Verdict,
)
from tracseq_migrate.replication.comparing.snapshots import Aligning, Moment, Snapshots, aligned, apart

__all__ = [
    "Aligning",
    "Comparison",
    "Difference",
    "DifferingColumn",
    "Moment",
    "Snapshots",
    "TableComparison",
    "Verdict",
    "aligned",
    "apart",
    "compare",
]
