"""``compare``: which tables are equal on both sides, and which rows are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tracseq_migrate import duration
from tracseq_migrate.console.blocks import Block, Heading, Paragraph, Rows, Space
from tracseq_migrate.console.documents.look import Look
from tracseq_migrate.console.ink import Line, Tone
from tracseq_migrate.operations.views import Compared, CompareView

if TYPE_CHECKING:
    from tracseq_migrate.replication.comparing import Difference, TableComparison

_VERDICTS = {"equal": "pass", "different": "fail", "unknown": "unknown"}


def render_compare(view: CompareView, look: Look) -> list[Block]:
    """A row for each table, then the rows that differ, then what it comes to."""
    blocks: list[Block] = []
    for each in view.replications:
        blocks += _replication(each, look)
    rows = sum(each.comparison.rows for each in view.replications)
    tables = sum(len(each.comparison.tables) for each in view.replications)
    told = {
        "equal": f"equal: {rows:,} rows in {tables} table{'' if tables == 1 else 's'}",
        "different": "the two sides differ",
        "unknown": "not known: what differs may have been written between the two looks",
    }[view.verdict]
    return [*blocks, Space(), Paragraph(((told, Tone.STRONG),), mark=look.verdict(_VERDICTS[view.verdict]))]


def _replication(each: Compared, look: Look) -> list[Block]:
    found = each.comparison
    way = f"{each.origin} -> {each.destination}"
    blocks: list[Block] = [Heading(f"{found.replication}: {way}")]
    if each.note:
        blocks.append(Paragraph((each.note,), mark=(look.marks.warn, Tone.WARN), indent=2))
    head = ("", "", f"in {each.origin}", f"in {each.destination}", "missing", "extra", "different", "took")
    blocks.append(Rows(head, [_table(table, found.exact, look) for table in found.tables]))
    for table in found.tables:
        if table.settled:
            rows = "1 row" if table.settled == 1 else f"{table.settled:,} rows"
            text = f"{table.name}: {rows} differed at first and did not when looked at again"
            blocks.append(Paragraph((text,), mark=(look.marks.warn, Tone.WARN), indent=2))
        blocks += [_difference(table, one, each, values=found.values, look=look) for one in table.differences]
        left = table.count - len(table.differences)
        if left and table.differences:
            blocks.append(Paragraph(((f"and {left:,} more in {table.name}", Tone.MUTED),), indent=4))
    if found.writers:
        who = "; ".join(found.writers)
        blocks.append(
            Paragraph(
                (f"others are writing these tables: {who}",), mark=(look.marks.warn, Tone.WARN), indent=2
            )
        )
    return blocks


def _table(table: TableComparison, exact: bool, look: Look) -> tuple[Line, ...]:
    mark = look.verdict("pass" if table.equal else "fail" if exact else "unknown")
    return (
        (mark,),
        ((table.name, Tone.STRONG),),
        (f"{table.rows_a:,}",),
        (f"{table.rows_b:,}",),
        *((((f"{count:,}", Tone.BAD) if count else ("0", Tone.MUTED)),) for count in _counts(table)),
        ((duration.show(table.seconds), Tone.MUTED),),
    )


def _counts(table: TableComparison) -> tuple[int, int, int]:
    return table.missing, table.extra, table.different


def _difference(
    table: TableComparison, one: Difference, each: Compared, *, values: bool, look: Look
) -> Paragraph:
    where = f"{table.name} {_key(one.key)}"
    mark = (look.marks.failed, Tone.BAD) if each.comparison.exact else look.verdict("unknown")
    if one.kind == "missing":
        text = f": missing in {each.destination}"
    elif one.kind == "extra":
        text = f": only in {each.destination}"
    elif values:
        shown = (
            f"{column.name} {_value(column.a)} in {each.origin}, {_value(column.b)} in {each.destination}"
            for column in one.columns
        )
        text = f": {'; '.join(shown)}"
    else:
        text = f": differs in {', '.join(column.name for column in one.columns)}"
    return Paragraph(((where, Tone.STRONG), text), mark=mark, indent=2)


def _key(key: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name}={'NULL' if value is None else value}" for name, value in key.items())


def _value(value: str | None) -> str:
    return "NULL" if value is None else f"'{value}'"
