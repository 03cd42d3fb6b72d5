"""People who read and write users through the gateway, at a rate that does not wait for answers, and remember what they heard.

Nothing of the product or of the sandbox's applications is used here: HTTP through the gateway, and SQL to read back.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import aiohttp
import psycopg

DONE, REFUSED, FAILED = "done", "refused", "failed"


@dataclass(slots=True)
class Asked:
    """One request: ``due`` is when somebody wanted it, not when it could be sent. Seconds of the monotonic clock."""

    write: bool
    due: float
    ended: float
    fate: str
    stale: bool = False


@dataclass(slots=True)
class Person:
    """A row as its only writer knows it: a number that grows by one with each write."""

    id: str
    acknowledged: int = 0
    in_doubt: set[int] = field(default_factory=set)
    sent: int = 0
    busy: bool = False


class People:
    """They work in a thread of their own, from `start` to `stop`."""

    def __init__(self, url: str, ids: Iterable[str], *, writes: float, reads: float, seed: int = 1) -> None:
        self._url = url
        self._rates = {True: writes, False: reads}
        self._random = random.Random(seed)
        self.persons = [Person(each) for each in ids]
        self.asked: list[Asked] = []
        self._halt = threading.Event()
        self._pause = threading.Event()
        self._out = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more requests; returns when the last answer is there."""
        self._halt.set()
        self._thread.join()

    def rest(self) -> None:
        """Nobody asks anything until `wake`; returns when the last answer is there."""
        self._pause.set()
        time.sleep(0.1)
        while self._out:
            time.sleep(0.01)

    def wake(self) -> None:
        self._pause.clear()

    async def _work(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            under_way: set[asyncio.Task[None]] = set()
            due = dict.fromkeys(self._rates, time.monotonic())
            while not self._halt.is_set():
                now = time.monotonic()
                if self._pause.is_set():
                    due = dict.fromkeys(due, now + 0.02)
                for write, rate in self._rates.items():
                    while rate and due[write] <= now:
                        task = asyncio.create_task(self._ask(session, due[write], write=write))
                        under_way.add(task)
                        task.add_done_callback(under_way.discard)
                        due[write] += 1 / rate
                await asyncio.sleep(0.002)
            await asyncio.gather(*under_way)

    async def _ask(self, session: aiohttp.ClientSession, due: float, *, write: bool) -> None:
        self._out += 1
        try:
            if write:
                await self._write(session, due)
            else:
                await self._read(session, due)
        finally:
            self._out -= 1

    async def _write(self, session: aiohttp.ClientSession, due: float) -> None:
        while not (free := [each for each in self.persons if not each.busy]):
            await asyncio.sleep(0.002)
        person = self._random.choice(free)
        person.busy = True
        person.sent += 1
        number = person.sent
        fate = FAILED
        try:
            url = f"{self._url}/api/auth/users/{person.id}"
            async with session.patch(url, json={"last_name": str(number)}) as answer:
                body = await answer.read()
                fate = DONE if answer.status == 200 else REFUSED if answer.status == 503 and body else FAILED
        except (aiohttp.ClientError, TimeoutError):
            pass
        finally:
            if fate == DONE:
                person.acknowledged = number
                person.in_doubt.clear()
            elif fate == FAILED:
                person.in_doubt.add(number)
            person.busy = False
        self.asked.append(Asked(write=True, due=due, ended=time.monotonic(), fate=fate))

    async def _read(self, session: aiohttp.ClientSession, due: float) -> None:
        person = self._random.choice(self.persons)
        known = person.acknowledged
        fate, stale = FAILED, False
        try:
            async with session.get(f"{self._url}/api/auth/users/{person.id}") as answer:
                body = await answer.json()
                if answer.status == 200:
                    fate = DONE
                    body = body.get("data", body)
                    stale = int(body.get("last_name") or 0) < known
                elif answer.status == 503:
                    fate = REFUSED
        except (aiohttp.ClientError, TimeoutError, ValueError):
            pass
        self.asked.append(Asked(write=False, due=due, ended=time.monotonic(), fate=fate, stale=stale))

    def lost_and_wrong(self, dsn: str) -> tuple[int, int]:
        """Of the rows: those that lack what was acknowledged last, and those with what nobody can have left there.

        Nobody may be at work. What was found counts as acknowledged from then on.
        """
        with psycopg.connect(dsn) as connection:
            found: dict[str, str] = dict(
                connection.execute("SELECT id::text, last_name FROM users").fetchall()
            )
        lost = wrong = 0
        for person in self.persons:
            there = int(found.get(person.id) or -1)
            if there < person.acknowledged:
                lost += 1
            elif there != person.acknowledged and there not in person.in_doubt:
                wrong += 1
            person.acknowledged, person.in_doubt = max(there, 0), set()
        return lost, wrong


def percentile(values: Iterable[float], share: float) -> float:
    """Nearest rank: a value that was really seen; 0 where there is none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)] if ordered else 0.0


def gap(asked: Iterable[Asked]) -> float:
    """The longest time without a write that was done, in seconds."""
    ends = sorted(each.ended for each in asked if each.write and each.fate == DONE)
    return max((after - before for before, after in pairwise(ends)), default=0.0)
