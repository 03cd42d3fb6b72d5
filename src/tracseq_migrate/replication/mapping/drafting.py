"""A first mapping of two tables, from their catalogs alone: what follows by itself is written, what does not is marked TODO."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence

from tracseq_migrate.errors import Finding, InvalidInput
from tracseq_migrate.replication.catalog.model import Catalog, Column, Table
from tracseq_migrate.replication.mapping import forms
from tracseq_migrate.replication.mapping.compiling import OPEN, compile_mapping
from tracseq_migrate.replication.mapping.expressions import complaints
from tracseq_migrate.replication.mapping.reading import read

MARK = OPEN
_NEAR = 0.72
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_WHOLE = ("smallint", "integer", "bigint")


def draft(table_a: Table, table_b: Table, catalog_a: Catalog, catalog_b: Catalog, *, seeded: int = 0) -> str:
    """A mapping file in which every open question is marked ``TODO``; where there is none, it can be used as it is.

    Args:
        seeded: how many rows B's table has already.
    """
    lines = list(_written(table_a, table_b, catalog_a, catalog_b, seeded))
    return "\n".join(_asked(lines, catalog_a, catalog_b)) + "\n"


def _written(a: Table, b: Table, catalog_a: Catalog, catalog_b: Catalog, seeded: int) -> Iterator[str]:
    homes = _homes(a, b)
    yield "# yaml-language-server: $schema=../../schemas/mapping.schema.json"
    yield "#"
    yield f"# {catalog_a.database}.{a.name} -> {catalog_b.database}.{b.name}: a first draft, made of the two catalogs."
    yield f"# Every open question is marked {MARK}; docs/mappings.md explains each key."
    yield "version: 1"
    yield "tables:"
    yield f"  - from: {_scalar(a.name)}"
    yield f"    to: {_scalar(b.name)}"
    yield "    columns:"
    asked: list[str] = []
    for column in b.columns:
        if column.generated:
            continue
        own = homes.get(column.name)
        if own is not None:
            yield from _column(a, b, column, own)
        elif column.not_null and not column.default and not column.identity:
            yield f"      # {MARK}: {forms.shown(column.type)}, needs a value, and nothing in A has this name."
            yield f"      {_scalar(column.name)}: {{constant: {_scalar(MARK)}}}"
        else:
            asked.append(column.name)
    back = list(_back(a, b, homes))
    if back:
        yield "    back:"
        yield from back
    taken = {each.name for each in homes.values()}
    homeless = [each for each in a.columns if each.name not in taken and not each.generated]
    if homeless:
        yield f"    # {MARK}: no column of B has these names. Kept, they go into a side table; map each that has a home,"
        yield "    # or leave it behind with a reason (left_behind)."
        yield "    kept:"
        for each in homeless:
            yield f"      - {_scalar(each.name)} # {forms.shown(each.type)}"
    if asked:
        yield "    # A knows nothing of these: they get B's own default."
        yield "    own_defaults:"
        for name in asked:
            column = next(each for each in b.columns if each.name == name)
            yield f"      - {_scalar(name)} # {forms.shown(column.type)}" + (
                f", default {column.default}" if column.default else ""
            )
    if seeded:
        yield "    seeded:"
        yield f"      # {MARK}: B's table has rows already ({seeded:,}). Which? Do they stay (keep) or give way (replace)?"
        yield f"      - {{match: {_scalar(MARK)}, then: keep, because: {MARK}}}"
    edges = list(_edges(a, b))
    if edges:
        yield "    edges:"
        yield f"      # {MARK}: foreign keys between these tables and others. Does each stay, move by another entry, or go?"
        yield from edges


def _homes(a: Table, b: Table) -> dict[str, Column]:
    """B's column -> A's, by name first, then by names that are near and types that are of one kind."""
    by_name = {each.name: each for each in a.columns}
    homes = {
        each.name: by_name[each.name] for each in b.columns if not each.generated and each.name in by_name
    }
    free = {each.name: each for each in a.columns if each.name not in homes}
    scored = []
    for column in b.columns:
        if column.name in homes or column.generated:
            continue
        for name, own in free.items():
            near = difflib.SequenceMatcher(None, column.name, name).ratio()
            if column.name.endswith(f"_{name}") or name.endswith(f"_{column.name}"):
                near = max(near, _NEAR)
            if near >= _NEAR and _kind(column) == _kind(own):
                scored.append((near, column.name, name))
    for _, theirs, own_name in sorted(scored, reverse=True):
        if theirs not in homes and own_name in free:
            homes[theirs] = free.pop(own_name)
    return homes


def _kind(column: Column) -> str:
    base = forms.base_of(column.type)
    if forms.is_text(column.type):
        return "text"
    if base.name in (*_WHOLE, "numeric", "real", "double precision"):
        return "number"
    return (
        "moment"
        if base.name.startswith(("timestamp", "date"))
        else base.kind
        if base.kind != "base"
        else base.name
    )


def _column(a: Table, b: Table, column: Column, own: Column) -> Iterator[str]:
    if own.name != column.name:
        yield f"      # {MARK}: only the names are alike: is it the same?"
    lost = forms.loses(own.type, column.type)
    given: dict[str, str] = {"from": _scalar(own.name)}
    labels: list[str] = []
    if lost:
        given, labels = _narrowed(column, own, given)
        theirs = forms.base_of(column.type).labels
        yield f"      # {MARK}: {forms.shown(own.type)} -> {forms.shown(column.type)}: {lost}."
        if theirs:
            yield f"      # B has: {', '.join(theirs)}."
    if column.not_null and not own.not_null and column.name not in b.key:
        yield f"      # {MARK}: it can be null in A: what does a null become?"
        steady = column.default and not list(complaints(column.default))
        given["default"] = _scalar(column.default if steady else MARK)
    name = _scalar(column.name)
    if labels:
        yield f"      {name}:"
        for key, value in given.items():
            yield f"        {key}: {value}"
        yield "        values:"
        yield from labels
    elif given == {"from": _scalar(own.name)}:
        yield f"      {name}: {given['from']}"
    else:
        yield f"      {name}: {{{', '.join(f'{key}: {value}' for key, value in given.items())}}}"


def _narrowed(column: Column, own: Column, given: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """What an entry says of a column that does not fit; and the labels, where it is an enum."""
    theirs, ours = forms.base_of(column.type), forms.base_of(own.type)
    if forms.is_text(column.type) and forms.is_text(own.type):
        return {**given, "truncate": str(forms.length_of(column.type)), "keep": "true"}, []
    if theirs.kind == "enum" and ours.kind == "enum":
        return {**given, "keep": "true"}, [
            f"          {_scalar(label)}: {_scalar(_label(label, theirs.labels))}" for label in ours.labels
        ]
    if theirs.kind == "enum":
        return {**given, "keep": "true", "else": MARK}, [
            f"          {_scalar(label)}: {_scalar(label)}" for label in theirs.labels
        ]
    if theirs.name == "uuid" and ours.name in _WHOLE:
        return {**given, "ids": "uuid" if own.sequence else MARK}, []
    if theirs.name == "timestamp with time zone" and ours.name == "timestamp without time zone":
        return {**given, "zone": "UTC"}, []
    return {"expression": _scalar(f"a.{own.name}")}, []


def _label(label: str, known: Sequence[str]) -> str:
    if label in known:
        return label
    near = difflib.get_close_matches(label, known, n=1, cutoff=0.85)
    return near[0] if near else MARK


def _back(a: Table, b: Table, homes: dict[str, Column]) -> Iterator[str]:
    """What does not come back by itself."""
    for name, own in homes.items():
        column = next(each for each in b.columns if each.name == name)
        ours, theirs = forms.base_of(own.type), forms.base_of(column.type)
        if (
            theirs.kind == "enum"
            and ours.kind in ("enum", "base")
            and (forms.is_text(own.type) or ours.kind == "enum")
        ):
            foreign = [label for label in theirs.labels if ours.kind == "enum" and label not in ours.labels]
            unmet = [
                label
                for label in foreign
                if label not in {_label(each, theirs.labels) for each in ours.labels}
            ]
            if unmet:
                yield f"      # {MARK}: states that A does not know: is it right to refuse them on the way back?"
                values = ", ".join(f"{_scalar(label)}: refuse" for label in unmet)
                yield f"      {_scalar(own.name)}: {{values: {{{values}}}, unfit: {MARK}}}"
            elif own.not_null and not column.not_null:
                yield f"      {_scalar(own.name)}: {{unfit: {MARK}}}"
            continue
        narrower = bool(forms.loses(column.type, own.type)) and not forms.loses(own.type, column.type)
        if narrower or (own.not_null and not column.not_null):
            why = forms.loses(column.type, own.type) if narrower else "it can be null in B, and not in A"
            yield f"      # {MARK}: {why}: is it right to refuse that on the way back?"
            yield f"      {_scalar(own.name)}: {{unfit: {MARK}}}"
    taken = {each.name for each in homes.values()}
    for own in a.columns:
        if (
            own.name not in taken
            and own.not_null
            and not own.default
            and not own.identity
            and not own.generated
        ):
            yield f"      # {MARK}: what does a row get that is made on B? A refuses nulls here."
            yield f"      {_scalar(own.name)}: {{new: {_scalar(MARK)}}}"


def _edges(a: Table, b: Table) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for table in (a, b):
        inward = [
            (_bare(each.table), each.columns[0]) for each in table.incoming if each.table != table.relation
        ]
        outward = [
            (table.name, each.columns[0])
            for each in table.constraints
            if each.kind == "f" and each.references != table.relation
        ]
        for name, column in (*inward, *outward):
            if (name, column) not in seen:
                seen.add((name, column))
                yield f"      - {{table: {_scalar(name)}, column: {_scalar(column)}, then: stays, because: {MARK}}}"


def _bare(relation: str) -> str:
    return relation.replace('"', "").removeprefix("public.")


def _asked(lines: list[str], catalog_a: Catalog, catalog_b: Catalog) -> list[str]:
    """The lines, with what the compiler still has against them above the line that it means."""
    try:
        compile_mapping("draft", read("\n".join(lines).encode(), "draft"), catalog_a, catalog_b)
    except InvalidInput as error:
        return _commented(lines, error.findings)
    return lines


def _commented(lines: list[str], findings: Sequence[Finding]) -> list[str]:
    said: dict[int, list[str]] = {}
    for each in findings:
        if re.search(rf"\b{MARK}\b", lines[each.line - 1]):
            continue  # it asks for this already
        text = f"{each.message} ({each.remedy})" if each.remedy else each.message
        said.setdefault(each.line, []).append(text)
    made = []
    for number, line in enumerate(lines, 1):
        indent = " " * (len(line) - len(line.lstrip()))
        made += [f"{indent}# {MARK}: {text}" for text in said.get(number, ())]
        made.append(line)
    return made


def _scalar(text: str) -> str:
    """A text as YAML has it, in quotes where it needs them."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
