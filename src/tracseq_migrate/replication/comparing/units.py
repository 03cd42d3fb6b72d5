"""What is compared, and the statements that ask one side about it."""

from __future__ import annotations

from tracseq_migrate.frozen import frozen
from tracseq_migrate.replication.names import listed, literal, quoted
from tracseq_migrate.replication.pair import Direction, Pair

BUCKETS = 1024
_SHOWN = 200
_KEPT = "tracseq_migrate_kept"


@frozen
class Side:
    """The rows of one side: where they come from, and the expressions that are their key and their canonical texts."""

    source: str
    where: str
    key: tuple[str, ...]
    texts: tuple[str, ...]

    def total(self, *, utf8: bool) -> str:
        """Answers: how many rows, and the sum of their digests as a text. One scan, by as many processes as the server gives."""
        return (
            f"SELECT count(*), coalesce(sum({_number(self._row, utf8=utf8)}), 0)::text"
            f" FROM {self.source} WHERE {self.where}"
        )

    def buckets(self, *, utf8: bool) -> str:
        """Answers: bucket, how many rows, and the sum of their digests, for each bucket that has any."""
        return f"SELECT bucket, count(*), sum(digest)::text FROM ({self._listing(utf8=utf8)}) AS r GROUP BY bucket"

    def rows(self, *, utf8: bool) -> str:
        """Answers: key and digest of every row in the buckets ``$1``, sorted by key as Python sorts texts."""
        order = "key" if utf8 else "convert_to(key, 'UTF8')"
        collation = ' COLLATE "C"' if utf8 else ""
        return (
            f"SELECT key, digest FROM ({self._listing(utf8=utf8)}) AS r"
            f" WHERE bucket = ANY ($1::int[]) ORDER BY {order}{collation}, digest"
        )

    def details(self, *, values: bool) -> str:
        """Answers, for the rows with the keys ``$1``: key, a digest a column, and with ``values`` the beginning of each text."""
        digests = f"ARRAY[{', '.join(f'md5({each})' for each in self.texts)}]"
        shown = (
            f"ARRAY[{', '.join(f'left({each}, {_SHOWN})' for each in self.texts)}]::text[]"
            if values
            else "NULL"
        )
        return (
            f"SELECT {self._key}, {digests}, {shown} FROM {self.source} WHERE {self.where}"
            f" AND {self._key} IN (SELECT unnest($1::text[]))"
        )

    @property
    def _row(self) -> str:
        # A row's text has quotes where they are needed, and tells NULL from the empty text: two rows never have the same.
        return f"ROW({', '.join(self.texts)})::text"

    @property
    def _key(self) -> str:
        return f"jsonb_build_array({', '.join(self.key)})::text"

    def _listing(self, *, utf8: bool) -> str:
        # The bucket may depend on the kind of machine: then all buckets differ, and their rows tell the truth.
        key = self.key[0] if len(self.key) == 1 else f"ROW({', '.join(self.key)})::text"
        bucket = f"hashtext(coalesce({key}, '') COLLATE \"C\") & {BUCKETS - 1}"
        return (
            f"SELECT {self._key} AS key, {bucket} AS bucket, {_number(self._row, utf8=utf8)} AS digest"
            f" FROM {self.source} WHERE {self.where}"
        )


def _number(text: str, *, utf8: bool) -> str:
    """60 bits of an MD5: small enough that a sum of a great many is exact, and the same on every server."""
    hashed = text if utf8 else f"convert_to({text}, 'UTF8')"
    return f"('x' || left(md5({hashed}), 15))::bit(60)::bigint"


def _text(expression: str) -> str:
    return f"({expression})::text"


@frozen
class Unit:
    """Rows that are compared by key: a pair's, or those of its side table."""

    name: str
    pair: str
    table_a: str
    table_b: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    a: Side
    b: Side
    partly: bool = False
    """Whether A may have rows that B has not: those of a shared pair on the way back, which takes none of A's rows away."""


def units(pair: Pair, direction: Direction) -> tuple[Unit, ...]:
    """What of a pair is compared.

    On the way back the side table is not: its values are A's own again, which A is free to change. Nor is what A has no home for.
    """
    compared = [each for each in pair.columns if direction == "forward" or not each.forward_only]
    rows = Unit(
        name=pair.name,
        pair=pair.name,
        table_a=pair.a.name,
        table_b=pair.b.name,
        key=pair.key_b,
        columns=tuple(each.name for each in compared),
        a=Side(
            source=f"{pair.a.relation} AS a",
            where=f"({pair.where_a})" if pair.where_a else "true",
            key=tuple(_text(pair.mapped(name).text_a) for name in pair.key_b),
            texts=tuple(_text(each.text_a) for each in compared),
        ),
        b=Side(
            source=f"{pair.b.relation} AS b",
            where=pair.owned_b,
            key=tuple(_text(pair.mapped(name).text_b) for name in pair.key_b),
            texts=tuple(_text(each.text_b) for each in compared),
        ),
        partly=pair.shared and direction == "back",
    )
    if not pair.side or not pair.kept or direction == "back":
        return (rows,)
    return (rows, _kept(pair, rows))


def _kept(pair: Pair, rows: Unit) -> Unit:
    values = ", ".join(f"({literal(name)}, a.{quoted(name)}::text)" for name in pair.kept)
    here = f"{_KEPT}.{quoted('column')}"
    value = f"{_KEPT}.{quoted('value')}"
    key_a, key_b = (*rows.a.key, here), (*rows.b.key, f"b.{quoted('column')}")
    name = pair.side.rpartition('."')[2].removesuffix('"').replace('""', '"')
    return Unit(
        name=name,
        pair=pair.name,
        table_a=pair.a.name,
        table_b=name,
        key=(*pair.key_b, "column"),
        columns=(*pair.key_b, "column", "value"),
        a=Side(
            source=f"{rows.a.source} CROSS JOIN LATERAL (VALUES {values}) AS {_KEPT} ({listed(['column', 'value'])})",
            where=f"{rows.a.where} AND {value} IS NOT NULL",
            key=key_a,
            texts=(*key_a, value),
        ),
        b=Side(
            source=f"{pair.side} AS b",
            where="true",
            key=key_b,
            texts=(*key_b, f"b.{quoted('value')}"),
        ),
    )
