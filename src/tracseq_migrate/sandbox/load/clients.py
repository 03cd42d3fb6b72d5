"""The clients: an open loop of reads and writes at a given rate, each client on a connection of its own.

Requests fall due at fixed times. Whichever client is free takes the next one; where all are busy, requests become late, and
what clients wait is counted from when a request was due. Beside them, slow senders keep a half-sent write open at all times,
so that at no instant the system is idle when something is switched under it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from tracseq_migrate.sandbox.load.connection import Address, Connection
from tracseq_migrate.sandbox.load.ledger import Ledger, Row, Value
from tracseq_migrate.sandbox.load.resource import Resource, is_list, is_object, rows_of
from tracseq_migrate.sandbox.load.resources import PAGES, RESOURCES
from tracseq_migrate.sandbox.load.sending import Fate, Outcome, Sender
from tracseq_migrate.sandbox.load.tally import Tally

_SHARE_OF_SLOW_SENDERS = 0.1
_SLOW_SENDERS = 2
_SHARE_OF_LOGINS = 0.25
_NO_SUCH_ID = (400, 404, 422)
"""A side whose ids are of another form may find an id malformed before it finds it missing."""
_PLACES = 3
"""Storage locations that movements go to."""
_CREATE, _CHANGE = 0.5, 0.88
"""Of the writes: up to the first are creations, up to the second changes, the rest deletions."""


@dataclass(frozen=True, slots=True)
class Mix:
    """What the clients do, by weight: ``reads`` of rows, ``pages`` without rows, and the writes of each resource."""

    reads: float
    pages: float
    writes: Mapping[str, float]

    @classmethod
    def default(cls) -> Mix:
        return cls(reads=8, pages=1, writes=dict.fromkeys(RESOURCES, 1.0))

    @classmethod
    def parse(cls, text: str | None) -> Mix:
        """``reads=3,users=1,samples=1``; what is not named has no weight. None is the default.

        Raises:
            ValueError: an unknown name, a weight that is no number of 0 or more, or no weight at all.
        """
        if text is None:
            return cls.default()
        weights: dict[str, float] = {}
        for part in text.split(","):
            name, equals, number = (piece.strip() for piece in part.partition("="))
            try:
                weight = float(number) if equals else float("nan")
            except ValueError:
                weight = float("nan")
            if not 0 <= weight < float("inf"):
                raise ValueError(f"{part.strip()!r} is not NAME=WEIGHT with a weight of 0 or more")
            names = _GROUPS.get(name, (name,))
            for each in names:
                if each not in (*RESOURCES, "reads", "pages"):
                    raise ValueError(
                        f"{name!r} is not one of {', '.join(['reads', 'pages', *RESOURCES, *_GROUPS])}"
                    )
                if each in weights:
                    raise ValueError(f"{each!r} is weighted twice")
                weights[each] = weight / len(names)
        if not any(weights.values()):
            raise ValueError("every weight is 0")
        reads, pages = weights.pop("reads", 0.0), weights.pop("pages", 0.0)
        return cls(reads, pages, {name: weight for name, weight in weights.items() if weight > 0})


_GROUPS = {"storage": ("locations", "movements"), "sequencing": ("jobs",)}


class Clients:
    """Drives the load. What comes of it is in ``tally`` and ``ledger``."""

    def __init__(
        self,
        gateway: str,
        *,
        rate: float,
        seconds: float,
        mix: Mix,
        clients: int,
        seed: int,
        tag: str,
        timeout: float,
        ledger: Ledger,
    ) -> None:
        self._address = Address.of(gateway)
        self._seconds = seconds
        self._mix = mix
        self._tag = tag
        self._timeout = timeout
        self._rng = random.Random(seed)  # noqa: S311  # a load that can be had again, not a secret
        self._written = [RESOURCES[name] for name in mix.writes]
        self._write_weights = list(accumulate(mix.writes.values()))
        self._kinds = list(accumulate((mix.reads, mix.pages, sum(mix.writes.values()))))
        self._readable = self._written or list(RESOURCES.values())
        slow = min(_SLOW_SENDERS, clients - 1) if self._written else 0
        slow_rate = min(slow / 0.25, rate * _SHARE_OF_SLOW_SENDERS) if slow else 0.0
        self._slow, self._linger = slow, slow / slow_rate if slow else 0.0
        self._fast = clients - slow
        self._interval = 1 / (rate - slow_rate)
        self._taken = 0
        self._made = 0
        self._places: list[Row] = []
        self._stopped = asyncio.Event()
        self.ledger = ledger
        self.tally = Tally(time.monotonic())

    async def drive(self, *, patience: float, every: Callable[[], None] | None = None) -> None:
        """Drive the load until the time is over or `stop` is called, then wait for what is still out.

        Args:
            patience: seconds to wait, after `stop`, for requests that are out; then their fate is unknown.
            every: called about once a second.
        """
        self.tally.began = time.monotonic()
        deadline = self.tally.sent_until = self.tally.began + self._seconds
        tasks = [asyncio.create_task(self._client(deadline)) for _ in range(self._fast)]
        tasks += [asyncio.create_task(self._slow_sender(deadline, place)) for place in range(self._slow)]
        beside: list[asyncio.Task[object]] = [asyncio.create_task(self._stopped.wait())]
        if every is not None:
            beside.append(asyncio.create_task(self._tick(every)))
        try:
            pending: set[asyncio.Task[None]] = set(tasks)
            while pending and not self._stopped.is_set():
                await asyncio.wait([*pending, beside[0]], return_when=asyncio.FIRST_COMPLETED)
                pending = {task for task in pending if not task.done()}
            if pending:
                await asyncio.wait(pending, timeout=patience)
        finally:
            for task in (*tasks, *beside):
                task.cancel()
            results = await asyncio.gather(*tasks, *beside, return_exceptions=True)
            self.tally.end(time.monotonic())
        if not self._stopped.is_set():
            self.tally.unsent = max(0, int(self._seconds / self._interval) - self._taken)
        for result in results:
            if isinstance(result, Exception):
                raise result

    def stop(self) -> None:
        """Send nothing new."""
        self.tally.sent_until = min(self.tally.sent_until, time.monotonic())
        self._stopped.set()

    @staticmethod
    async def _tick(every: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(1)
            every()

    async def _client(self, deadline: float) -> None:
        connection = Connection(self._address, timeout=self._timeout)
        try:
            while not self._stopped.is_set():
                due = self.tally.began + self._taken * self._interval
                if due >= deadline or time.monotonic() >= deadline:
                    return
                self._taken += 1
                await self._pause(due - time.monotonic())
                if self._stopped.is_set():
                    return
                await self._act(Sender(connection, self.tally, due))
        finally:
            self._hang_up(connection)

    async def _slow_sender(self, deadline: float, place: int) -> None:
        connection = Connection(self._address, timeout=self._timeout)
        try:
            await self._pause(place * self._linger / self._slow)
            while not self._stopped.is_set() and time.monotonic() < deadline:
                began = time.monotonic()
                await self._write(Sender(connection, self.tally, None, self._linger))
                # A write that was refused at once took no time; the rate is kept all the same.
                await self._pause(began + self._linger - time.monotonic())
        finally:
            self._hang_up(connection)

    def _hang_up(self, connection: Connection) -> None:
        connection.close()
        self.tally.opened += connection.opened
        self.tally.closed_idle += connection.closed_idle

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            try:
                await asyncio.wait_for(self._stopped.wait(), seconds)
            except TimeoutError:
                return

    async def _act(self, sender: Sender) -> None:
        (what,) = self._rng.choices((self._read, self._page, self._write), cum_weights=self._kinds)
        await what(sender)

    def _resource(self) -> Resource:
        if not self._written:
            return self._rng.choice(self._readable)
        (resource,) = self._rng.choices(self._written, cum_weights=self._write_weights)
        return resource

    async def _page(self, sender: Sender) -> None:
        page = self._rng.choice(PAGES)
        await sender.send(page.method, page.prefix, page.path, page.body, check=is_object)

    async def _read(self, sender: Sender) -> None:
        resource = self._resource()
        row = self.ledger.lend(resource.name, self._rng)
        if row is None:
            await sender.send("GET", resource.prefix, f"{resource.path}?limit=20", check=is_list)
            return
        absent = False
        try:
            absent = await self._is_absent(sender, resource, row)
        finally:
            (self.ledger.set_aside if absent else self.ledger.give_back)(row)

    async def _is_absent(self, sender: Sender, resource: Resource, row: Row) -> bool:
        """Read an acknowledged row; true where the side that was asked has none of its key."""
        value = row.sure
        if value is None:
            return False
        if resource.login is not None and self._rng.random() < _SHARE_OF_LOGINS:
            path, body = resource.login(value)
            # Whoever is not there cannot sign in, and the answer to that is 401, as for a wrong password.
            outcome = await sender.send(
                "POST", resource.prefix, path, body, absent=(401, 404), check=is_object
            )
        elif resource.by_id and row.id is not None:
            outcome = await sender.send(
                "GET",
                resource.prefix,
                f"{resource.path}/{row.id}",
                absent=_NO_SUCH_ID,
                check=lambda body: resource.difference(value, body),
            )
        else:
            return await self._find(sender, resource, row) is None
        if outcome.fate is not Fate.ABSENT:
            return False
        found = await self._find(sender, resource, row)
        if outcome.status == 401 and found is not None:
            self._correct(outcome)
        return found is None

    async def _find(self, sender: Sender, resource: Resource, row: Row) -> bool | None:
        """Find a row by its business key, and take over the id that it has now.

        True: it has another id now; False: the same, or there was no telling; None: there is no such row.
        """
        outcome = await sender.send("GET", resource.prefix, resource.path_of_key(row.key), check=is_list)
        if outcome.fate is not Fate.DONE:
            return False
        matches = [each for each in rows_of(outcome.body) if each.get(resource.key) == row.key]
        if not matches:
            return None
        before, row.id = row.id, matches[0].get("id")
        return row.id != before

    async def _write(self, sender: Sender) -> None:
        resource = self._resource()
        choice = self._rng.random()
        row = self.ledger.lend(resource.name, self._rng) if resource.by_id and choice >= _CREATE else None
        if row is None:
            await self._create(sender, resource)
        elif sender.slow or choice < _CHANGE:
            await self._change(sender, resource, row)
        else:
            await self._delete(sender, resource, row)

    async def _create(self, sender: Sender, resource: Resource) -> None:
        self._made += 1
        word = f"{self._tag}-{self._made}"
        if not resource.at_location:
            row = await self._post(sender, resource, resource.create(self._rng, word))
            self.ledger.give_back(row)
        elif len(self._places) < _PLACES:
            # Never given back: a place that things were moved to is not to be changed or deleted by another client.
            place = RESOURCES["locations"]
            row = await self._post(sender, place, place.create(self._rng, word))
            if row.sure is not None:
                self._places.append(row)
        else:
            at = self._rng.choice(self._places)
            await self._post(
                sender, resource, resource.create(self._rng, word) | {resource.at_location: at.key}, at
            )

    async def _post(self, sender: Sender, resource: Resource, body: Value, at: Row | None = None) -> Row:
        value = resource.value(body)
        row = self.ledger.new(resource.name, str(body[resource.key]))
        sending = sender.send(
            "POST",
            resource.prefix,
            resource.path,
            body,
            write=True,
            good=(200, 201),
            absent=_NO_SUCH_ID if at else (),
            acknowledges=lambda answer: resource.is_about(row.key, answer),
            check=lambda answer: resource.difference(value, answer),
        )
        outcome = await self._settle(sending, row, value)
        if outcome.fate is Fate.DONE:
            row.id = outcome.body.get("id")
        elif outcome.fate is Fate.ABSENT and at is not None:
            if await self._find(sender, RESOURCES["locations"], at) is not None:
                self._correct(outcome)
            elif at in self._places:
                self._places.remove(at)
        return row

    async def _change(self, sender: Sender, resource: Resource, row: Row) -> None:
        if resource.change is None or row.sure is None:
            raise AssertionError("only rows that are there and can be changed are lent for a change")
        self._made += 1
        changes = resource.change(self._rng, f"{self._tag}-{self._made}", row.sure)
        value = {**row.sure, **changes}
        sending = sender.send(
            "PATCH",
            resource.prefix,
            f"{resource.path}/{row.id}",
            changes,
            write=True,
            absent=_NO_SUCH_ID,
            acknowledges=lambda answer: resource.is_about(row.key, answer),
            check=lambda answer: resource.difference(value, answer),
        )
        await self._finish(sender, resource, row, await self._settle(sending, row, value))

    async def _delete(self, sender: Sender, resource: Resource, row: Row) -> None:
        sending = sender.send(
            "DELETE",
            resource.prefix,
            f"{resource.path}/{row.id}",
            write=True,
            good=(200, 204),
            absent=_NO_SUCH_ID,
        )
        await self._finish(sender, resource, row, await self._settle(sending, row, None))

    async def _settle(self, sending: Awaitable[Outcome], row: Row, value: Value | None) -> Outcome:
        """Send a write, and enter into the ledger what came of it."""
        try:
            outcome = await sending
        except asyncio.CancelledError:
            self.ledger.doubt(row, value, "given up")
            raise
        if outcome.fate is Fate.DONE:
            self.ledger.acknowledge(row, value)
        elif outcome.fate is Fate.UNKNOWN:
            kind = outcome.seen.kind if outcome.seen else None
            self.ledger.doubt(row, value, kind or "")
        else:
            self.ledger.refuse(row)
        return outcome

    async def _finish(self, sender: Sender, resource: Resource, row: Row, outcome: Outcome) -> None:
        """Give the row back; where the write found no row of its id, find out whether the row has another one now."""
        absent = False
        try:
            if outcome.fate is Fate.ABSENT:
                found = await self._find(sender, resource, row)
                absent = found is None
                if found is False and outcome.status != 404:
                    self._correct(outcome)
        finally:
            (self.ledger.set_aside if absent else self.ledger.give_back)(row)

    def _correct(self, outcome: Outcome) -> None:
        """What was taken for a row that is not there was refused for another reason."""
        if outcome.seen is not None:
            self.tally.not_missing_but_wrong(outcome.seen)
