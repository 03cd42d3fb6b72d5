"""What ``sandbox load`` does: drive the load, find out who owns what now, look everything up, report."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from tracseq_migrate.errors import CouldNotReach, UsageError
from tracseq_migrate.sandbox.load.clients import Clients, Mix
from tracseq_migrate.sandbox.load.ledger import Ledger, now
from tracseq_migrate.sandbox.load.lookup import Lookup
from tracseq_migrate.sandbox.load.ownership import NoTelling, ask
from tracseq_migrate.sandbox.load.report import Asked, Report

CLIENTS = 16
TIMEOUT = 35.0
"""Longer than the gateway waits for the side behind it, so that its own word for slowness is heard."""
_PATIENCE = 5.0
_OWNERSHIP = 15.0
_HEARTBEAT = 5.0

Say = Callable[[str], None]


class Load:
    """A load in its two phases: `drive`, then `verify`. One event loop for both."""

    def __init__(
        self,
        status_document: Mapping[str, Any],
        *,
        rate: float,
        seconds: float,
        mix: str | None = None,
        seed: int = 0,
        clients: int = CLIENTS,
        timeout: float = TIMEOUT,
        journal: TextIO | None = None,
        progress: Say | None = None,
    ) -> None:
        """
        Args:
            status_document: what ``sandbox status --json`` prints: the gateway's addresses, the databases' DSNs.
            rate: requests a second. seconds: how long. clients: at most so many requests at once.
            timeout: seconds that a client waits for an answer.
            journal: takes a line of JSON for each acknowledged write.
            progress: takes a line for people now and then.

        Raises:
            UsageError: a figure that makes no sense, or a mix that names what there is not.
        """
        for what, value in (("rate", rate), ("time", seconds), ("clients", clients)):
            if not 0 < value < float("inf"):
                raise UsageError(f"the {what} of a load must be more than 0, not {value:g}")
        try:
            parsed = Mix.parse(mix)
        except ValueError as error:
            raise UsageError(
                f"--mix {mix}: {error}", hint="For example: --mix reads=3,users=1,samples=1"
            ) from None
        gateway = status_document["gateway"]
        self._gateway: str = gateway["url"]
        self._instances: list[str] = [instance["url"] for instance in gateway.get("instances", ())]
        self._databases: dict[str, str] = dict(status_document["databases"])
        self._timeout = timeout
        self._say = progress or (lambda _: None)
        self._told_at = 0.0
        self.ledger = Ledger(journal)
        self.clients = Clients(
            self._gateway,
            rate=rate,
            seconds=seconds,
            mix=parsed,
            clients=clients,
            seed=seed,
            # Rows of an earlier load with the same seed may still be there.
            tag=f"load-{secrets.token_hex(4)}",
            timeout=timeout,
            ledger=self.ledger,
        )
        asked = Asked(self._gateway, rate, seconds, mix, clients, seed)
        self.report = Report(asked, now(), self.clients.tally, self.ledger)

    def interrupt(self, number: int) -> None:
        """A signal came: send nothing new. What was sent is still looked up."""
        self.report.signal = number
        self.clients.stop()

    async def drive(self) -> None:
        """Drive the load for its time, or until it is interrupted.

        Raises:
            CouldNotReach: there is no gateway that says how it routes; nothing was sent.
        """
        try:
            await ask(self._gateway, (), timeout=_OWNERSHIP)
        except NoTelling as error:
            raise CouldNotReach(
                f"the gateway does not answer: {error}",
                state="Nothing was sent.",
                hint="`tracseq-migrate sandbox status` says what runs.",
            ) from error
        self.report.started_at = now()
        self._told_at = time.monotonic()
        await self.clients.drive(patience=_PATIENCE, every=self._tell_load)

    async def verify(self) -> None:
        """Ask who owns what now, and look up every row. What could not be asked is in the report."""
        self._say(f"looking up {len(self.ledger):,} rows")
        try:
            ownership = await ask(self._gateway, self._instances, timeout=_OWNERSHIP)
        except NoTelling as error:
            self.report.trouble = f"no telling who owns what: {error}"
            return
        self.report.ownership = ownership
        lookup = Lookup(self._gateway, self._databases, ownership, timeout=self._timeout)
        await lookup.verify(self.ledger, self.report.result, every=self._tell_lookup)

    def _tell_load(self) -> None:
        if time.monotonic() - self._told_at < _HEARTBEAT:
            return
        self._told_at = time.monotonic()
        tally = self.clients.tally
        seconds = self._told_at - tally.began
        self._say(
            f"{seconds:4.0f} s of {self.report.asked.seconds:g}  {tally.requests:,} requests, "
            f"{tally.failures.total():,} failed, {self.ledger.acknowledged:,} writes acknowledged"
        )

    def _tell_lookup(self, done: int) -> None:
        if time.monotonic() - self._told_at >= _HEARTBEAT:
            self._told_at = time.monotonic()
            self._say(f"looked up {done:,} of {len(self.ledger):,} rows")


def run_load(
    status_document: Mapping[str, Any],
    *,
    rate: float,
    seconds: float,
    mix: str | None = None,
    seed: int = 0,
    clients: int = CLIENTS,
    ledger: Path | None = None,
    json_output: bool = False,
    write: Say,
    progress: Say | None = None,
) -> int:
    """Run a load against a sandbox, look everything up, report; returns the exit code.

    SIGINT and SIGTERM end the load, and the look-up is still made; a second one ends that too.

    Args:
        ledger: a file that gets one line of JSON for each acknowledged write, as it happens.
        write: takes the report: a JSON document or a table, without the last line break.
        progress: takes a line now and then while it goes on.

    Raises:
        UsageError: arguments that make no sense.
        CouldNotReach: no gateway answers, or the ledger cannot be written; nothing was sent.
    """
    with ExitStack() as stack:
        journal: TextIO | None = None
        if ledger is not None:
            try:
                journal = stack.enter_context(ledger.open("w", encoding="utf-8"))
            except OSError as error:
                raise CouldNotReach(f"{ledger}: {error.strerror}", state="Nothing was sent.") from error
        load = Load(
            status_document,
            rate=rate,
            seconds=seconds,
            mix=mix,
            seed=seed,
            clients=clients,
            journal=journal,
            progress=progress,
        )
        asyncio.run(_phases(load))
    report = load.report
    write(json.dumps(report.document(), indent=2, default=str) if json_output else report.text())
    return report.exit_code


async def _phases(load: Load) -> None:
    me = asyncio.current_task()
    interrupted = asyncio.Event()

    def on_signal(number: int) -> None:
        if interrupted.is_set() and me is not None:
            me.cancel()
        interrupted.set()
        load.interrupt(number)

    with _signals(on_signal):
        try:
            await load.drive()
            await load.verify()
        except asyncio.CancelledError:
            if not interrupted.is_set():
                raise
            load.report.trouble = "interrupted before everything was looked up"


@contextmanager
def _signals(handle: Callable[[int], None]) -> Iterator[None]:
    """Let the event loop handle SIGINT and SIGTERM, and put back what was there."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            loop.add_signal_handler(number, handle, number)
    except (ValueError, RuntimeError):
        # Not the main thread: whoever runs it there looks after signals.
        yield
        return
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])
