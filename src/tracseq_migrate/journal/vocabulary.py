"""The events there are, each made by one function, so that what is written and what `replay` reads cannot drift apart.

``run_id`` names one execution: a run, or a rollback by command. Step events of a rollback carry the rollback's own id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from tracseq_migrate.journal.chain import stamp
from tracseq_migrate.ports import Draft, Dump, Holder, Person

RUN_STARTED = "run.started"
RUN_RESUMED = "run.resumed"
RUN_PAUSED = "run.paused"
RUN_INTERRUPTED = "run.interrupted"
RUN_FINISHED = "run.finished"
CHECKED = "preflight.checked"
SIGNED = "checklist.signed"
INTENT = "step.intent"
CHECKPOINT = "step.checkpoint"
APPLIED = "step.applied"
VERIFIED = "step.verified"
WAITING = "step.waiting"
FAILED = "step.failed"
PROBED = "step.probed"
REVERTING = "step.reverting"
REVERTED = "step.reverted"
REVERT_FAILED = "step.revert_failed"
ROLLBACK_STARTED = "rollback.started"
ROLLBACK_FINISHED = "rollback.finished"
COMPLETION_STARTED = "completion.started"
COMPLETION_FINISHED = "completion.finished"
OBLIGATION_OPENED = "obligation.opened"
OBLIGATION_CLOSED = "obligation.closed"
LOSS_ACCEPTED = "loss.accepted"
LOG_COMMITTED = "log.committed"
LOCK_RELEASED = "lock.released"
BACKUP_RESTORING = "backup.restoring"
BACKUP_RESTORED = "backup.restored"

Direction = Literal["forward", "backward", "either"]


def run_started(
    week: str,
    run_id: str,
    *,
    title: str,
    plan: Mapping[str, Any],
    digest: str,
    person: Person,
    command: str,
    environment: str,
    version: str,
    adopted: Sequence[str] = (),
    by_hand: Mapping[str, Any] | None = None,
) -> Draft:
    """A run begins. ``plan`` is the whole plan as parsed: a rollback goes by it, whatever the file says by then.

    ``adopted``: nothing was run, the week's state was rebuilt from reality; what is to be known about that, in sentences.
    ``by_hand``: what a person types in this environment in place of the tool, for when it cannot be used any more.
    """
    return Draft(
        RUN_STARTED,
        week,
        run_id,
        data={
            "title": title,
            "plan": dict(plan),
            "digest": digest,
            "person": person.name,
            "person_from": person.source,
            "command": command,
            "environment": environment,
            "version": version,
            **({"adopted": list(adopted)} if adopted else {}),
            **({"by_hand": dict(by_hand)} if by_hand else {}),
        },
    )


def run_resumed(week: str, run_id: str, *, person: Person, command: str, direction: Direction) -> Draft:
    return Draft(
        RUN_RESUMED,
        week,
        run_id,
        data={
            "person": person.name,
            "person_from": person.source,
            "command": command,
            "direction": direction,
        },
    )


def run_paused(week: str, run_id: str, *, after: str, why: str, next_command: str) -> Draft:
    """The run was told to stop after a step; steps are behind it."""
    return Draft(RUN_PAUSED, week, run_id, data={"after": after, "why": why, "next_command": next_command})


def run_interrupted(week: str, run_id: str, *, signal: int) -> Draft:
    return Draft(RUN_INTERRUPTED, week, run_id, data={"signal": signal})


def run_finished(week: str, run_id: str, *, outcome: str) -> Draft:
    """``outcome`` is the state of the week that the run ends in: proven or soaking."""
    return Draft(RUN_FINISHED, week, run_id, data={"outcome": outcome})


def checked(week: str, run_id: str, *, results: Sequence[Mapping[str, Any]]) -> Draft:
    """The preflight as it was found: per check ``id``, ``verdict`` (pass, fail, unknown), ``detail``."""
    return Draft(CHECKED, week, run_id, data={"results": [dict(result) for result in results]})


def signed(
    week: str,
    *,
    item: str,
    ask: str,
    digest: str,
    person: Person,
    claimed: str,
    evidence: str,
    expires: str,
) -> Draft:
    """A person signs a checklist item or a pause for the plan of this digest. Needs no lease."""
    return Draft(
        SIGNED,
        week,
        data={
            "item": item,
            "ask": ask,
            "digest": digest,
            "person": person.name,
            "person_from": person.source,
            "claimed": claimed,
            "evidence": evidence,
            "expires": expires,
        },
    )


def intent(
    week: str,
    run_id: str,
    step: str,
    *,
    kind: str,
    title: str,
    effect: str,
    undo: Mapping[str, Any],
    attempt: int,
    adopted: Sequence[str] | None = None,
) -> Draft:
    """What a step is about to do, with everything that is needed to go back. Durable before anything happens.

    ``adopted``: it was found done, and not done by this run; what of the undo is assumed, in sentences. None where it is run.
    """
    return Draft(
        INTENT,
        week,
        run_id,
        step,
        data={
            "kind": kind,
            "title": title,
            "effect": effect,
            "undo": dict(undo),
            "attempt": attempt,
            **({"adopted": True, "assumed": list(adopted)} if adopted is not None else {}),
        },
    )


def checkpoint(
    week: str, run_id: str, step: str, *, name: str, data: Mapping[str, Any], direction: Direction
) -> Draft:
    return Draft(
        CHECKPOINT, week, run_id, step, data={"name": name, "data": dict(data), "direction": direction}
    )


def applied(week: str, run_id: str, step: str) -> Draft:
    return Draft(APPLIED, week, run_id, step)


def verified(
    week: str, run_id: str, step: str, *, evidence: Sequence[Mapping[str, Any]], seconds: float
) -> Draft:
    return Draft(
        VERIFIED,
        week,
        run_id,
        step,
        data={"evidence": [dict(line) for line in evidence], "seconds": round(seconds, 4)},
    )


def waiting(week: str, run_id: str, step: str, *, on: str, until: str, next_command: str) -> Draft:
    return Draft(WAITING, week, run_id, step, data={"on": on, "until": until, "next_command": next_command})


def failed(week: str, run_id: str, step: str, *, error: str, hint: str, unknown: bool, attempt: int) -> Draft:
    return Draft(
        FAILED,
        week,
        run_id,
        step,
        data={"error": error, "hint": hint, "unknown": unknown, "attempt": attempt},
    )


def probed(week: str, run_id: str, step: str, *, found: str, detail: str, safe: Direction) -> Draft:
    """What reality said about a step in doubt."""
    return Draft(PROBED, week, run_id, step, data={"found": found, "detail": detail, "safe": safe})


def reverting(week: str, run_id: str, step: str) -> Draft:
    return Draft(REVERTING, week, run_id, step)


def reverted(
    week: str, run_id: str, step: str, *, evidence: Sequence[Mapping[str, Any]], seconds: float
) -> Draft:
    return Draft(
        REVERTED,
        week,
        run_id,
        step,
        data={"evidence": [dict(line) for line in evidence], "seconds": round(seconds, 4)},
    )


def revert_failed(week: str, run_id: str, step: str, *, error: str, hint: str) -> Draft:
    return Draft(REVERT_FAILED, week, run_id, step, data={"error": error, "hint": hint})


def rollback_started(
    week: str,
    run_id: str,
    *,
    of: str,
    reason: str,
    automatic: bool,
    to: str,
    person: Person,
    command: str,
    version: str,
    accept_loss: bool = False,
) -> Draft:
    """Going back begins: ``of`` is the run that is taken back; ``to`` names the step that is kept, if not all go.

    ``accept_loss``: a person went back whatever stays on the other side, however the execution is broken off.
    """
    return Draft(
        ROLLBACK_STARTED,
        week,
        run_id,
        data={
            "of": of,
            "reason": reason,
            "automatic": automatic,
            "accept_loss": accept_loss,
            "to": to,
            "person": person.name,
            "person_from": person.source,
            "command": command,
            "version": version,
        },
    )


def rollback_finished(week: str, run_id: str, *, outcome: str, left: Sequence[str]) -> Draft:
    """``outcome`` is rolled-back, waiting (only a part was taken back) or residue; ``left`` says what is left."""
    return Draft(ROLLBACK_FINISHED, week, run_id, data={"outcome": outcome, "left": list(left)})


def completion_started(
    week: str, run_id: str, *, given_up: Sequence[str], person: Person, command: str, version: str
) -> Draft:
    """A person signed that a week is final. From here on nothing goes back, however far what follows comes.

    ``given_up`` names each way back and each obligation that the signature is about, in sentences.
    """
    return Draft(
        COMPLETION_STARTED,
        week,
        run_id,
        data={
            "given_up": list(given_up),
            "person": person.name,
            "person_from": person.source,
            "command": command,
            "version": version,
        },
    )


def completion_finished(week: str, run_id: str, *, evidence: Sequence[Mapping[str, Any]]) -> Draft:
    """Every step of a completed week ended what it kept for the way back; ``evidence`` is what was seen of that."""
    return Draft(COMPLETION_FINISHED, week, run_id, data={"evidence": [dict(line) for line in evidence]})


def obligation_opened(week: str, run_id: str, step: str, *, name: str, what: str, ends: str) -> Draft:
    return Draft(OBLIGATION_OPENED, week, run_id, step, data={"name": name, "what": what, "ends": ends})


def obligation_closed(week: str, run_id: str, step: str, *, name: str) -> Draft:
    return Draft(OBLIGATION_CLOSED, week, run_id, step, data={"name": name})


def loss_accepted(
    week: str, run_id: str, step: str, *, file: str, digest: str, count: int, summary: Sequence[str]
) -> Draft:
    """A person went back although writes stay on the other side; the list of them was written first."""
    return Draft(
        LOSS_ACCEPTED,
        week,
        run_id,
        step,
        data={"file": file, "digest": digest, "count": count, "summary": list(summary)},
    )


def log_committed(week: str, run_id: str, *, commit: str, why_not: str) -> Draft:
    """The rendered log went into git, or why it was left alone. Needs no lease."""
    return Draft(LOG_COMMITTED, week, run_id, data={"commit": commit, "why_not": why_not})


def lock_released(
    week: str,
    run_id: str,
    *,
    holder: Holder,
    since: datetime,
    epoch: int,
    life: str,
    how: str,
    reason: str,
    person: Person,
    command: str,
) -> Draft:
    """A person took the lock away from a holder; ``week`` and ``run_id`` are of the execution that this broke off, if any."""
    return Draft(
        LOCK_RELEASED,
        week,
        run_id,
        data={
            "holder": {
                "holder_id": holder.holder_id,
                "person": holder.person,
                "host": holder.host,
                "pid": holder.pid,
                "command": holder.command,
            },
            "since": stamp(since),
            "epoch": epoch,
            "life": life,
            "how": how,
            "reason": reason,
            "person": person.name,
            "person_from": person.source,
            "command": command,
        },
    )


def backup_restoring(dump: Dump, before: str, *, person: Person, command: str) -> Draft:
    """A backup is about to be put back; ``before`` is the backup of what is there until then."""
    return _of_backup(BACKUP_RESTORING, dump, before, person, command)


def backup_restored(dump: Dump, before: str, *, person: Person, command: str) -> Draft:
    """A backup was put back: what was written to its database since is in ``before`` alone."""
    return _of_backup(BACKUP_RESTORED, dump, before, person, command)


def _of_backup(kind: str, dump: Dump, before: str, person: Person, command: str) -> Draft:
    return Draft(
        kind,
        "",
        "",
        data={
            "backup": dump.name,
            "database": dump.database,
            "at": stamp(dump.at),
            "sha256": dump.sha256,
            "before": before,
            "person": person.name,
            "person_from": person.source,
            "command": command,
        },
    )
