"""What the way back would leave behind: rows that were changed on B, wait to be carried back, and have no way to A."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate.ports.sql import Session, Sessions, transaction
from tracseq_migrate.replication import capture
from tracseq_migrate.replication.applying import reading
from tracseq_migrate.replication.applying.types import equal
from tracseq_migrate.replication.bringing import CONNECT
from tracseq_migrate.replication.control import ownership
from tracseq_migrate.replication.mapping.back import unchanged
from tracseq_migrate.replication.names import literal, quoted
from tracseq_migrate.replication.pair import Back, Pair, Replication
from tracseq_migrate.step import Loss

_AT_ONCE = 5_000


def losses(sessions: Sessions, replication: Replication, *, patience: float = CONNECT) -> list[Loss]:
    """Every row whose change on B is refused on the way to A; nothing is locked and nothing changed. Empty where A owns.

    The first `_AT_ONCE` log rows of each table are looked at: a row that is refused keeps all behind it from being carried over,
    so that those come up when these are dealt with.

    Raises:
        SqlFailed, Unreachable: a database could not be asked in time.
    """
    found: list[Loss] = []
    with (
        sessions.open(replication.database_a, purpose="losses", timeout=CONNECT, patience=patience) as a,
        sessions.open(replication.database_b, purpose="losses", timeout=CONNECT, patience=patience) as b,
    ):
        row = ownership.read(b, replication.name)
        if row is None or row.direction != "back":
            return []
        b.begin("REPEATABLE READ", read_only=True)
        try:
            for pair in replication.pairs:
                if capture.state(b, replication, pair, "b") != "absent":
                    found += _of_pair(a, b, replication, pair)
        finally:
            b.rollback()
    return found


def give_up(sessions: Sessions, replication: Replication, *, patience: float = CONNECT) -> list[Loss]:
    """Take the changes that have no way back out of B's log, so that the others can go; what was given up.

    A keeps what it has of these rows. Only for somebody who was shown them and accepted it; harmless where there are none.

    Raises:
        SqlFailed, Unreachable: a database could not be asked in time.
    """
    found: list[Loss] = []
    # Behind the first rows there may be more: until nothing is found.
    while more := losses(sessions, replication, patience=patience):
        with (
            sessions.open(replication.database_b, purpose="losses", timeout=CONNECT, patience=patience) as b,
            transaction(b),
        ):
            for pair in replication.pairs:
                lost = [each for each in more if each.where == f"{b.database}.{pair.b.name}"]
                if lost and not _taken_out(b, replication, pair, lost):
                    return found  # somebody else was quicker: what is left is seen when it is applied
        found += more
    return found


def _taken_out(b: Session, replication: Replication, pair: Pair, lost: Sequence[Loss]) -> int:
    key = " || ', ' || ".join(f"key_{number}::text" for number in range(1, len(pair.key_b) + 1))
    return b.execute(
        f'DELETE FROM {capture.log_table(replication, pair)} WHERE "whole" IS NULL AND {key} = ANY ($1::text[])',
        [[each.key for each in lost]],
    )


def _of_pair(a: Session, b: Session, replication: Replication, pair: Pair) -> list[Loss]:
    log = capture.log_table(replication, pair)
    ((rows, first, last),) = b.rows(
        f"SELECT count(*), min(seq), max(seq) FROM (SELECT seq FROM {log} ORDER BY seq LIMIT {_AT_ONCE}) l"
    )
    if not rows or not any(each.refused for each in pair.back):
        return []
    span = reading.Span(pair, rows, (first,), (last,), whole=False, oldest=0.0, rest=0)
    names = [each.name for each in pair.columns]
    aliases = ", ".join(["present", *(f"c_{n}" for n in range(len(names) + len(pair.kept)))])
    texts = ", ".join(f"x.c_{n}::text" for n in range(len(names)))
    staged = b.rows(
        f"SELECT {texts} FROM ({reading.rows_query(replication, pair, 'back', span)}) x ({aliases}) WHERE x.present"
    )
    if not staged:
        return []
    columns = [list(values) for values in zip(*staged, strict=True)]
    keys = [names.index(name) for name in pair.key_b]
    return [
        Loss(
            f"{b.database}.{pair.b.name}",
            "updated" if there else "inserted",
            ", ".join(str(staged[number - 1][key]) for key in keys),
            {"why": why, **dict(zip(names, staged[number - 1], strict=True))},
        )
        for number, there, why in a.rows(_refused(pair), columns)
    ]


def _refused(pair: Pair) -> str:
    """Over A: which of the rows that are handed in have no way back, whether A has one of their key, and why."""
    given = ", ".join(f"${number}::text[]" for number in range(1, len(pair.columns) + 1))
    cast = ", ".join(f"u.c_{n}::{each.wire} AS {quoted(each.name)}" for n, each in enumerate(pair.columns))
    aliases = ", ".join(f"c_{n}" for n in range(len(pair.columns)))
    keys = [each for each in pair.back if each.name in pair.key_a]
    keyed = ", ".join(f"({each.down}) AS {_key(number)}" for number, each in enumerate(keys))
    joined = " AND ".join(
        equal(f"a.{quoted(each.name)}", f"b.{_key(number)}", each.column.type)
        for number, each in enumerate(keys)
    )
    there = f"a.{quoted(keys[0].name)} IS NOT NULL"
    whys = " ".join(_why(pair, each, there) for each in pair.back if each.refused)
    return f"""
        SELECT x.number, x.there, x.why FROM (
            SELECT b."tracseq_migrate_number" AS number, {there} AS there, CASE {whys} END AS why
            FROM (SELECT b.*, {keyed} FROM (
                SELECT u.number AS "tracseq_migrate_number", {cast}
                FROM unnest({given}) WITH ORDINALITY u ({aliases}, number)) b) b
            LEFT JOIN {pair.a.relation} a ON {joined}) x
        WHERE x.why IS NOT NULL ORDER BY x.number
        """


def _why(pair: Pair, each: Back, there: str) -> str:
    same = " AND ".join(unchanged(pair, name) for name in each.watched) or "true"
    why = literal(f"{each.name}: {each.why}" if each.why else each.name)
    return f"WHEN NOT ({there} AND {same}) AND ({each.refused}) THEN {why}"


def _key(number: int) -> str:
    return quoted(f"tracseq_migrate_key_{number}")
