"""Rules about one value: null, too long, no label, too many digits."""

from __future__ import annotations

from collections.abc import Iterator

from tracseq_migrate.replication.catalog.model import Column, Type
from tracseq_migrate.replication.mapping import forms
from tracseq_migrate.replication.names import literal, quoted
from tracseq_migrate.replication.pair import Mapped, Pair
from tracseq_migrate.replication.prescan.rule import NUL, Rule, json_columns, origin

_ROUNDED = ("timestamp", "time", "interval", "bit", '"bit"')
_INTEGERS = {"smallint": 15, "integer": 31, "bigint": 63}
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})
_INDEXED_BYTES = 2_704
"""What a row of a btree index may have, after compression, in pages of 8 kB."""


def rules(pair: Pair) -> Iterator[Rule]:
    """Of every column of B that is written; none where A's own column admits nothing else."""
    for mapped in pair.columns:
        source = _source(pair, mapped)
        value = f"m.{quoted(mapped.name)}"
        if source is None:
            # Never true: it makes the server evaluate the expression on every row, so that what fails is found now.
            yield _rule(
                pair,
                mapped,
                "fails",
                f"num_nulls({value}) > 1",
                "the expression fails",
                "mend the expression",
            )
        if mapped.column.not_null and (source is None or not source.not_null):
            yield _rule(
                pair,
                mapped,
                "null",
                f"{value} IS NULL",
                f"null, where {mapped.name} takes none",
                f"say what a null becomes: {{…, default: …}} for {mapped.name}, or fill the rows in A",
            )
        yield from _json(pair, mapped)
        if source is None or forms.loses(source.type, mapped.column.type):
            yield from _of_type(pair, mapped, mapped.column.type, value)
        yield from _indexed(pair, mapped, value)


def _source(pair: Pair, mapped: Mapped) -> Column | None:
    found = origin(pair, mapped)
    return pair.a.column(found.column) if found else None


def _rule(
    pair: Pair, mapped: Mapped, code: str, condition: str, what: str, remedy: str, *, certain: bool = True
) -> Rule:
    return Rule(f"{pair.b.name}.{mapped.name}", code, condition, what, remedy, (mapped.name,), certain)


def _json(pair: Pair, mapped: Mapped) -> Iterator[Rule]:
    if mapped.wire != "jsonb":
        return
    for name in json_columns(pair, mapped):
        flag = f"tracseq_migrate_nul_{name}"
        yield Rule(
            f"{pair.b.name}.{mapped.name}",
            "nul",
            f"m.{quoted(flag)}",
            f"the json in A's {name} has the escape of a NUL, which no jsonb holds",
            f"take it out in the expression: replace(a.{name}::text, '\\u0000', '')::jsonb",
            (),
            more=((flag, f"a.{quoted(name)}::text ~ {NUL}"),),
        )


def _of_type(pair: Pair, mapped: Mapped, kind: Type, value: str) -> Iterator[Rule]:
    for code, condition, what, remedy in _conditions(mapped, kind, value):
        yield _rule(pair, mapped, code, condition, what, remedy)


def _conditions(mapped: Mapped, kind: Type, value: str) -> Iterator[tuple[str, str, str, str]]:
    base, name = forms.base_of(kind), mapped.name
    most = forms.length_of(kind)
    if base.kind == "array" and base.element is not None and mapped.wire.endswith("[]"):
        for code, condition, what, remedy in _conditions(mapped, base.element, "e.value"):
            if code not in ("null",):
                held = f"EXISTS (SELECT FROM unnest({value}) AS e(value) WHERE {condition})"
                yield code, held, f"an element: {what}", remedy
    elif base.kind == "enum":
        labels = ", ".join(literal(label) for label in base.labels)
        yield (
            "label",
            f"{value}::text <> ALL (ARRAY[{labels}]::text[])",
            f"no label of {kind.full} ({', '.join(base.labels)})",
            f"name the value under `values` of {name}, or say `else`",
        )
    elif forms.is_text(kind):
        if most is not None:
            yield (
                "length",
                f"char_length({value}::text) > {most}",
                f"longer than the {most} characters of {kind.full}",
                f"declare {name}: {{…, truncate: {most}, keep: true}}, or widen the column in B",
            )
        if base.name == "bpchar":
            yield (
                "padding",
                f"{value}::text <> rtrim({value}::text, ' ')",
                f"ends in blanks, which {kind.full} does not keep",
                f"say it: an expression with rtrim(…, ' ') for {name}, or make the column in B a varchar",
            )
    elif base.name == "numeric" and base.modifier >= 4 and mapped.wire.removesuffix("[]") in _NUMBERS:
        yield from _numeric(base, name, value)
    elif (
        base.name in _INTEGERS
        and mapped.wire.removesuffix("[]") in _NUMBERS
        and mapped.wire.removesuffix("[]") != base.name
    ):
        bits = _INTEGERS[base.name]
        yield (
            "range",
            f"{value} NOT BETWEEN {-(2**bits)} AND {2**bits - 1} OR {value} <> trunc({value}::numeric)",
            f"no {base.name}",
            f"widen {name} in B, or write an expression that says what becomes of it",
        )
    elif base.name.startswith(_ROUNDED) and base.modifier >= 0 and base.builtin:
        wire = mapped.wire.removesuffix("[]")
        if wire == base.name:
            yield (
                "rounding",
                f"({value}::{base.full})::{wire} IS DISTINCT FROM {value}",
                f"{base.full} would round or cut it",
                f"widen {name} in B, or round it in the expression on purpose",
            )


def _numeric(base: Type, name: str, value: str) -> Iterator[tuple[str, str, str, str]]:
    packed = base.modifier - 4
    precision, scale = (packed >> 16) & 0xFFFF, packed & 0x7FF
    scale -= 0x800 if scale >= 0x400 else 0
    number = f"{value}::numeric"
    yield (
        "range",
        f"{number} <> 'NaN' AND abs(round({number}, {scale})) >= 1e{precision - scale}::numeric",
        f"has more digits before the point than {base.full}",
        f"widen {name} in B, or write an expression that says what becomes of it",
    )
    yield (
        "rounding",
        f"{number} <> 'NaN' AND {number} <> round({number}, {scale})",
        f"{base.full} would round it",
        f"give {name} in B more places, or round it in the expression on purpose",
    )


def _indexed(pair: Pair, mapped: Mapped, value: str) -> Iterator[Rule]:
    most = forms.length_of(mapped.column.type)
    if mapped.wire not in ("text", "bytea") or (most is not None and most * 4 < _INDEXED_BYTES):
        return
    source = _source(pair, mapped)
    if source is not None and any(
        source.name in each.columns for each in pair.a.indexes if _btree(each.definition)
    ):
        return
    names = [each.name for each in pair.b.indexes if mapped.name in each.columns and _btree(each.definition)]
    if names and forms.base_of(mapped.column.type).kind != "enum":
        yield _rule(
            pair,
            mapped,
            "index",
            f"octet_length({value}) > {_INDEXED_BYTES}",
            f"may be too long for the index {names[0]}, which takes {_INDEXED_BYTES:,} bytes after compression",
            f"make {names[0]} an index over md5({mapped.name}) or a hash index, or cut the value on purpose",
            certain=False,
        )


def _btree(definition: str) -> bool:
    return " USING btree " in definition
