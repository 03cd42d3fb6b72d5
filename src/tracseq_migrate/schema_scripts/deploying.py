"""Bringing scripts about and taking them back: a script and its row in the registry are one transaction."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, SqlFailed, Unreachable
from tracseq_migrate.replication.blockers import blockers
from tracseq_migrate.replication.names import quoted
from tracseq_migrate.schema_scripts import registry
from tracseq_migrate.schema_scripts.lexing import Statement
from tracseq_migrate.schema_scripts.parsing import Script

_WORK = 0x7473_4D53
_LOCKED = ("55P03", "40P01")
_QUERIES = ("select", "values", "with", "table", "show", "(")
_PAUSE = 0.25


class WouldLose(Exception):
    """Taking scripts back would drop rows that somebody wrote since; ``tables`` are the tables, quoted and qualified."""

    def __init__(self, tables: Sequence[str]) -> None:
        super().__init__(f"rows of {', '.join(tables)} would be lost")
        self.tables = tuple(tables)


@frozen
class Work:
    """How scripts of one folder are worked on in one database.

    ``search_path`` is what names without a schema mean; a lock is waited for at most ``lock_timeout`` seconds at a time, again
    and again until ``late`` says so; ``check`` is called in between and may raise.
    """

    session: Session
    folder: str
    by: str
    search_path: tuple[str, ...]
    lock_timeout: float
    late: Callable[[], bool]
    check: Callable[[], None]
    say: Callable[[str], None]

    def deploy(self, scripts: Sequence[Script]) -> list[str]:
        """Deploy those that are not there yet, in order; their names.

        Raises:
            StepFailed: one failed, was not seen by its verify, or a deployed one was edited; those before it stay.
            SqlFailed, Unreachable: the registry could not be had.
        """
        registry.make(self.session)
        with self._alone():
            rows = registry.read(self.session, self.folder)
            registry.refuse_drift(self.session, rows, scripts)
            known = {row.name for row in rows}
            done = []
            for script in scripts:
                if script.name in known:
                    continue
                self.check()
                began = time.monotonic()
                if script.in_transaction:
                    self._again(script, lambda script=script: self._deploy(script))  # type: ignore[misc]  # bound at once
                else:
                    self._deploy_apart(script)
                self.say(f"{script.name} is deployed ({time.monotonic() - began:.1f} s)")
                done.append(script.name)
            return done

    def revert(self, scripts: Sequence[Script], *, keep: frozenset[str], lose: bool) -> list[str]:
        """Take back what is deployed, newest first, but those in ``keep``; their names.

        Raises:
            WouldLose: tables with rows that no script left there would go; nothing of that script was done.
            StepFailed: a script's revert failed, or the script is not known any more.
        """
        if not registry.there(self.session):
            return []
        known = {script.name: script for script in scripts}
        done = []
        with self._alone():
            rows = registry.read(self.session, self.folder)
            left = registry.left_by_scripts(rows)
            for row in reversed(rows):
                if row.name in keep:
                    continue
                script = known.get(row.name)
                if script is None:
                    raise StepFailed(
                        f"{self.session.what}: {row.name} is deployed, and the plan as it was run does not know it",
                        hint="It belongs to a later run; roll that one back first.",
                    )
                if script.in_transaction:
                    self._again(script, lambda script=script: self._revert(script, left, lose=lose))  # type: ignore[misc]  # bound at once
                else:
                    self._revert_apart(script, left, lose=lose)
                self.say(f"{script.name} is taken back")
                done.append(script.name)
        registry.remove_if_empty(self.session)
        return done

    def see(self, script: Script) -> None:
        """See that a script is in force, in a transaction that can change nothing. Raises `StepFailed` where it is not."""
        self.session.begin("REPEATABLE READ", read_only=True)
        try:
            self._settle()
            self._seen(script)
        finally:
            self.session.rollback()

    def _deploy(self, script: Script) -> None:
        session = self.session
        session.begin()
        self._settle()
        before = registry.tables(session)
        self._run(script, script.deploy)
        session.execute("SET CONSTRAINTS ALL IMMEDIATE")
        after = registry.tables(session)
        made = {oid: name for oid, name in after.items() if oid not in before}
        of_interest = made.keys() | (registry.touched(session) & after.keys())
        states = {after[oid]: registry.state(session, after[oid]) for oid in sorted(of_interest)}
        session.execute("SAVEPOINT look")
        session.execute("SET LOCAL transaction_read_only = on")
        self._seen(script)
        session.execute("ROLLBACK TO SAVEPOINT look")
        registry.write(session, self.folder, script, self.by, sorted(made.values()), states)
        session.commit()

    def _deploy_apart(self, script: Script) -> None:
        """What it did before it broke off cannot be known, but whether it is in force can be seen."""
        before = registry.tables(self.session)
        with suppress(StepFailed):
            self.see(script)
            self.say(f"{script.name} was there already")
            registry.write(self.session, self.folder, script, self.by, [], {})
            return
        self._apart()
        try:
            self._again(script, lambda: self._run(script, script.deploy))
            self.see(script)
        except StepFailed as error:
            try:
                self._run(script, script.revert)
            except (StepFailed, SqlFailed) as second:
                raise StepFailed(
                    f"{error.message}; and taking it back failed too: {second}",
                    hint=f"{script.file} runs without a transaction, so a part of it may be there: take it out by hand.",
                    unknown=True,
                ) from error
            raise
        made = [name for oid, name in registry.tables(self.session).items() if oid not in before]
        states = {name: registry.state(self.session, name) for name in made}
        registry.write(self.session, self.folder, script, self.by, made, states)

    def _revert(self, script: Script, left: dict[str, registry.State], *, lose: bool) -> None:
        session = self.session
        session.begin()
        self._settle()
        as_left: list[str] = []
        if not lose:
            # Done once to see which tables would go; what was in them can be seen again only after that is undone.
            before = registry.tables(session)
            session.execute("SAVEPOINT trial")
            self._run(script, script.revert)
            after = registry.tables(session)
            gone = [name for oid, name in before.items() if oid not in after]
            changed = [after[oid] for oid in registry.touched(session) if oid in after]
            session.execute("ROLLBACK TO SAVEPOINT trial")
            for name in gone:
                session.rows(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
            if written := [name for name in gone if _written(session, name, left)]:
                raise WouldLose(written)
            as_left = [name for name in changed if name in left and not _written(session, name, left)]
        self._run(script, script.revert)
        registry.forget(session, self.folder, script.name)
        # What the script had put in and has taken out again is not what somebody wrote.
        now = {name: registry.state(session, name) for name in as_left}
        session.commit()
        left |= now

    def _revert_apart(self, script: Script, left: dict[str, registry.State], *, lose: bool) -> None:
        rows = {row.name: row for row in registry.read(self.session, self.folder)}
        here = set(registry.tables(self.session).values())
        made = [name for name in rows[script.name].made if name in here]
        if not lose and (written := [name for name in made if _written(self.session, name, left)]):
            raise WouldLose(written)
        self._apart()
        self._again(script, lambda: self._run(script, script.revert))
        registry.forget(self.session, self.folder, script.name)

    def _run(self, script: Script, statements: Sequence[Statement]) -> None:
        for statement in statements:
            try:
                self.session.execute(statement.text)
            except SqlFailed as error:
                if error.sqlstate in _LOCKED:
                    raise
                more = "".join(f" ({each})" for each in (error.detail, error.hint) if each)
                raise StepFailed(
                    f"{script.file}:{statement.line}: {error.message}{more} (SQLSTATE {error.sqlstate})"
                ) from error

    def _seen(self, script: Script) -> None:
        for statement in script.verify:
            at = f"{script.file}:{statement.line}"
            try:
                answers = self.session.rows(statement.text)
            except SqlFailed as error:
                if error.sqlstate in _LOCKED:
                    raise
                raise StepFailed(
                    f"{at}: its verify fails: {error.message} (SQLSTATE {error.sqlstate})"
                ) from error
            if statement.words[0] not in _QUERIES:
                continue
            if not answers:
                raise StepFailed(f"{at}: its verify answers with no row, and no answer is no proof")
            if any(row[0] is None or row[0] is False for row in answers):
                raise StepFailed(f"{at}: its verify answers {'null' if answers[0][0] is None else 'false'}")

    def _again(self, script: Script, act: Callable[[], None]) -> None:
        """Once more, as long as only a lock is missing. Whatever else is raised, no transaction is left open."""
        told = False
        while True:
            try:
                act()
            except SqlFailed as error:
                self.session.rollback()
                if error.sqlstate not in _LOCKED:
                    raise StepFailed(f"{script.file}: {error.message} (SQLSTATE {error.sqlstate})") from error
                who = blockers(self.session)
                if self.late():
                    raise StepFailed(
                        f"{script.file}: a lock was not had in time: {error.message}",
                        hint=who or "End the transactions that use the tables, and try again.",
                    ) from error
                if not told:
                    self.say(f"{script.name} waits for a lock. {who}".strip())
                    told = True
            except BaseException:
                self.session.rollback()
                raise
            else:
                return
            self.check()
            time.sleep(_PAUSE)

    def _settle(self) -> None:
        path = ", ".join(map(quoted, self.search_path))
        self.session.rows(f"SET LOCAL search_path = {path}")
        self.session.rows(f"SET LOCAL lock_timeout = {max(int(self.lock_timeout * 1000), 1)}")

    def _apart(self) -> None:
        """As `_settle`, for statements that are no transaction's."""
        path = ", ".join(map(quoted, self.search_path))
        self.session.rows(f"SET search_path = {path}")
        self.session.rows(f"SET lock_timeout = {max(int(self.lock_timeout * 1000), 1)}")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else works on this folder's scripts in this database meanwhile."""
        number = zlib.crc32(self.folder.encode()) - (1 << 31)
        lock = [_WORK, number]
        while not self.session.rows("SELECT pg_catalog.pg_try_advisory_lock($1::int, $2::int)", lock)[0][0]:
            if self.late():
                raise StepFailed(
                    f"{self.session.what}: somebody else works on {self.folder}", hint=blockers(self.session)
                )
            self.check()
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            with suppress(SqlFailed, Unreachable):
                self.session.rows("SELECT pg_catalog.pg_advisory_unlock($1::int, $2::int)", lock)


def _written(session: Session, relation: str, left: dict[str, registry.State]) -> bool:
    """Whether a table's rows are others than its scripts left there."""
    return registry.state(session, relation) != left.get(relation, (0, "0"))
