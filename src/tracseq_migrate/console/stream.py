"""Writing to a stream that may be closed, full, or unable to encode: output lost is remembered, never a traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from typing import TextIO

from tracseq_migrate.console.terminal import is_terminal


class Stream:
    """One output, written from any thread, flushed at every call.

    When the reader has gone away (``| head``) the rest is dropped in silence, as people expect; any other failure is kept in
    ``failure`` for the one who closes the screen. A stream that was closed before the start (``>&-``) is None.
    """

    def __init__(self, file: TextIO | None) -> None:
        self.file = file
        self.failure: OSError | None = None
        self.gone = file is None
        self._lock = threading.RLock()  # a signal's handler may write in the middle of a write

    @property
    def terminal(self) -> bool:
        return is_terminal(self.file)

    def write(self, text: str) -> None:
        with self._lock:
            file = self.file
            if self.gone or file is None:
                return
            try:
                file.write(_encodable(text, file))
                file.flush()
            except ValueError:  # closed under us
                self.gone = True
            except (
                RuntimeError
            ):  # from a signal's handler, inside a write to the very same buffer: this text is lost
                return
            except OSError as error:
                self.gone = True
                if error.errno not in (errno.EPIPE, errno.EIO, errno.EBADF):
                    self.failure = error
                _let_go(file)

    def line(self, text: str = "") -> None:
        self.write(text + "\n")


def _encodable(text: str, file: TextIO) -> str:
    encoding = getattr(file, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def _let_go(file: TextIO) -> None:
    """Point a standard stream elsewhere: the interpreter flushes it once more at exit, and would complain there."""
    if file in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, file.fileno())
            finally:
                os.close(nowhere)
