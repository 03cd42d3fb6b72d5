"""The row that is the truth about the lease: who holds it, since when, until when, and under which epoch."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import NamedTuple

from tracseq_migrate.adapters.sqlite_journal.machine import boot_name, uptime
from tracseq_migrate.errors import Locked
from tracseq_migrate.journal.chain import parse_stamp
from tracseq_migrate.ports import Holder, LeaseInfo

_READ = (
    "SELECT epoch, held, witness, holder_id, person, host, pid, command, since, expires, boot, expires_uptime"
    " FROM lease WHERE id = 1"
)
TAKE = (
    "UPDATE lease SET (epoch, held, witness, holder_id, person, host, pid, command, since, expires, boot,"
    " expires_uptime) = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) WHERE id = 1"
)
RENEW = "UPDATE lease SET witness = ?, expires = ?, boot = ?, expires_uptime = ? WHERE epoch = ? AND held = 1"

LOST = "this run no longer holds the lock"


class LeaseRow(NamedTuple):
    """``witness``: the holder has the lock file, so a free lock file means that the holder is dead."""

    epoch: int
    held: int
    witness: int
    holder_id: str
    person: str
    host: str
    pid: int
    command: str
    since: str
    expires: str
    boot: str
    expires_uptime: float

    def info(self) -> LeaseInfo:
        holder = Holder(self.holder_id, self.person, self.host, self.pid, self.command)
        return LeaseInfo(holder, self.epoch, parse_stamp(self.since), parse_stamp(self.expires))

    def can_be_witnessed(self, host: str) -> bool:
        """Whether a free lock file, seen on ``host``, proves that the holder is dead."""
        return bool(self.witness) and (self.host == host or (self.boot != "" and self.boot == boot_name()))

    def expired(self) -> bool:
        # On the boot that wrote it the machine's uptime decides: a wall clock set forward expires nobody.
        if self.boot and self.boot == boot_name():
            return uptime() >= self.expires_uptime
        return datetime.now(UTC) >= parse_stamp(self.expires)


def who(row: LeaseRow) -> str:
    return f"{row.person} on {row.host}, pid {row.pid}, `{row.command}`, since {row.since[:19]}Z"


def read_row(connection: sqlite3.Connection) -> LeaseRow:
    row = connection.execute(_READ).fetchone()
    return LeaseRow(*row)


def refuse_fenced(connection: sqlite3.Connection, epoch: int, outcome: str) -> None:
    """Raise `Locked` unless the lease of this epoch is the newest, and held."""
    row = read_row(connection)
    if row.epoch == epoch and row.held:
        return
    if row.epoch == epoch:
        why = "it was given back"
    elif row.held:
        why = f"it was taken over by {who(row)}"
    elif not row.holder_id:
        why = f"it was taken away by {who(row)}"
    else:
        why = f"it was taken over by another run, since ended: {who(row)}"
    raise Locked(
        f"{LOST}: {why}; {outcome}",
        state="What this run did before that is journaled; it changes nothing any more.",
        hint="`tracseq-migrate status` shows what state the week is in, and what to type next.",
    )
