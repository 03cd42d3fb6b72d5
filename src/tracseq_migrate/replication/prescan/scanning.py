"""The one scan: every rule is asked of every row on the way, and only what was counted comes back."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate.ports.sql import Session, SqlFailed
from tracseq_migrate.replication.names import quoted
from tracseq_migrate.replication.prescan.misfit import Misfit
from tracseq_migrate.replication.prescan.rule import KEY, Rows, Rule

SAMPLES = 5
_SPREAD = 8
"""Into how many parts each kind of misfit is split, so that it gives that many sample keys and costs no more memory."""
_STEP = 1_000


def scan(session: Session, rows: Rows, rules: Sequence[Rule]) -> tuple[list[Misfit], int]:
    """What was found, and how many rows move.

    Where an expression fails on a row, the scan ends there; then each rule is asked by itself, to say which and where.
    """
    try:
        return _scan(session, rows, rules)
    except SqlFailed as error:
        if not _of_a_value(error):
            raise
    failing: list[Misfit] = []
    broken: set[str] = set()
    sound: list[Rule] = []
    # Those that only evaluate an expression come first: what reads a broken one need not be asked.
    for rule in sorted(rules, key=lambda each: each.code != "fails"):
        if broken.intersection(rule.columns):
            continue
        try:
            session.rows(f"SELECT count(*) FILTER (WHERE {rule.condition}) FROM ({_row(rows, [rule])}) AS m")
        except SqlFailed as error:
            if not _of_a_value(error):
                raise
            failing.append(_failed(session, rows, rule, error))
            if rule.code == "fails":
                broken.update(rule.columns)
        else:
            sound.append(rule)
    found, total = _scan(session, rows, sound)
    return failing + found, total


def _of_a_value(error: SqlFailed) -> bool:
    """Whether it is a row's fault, and not the statement's or the server's."""
    return error.sqlstate[:2] in ("22", "23", "2F", "38", "39", "P0", "54") or error.sqlstate in (
        "42804",
        "42846",
        "XX000",
    )


def _row(rows: Rows, rules: Sequence[Rule]) -> str:
    columns = dict.fromkeys(name for rule in rules for name in rule.columns)
    more = dict.fromkeys(extra for rule in rules for extra in rule.more)
    return rows.select(columns, more)


def _scan(session: Session, rows: Rows, rules: Sequence[Rule]) -> tuple[list[Misfit], int]:
    hits = ", ".join(f"CASE WHEN {rule.condition} THEN {number} END" for number, rule in enumerate(rules))
    listed = f"array_remove(ARRAY[{hits}]::int[], NULL)" if rules else "ARRAY[]::int[]"
    part = f"CASE WHEN h.hits <> '{{}}' THEN hashtext(h.key) & {_SPREAD - 1} END"
    counted = session.rows(
        f"SELECT h.hits, count(*), min(h.key) FILTER (WHERE h.hits <> '{{}}')"
        f" FROM (SELECT m.{quoted(KEY)} AS key, {listed} AS hits FROM ({_row(rows, rules)}) AS m OFFSET 0) AS h"
        f" GROUP BY h.hits, {part}"
    )
    counts = [0] * len(rules)
    samples: list[set[str]] = [set() for _ in rules]
    total = 0
    for numbers, count, sample in counted:
        total += count
        for number in numbers:
            counts[number] += count
            samples[number].add(sample)
    found = [
        Misfit(
            rows.pair.name,
            rule.where,
            rule.code,
            rule.what,
            counts[number],
            total,
            tuple(sorted(samples[number], key=lambda key: (len(key), key))[:SAMPLES]),
            rule.remedy,
            rule.certain,
        )
        for number, rule in enumerate(rules)
        if counts[number]
    ]
    return found, total


def _failed(session: Session, rows: Rows, rule: Rule, error: SqlFailed) -> Misfit:
    what = "the expression" if rule.code == "fails" else rule.what.partition(" refuses")[0]
    return Misfit(
        rows.pair.name,
        rule.where,
        "fails",
        f"{what} fails on this row, and maybe on others: {error.message}",
        1,
        -1,
        _first_failing(session, rows, rule),
        "mend the expression so that it has a value for every row, or mend the row in A",
    )


def _first_failing(session: Session, rows: Rows, rule: Rule) -> tuple[str, ...]:
    """The key of the first row, in the order of the keys, on which a rule cannot be evaluated."""
    ordered = rows.select(rule.columns, rule.more, ordered=True)
    seen = 0
    for batch in (_STEP, 1):
        session.begin("REPEATABLE READ", read_only=True)
        try:
            query = f"SELECT m.{quoted(KEY)}, ({rule.condition}) FROM ({ordered}) AS m OFFSET {seen}"
            for _ in session.stream(query, batch=batch):
                seen += 1
        except SqlFailed:
            pass
        finally:
            session.rollback()
    found = session.rows(
        f"SELECT m.{quoted(KEY)} FROM ({rows.select((), ordered=True)}) AS m OFFSET {seen} LIMIT 1"
    )
    return tuple(key for (key,) in found)
