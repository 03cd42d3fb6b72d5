"""One request of a client, judged: was it well answered, and is the write that it asked for done, not done, or in doubt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tracseq_migrate.sandbox.load.connection import Broken, Connection, Kind
from tracseq_migrate.sandbox.load.tally import Seen, Tally

_KIND_OF_STATUS = {502: Kind.HTTP_502, 503: Kind.HTTP_503, 504: Kind.HTTP_504}

Check = Callable[[Any], str]
"""What is wrong with the body of a good answer; empty where nothing is."""


class Fate(StrEnum):
    """What is known of a request afterwards."""

    DONE = "done"
    NOT_DONE = "not-done"
    ABSENT = "absent"
    """Not done: the side that was asked has no row of this id."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    fate: Fate
    status: int = 0
    body: Any = None
    seen: Seen | None = None


def nothing_wrong(_: Any) -> str:
    """The check of answers that are not looked into."""
    return ""


class Sender:
    """Sends the requests of one turn of a client: the first was due at a given time, those after it when it is over."""

    def __init__(self, connection: Connection, tally: Tally, due: float | None, linger: float = 0.0) -> None:
        self._connection = connection
        self._tally = tally
        self._due = due
        self._linger = linger

    @property
    def slow(self) -> bool:
        """Whether the next request takes a while to be sent."""
        return self._linger > 0

    async def send(
        self,
        method: str,
        prefix: str,
        path: str,
        body: object = None,
        *,
        write: bool = False,
        good: tuple[int, ...] = (200,),
        absent: tuple[int, ...] = (),
        acknowledges: Check = nothing_wrong,
        check: Check = nothing_wrong,
    ) -> Outcome:
        """Send it once.

        Args:
            prefix: what the gateway routes it by, for the counts.
            write: whether it is counted as one.
            good: the statuses that say done.
            absent: the statuses that say that there is no such row.
            acknowledges: whether the body of a good answer speaks of this request at all. One that does not is no
                acknowledgement.
            check: whether it says the right thing.
        """
        began = time.monotonic()
        due, self._due = began if self._due is None else self._due, None
        linger, self._linger = self._linger, 0.0

        def seen(kind: Kind | None, why: str = "", *, missing: bool = False, unread: bool = False) -> Seen:
            # The pause of a slow sender is its own; the system is waited for from the last byte on.
            start = self._connection.last_sent if linger else due
            return Seen(
                method, path, prefix, write, start, began, time.monotonic(), kind, why, missing, unread
            )

        try:
            reply = await self._connection.request(method, path, body, linger=linger)
        except Broken as broken:
            over = seen(broken.kind, broken.why, unread=broken.unread)
            self._tally.record(over)
            return Outcome(Fate.UNKNOWN if broken.sent else Fate.NOT_DONE, seen=over)
        except asyncio.CancelledError:
            self._tally.given_up += 1
            raise

        if reply.status in good:
            try:
                answer = reply.json()
            except ValueError:
                over = seen(Kind.BAD_JSON, f"{reply.status} with {reply.body[:80]!r}")
                self._tally.record(over)
                return Outcome(Fate.UNKNOWN, reply.status, seen=over)
            stranger = acknowledges(answer)
            why = stranger or check(answer)
            over = seen(Kind.WRONG_ANSWER if why else None, why)
            self._tally.record(over)
            return Outcome(Fate.UNKNOWN if stranger else Fate.DONE, reply.status, answer, over)
        if reply.status in absent:
            over = seen(None, f"{reply.status} {reply.body[:200]!r}", missing=True)
            self._tally.record(over)
            return Outcome(Fate.ABSENT, reply.status, None, over)
        why = f"{reply.status} {reply.body[:200]!r}"
        if reply.status >= 500:
            over = seen(_KIND_OF_STATUS.get(reply.status, Kind.HTTP_500), why)
            self._tally.record(over)
            return Outcome(Fate.UNKNOWN, reply.status, seen=over)
        over = seen(Kind.WRONG_ANSWER, why)
        self._tally.record(over)
        # A conflict on a key that nobody else uses: some layer may have sent the request twice.
        return Outcome(Fate.UNKNOWN if reply.status == 409 else Fate.NOT_DONE, reply.status, seen=over)
