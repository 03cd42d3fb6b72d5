"""What the tables of control are called, each quoted and in the tool's schema, and the numbers of its advisory locks."""

from __future__ import annotations

import zlib

from tracseq_migrate.replication.names import ours

OWNERSHIP = ours("ownership")
PHASE = ours("phase")
CHUNK = ours("chunk")
PUT_AWAY = ours("put_away")
ASIDE = ours("aside")
SYNC = ours("sync")

CLAIM = 0x7473_4D43
"""Held, shared, by who has claimed a replication, as long as its session lives."""
LEAD = 0x7473_4D4C
"""Held by the one that applies, on the destination, in the very session that writes there."""
WANT = 0x7473_4D57
"""Held by who wants the one that leads to pause."""


def lock_number(replication: str) -> int:
    """Second half of an advisory lock: PostgreSQL wants a signed number of 32 bits."""
    number = zlib.crc32(replication.encode())
    return number - (1 << 32) if number >= 1 << 31 else number
