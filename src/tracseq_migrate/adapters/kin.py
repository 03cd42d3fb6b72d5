"""Programs that left the group of the one that started them: found by a mark that descendants inherit in their environment.

A daemon takes a session of its own and a parent that is nobody; the mark stays. One that clears its environment is not found, and
neither is anything where there is no /proc.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

VARIABLE = "TRACSEQ_MIGRATE_COMMAND"
_ROUNDS = 5


def new_mark(holder_id: str = "") -> str:
    """A mark that nobody else has; it says who held the lock when the program was started."""
    return f"{holder_id}:{secrets.token_hex(12)}"


def end_kin(marks: Collection[str]) -> None:
    """SIGKILL for every process that bears one of the marks, and for those that they start meanwhile."""
    wanted = {f"{VARIABLE}={mark}".encode() for mark in marks}
    for _ in range(_ROUNDS):
        # Each that was ended may have started another just before; a round that finds nobody is the last.
        if not sum(_end_if_kin(pid, wanted) for pid in _numbers()):
            return


def end_programs_of(pid: int, holder_id: str) -> None:
    """End what process ``pid`` of this machine runs now for a holder, and what that started, by SIGKILL.

    What a program left behind that has ended since goes on: a service may be among it.
    """
    # A number may mean another process by now, or one of another container; the holder's id in the mark tells.
    begin = f"{VARIABLE}={holder_id}:".encode()
    marks = {
        word.partition(b"=")[2].decode(errors="replace")
        for each in _numbers()
        if _parent(each) == pid
        for word in _environment(each)
        if word.startswith(begin)
    }
    if holder_id and marks:
        end_kin(marks)


def _parent(pid: int) -> int:
    """The number of a process's parent; 0 where it cannot be told."""
    try:
        # The name in brackets may have anything in it, brackets too.
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _numbers() -> list[int]:
    try:
        return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]
    except OSError:
        return []


def _end_if_kin(pid: int, wanted: set[bytes]) -> bool:
    opened = getattr(os, "pidfd_open", None)
    send = getattr(signal, "pidfd_send_signal", None)
    if opened is None or send is None or pid == os.getpid():
        return False
    with suppress(OSError):
        descriptor = opened(pid)  # from here on the number cannot come to mean another process
        try:
            if wanted.isdisjoint(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                return False
            send(descriptor, signal.SIGKILL)
            return True
        finally:
            os.close(descriptor)
    return False
