"""Taking a file's place without losing what somebody else wrote to it at the last moment.

A rename destroys what it replaces, so whatever was written between the last look and the rename is gone. Here the new file and
the old one change places in one move: the old one is in hand then, whatever it was, and is looked at before it is let go. Where
it is not what was expected, the two change places again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from tracseq_migrate.adapters import durable

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_F_SETSIG = 10
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})


class Unsupported(Exception):
    """This system, or this file system, cannot let two files change places. Nothing was changed."""


class Changed(Exception):
    """What was swapped out was not what was expected. It is back in its place."""


class Kept(Exception):
    """Two others wrote within an instant: the later one is in its place, the earlier one is kept in the file ``slot``."""

    def __init__(self, slot: Path) -> None:
        super().__init__(str(slot))
        self.slot = slot


def swap_in(path: Path, body: bytes, *, slot: Path, expected: Callable[[bytes], bool]) -> None:
    """Put ``body`` at ``path`` with the mode, owner and attributes of what is there; on the disk when it returns.

    Args:
        path: a regular file with one name.
        slot: a name beside it, which holds the other file for the instant of the change. After a crash it holds ``body``, or
            what was swapped out.
        expected: whether bytes are what is to be replaced.

    Raises:
        Unsupported, Changed: the file is as others left it.
        Kept: it is as others left it, and there is something to be put together by hand.
        SyncError: the new bytes are in their place, but may not survive a loss of power.
        OSError: nothing was changed.
    """
    if not _is(path, expected):
        raise Changed  # nothing has to be given back then
    temporary = durable.prepared(path, body, like=path)
    try:
        temporary.rename(slot)
        _exchange(slot, path)
    except (OSError, Unsupported):
        # Not where something else breaks in: then it may have happened, and somebody's write be in the slot.
        temporary.unlink(missing_ok=True)
        slot.unlink(missing_ok=True)
        raise
    if not _is(slot, expected):
        _give_back(path, body, slot)
    slot.unlink()
    durable.synced(path.parent, path)


def _give_back(path: Path, body: bytes, slot: Path) -> None:
    try:
        _exchange(slot, path)
    except (OSError, Unsupported):
        raise Kept(slot) from None
    if _is(slot, lambda found: found == body):
        slot.unlink()
        raise Changed
    # Somebody has already written over ours: that is the newest, and belongs in the place.
    try:
        _exchange(slot, path)
    except (OSError, Unsupported):
        raise Kept(slot) from None
    raise Kept(slot)


def _is(slot: Path, expected: Callable[[bytes], bool]) -> bool:
    """Whether a file, such as one that was swapped out, is a regular one, is being written by nobody, and is as expected."""
    try:
        descriptor = os.open(slot, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or _being_written(descriptor):
            return False
        # Of one that was swapped out: nobody has it open for writing, and its only name is ours, so it changes no more.
        size = os.fstat(descriptor).st_size
        return expected(os.pread(descriptor, size + 1, 0))
    finally:
        os.close(descriptor)


def _being_written(descriptor: int) -> bool:
    """Whether somebody has the file open for writing, as far as the system tells: a lease for reading is refused then."""
    lease = getattr(fcntl, "F_SETLEASE", None)
    if lease is None:
        return False
    try:
        # One who opens it for writing in this instant would have us sent a signal that ends processes; this one does not.
        fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, lease, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, lease, fcntl.F_UNLCK)
    except OSError as error:
        # Other refusals mean that it cannot be told: not our file, or a file system without leases.
        return error.errno == errno.EAGAIN
    return False


def _exchange(one: Path, other: Path) -> None:
    if sys.platform != "linux":
        raise Unsupported
    import ctypes  # slow to import, and only needed here

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        raise Unsupported
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        if number in _UNSUPPORTED:
            raise Unsupported
        raise OSError(number, os.strerror(number), str(other))
