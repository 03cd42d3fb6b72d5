"""What is asked of every row in the one scan, and the row of which it is asked."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tracseq_migrate.frozen import frozen
from tracseq_migrate.replication.catalog.model import Type
from tracseq_migrate.replication.mapping import forms
from tracseq_migrate.replication.names import quoted
from tracseq_migrate.replication.pair import Mapped, Pair, Replication

_KEY = "tracseq_migrate_key_"
"""What the columns of A's key are called within a mapped row, with their places behind it."""

_PLAIN = re.compile(r'\(?a\.("(?:[^"]|"")+")\)?(?P<cast>::[A-Za-z_ \[\]"]+)?\)?')
_THROUGH_IDS = re.compile(
    r'coalesce\(\(SELECT i\.new FROM (\S+) i WHERE i\.old = a\.("(?:[^"]|"")+")\), .*\)', re.DOTALL
)


@frozen
class Rule:
    """``condition`` holds for the rows that do not fit; it is over ``m``, the mapped row, in wire types and under B's names."""

    where: str
    code: str
    condition: str
    what: str
    remedy: str
    columns: tuple[str, ...]
    """B's columns that it reads."""
    certain: bool = True
    more: tuple[tuple[str, str], ...] = ()
    """What it reads besides: names within the mapped row, and how each comes of A's row."""


@frozen
class Origin:
    """A's column that a column of B is, one to one; ``ids`` names the id map that it goes through."""

    column: str
    ids: str = ""


def origin(pair: Pair, mapped: Mapped) -> Origin | None:
    """Where a mapped column comes from, if it comes from one column alone and no two values of that become the same."""
    plain = _PLAIN.fullmatch(mapped.up)
    if plain:
        source = pair.a.column(_unquoted(plain[1]))
        kept = source is not None and (not plain["cast"] or _keeps(source.type, mapped))
        return Origin(source.name) if source is not None and kept else None
    through = _THROUGH_IDS.fullmatch(mapped.up)
    return Origin(_unquoted(through[2]), through[1]) if through else None


def _keeps(source: Type, mapped: Mapped) -> bool:
    """Whether the cast to the wire type keeps apart what was apart, and never fails."""
    if mapped.wire == "text" and (forms.is_text(source) or forms.base_of(source).kind == "enum"):
        return True
    return not forms.loses(source, mapped.column.type)


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"')


@frozen
class Rows:
    """How A's rows become mapped ones. ``missing`` are id maps that are not made yet, with the types of their two columns."""

    pair: Pair
    missing: tuple[tuple[str, str, str], ...] = ()

    def select(
        self, columns: Iterable[str], more: Iterable[tuple[str, str]] = (), *, ordered: bool = False
    ) -> str:
        """A query of the key and of these columns of B; ``more`` are columns that A knows nothing of: name and expression."""
        wanted = list(dict.fromkeys(columns))
        listed = [f"a.{quoted(name)} AS {_KEY}{place}" for place, name in enumerate(self.pair.key_a)]
        listed += [f"{self.expression(name)} AS {quoted(name)}" for name in wanted]
        listed += [f"{expression} AS {quoted(name)}" for name, expression in more]
        where = f" WHERE ({self.pair.where_a})" if self.pair.where_a else ""
        source = f"{self.pair.a.relation} AS a{where}"
        if ordered:
            # In a query of its own: expressions are evaluated row by row only behind the sorting.
            order = ", ".join(f"a.{quoted(name)}" for name in self.pair.key_a)
            source = f"(SELECT a.* FROM {source} ORDER BY {order} OFFSET 0) AS a"
        # OFFSET 0: each expression is evaluated once a row, however many rules read it.
        return f"SELECT {', '.join(listed)} FROM {source} OFFSET 0"

    def expression(self, name: str) -> str:
        """How B's column comes about."""
        mapped = self.pair.mapped(name)
        up = mapped.up
        for table, old, new in self.missing:
            empty = f"(SELECT NULL::{old} AS old, NULL::{new} AS new WHERE false)"
            up = up.replace(f"FROM {table} i ", f"FROM {empty} i ")
        if mapped.wire == "jsonb":
            # Such a json has no place in a jsonb; a rule of its own counts them.
            for column in json_columns(self.pair, mapped):
                up = f"CASE WHEN a.{quoted(column)}::text ~ {NUL} THEN NULL ELSE {up} END"
        return f"({up})"

    @property
    def key(self) -> str:
        """The key as people read it, over a mapped row ``m``."""
        parts = [
            f"{_label(name)} || coalesce(m.{_KEY}{place}::text, 'null')"
            for place, name in enumerate(self.pair.key_a)
        ]
        return "(" + " || ', ' || ".join(parts) + ")"


NUL = r"E'(^|[^\\\\])(\\\\\\\\)*\\\\u0000'"
"""A pattern that finds an escaped NUL in a json, and no escaped backslash before a ``u0000``."""


def json_columns(pair: Pair, mapped: Mapped) -> list[str]:
    """A's json columns that a column of B is made of."""
    found = []
    for name in mapped.reads:
        column = pair.a.column(name)
        if column is not None and column.type.name == "json":
            found.append(name)
    return found


def _label(name: str) -> str:
    doubled = name.replace("\\", "\\\\").replace("'", "''")
    return f"E'{doubled}='"


def missing_ids(replication: Replication, present: set[str]) -> tuple[tuple[str, str, str], ...]:
    """The id maps of a replication that are not among those that are present, as `Rows` wants them."""
    missing = []
    for pair in replication.pairs:
        for ids in pair.ids:
            old, new = pair.a.column(ids.column_a), pair.b.column(ids.column_b)
            if ids.table not in present and old is not None and new is not None:
                missing.append((ids.table, old.type.full, new.type.full if new.type.builtin else "text"))
    return tuple(missing)
