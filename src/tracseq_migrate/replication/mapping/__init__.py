"""Mapping files: what becomes of a table's columns on the other side, written down, checked against both catalogs, compiled.

`reading` turns a file into its model, `compiling` holds that against two catalogs and makes a `Replication` of it, `back` is the
way back, `drafting` writes a first file from two tables, and `trying` asks both servers whether every expression is what it says.
"""

from tracseq_migrate.replication.mapping.compiling import compile_mapping, tables_of
from tracseq_migrate.replication.mapping.reading import Source, read

__all__ = ["Source", "compile_mapping", "read", "tables_of"]
