"""Writing files so that a crash leaves the old bytes or the new ones, never a mixture, and never nothing."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_SUFFIX = ".tracseq-migrate"


class SyncError(OSError):
    """The new bytes are in their place, but the disk did not confirm that they would survive a loss of power."""


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(
    path: Path,
    body: bytes,
    *,
    like: Path | None = None,
    mode: int = 0o644,
    last_look: Callable[[], None] | None = None,
) -> None:
    """Put ``body`` at ``path`` in one move, on the disk when it returns.

    Args:
        like: a file whose mode, owner and extended attributes the new one gets.
        mode: the mode, whatever the umask, where there is no ``like``.
        last_look: called immediately before the move; what it raises stops the move.

    Raises:
        SyncError: the new bytes are in their place, but may not survive a loss of power.
        OSError: nothing was moved; the old bytes are as they were.
    """
    temporary = prepared(path, body, like=like, mode=mode)
    try:
        if last_look is not None:
            last_look()
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    synced(path.parent, path)


def prepared(path: Path, body: bytes, *, like: Path | None = None, mode: int = 0o644) -> Path:
    """The first half of `replace`: a file beside ``path``, whole and on the disk, that is to take its place.

    Raises:
        OSError: there is no such file.
    """
    temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(6)}{_SUFFIX}")
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    try:
        try:
            write_all(descriptor, body)
            if like is None:
                os.fchmod(descriptor, mode)
            else:
                _resemble(descriptor, like)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def synced(folder: Path, path: Path) -> None:
    """As `sync_folder`, after ``path`` in it was replaced.

    Raises:
        SyncError: it is replaced, but that may not survive a loss of power.
    """
    try:
        sync_folder(folder)
    except OSError as error:
        raise SyncError(error.errno, error.strerror, str(path)) from error


def write_new(path: Path, body: bytes) -> None:
    """A file for the owner alone, on the disk when it returns; after a crash it may hold a part of ``body``.

    Raises:
        OSError: there may be no file, or a part of one.
    """
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        write_all(descriptor, body)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


@contextlib.contextmanager
def exclusively(folder: Path, *, patience: float = 5.0) -> Iterator[None]:
    """Keep other writers of this tool out of a folder, of this process and others, by a lock on the folder.

    Raises:
        TimeoutError: another keeps the lock for longer than ``patience`` seconds.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    why = "another process keeps the folder locked"
                    raise TimeoutError(errno.ETIMEDOUT, why, str(folder)) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove what a killed `replace` of this path left; only while nobody else can be replacing it."""
    start = f".{path.name[:80]}."
    for found in path.parent.iterdir():
        name = found.name
        # The token between has no dot: the leftovers of a file whose name merely begins alike are not ours.
        if name.startswith(start) and name.endswith(_SUFFIX):
            token = name[len(start) : -len(_SUFFIX)]
            if len(token) == 12 and all(letter in "0123456789abcdef" for letter in token):
                found.unlink(missing_ok=True)


def write_all(descriptor: int, body: bytes, offset: int = 0) -> None:
    """Write all of it at an offset; a short write goes on."""
    rest = memoryview(body)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        offset += written
        rest = rest[written:]


def _resemble(descriptor: int, like: Path) -> None:
    wanted = like.stat()
    mine = os.fstat(descriptor)
    if (wanted.st_uid, wanted.st_gid) != (mine.st_uid, mine.st_gid):
        os.fchown(descriptor, wanted.st_uid, wanted.st_gid)
    # After chown, which takes the set-id bits away.
    os.fchmod(descriptor, stat.S_IMODE(wanted.st_mode))
    if hasattr(os, "listxattr"):
        unsupported = {errno.ENOTSUP, errno.EPERM, errno.ENODATA, errno.EINVAL, errno.EACCES}
        try:
            names = os.listxattr(like)
        except OSError as error:
            if error.errno not in unsupported:
                raise
            return
        for name in names:
            # Labels that only the system may set are set by the system.
            with contextlib.suppress(OSError):
                os.setxattr(descriptor, name, os.getxattr(like, name))
