"""Reading a journal with a write-ahead log where no shared memory can be made: on a full disk, or one that is read-only.

SQLite reads such a file only through an index in shared memory, a file beside it that it makes first. But looking must not need
room. Where nobody writes (who writes has that file already), the log can be laid over the file in memory: its format is public
(https://www.sqlite.org/fileformat2.html#the_write_ahead_log), and only what SQLite itself would take is taken: frames of the
present log, in order, whole, up to the last commit.
"""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

_ATTEMPTS = 3
_HEADER, _FRAME = 32, 24
_MAGIC_LITTLE, _MAGIC_BIG = 0x377F0682, 0x377F0683


def in_memory(path: Path) -> sqlite3.Connection:
    """The file and its log as they are now, as a database in memory; what is done to it reaches no disk.

    Raises:
        sqlite3.Error: what is there is no database.
        OSError: it could not be read, or is being changed all the time.
    """
    log = path.with_name(f"{path.name}-wal")
    for _ in range(_ATTEMPTS):
        before = _states(path, log)
        body, frames = path.read_bytes(), log.read_bytes()
        if _states(path, log) == before:
            break
    else:
        raise OSError(f"{path.name} is being changed all the time")
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        connection.deserialize(_overlaid(body, frames))
    except BaseException:
        connection.close()
        raise
    return connection


def _states(*paths: Path) -> list[tuple[int, int, int]]:
    found = [path.stat() for path in paths]
    return [(each.st_ino, each.st_size, each.st_mtime_ns) for each in found]


def _overlaid(body: bytes, log: bytes) -> bytes:
    """The bytes of the database with all committed pages of the log in their places."""
    pages, size, count = _committed(log)
    whole = bytearray(body)
    if pages:
        whole = whole[: count * size].ljust(count * size, b"\0")
        for number, page in pages.items():
            if number <= count:
                whole[(number - 1) * size : number * size] = page
    # These two bytes say that there is a log; in memory there is none.
    if len(whole) >= 20:
        whole[18:20] = b"\1\1"
    return bytes(whole)


def _committed(log: bytes) -> tuple[dict[int, bytes], int, int]:
    """Page number -> its newest committed content; the size of a page; how many pages there are after the last commit."""
    if len(log) < _HEADER:
        return {}, 0, 0
    magic, _, size, _, salt, other_salt, first, second = struct.unpack(">8I", log[:_HEADER])
    order = {_MAGIC_LITTLE: "<", _MAGIC_BIG: ">"}.get(magic)
    if order is None or size < 512 or _checksum(order, log[:24], (0, 0)) != (first, second):
        return {}, 0, 0
    pages: dict[int, bytes] = {}
    waiting: dict[int, bytes] = {}
    count, sums = 0, (first, second)
    for at in range(_HEADER, len(log) - _FRAME - size + 1, _FRAME + size):
        number, after, *salts, one, two = struct.unpack(">6I", log[at : at + _FRAME])
        page = log[at + _FRAME : at + _FRAME + size]
        sums = _checksum(order, page, _checksum(order, log[at : at + 8], sums))
        if salts != [salt, other_salt] or sums != (one, two):
            break
        waiting[number] = page
        if after:
            pages |= waiting
            waiting, count = {}, after
    return pages, size, count


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    one, two = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        one = (one + even + two) & 0xFFFFFFFF
        two = (two + odd + one) & 0xFFFFFFFF
    return one, two
