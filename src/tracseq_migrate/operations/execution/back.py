"""The way back: every step that is, or may be, in force, newest first."""

from __future__ import annotations

from tracseq_migrate.errors import PRESSING, Residue, StepFailed
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import StepRecord
from tracseq_migrate.operations.execution.outcome import FAILURES, Failed, WentBack
from tracseq_migrate.operations.execution.scene import Scene, lines_of
from tracseq_migrate.plan import StepEntry
from tracseq_migrate.routing.stranded import summary
from tracseq_migrate.step import EffectKind, Evidence, LossRefused, StepContext


class Back:
    """Takes steps back."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._entries = {entry.id: entry for entry in scene.plan.entries()}

    def back(self, *, keep: frozenset[str] = frozenset()) -> WentBack:
        """Take back every step that is, or may be, in force, newest first, except those in ``keep``.

        It ends at the first step that cannot go back: those before it may be what it stands on.

        Raises:
            Interrupted: SIGTERM or SIGHUP came, and steps are left; the rollback goes on when it is resumed. SIGINT comes
                from a person, who sees that it goes back and can send a second one: it is let come to its end.
        """
        reverted = 0
        for record in self._scene.week.completed_steps():
            if record.id in keep:
                continue
            left, hint = self._revert(self._entry(record), record)
            if left:
                behind = [
                    r.id for r in self._scene.week.completed_steps() if r.id not in keep and r.id != record.id
                ]
                more = (
                    [f"not taken back, because {record.id} stands on them: {', '.join(behind)}"]
                    if behind
                    else []
                )
                return WentBack(reverted, (f"{record.id}: {left}", *more), hint)
            reverted += record.effect != EffectKind.NONE
            if self._scene.system.interrupt.requested in PRESSING and self._scene.week.completed_steps():
                self._scene.stop_if_asked()
        return WentBack(reverted)

    def _entry(self, record: StepRecord) -> StepEntry:
        entry = self._entries.get(record.id)
        if entry is None:
            raise Residue(f"the journaled plan has no step {record.id}")
        return entry

    def _revert(self, entry: StepEntry, record: StepRecord) -> tuple[str, str]:
        """Take one step back; what is left and what to do about it when it could not be, empty when it could."""
        system = self._scene.system
        where = self._scene.where(entry)
        if entry.step.effect.kind is EffectKind.NONE:
            self._scene.append(v.reverted(*where, evidence=[], seconds=0.0))
            return "", ""
        began = system.clock.monotonic()
        self._scene.tell_began(entry, "revert")
        self._scene.append(v.reverting(*where))
        ctx = self._scene.context(entry, going_back=True)
        hint = ""
        try:
            evidence = self._evidence_of_revert(entry, record, ctx)
        except LossRefused as refused:
            lines = summary(list(refused.losses))
            error = f"{len(refused.losses)} writes would be left on the new side ({'; '.join(lines)}), so it stays in force"
            hint = f"`{self._scene.command('rollback', '--accept-loss')}` writes their list to a file and goes back."
        except FAILURES as failure:
            error = system.redact(str(failure))
            hint = self._scene.hint_of(failure)
        else:
            seconds = system.clock.monotonic() - began
            lines_ = lines_of(evidence)
            self._scene.append(v.reverted(*where, evidence=lines_, seconds=seconds))
            self._scene.tell_done(entry, lines_, seconds, undone=True)
            return "", ""
        error = error or "no reason was given"
        self._scene.append(v.revert_failed(*where, error=error, hint=hint))
        self._scene.tell_failed(entry, "revert", error, hint, system.clock.monotonic() - began)
        return error, hint

    @staticmethod
    def _evidence_of_revert(entry: StepEntry, record: StepRecord, ctx: StepContext) -> list[Evidence]:
        evidence = entry.step.revert(ctx, record.undo, [c.name for c in record.checkpoints])
        if not evidence:
            raise StepFailed("it gives no evidence that it was taken back")
        return evidence

    def undo_and_stop(self, failed: Failed) -> None:
        """Where a signal asked to stop and a step failed for it: undo that step alone, journal it, and stop.

        Raises:
            Interrupted: a signal came.
            Residue: a signal came, and the step could not be undone.
        """
        if not self._scene.system.interrupt.requested:
            return
        record = self._scene.week.steps.get(failed.step)
        if record is not None:
            left, _ = self._revert(self._entry(record), record)
            if left:
                raise Residue(f"interrupted, and step {failed.step} could not be undone: {left}")
        self._scene.stop_if_asked()
