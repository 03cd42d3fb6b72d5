"""What a program prints, read while it runs: the end of it is kept, and it never stands still on a full pipe."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import threading
import time

_CHUNK = 64 * 1024
_POLL = 0.005


class Outputs:
    """The two pipes of a program. Give ``out`` and ``err`` to it, then call `started`, started or not; `leave` at the end.

    Args:
        keep: how many bytes at the end of each are kept.
    """

    def __init__(self, *, keep: int) -> None:
        self._keep = keep
        self._readers: list[int] = []
        self._kept: dict[int, bytes] = {}
        out_read, self.out = os.pipe()
        err_read, self.err = os.pipe()
        for reader in (out_read, err_read):
            self._readers.append(reader)
            self._kept[reader] = b""
        self._ends = (out_read, err_read)

    def started(self) -> None:
        """The program has its ends of the pipes, or needs none: ours of them are let go."""
        os.close(self.out)
        os.close(self.err)

    def wait(self, process: subprocess.Popen[bytes], deadline: float, *, linger: float) -> bool:
        """Read until the program has ended; false where it still runs at ``deadline`` (on the monotonic scale).

        A program may leave another in the background that holds the pipes open: what that one prints within ``linger``
        seconds still counts, and it is never stopped by a full pipe, as long as this process lives.
        """
        watcher = _pidfd(process)
        try:
            ended = self._read(process, watcher, deadline)
            if ended:
                process.wait()
                self.read_on(linger)
            return ended
        finally:
            if watcher is not None:
                os.close(watcher)

    def texts(self) -> tuple[bytes, bytes]:
        """The end of standard output, and of standard error, as far as they were read."""
        out, err = self._ends
        return self._kept[out], self._kept[err]

    def leave(self) -> None:
        """Stop reading here; where somebody still holds a pipe open, a thread goes on draining it."""
        readers = list(self._readers)
        self._readers.clear()
        for reader in readers:
            threading.Thread(target=_drain, args=(reader,), name="output", daemon=True).start()

    def _read(self, process: subprocess.Popen[bytes], watcher: int | None, deadline: float) -> bool:
        with selectors.PollSelector() as selector:  # for three descriptors at most, fewer calls than epoll
            for reader in self._readers:
                selector.register(reader, selectors.EVENT_READ)
            if watcher is not None:
                selector.register(watcher, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                ready = selector.select(left if watcher is not None else min(left, _POLL))
                for key, _ in ready:
                    if key.fd != watcher and not self._take(key.fd):
                        selector.unregister(key.fd)
                if any(key.fd == watcher for key, _ in ready) or (watcher is None and exited(process.pid)):
                    return True
        return exited(process.pid)

    def read_on(self, seconds: float) -> None:
        """Read what is still in the pipes, until they end or the time is over."""
        if not self._readers:
            return
        deadline = time.monotonic() + seconds
        with selectors.PollSelector() as selector:  # for three descriptors at most, fewer calls than epoll
            for reader in self._readers:
                selector.register(reader, selectors.EVENT_READ)
            while selector.get_map() and (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    if not self._take(key.fd):
                        selector.unregister(key.fd)

    def _take(self, reader: int) -> bool:
        chunk = os.read(reader, _CHUNK)
        if not chunk:
            os.close(reader)
            self._readers.remove(reader)
            return False
        self._kept[reader] = (self._kept[reader] + chunk)[-self._keep :]
        return True


def _drain(reader: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(reader, _CHUNK):
            pass
    os.close(reader)


def _pidfd(process: subprocess.Popen[bytes]) -> int | None:
    """A descriptor that becomes readable when the program ends; None where the system has none."""
    opened = getattr(os, "pidfd_open", None)
    if opened is None:
        return None
    try:
        return int(opened(process.pid))
    except OSError:
        return None


def exited(pid: int) -> bool:
    """Whether a child has ended; it is not reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
