"""YAML files of the operator: read as YAML 1.2's core schema reads them, with the place of every key and value.

`read` and `inspect` turn bytes into a `Document`; `findings_from` turns what a model refused into findings at those places.
Nothing here knows what a plan or an environment is.
"""

from tracseq_migrate.document.builder import MOST_FINDINGS
from tracseq_migrate.document.places import Path, Place, Places
from tracseq_migrate.document.reader import Document, inspect, read
from tracseq_migrate.document.refusals import findings_from, first_of
from tracseq_migrate.document.wording import NAME_PATTERN, closest, did_you_mean, keys_of, quoted, shown

__all__ = [
    "MOST_FINDINGS",
    "NAME_PATTERN",
    "Document",
    "Path",
    "Place",
    "Places",
    "closest",
    "did_you_mean",
    "findings_from",
    "first_of",
    "inspect",
    "keys_of",
    "quoted",
    "read",
    "shown",
]
