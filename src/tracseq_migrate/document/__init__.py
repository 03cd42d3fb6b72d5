"""YAML files of the operator: read as YAML 1.2's core schema reads them, with the place of every key and value.

`read` and `inspect` turn bytes into a `Document`; `findings_from` turns what a model refused into findings at those places.
Nothing here knows what a plan or an environment is.
"""

from tracseq_migrate.document.places import Path, Place, Places
from tracseq_migrate.document.reader import Document, inspect, read
from tracseq_migrate.document.refusals import findings_from
from tracseq_migrate.document.wording import NAME_PATTERN, closest, did_you_mean, quoted, shown

__all__ = [
    "NAME_PATTERN",
    "Document",
    "Path",
    "Place",
    "Places",
    "closest",
    "did_you_mean",
    "findings_from",
    "inspect",
    "quoted",
    "read",
    "shown",
]
