"""A mapping of one table, compiled against both live catalogs: what every engine of this room works with.

Every expression stands on its own in parentheses where it needs them. Rows travel in *wire types*: PostgreSQL's own types that
are the same on every server (a text for an enum or a citext, the base type of a domain), so that the binary form that one side
writes the other can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tracseq_migrate.frozen import frozen
from tracseq_migrate.replication.catalog.model import Column, Table
from tracseq_migrate.replication.names import listed, quoted

Direction = Literal["forward", "back"]


@frozen
class Mapped:
    """One column of B.

    ``up`` is an expression over A's row, whose alias is ``a``, and its type is ``wire``. The canonical text of a value, by which
    the two sides are compared, is ``text_a`` on A (over the alias ``a``) and ``text_b`` on B (over ``b``): equal texts mean equal
    values, and both are null for a null.
    """

    column: Column
    up: str
    wire: str
    text_a: str
    text_b: str
    reads: tuple[str, ...] = ()
    """A's columns that the expression reads."""
    plain: str = ""
    """The expression without the tables of id maps, for the time before they are there; empty: as ``up``."""
    forward_only: bool = False
    """Whether A has no home for what becomes of it on B: it is written with every row that comes of A, and compared only as
    long as A is the origin."""
    text_staged: str = ""
    """The canonical text over the alias ``b`` of a staged row, which has wire types."""
    assigned: bool = False
    """Whether a wire value becomes one of B's by assignment alone. An explicit cast to ``varchar(n)`` would cut it in silence."""

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def from_wire(self) -> str:
        """How a wire value becomes one of B's, over the alias ``s`` of a staged row."""
        staged = f"s.{quoted(self.name)}"
        return staged if self.assigned else f"{staged}::{self.column.type.full}"


@frozen
class Back:
    """One column of A on the way back.

    ``down`` is an expression over ``b`` (B's row in wire types, under B's column names) and ``a`` (A's row as it is; all null
    where there is none). ``watched`` names the columns of B that the column's value went into: where all of them are what mapping
    A's present row forward gives, A's value stays as it is (the lens), and ``down`` counts only where one differs.
    ``refused`` is a condition over ``b`` and ``a`` under which the value has no way back at all; empty where there is none.
    ``why`` says so to a person. ``fresh`` is the expression for a row that A does not have; empty: as ``down``.
    """

    column: Column
    down: str
    watched: tuple[str, ...]
    refused: str = ""
    why: str = ""
    fresh: str = ""

    @property
    def name(self) -> str:
        return self.column.name


@frozen
class IdMap:
    """A key that changes its type on the way: A's number becomes B's uuid. ``table`` is ours, on A: (old, new), both unique."""

    name: str
    column_a: str
    column_b: str
    table: str
    sequence: str
    """A's sequence, from which a row that was made on B gets its number; quoted and qualified."""
    computed: str
    """The uuid of A's row by computation alone, over ``a``."""


@frozen
class Seeded:
    """Rows that B has before the first copy.

    ``keep``: they stay, and are no business of the comparison; ``replace``: they are taken out, kept for the way back, and the
    copied rows take their place. ``match`` is a condition over ``b``; rows of B that no entry matches are refused.
    """

    match: str
    then: Literal["keep", "replace"]
    reason: str


@frozen
class Edge:
    """A foreign key between a moved table and one that is not moved, and what was decided of it."""

    table: str
    """The table that has the foreign key, for people."""
    column: str
    then: Literal["stays", "moves", "dropped", "passing"]
    reason: str


@frozen
class Pair:
    """One table of A and what becomes of it on B."""

    name: str
    """Unique within the replication, at most 40 bytes of ``[a-z0-9_]``: part of the names of log, functions and triggers."""
    a: Table
    b: Table
    key_a: tuple[str, ...]
    key_b: tuple[str, ...]
    """In the same order: the n-th column of B's key comes of the n-th of A's, alone and one to one."""
    columns: tuple[Mapped, ...]
    """Every column of B that is written, the key's among them, in B's order."""
    back: tuple[Back, ...]
    """Every column of A that is written on the way back, the key's among them, in A's order; empty where the mapping has none."""
    where_a: str = ""
    """Which rows of A move: a condition over ``a``; empty for all."""
    where_b: str = ""
    """Which rows of B are theirs: a condition over ``b``; empty for all but the seeded ones that are kept."""
    kept: tuple[str, ...] = ()
    """A's columns that go into the side table of B, as text, because they have no home or do not fit."""
    side: str = ""
    """The side table on B, quoted and qualified: (key columns of B, "column", "value"); empty where nothing is kept."""
    seeded: tuple[Seeded, ...] = ()
    ids: tuple[IdMap, ...] = ()
    edges: tuple[Edge, ...] = ()
    binary: bool = True
    """Whether the rows can travel in binary; else as text."""
    shared: bool = False
    """Whether another pair owns A's rows: on the way back this one only updates those that are there, and neither makes nor
    removes any."""
    predicate_b: str = ""
    """Of the partial unique index of B over the key, as the catalog has it; then ``where_b`` says the same over ``b``, and goes
    with every look for a key. Empty where the key is unique in the whole table."""
    final: bool = True
    """Whether the way back is total: every row that B's catalog admits has one, or a declared refusal."""

    def mapped(self, name: str) -> Mapped:
        return next(each for each in self.columns if each.name == name)

    @property
    def conflict(self) -> str:
        """What stands behind ``ON CONFLICT`` on B."""
        return f"({listed(self.key_b)})" + (f" WHERE {self.predicate_b}" if self.predicate_b else "")

    @property
    def owned_b(self) -> str:
        """The condition over ``b`` that holds for the rows that this pair answers for; ``true`` where that is all of them."""
        kept = [f"NOT coalesce(({each.match}), false)" for each in self.seeded if each.then == "keep"]
        conditions = ([f"({self.where_b})"] if self.where_b else []) + kept
        return " AND ".join(conditions) or "true"


@frozen
class Replication:
    """The tables that move together, in an order in which parents come before children on both sides as far as there is one."""

    name: str
    """At most 40 bytes of ``[a-z0-9_]``; the row in the tables of `control` on both sides bears it."""
    database_a: str
    database_b: str
    pairs: tuple[Pair, ...]
    digest: str
    """Of the mapping's text and of both catalogs' shapes, as far as these tables go."""
    texts: Mapping[str, str]
    """The mapping files by name, as they were when this was compiled."""

    def pair(self, name: str) -> Pair:
        return next(each for each in self.pairs if each.name == name)
