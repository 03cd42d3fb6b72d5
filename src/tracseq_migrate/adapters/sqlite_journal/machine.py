"""What this machine says of itself and of its processes: who it is, since when it runs, who stands still."""

from __future__ import annotations

import socket
import time
from pathlib import Path


def host_name() -> str:
    """This machine's name, as holders of a lease write it."""
    return socket.gethostname()


def boot_name() -> str:
    """Names this boot of the machine; empty where it cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def is_stopped(pid: int) -> bool:
    """Whether a process of this machine is stopped, as by SIGSTOP or Ctrl-Z; false where that cannot be told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] in (["T"], ["t"])


def uptime() -> float:
    """Seconds of the machine's own clock, the same for all its processes, suspended time counted."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None else time.monotonic()
