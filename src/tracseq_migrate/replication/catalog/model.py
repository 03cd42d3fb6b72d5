"""What a database's catalog says of its tables, as far as moving their rows depends on it. Frozen; made by `reading`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tracseq_migrate.frozen import frozen

TypeKind = Literal["base", "enum", "domain", "composite", "range", "multirange", "array", "pseudo"]
Enabled = Literal["origin", "replica", "always", "disabled"]


@frozen
class Type:
    """A type as a column has it.

    ``name`` is schema-qualified and quoted unless it is PostgreSQL's own (``integer``, ``character varying``,
    ``"public"."user_role"``), without its modifier; ``full`` has the modifier (``character varying(100)``). Both are fit for a
    cast: without one, ``character(n)`` is called ``bpchar`` and ``bit(n)`` is ``"bit"``, since the plain words mean a
    length of 1.
    """

    oid: int
    name: str
    full: str
    kind: TypeKind
    modifier: int = -1
    builtin: bool = True
    """Whether it is the same type, with the same number, in every database."""
    labels: tuple[str, ...] = ()
    """Of an enum, in order."""
    element: Type | None = None
    """Of an array or a range; of a multirange, its range."""
    base: Type | None = None
    """Of a domain, with the modifier that the domain gives it."""
    checks: tuple[str, ...] = ()
    """Of a domain: the definitions of its constraints, by name; ``NOT NULL`` last, where it has that."""


@frozen
class Column:
    name: str
    number: int
    type: Type
    not_null: bool = False
    """Whether it refuses nulls, by itself or by its domain."""
    default: str = ""
    """As an expression; empty where there is none. Of a generated column: how it is computed."""
    generated: bool = False
    """Whether it is computed, stored or virtual: nobody can write it."""
    identity: Literal["", "always", "default"] = ""
    collation: str = ""
    """Quoted and qualified; empty where the type has none."""
    deterministic: bool = True
    """Of the collation."""
    sequence: str = ""
    """The sequence that it owns (serial, identity), or else the one that its default draws from; quoted and qualified."""


@frozen
class Index:
    name: str
    columns: tuple[str, ...]
    """Of its key, in order; an empty text stands for an expression."""
    unique: bool
    primary: bool
    valid: bool
    predicate: str
    definition: str
    """A statement that makes it."""
    constraint: str = ""
    """The constraint that it belongs to."""
    immediate: bool = True
    nulls_distinct: bool = True


@frozen
class Constraint:
    """``kind`` is PostgreSQL's letter: c check, f foreign key, p primary key, u unique, x exclusion, n not null, t trigger."""

    name: str
    kind: str
    definition: str
    columns: tuple[str, ...]
    validated: bool = True
    deferrable: bool = False
    references: str = ""
    """The table a foreign key points to, quoted and qualified."""
    referenced: tuple[str, ...] = ()
    on_delete: str = "a"
    """PostgreSQL's letter: a no action, r restrict, c cascade, n set null, d set default."""
    on_update: str = "a"


@frozen
class ForeignKeyIn:
    """A foreign key of another table (or the same) that points here."""

    table: str
    constraint: str
    columns: tuple[str, ...]
    on_delete: str
    on_update: str


@frozen
class Trigger:
    name: str
    enabled: Enabled
    definition: str
    function: str


@frozen
class Sequence:
    """``last`` and ``called`` are not part of any snapshot: they are what they were when it was read."""

    name: str
    """Quoted and qualified, as `Column.sequence` has it."""
    last: int
    called: bool
    increment: int
    cache: int
    least: int
    most: int
    type: str
    cycles: bool
    readable: bool = True
    """Whether this role may read it; else ``last`` is the least value and means nothing."""


@frozen
class Table:
    """``relation`` is quoted and qualified, and what statements use; ``name`` is for people (``users``, ``lab.users``)."""

    schema: str
    name: str
    relation: str
    oid: int
    kind: Literal["table", "partitioned", "foreign", "view", "materialized view", "other"]
    persistence: Literal["permanent", "unlogged", "temporary"]
    owner: str
    owned: bool
    """Whether this session's role owns it, or is a member of who does: triggers can be made then."""
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    incoming: tuple[ForeignKeyIn, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    """Without PostgreSQL's internal ones and the tool's own."""
    rules: tuple[str, ...] = ()
    """Their definitions, by name."""
    hidden: bool = False
    """Whether row security holds for this role, so that rows could be missing."""
    row_security: bool = False
    partitions: tuple[str, ...] = ()
    """Every leaf, quoted and qualified."""
    inherits: tuple[str, ...] = ()
    """Parents and children by inheritance that is not partitioning."""
    rights: frozenset[str] = frozenset()
    """Of SELECT, INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES: those that this role has; none where the schema
    is not open to it."""
    reachable: bool = True
    """Whether this role has USAGE on the schema."""
    rows: int = -1
    """As the planner estimates; -1 where it was never analyzed."""
    bytes: int = 0
    """Of the table alone, without its indexes."""

    def column(self, name: str) -> Column | None:
        return next((each for each in self.columns if each.name == name), None)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that tell its rows apart: the primary key, else the narrowest unique index over columns that are never
        null; empty where there is none."""
        required = {each.name for each in self.columns if each.not_null}
        fit = [
            each
            for each in self.indexes
            if each.unique
            and each.valid
            and each.immediate
            and not each.predicate
            and each.columns
            and required.issuperset(each.columns)
        ]
        best = sorted(fit, key=lambda each: (not each.primary, len(each.columns), each.name))
        return best[0].columns if best else ()


@frozen
class Catalog:
    """One database at one moment."""

    database: str
    version: int
    role: str
    superuser: bool
    may_create_schema: bool
    replica: bool
    """Whether it is a standby, which takes no writes."""
    encoding: str
    tables: Mapping[str, Table]
    """By name for people: without the schema where that is ``public``. Partitions are tables of their own as well."""
    sequences: Mapping[str, Sequence]
    """By quoted and qualified name: of these tables' columns, or all where all tables were read."""
    large_objects: int = 0
    quoted_name: str = ""
    """What its server calls it, ready for SQL. No part of the shape."""
    ours: tuple[str, ...] = ()
    """What the tool has made in this database, for people: ``schema``, ``table …``, ``function …``, ``trigger … on …``;
    empty where it has never been, or has gone. No part of the shape."""

    def shape(self) -> dict[str, Any]:
        """What DDL would change, in JSON values: two equal shapes mean that nothing was altered. Statistics are
        no part of it."""
        from tracseq_migrate.replication.catalog.shape import shape_of

        return shape_of(self)
