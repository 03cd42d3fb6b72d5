"""Clocks that jump, and names that do not resolve or never answer."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.chaos.suite import Tally, Wrong
from tests.chaos.weather.disk import NotPossible
from tests.chaos.weather.hamlet import Hamlet
from tests.chaos.weather.judge import ROLLBACK, RUN, Weather, emptied, endure, sound

_JUMPS = """
import datetime as _module, itertools as _tools, time as _time
_real, _asked = _module.datetime, _tools.count()
class _Jumping(_real):
    @classmethod
    def now(cls, tz=None):
        hours = {hours}
        return _real.now(tz) + _module.timedelta(hours=hours[min(next(_asked) // {each}, len(hours) - 1)])
_module.datetime = _Jumping
"""
"""The wall clock of the process, wherever it is asked: the machine's own must not be touched, others use it too."""

CLOCKS = {
    "hours-forward": [0, 7],
    "hours-back": [0, -7],
    "days-back": [0, -400],
    "to-and-fro": [0, 9, -9, 48, -48],
    "years-forward": [0, 24 * 365 * 12],
}

_DIES = """
from tracseq_migrate.adapters.dotenv import DotenvFlagStore
import os, signal
DotenvFlagStore.write = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
"""


def clock_jumps(village: Hamlet, kind: str, each: int, argv: tuple[str, ...]) -> Tally:
    """The wall clock jumps within a command; it makes no difference."""
    before = _JUMPS.format(hours=CLOCKS[kind], each=each)
    return endure(village, Weather(argv=argv, before=before, codes=frozenset({0})))


def clock_jumps_between(village: Hamlet, kind: str) -> Tally:
    """A run is killed; the clock jumps; the run is resumed, and all is in order by number and not by time."""
    emptied(village)
    village.new()
    if village.tool(*RUN, before=_DIES).code != -9:
        raise Wrong("the run was not killed")
    hours = CLOCKS[kind][-1:]
    jumped = _JUMPS.format(hours=hours, each=1)
    sound(village.tool("status", before=jumped), 0)
    sound(village.tool("resume", "try", before=jumped), 0)
    if village.state() != "proven":
        raise Wrong(f"after a clock that jumped the week is {village.state()}")
    sound(village.tool(*ROLLBACK), 0)
    sound(village.tool(*RUN), 0)
    sound(village.tool("log", "verify"), 0)
    return Tally(1, {"killed": 1, "then resume": 1})


@contextmanager
def _name_server(answer: Callable[[bytes], bytes | None]) -> Iterator[str]:
    """A name server of our own on an address of loopback; what it does not answer, it swallows."""
    ending = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        for last in range(2, 250):
            address = f"127.53.{os.getpid() % 250}.{last}"
            try:
                server.bind((address, 53))
                break
            except PermissionError as error:
                raise NotPossible("only root may be a name server") from error
            except OSError:
                continue
        server.settimeout(0.1)

        def serve() -> None:
            while not ending.is_set():
                try:
                    question, asker = server.recvfrom(4096)
                except TimeoutError:
                    continue
                said = answer(question)
                if said is not None:
                    server.sendto(said, asker)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield address
        finally:
            ending.set()
            thread.join()


def _refuses(question: bytes) -> bytes:
    return question[:2] + b"\x81\x83" + question[4:6] + b"\0\0\0\0\0\0" + question[12:]


def _swallows(question: bytes) -> None:
    return None


NAMES: dict[str, Callable[[bytes], bytes | None]] = {"fail": _refuses, "hang": _swallows}


def names(village: Hamlet, kind: str, argv: tuple[str, ...]) -> Tally:
    """The gateway has a name, and the only name server fails, or swallows every question."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        raise NotPossible("only root can give a process another name server")
    config = village.folder / "tracseq-migrate.yaml"
    resolv = village.folder.parent / "resolv.conf"
    with _name_server(NAMES[kind]) as address:
        resolv.write_text(f"nameserver {address}\noptions timeout:20 attempts:5\n")
        bound = f'mount --bind "{resolv}" /etc/resolv.conf && exec "$@"'
        prefix = ["unshare", "-m", "--propagation", "private", "/bin/sh", "-c", bound, "sh"]
        tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
        if tried.returncode:
            raise NotPossible(f"no name server can be put in: {tried.stderr.decode()}")

        def begin(each: Hamlet) -> None:
            text = config.read_text()
            named = text.replace(
                each.gateway.url, each.gateway.url.replace("127.0.0.1", "gateway.weather.test")
            )
            config.write_text(named)
            each.afterwards(lambda: _void(config.write_text(text)))

        says = ("does not resolve", "was not resolved within")
        weather = Weather(argv=argv, begin=begin, prefix=prefix, codes=frozenset({1, 4, 6}), says=says)
        return endure(village, weather)


def _void(_: object) -> None:
    return None


def cases(village: Callable[[], Hamlet]) -> dict[str, Callable[[], Tally]]:
    """Every clock and every name server."""
    found: dict[str, Callable[[], Tally]] = {}
    commands = {"run": RUN, "rollback": ROLLBACK}

    def within(kind: str, each: int, argv: tuple[str, ...]) -> Callable[[], Tally]:
        return lambda: clock_jumps(village(), kind, each, argv)

    def between(kind: str) -> Callable[[], Tally]:
        return lambda: clock_jumps_between(village(), kind)

    def named(kind: str, argv: tuple[str, ...]) -> Callable[[], Tally]:
        return lambda: names(village(), kind, argv)

    for kind in CLOCKS:
        for name, argv in commands.items():
            found |= {f"clock/{kind}-each-{each}/{name}": within(kind, each, argv) for each in (1, 3, 10)}
        found[f"clock/{kind}/between"] = between(kind)
    for kind in NAMES:
        found |= {f"names/{kind}/{name}": named(kind, argv) for name, argv in commands.items()}
    return found
