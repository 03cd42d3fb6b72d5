"""The folder of the state is its owner's alone: whoever could write it could rewrite what is known, and it names people."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tracseq_migrate.errors import InvalidSetup


def make_private(folder: Path, place: Path) -> bool:
    """See that the state's folder, and the environment's place in it, are ours alone, as far as they are there.

    What its owner left open to others is closed (0700 for folders, 0600 for files). A link counts as what it points at.

    Args:
        folder: the state's folder, as the environment file names it.
        place: the folder in it that is this environment's.

    Returns:
        Whether anything was open to others until now.

    Raises:
        InvalidSetup: it belongs to another user, or lies where others may put another in its place.
    """
    opened = False
    for each in dict.fromkeys((folder, place)):
        real = Path(os.path.realpath(each))
        try:
            found = real.stat()
        except OSError:  # it is not there; or it cannot be seen, which opening the journal will say better
            continue
        _refuse_foreign(each, real, found)
        opened |= _close(real, found)
    for file in _files(Path(os.path.realpath(place))):
        with suppress(OSError):
            opened |= _close(file, file.lstat())
    return opened


def _refuse_foreign(named: Path, real: Path, found: os.stat_result) -> None:
    shown = f"{named} (it is {real})" if named.is_symlink() else str(named)
    hint = "Set `state` to a folder of your own, or let its owner type the command."
    if not stat.S_ISDIR(found.st_mode):
        raise InvalidSetup(f"the state's folder {shown} is not a folder", hint=hint)
    if found.st_uid != os.geteuid():
        raise InvalidSetup(
            f"the state's folder {shown} belongs to another user (uid {found.st_uid})", hint=hint
        )
    for above in real.parents:
        mode = above.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise InvalidSetup(
                f"the state's folder {shown} lies in {above}, where everybody may put another in its place",
                hint=f"Set `state` to a folder elsewhere, or close that one: chmod o-w {above}",
            )


def _files(place: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if entry.is_symlink():
                continue
            if entry.is_dir():
                yield Path(entry.path)
                yield from _files(Path(entry.path))
            elif entry.is_file():
                yield Path(entry.path)


def _close(path: Path, found: os.stat_result) -> bool:
    """Take the rights of others away; False where there were none, or where they are not ours to take."""
    mode = stat.S_IMODE(found.st_mode)
    if not mode & 0o077 or found.st_uid != os.geteuid():
        return False
    with suppress(OSError):  # a file system that is read-only, or knows no rights
        path.chmod(mode & 0o700)
        return True
    return False
