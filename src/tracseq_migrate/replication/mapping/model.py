"""A mapping file as it is written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

TABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?$"
PAIR_PATTERN = r"^[a-z0-9_]{1,40}$"

TableName = Annotated[str, StringConstraints(pattern=TABLE_PATTERN)]
PairName = Annotated[str, StringConstraints(pattern=PAIR_PATTERN)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Sql = Annotated[str, StringConstraints(min_length=1, max_length=8000)]
Reason = Annotated[str, StringConstraints(min_length=3, max_length=500)]


class Written(BaseModel):
    """A part of a mapping file."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, populate_by_name=True)


class ColumnEntry(Written):
    """Where one column of B comes from: exactly one of ``from``, ``expression`` and ``constant``."""

    source: Word | None = Field(default=None, alias="from")
    """A's column."""
    expression: Sql | None = None
    """An expression over A's row (a.name, a.id): it reads nothing else, and the same row always gives the same value."""
    constant: Sql | None = None
    """An expression that reads nothing, such as 'active' in SQL's quotes; A has no home for what becomes of it."""
    values: dict[str, str] = Field(default_factory=dict)
    """What each of A's values becomes: total over an enum's labels, or with `else`."""
    otherwise: str | None = Field(default=None, alias="else")
    """What every other value becomes."""
    truncate: Annotated[int, Field(ge=1)] | None = None
    """Cut to this many characters, on purpose; `keep` keeps the whole value aside."""
    keep: bool = False
    """Whether A's whole value goes into the side table as well."""
    default: Sql | None = None
    """What a null becomes: an expression that reads nothing."""
    absent_is_null: bool = False
    """Of a jsonb: whether a key that is null and one that is not there are the same, so that no comparison tells them apart."""
    zone: Word | None = None
    """The time zone in which A's timestamps were meant."""
    ids: Word | None = None
    """uuid: a number that becomes a uuid, with an id map of its own; else the name of the table whose map the number is of."""
    reads: tuple[Word, ...] = ()
    """A's columns that the expression reads; they are found in it, so that this is only for the one who reads the file."""
    back: dict[str, Sql] = Field(default_factory=dict)
    """A's column: an expression over b (B's row) and a (A's row as it is), for the way back."""
    own: Reason | None = None
    """Why A needs no home for what becomes of this column on B: changes made there do not come back."""


class BackEntry(Written):
    """What becomes of one column of A on the way back, as far as it does not follow by itself."""

    expression: Sql | None = None
    """An expression over b (B's row) and a (A's row as it is, all null where there is none)."""
    watches: tuple[Word, ...] = ()
    """B's columns that it depends on: where all are as A's row says, A's value stays."""
    values: dict[str, str] = Field(default_factory=dict)
    """What each of B's values becomes, or `refuse`."""
    otherwise: str | None = Field(default=None, alias="else")
    """What every other value becomes, or `refuse`."""
    new: Sql | None = None
    """What it is in a row that A does not have: an expression over b."""
    refuse: Sql | None = None
    """A condition over b and a under which there is no way back."""
    unfit: Reason | None = None
    """Declares that what does not fit A's column (too long, too large, null) is refused on the way back; why that is right."""
    because: Reason | None = None
    """Why it is so."""


class Filter(Written):
    """Which rows move."""

    source: Sql | None = Field(default=None, alias="from")
    """A condition over A's row."""
    target: Sql | None = Field(default=None, alias="to")
    """A condition over B's row: which of its rows are these."""
    because: Reason
    """Why the others stay."""


class SeededEntry(Written):
    """Rows that B has before the first copy."""

    match: Sql
    """A condition over B's row."""
    then: Literal["keep", "replace"]
    """keep: they stay, beside the moved ones; replace: the moved ones take their place, and revert puts them back."""
    because: Reason
    """Why that is right."""


class Edge(Written):
    """A foreign key between a moved table and one that stays."""

    table: TableName
    """The table that has the foreign key."""
    column: Word
    """Its column, or the first of them."""
    then: Literal["stays", "moves", "dropped", "passing"]
    """stays: it goes on pointing at A's row, which is no longer kept up; moves: another mapping moves it; dropped: a script of
    the plan drops the constraint; passing: its rows are worth nothing elsewhere, and those of B's go when moved rows are taken
    back."""
    because: Reason
    """Why that is right."""


class TableEntry(Written):
    """One table of A, and what becomes of it on B."""

    source: TableName = Field(alias="from")
    """A's table; with its schema where that is not public."""
    target: TableName = Field(alias="to")
    """B's table."""
    name: PairName | None = None
    """Its name in messages and in what the tool makes; the target's by default."""
    key: dict[str, Word] = Field(default_factory=dict)
    """B's column: A's column; both primary keys by default."""
    where: Filter | None = None
    """Which rows move, where not all do."""
    columns: dict[str, Annotated[ColumnEntry, BeforeValidator(lambda given: _from(given))]]
    """B's column: where it comes from; a plain name is A's column."""
    back: dict[str, Annotated[BackEntry, BeforeValidator(lambda given: _expression(given))]] = Field(
        default_factory=dict
    )
    """A's column: what it becomes on the way back, where that does not follow by itself."""
    left_behind: dict[str, Reason] = Field(default_factory=dict)
    """A's columns that stay in A and go when A goes, each with a reason."""
    kept: tuple[Word, ...] = ()
    """A's columns that have no home in B, and go into the side table from which they come back."""
    own_defaults: tuple[Word, ...] = ()
    """B's columns that A knows nothing of: they get B's own default."""
    seeded: tuple[SeededEntry, ...] = ()
    """What B has before the first copy, and what becomes of it."""
    edges: tuple[Edge, ...] = ()
    """Foreign keys between this table and those that stay."""
    collisions: dict[str, Reason] = Field(default_factory=dict)
    """Unique constraints of A that B does not know: two rows of B that collide there are refused on the way back, and why that
    is right."""
    shared: bool = False
    """Whether another entry owns A's rows, and this one only carries some of their columns."""
    one_way: Reason | None = None
    """Why this table has no way back."""


class MappingFile(Written):
    """How the tables of one service's database come of the monolith's."""

    version: Literal[1]
    about: str = ""
    """What a person should know who reads it."""
    tables: Annotated[tuple[TableEntry, ...], Field(json_schema_extra={"minItems": 1})]
    """The tables that move together."""


def _from(given: object) -> object:
    return {"from": given} if isinstance(given, str) else given


def _expression(given: object) -> object:
    return {"expression": given} if isinstance(given, str) else given
