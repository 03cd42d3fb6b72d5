"""A wire between the tool and a server that can be cut, again and again."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Wire:
    """Passes bytes on between a port of its own and a server's; each connection costs two threads."""

    def __init__(self, dsn: str) -> None:
        parts = conninfo_to_dict(dsn)
        self._target = (str(parts["host"]), int(str(parts["port"])))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self._goes = threading.Event()
        self._goes.set()
        self.cuts = 0
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=self._listener.getsockname()[1])
        self._start(self._accept)

    def cut(self) -> None:
        """Break every connection that there is."""
        with self._lock:
            for end in self._ends:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self.cuts += 1

    def cut_every(self, seconds: float) -> None:
        """Until the wire is closed."""

        def cutting() -> None:
            while not self._over.wait(seconds):
                self.cut()

        self._start(cutting)

    def stall(self, seconds: float) -> None:
        """For so long nothing comes through, in either direction, and nobody is told."""
        self._goes.clear()

        def later() -> None:
            self._over.wait(seconds)
            self._goes.set()

        self._start(later)

    def close(self) -> None:
        """Break all, and be gone."""
        self._over.set()
        self._goes.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the one who waits for connections
        self._listener.close()
        self.cut()
        while self._threads:
            self._threads.pop().join(10)

    def _start(self, work: object, *arguments: object) -> None:
        assert callable(work)
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            with self._lock:
                self._ends |= {near, far}
            self._start(self._both, near, far)

    def _both(self, near: socket.socket, far: socket.socket) -> None:
        other = threading.Thread(target=self._pump, args=(far, near), daemon=True)
        other.start()
        self._pump(near, far)
        other.join()
        with self._lock:
            self._ends -= {near, far}
            near.close()
            far.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(65536):
                self._goes.wait()
                sink.sendall(block)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def wire(dsn: str) -> Iterator[Wire]:
    made = Wire(dsn)
    try:
        yield made
    finally:
        made.close()
