"""One function a document: a view becomes blocks. `blocks_of` finds the one for a view."""

from __future__ import annotations

from tracseq_migrate.console.blocks import Block
from tracseq_migrate.console.documents.adopt import render_adopt
from tracseq_migrate.console.documents.backup import render_backups, render_restored
from tracseq_migrate.console.documents.compare import render_compare
from tracseq_migrate.console.documents.complete import render_completed
from tracseq_migrate.console.documents.findings import render_findings
from tracseq_migrate.console.documents.history import render_approved, render_chain, render_runs
from tracseq_migrate.console.documents.lock import render_lock, render_released
from tracseq_migrate.console.documents.look import Look
from tracseq_migrate.console.documents.mapping import render_check, render_draft
from tracseq_migrate.console.documents.plan import render_plan, render_rollback
from tracseq_migrate.console.documents.rehearsal import render_clones_dropped, render_rehearsal
from tracseq_migrate.console.documents.state import render_exported, render_imported
from tracseq_migrate.console.documents.status import render_status, render_verify
from tracseq_migrate.console.documents.sync import render_sync, render_sync_stopped
from tracseq_migrate.operations.views import (
    AdoptView,
    ApprovedView,
    BackupsView,
    ChainView,
    ClonesDroppedView,
    CompareView,
    CompletedView,
    LockReleasedView,
    LockView,
    MappingCheckView,
    MappingDraftView,
    PlanView,
    RehearsalView,
    RestoredView,
    RollbackView,
    RunsView,
    StateExportedView,
    StateImportedView,
    StatusView,
    SyncStoppedView,
    SyncView,
    ValidateView,
    VerifyView,
    View,
)

__all__ = [
    "Look",
    "blocks_of",
    "render_adopt",
    "render_approved",
    "render_backups",
    "render_chain",
    "render_check",
    "render_compare",
    "render_completed",
    "render_draft",
    "render_exported",
    "render_findings",
    "render_imported",
    "render_lock",
    "render_plan",
    "render_released",
    "render_restored",
    "render_rollback",
    "render_runs",
    "render_status",
    "render_sync",
    "render_sync_stopped",
    "render_verify",
]


def blocks_of(view: View, look: Look) -> list[Block]:
    """The blocks of any document. Raises `TypeError` for a view that has no function here (a bug of ours)."""
    match view:
        case StatusView():
            return render_status(view, look)
        case PlanView():
            return render_plan(view, look)
        case RollbackView():
            return render_rollback(view, look)
        case VerifyView():
            return render_verify(view, look)
        case RunsView():
            return render_runs(view, look)
        case ChainView():
            return render_chain(view, look)
        case MappingCheckView():
            return render_check(view, look)
        case MappingDraftView():
            return render_draft(view, look)
        case ValidateView():
            return render_findings(view, look)
        case StateExportedView():
            return render_exported(view, look)
        case StateImportedView():
            return render_imported(view, look)
        case ApprovedView():
            return render_approved(view, look)
        case AdoptView():
            return render_adopt(view, look)
        case CompareView():
            return render_compare(view, look)
        case CompletedView():
            return render_completed(view, look)
        case RehearsalView():
            return render_rehearsal(view, look)
        case ClonesDroppedView():
            return render_clones_dropped(view, look)
        case SyncView():
            return render_sync(view, look)
        case SyncStoppedView():
            return render_sync_stopped(view, look)
        case BackupsView():
            return render_backups(view, look)
        case RestoredView():
            return render_restored(view, look)
        case LockView():
            return render_lock(view, look)
        case LockReleasedView():
            return render_released(view, look)
        case _:
            raise TypeError(f"nothing shows a {type(view).__name__}")
