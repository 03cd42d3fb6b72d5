"""Files of the operator on the disk."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from tracseq_migrate.adapters import durable


class LocalFiles:
    """`Files` on the disk. A symbolic link stays where it is: what it points at is read and written."""

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def exists(self, path: Path) -> bool:
        return path.exists()

    def list(self, folder: Path, suffix: str) -> list[Path]:
        try:
            entries = sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [entry for entry in entries if entry.name.endswith(suffix) and entry.is_file()]

    def write(self, path: Path, body: bytes, *, private: bool = False) -> None:
        """As the port says; makes the folder where it is missing. A new file that is not private gets mode 0644."""
        target = Path(os.path.realpath(path))
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
