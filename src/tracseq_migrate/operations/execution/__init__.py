"""One execution of a plan's steps: forward, and back. The only place that journals what steps do.

Forward: prepare, intent, apply, applied, verify, verified. Back: reverting, revert, reverted. What is not settled in the
journal is asked of reality by ``probe`` before anything is done about it.
"""

from tracseq_migrate.operations.execution.back import Back
from tracseq_migrate.operations.execution.forward import Forward
from tracseq_migrate.operations.execution.outcome import Failed, Paused, WentBack, describe
from tracseq_migrate.operations.execution.scene import Scene

__all__ = ["Back", "Failed", "Forward", "Paused", "Scene", "WentBack", "describe"]
