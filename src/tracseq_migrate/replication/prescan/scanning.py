"""The one scan: every rule is asked of every row on the way, and only what was counted comes back."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate.ports.sql import Session, SqlFailed
from tracseq_migrate.replication.prescan import uniques
from tracseq_migrate.replication.prescan.misfit import Misfit
from tracseq_migrate.replication.prescan.rule import Rows, Rule

SAMPLES = 5
_SPREAD = 8
"""Into how many parts each kind of misfit is split, so that it gives that many sample keys and costs no more memory."""
_STEP = 1_000


def scan(
    session: Session, rows: Rows, rules: Sequence[Rule], indexes: Sequence[uniques.Unique]
) -> tuple[list[Misfit], int]:
    """What was found, and how many rows move.

    Where an expression fails on a row, the scan ends there; then each rule is asked by itself, to say which and where.
    """
    asked = uniques.questions(indexes)
    try:
        return _scan(session, rows, rules, asked)
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
    whole = [each for each in asked if not broken.intersection(each.rule.columns)]
    try:
        found, total = _scan(session, rows, sound, whole)
    except SqlFailed as error:
        if not _of_a_value(error):
            raise
        found, total = _scan(session, rows, sound, ())
        why = f"A cannot evaluate it: {error.message}"
        found += [uniques.unknown(rows.pair, each.name, why) for each in whole]
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


def _scan(
    session: Session, rows: Rows, rules: Sequence[Rule], asked: Sequence[uniques.Unique]
) -> tuple[list[Misfit], int]:
    every = [*rules, *(each.rule for each in asked)]
    none = "NULL::int[]"
    hits = none
    if rules:
        numbered = ", ".join(
            f"CASE WHEN {rule.condition} THEN {number} END" for number, rule in enumerate(rules)
        )
        some = " OR ".join(f"({rule.condition})" for rule in rules)
        # Nearly every row breaks no rule: then nothing is put together for it.
        hits = f"CASE WHEN {some} THEN array_remove(ARRAY[{numbered}]::int[], NULL) ELSE {none} END"
    mapped = f"({_row(rows, every)}) AS m"
    counted = f"""
        SELECT s.hits, count(*) AS rows, min(s.key) FILTER (WHERE s.hits IS NOT NULL) AS key
        FROM {{source}} AS s GROUP BY s.hits, CASE WHEN s.hits IS NOT NULL THEN hashtext(s.key) & {_SPREAD - 1} END"""
    if asked:
        # Both questions of the same rows: they are read once, and what matters of them is kept aside by the server.
        columns = ", ".join([f"{rows.key} AS key", f"{hits} AS hits", *uniques.parts(asked)])
        query = f"""
            WITH kept AS MATERIALIZED (SELECT {columns} FROM {mapped}),
                 counted AS ({counted.format(source="kept")}), equal AS ({uniques.collided(asked, "kept")})
            SELECT c.hits, c.rows, c.key, NULL::int, NULL::bigint, NULL::bigint, NULL::text FROM counted AS c
            UNION ALL SELECT NULL, NULL, NULL, e.which, e.groups, e.equal, e.sample FROM equal AS e"""
    else:
        inner = f"SELECT m.*, {hits} AS hits FROM {mapped} OFFSET 0"
        keyed = (
            f"(SELECT m.hits, CASE WHEN m.hits IS NOT NULL THEN {rows.key} END AS key FROM ({inner}) AS m)"
        )
        query = counted.format(source=keyed)
    counts = [0] * len(rules)
    samples: list[set[str]] = [set() for _ in rules]
    equal: list[tuple[int, int, int, str]] = []
    total = 0
    for numbers, count, sample, *group in session.rows(query):
        if count is None:
            equal.append((group[0], group[1], group[2], group[3]))
            continue
        total += count
        for number in numbers or ():
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
    return found + uniques.misfits(rows.pair, asked, equal, total), total


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
            query = f"SELECT {rows.key}, ({rule.condition}) FROM ({ordered}) AS m OFFSET {seen}"
            for _ in session.stream(query, batch=batch):
                seen += 1
        except SqlFailed:
            pass
        finally:
            session.rollback()
    found = session.rows(
        f"SELECT {rows.key} FROM ({rows.select((), ordered=True)}) AS m OFFSET {seen} LIMIT 1"
    )
    return tuple(key for (key,) in found)
