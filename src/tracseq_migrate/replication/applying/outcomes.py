"""What the applier says of its work."""

from __future__ import annotations

from tracseq_migrate.frozen import frozen


@frozen
class Batch:
    """What one round did. ``read`` log rows were read and are gone; ``remaining`` are left (counted up to a million a table)."""

    read: int
    upserted: int
    deleted: int
    remaining: int
    oldest_seconds: float
    """How old the oldest change was that the destination did not have when this began; 0 where there was none."""


@frozen
class Drained:
    rounds: int
    read: int
    remaining: int
    oldest_seconds: float


@frozen
class Aligned:
    """Two snapshots in which the databases agree: ids for ``SET TRANSACTION SNAPSHOT``, good as long as the block lasts."""

    origin: str
    destination: str
    read: int
