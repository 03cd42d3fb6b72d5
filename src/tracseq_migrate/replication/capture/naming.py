"""What the objects of capture are called. Two pairs never share a name, and no name is so long that PostgreSQL cuts it."""

from __future__ import annotations

import hashlib

TRIGGER = "tracseq_migrate_capture"
TRUNCATION = "tracseq_migrate_truncate"
FENCE = "tracseq_migrate_fence"
"""What the names of the triggers begin with: whoever looks at a table sees whose they are."""

_MOST = 63


def bounded(prefix: str, replication: str, pair: str) -> str:
    """``prefix_replication$pair``; neither part has a dollar, so that the two cannot run together. Long ones end in a digest."""
    name = f"{prefix}_{replication}${pair}"
    if len(name.encode()) <= _MOST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: _MOST - 13]}${digest}"


def log(replication: str, pair: str) -> str:
    return bounded("log", replication, pair)


def writers(replication: str, pair: str) -> str:
    return bounded("writers", replication, pair)


def capturing(replication: str, pair: str) -> str:
    return bounded("capture", replication, pair)


def capturing_whole(replication: str, pair: str) -> str:
    return bounded("capture_whole", replication, pair)


def fencing(replication: str, pair: str) -> str:
    return bounded("fence", replication, pair)
