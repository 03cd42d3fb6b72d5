"""Mapping files: what becomes of a table's columns on the other side, written down, checked against both catalogs, compiled.

`reading` turns a file into its model, `compiling` holds that against two catalogs and makes a `Replication` of it, `back` is the
way back, `drafting` writes a first file from two tables, and `trying` asks both servers whether every expression is what it says.
"""
