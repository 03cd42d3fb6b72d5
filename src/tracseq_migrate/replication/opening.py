"""From the names of two databases and the text of a mapping to a `Replication`, held against both live catalogs."""

from __future__ import annotations

from contextlib import ExitStack

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Sessions
from tracseq_migrate.replication.catalog.model import Catalog
from tracseq_migrate.replication.catalog.reading import read as read_catalog
from tracseq_migrate.replication.mapping import compile_mapping
from tracseq_migrate.replication.mapping.reading import Source
from tracseq_migrate.replication.mapping.reading import read as read_mapping
from tracseq_migrate.replication.pair import Replication

CONNECT = 10.0
"""Seconds within which a database must take a connection."""


@frozen
class Opened:
    """What a mapping came to, and the catalogs that it was held against."""

    replication: Replication
    catalog_a: Catalog
    catalog_b: Catalog


def name_of(file: str) -> str:
    """The name of a replication, of its mapping's file: ``mappings/users.yaml`` is ``users``."""
    return file.rpartition("/")[2].removesuffix(".yaml").replace("-", "_").lower()


def open_mapping(
    sessions: Sessions, *, database_a: str, database_b: str, file: str, text: str, patience: float
) -> Opened:
    """Read a mapping, read both catalogs, and compile the one against the others. Changes nothing.

    Args:
        file: the mapping's name, as the plan has it.
        patience: seconds that each database may take.

    Raises:
        InvalidInput: the mapping is wrong, or does not fit a catalog; with every finding.
        SqlFailed, Unreachable: a database could not be asked.
    """
    source = read_mapping(text.encode(), file)
    with ExitStack() as stack:
        a = stack.enter_context(
            sessions.open(database_a, purpose="catalog", timeout=CONNECT, patience=patience)
        )
        b = stack.enter_context(
            sessions.open(database_b, purpose="catalog", timeout=CONNECT, patience=patience)
        )
        catalog_a, catalog_b = read_catalog(a), read_catalog(b)
    # Once the tool is at work over there, indexes and constraints of B may be put away for the time being.
    resumed = bool(catalog_b.ours)
    replication = compile_mapping(name_of(file), source, catalog_a, catalog_b, resumed=resumed)
    return Opened(replication, catalog_a, catalog_b)


__all__ = ["CONNECT", "Opened", "Source", "name_of", "open_mapping"]
