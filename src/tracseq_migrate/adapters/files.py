"""Files of the operator on the disk."""

from __future__ import annotations

import errno
import os
import stat
from itertools import count
from pathlib import Path

from tracseq_migrate.adapters import durable

_MOST_BYTES = 64 * 1024**2


class LocalFiles:
    """`Files` on the disk. A symbolic link stays where it is: what it points at is read and written."""

    def read(self, path: Path) -> bytes:
        try:
            # Not to wait for ever where the path is a pipe that nobody writes to.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except ValueError:
            raise OSError(errno.EINVAL, "no file has a NUL byte in its name") from None
        with os.fdopen(descriptor, "rb") as file:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            body = file.read(_MOST_BYTES + 1)
        if len(body) > _MOST_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {_MOST_BYTES // 1024**2} MiB")
        return body

    def exists(self, path: Path) -> bool:
        try:
            return path.exists()
        except ValueError:  # a name that no file can have
            return False
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return False
            raise

    def list(self, folder: Path, suffix: str) -> list[Path]:
        try:
            entries = sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [entry for entry in entries if entry.name.endswith(suffix) and entry.is_file()]

    def write(self, path: Path, body: bytes, *, private: bool = False) -> None:
        """As the port says; makes the folder where it is missing. A new file that is not private gets mode 0644.

        A folder that is made for a private file gets mode 0700, whatever the umask.
        """
        target = Path(os.path.realpath(path))
        if private and not target.parent.exists():
            target.parent.parent.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(mode=0o700, exist_ok=True)
            target.parent.chmod(0o700)
        target.parent.mkdir(parents=True, exist_ok=True)
        with durable.exclusively(target.parent):
            durable.remove_leftovers(target)
            like = target if target.exists() and not private else None
            durable.replace(target, body, like=like, mode=0o600 if private else 0o644)

    def keep_aside(self, path: Path) -> Path:
        for number in count(1):
            aside = path.with_name(f"{path.stem}.aside-{number}{path.suffix}")
            try:
                # Taking the name first, and then moving over one's own empty file, never hits the file of another.
                os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            except FileExistsError:
                continue
            try:
                path.rename(aside)
            except BaseException:
                aside.unlink(missing_ok=True)
                raise
            durable.sync_folder(path.parent)
            return aside
        raise AssertionError("unreachable: there is always a next number")
