"""Capture: triggers that write the key of every changed row into a log; and fences, that refuse changes.

The log has keys and nothing else. What a row holds is read when it is carried over, in one snapshot with the log, so that no
value can be missing from it, and a row that changed a hundred times travels once. Both capture and fence are made days before
they count, and only enabled and disabled later: that lets readers pass.
"""

from tracseq_migrate.replication.capture.fence import (
    create_fence,
    disable_fence,
    drop_fence,
    enable_fence,
    fence_state,
)
from tracseq_migrate.replication.capture.recording import (
    Side,
    create,
    disable,
    drop,
    enable,
    forget,
    log_table,
    state,
    writers_table,
)
from tracseq_migrate.replication.capture.triggers import State

__all__ = [
    "Side",
    "State",
    "create",
    "create_fence",
    "disable",
    "disable_fence",
    "drop",
    "drop_fence",
    "enable",
    "enable_fence",
    "fence_state",
    "forget",
    "log_table",
    "state",
    "writers_table",
]
