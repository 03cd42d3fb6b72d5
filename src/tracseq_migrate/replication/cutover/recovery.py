"""What to do where a cutover was broken off: found out from the two databases, ended or undone, and the requests with it.

It claims first, so that whoever was at it can do nothing any more; it can itself be broken off anywhere, and called again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from tracseq_migrate.errors import Residue, StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Sessions, transaction
from tracseq_migrate.replication import capture
from tracseq_migrate.replication.bringing import Stage
from tracseq_migrate.replication.crew import nothing
from tracseq_migrate.replication.cutover.front import Front
from tracseq_migrate.replication.cutover.moving import Moving
from tracseq_migrate.replication.cutover.protocol import settle_down, taken
from tracseq_migrate.replication.pair import Direction, Replication
from tracseq_migrate.step import Evidence

Outcome = Literal["aborted", "done"]


@frozen
class Recovered:
    """``aborted``: the origin owns its tables, as before; ``done``: the destination does, and requests go there."""

    outcome: Outcome
    found: str
    epoch: int

    def evidence(self) -> list[Evidence]:
        what = "brought to its end" if self.outcome == "done" else "undone"
        return [
            Evidence(
                f"a cutover that was broken off was {what}: {self.found}",
                {"what": "recovery", "found": self.found},
            )
        ]


def recover(
    sessions: Sessions,
    replications: Sequence[Replication],
    direction: Direction,
    front: Front,
    *,
    by: str,
    check: Callable[[], None] = nothing,
    told: Callable[[str], None] = lambda text: None,
    reached: Callable[[Stage], None] = lambda stage: None,
    at: Callable[[str], None] = lambda point: None,
) -> Recovered:
    """One owner again, and the requests with it.

    ============= ============= ====================================================================
    origin        destination   what is done
    ============= ============= ====================================================================
    open          closed        requests go back, nothing had happened: aborted
    some fenced   closed        those are opened again: aborted
    all fenced    closed        what is left is brought over, and the destination opened: done
    fenced        open          what was left to do is done
    open          open          the origin lost its fence: it is fenced at once; a person must look
    ============= ============= ====================================================================

    Raises:
        Residue: a person must look at what somebody wrote on both sides, or at triggers that somebody altered.
        StepFailed, SqlFailed, Unreachable, Displaced: it could not be ended now; call it again.
    """
    with taken(sessions, replications, direction, by=by, check=check) as moves:
        front.release()
        at("recovery: claimed")
        epoch = max(move.epoch for move in moves)
        fenced = {move: move.fenced() for move in moves}
        opened = {move: move.open() for move in moves}
        found = ", ".join(
            f"{move.replication.name}: origin {'fenced' if fenced[move] else 'open'},"
            f" destination {'open' if opened[move] else 'closed'}"
            for move in moves
        )
        told(f"found {found}")
        for move in moves:
            if opened[move] and not fenced[move]:
                _fence_again(move)
            if not opened[move] and move.was_open():
                _lost_opening(move)
        if not any(opened.values()) and not all(fenced.values()):
            _aborted(moves, fenced, front, epoch, at)
            return Recovered("aborted", found, epoch)
        for move in moves:
            if not opened[move] and not _opened(move, alone=len(moves) == 1):
                _aborted(moves, fenced, front, epoch, at)
                return Recovered("aborted", f"{found}; the last changes could not be brought over", epoch)
            at(f"recovery: opened {move.replication.name}")
        reached(Stage("open", {"epochs": {move.replication.name: move.epoch for move in moves}}))
        front.switch(epoch)
        at("recovery: switched")
        front.release()
        settle_down(moves, front, at)
        reached(Stage("finished", {}))
        return Recovered("done", found, epoch)


def _opened(move: Moving, *, alone: bool) -> bool:
    """Open the destination of an origin that is fenced; false where the rows will not go over, and the origin can be opened
    again instead."""
    try:
        move.arm()
        move.applier.drain()
        move.lock_destination()
        move.fill()
        move.make_ready()
        move.writes.commit()
    except StepFailed:
        move.undo()
        if not alone:
            raise
        return False
    except BaseException:
        move.undo()
        raise
    return True


def _aborted(
    moves: Sequence[Moving], fenced: dict[Moving, bool], front: Front, epoch: int, at: Callable[[str], None]
) -> None:
    # Requests were not sent over before the destination was open, so whoever writes is on the origin's side still.
    for move in moves:
        if fenced[move]:
            move.unfence()
        move.wake()
    at("recovery: unfenced")
    front.turn_back(epoch)
    at("recovery: turned back")


def _lost_opening(move: Moving) -> None:
    """The origin knows that the destination had opened, and the destination does not: what was written there may be gone."""
    raise Residue(
        f"{move.destination.what}: it owned the rows of {move.replication.name}, and does not know it any more (was another"
        " server promoted, or a backup restored?)",
        state="Both sides refuse writes. What was acknowledged on the new side since the cutover may be missing there.",
        hint="Find the server, or the backup, that has those writes; then resume.",
    )


def _fence_again(move: Moving) -> None:
    """Both sides take writes: the origin was restored, or another server took its place. It is fenced, and a person looks."""
    name, session = move.replication.name, move.origin
    written = 0
    for pair in move.replication.pairs:
        with transaction(session):
            capture.create_fence(session, move.replication, pair, move.origin_side, enabled=True)
            written += session.rows(f"SELECT count(*) FROM {capture.log_table(move.replication, pair)}")[0][0]
    raise Residue(
        f"{session.what}: {name} was open on both sides: it had lost its fence (was another server promoted, or a backup"
        " restored?)",
        state=f"It refuses writes again. {move.destination.what} owns the rows. {written} changes stand in the old side's log.",
        hint="Look at the rows that the log names, carry over by hand what is only there, and resume.",
    )
