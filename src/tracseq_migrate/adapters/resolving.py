"""Names to addresses within a time: the system's resolver knows no deadline and may keep a caller for a minute."""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Sequence

Lookup = Callable[[str, int], Sequence[str]]


class _Question:
    """One name that is being looked up; whoever asks for it meanwhile waits for the same answer."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.addresses: Sequence[str] = ()
        self.error: OSError | UnicodeError | None = None


def _system(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class Resolver:
    """Looks names up in threads of its own. Thread-safe.

    A look-up that hangs keeps its thread until the system gives it up; however often its name is asked for meanwhile, there is
    one such thread a name.
    """

    def __init__(self, lookup: Lookup = _system) -> None:
        self._lookup = lookup
        self._lock = threading.Lock()
        self._open: dict[tuple[str, int], _Question] = {}

    def addresses(self, host: str, port: int, *, until: float) -> Sequence[str]:
        """The addresses of a host, in the order in which they are to be tried; ``until`` is a time of `time.monotonic`.

        Raises:
            TimeoutError: the name was not resolved in time.
            OSError, UnicodeError: it does not resolve.
        """
        if is_address(host):
            return [host]
        question = self._ask(host, port)
        if not question.answered.wait(max(until - time.monotonic(), 0.0)):
            raise TimeoutError
        if question.error is not None:
            raise question.error.with_traceback(None)
        return question.addresses

    def _ask(self, host: str, port: int) -> _Question:
        with self._lock:
            question = self._open.get((host, port))
            if question is None:
                question = _Question()
                thread = threading.Thread(
                    target=self._answer, args=(question, host, port), name="resolver", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError as error:
                    raise OSError(errno.EAGAIN, "the system gives no thread to look it up in") from error
                self._open[host, port] = question
            return question

    def _answer(self, question: _Question, host: str, port: int) -> None:
        try:
            question.addresses = self._lookup(host, port)
        except (OSError, UnicodeError) as error:
            question.error = error
        finally:
            with self._lock:
                del self._open[host, port]
            question.answered.set()


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
