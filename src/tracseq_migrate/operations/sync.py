"""`sync`: the process that carries changes over as long as a replication is owed it, and what is known of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

from tracseq_migrate import duration
from tracseq_migrate.errors import CouldNotReach, InvalidInput, StepFailed, TracseqMigrateError
from tracseq_migrate.frozen import frozen
from tracseq_migrate.journal.replay import State
from tracseq_migrate.operations.context import context
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.observer import SyncSaid
from tracseq_migrate.operations.system import PROGRAM, System
from tracseq_migrate.operations.views import ReplicatedTable, ReplicationLine, SyncStoppedView, SyncView
from tracseq_migrate.plan import WeekPlan
from tracseq_migrate.ports import SqlFailed, Unreachable
from tracseq_migrate.printable import printable
from tracseq_migrate.replication.control import beating, leading
from tracseq_migrate.replication.following import Follower, Turn, Who
from tracseq_migrate.replication.opening import name_of
from tracseq_migrate.replication.pair import Replication
from tracseq_migrate.replication.standing import stand
from tracseq_migrate.step import StepContext
from tracseq_migrate.steps.replicate import OBLIGATION, ReplicateStep

_LOOKING = 2.0
"""Seconds between two looks at the journal: a replication that was begun is followed at most so much later."""
_PATIENCE = 5.0
_STOPPING = 20.0


@frozen
class Owed:
    """A replication that somebody must carry on: the step that began it, as it is journaled."""

    week: str
    step_id: str
    step: ReplicateStep
    plan: WeekPlan
    digest: str

    @property
    def name(self) -> str:
        return name_of(self.step.mapping)


def owed(state: State) -> list[Owed]:
    """Every replication that is owed being carried on, by week and step."""
    found = []
    for (week, step_id, name), _ in sorted(state.obligations.items()):
        known = state.weeks.get(week)
        if name != OBLIGATION or known is None or not known.plan:
            continue
        plan = WeekPlan.from_document(known.plan)
        step = next((entry.step for entry in plan.entries() if entry.id == step_id), None)
        if isinstance(step, ReplicateStep):
            found.append(Owed(week, step_id, step, plan, known.digest))
    return found


def context_of(system: System, ledger: Ledger, each: Owed, *, timeout: float) -> StepContext:
    """A context in which its step may look, and nothing else."""
    return context(
        system,
        ledger,
        week=each.week,
        run_id="",
        step_id=each.step_id,
        digest=each.digest,
        timeout=timeout,
        writing=False,
        texts=each.plan.texts,
    )


def run(system: System, *, once: bool = False) -> int:
    """Carry changes over until a signal, or `stop`, says otherwise; 0.

    Every replication that the journal owes is followed by a thread of its own; one that is begun later is found, one that ends
    is let go. Several of these processes are harmless: one leads, the others stand by.

    Args:
        once: end as soon as nothing is owed.
    """
    ending = threading.Event()
    followers: dict[tuple[str, str], _Following] = {}
    told = _Told(system)
    nothing = False
    try:
        while not system.interrupt.requested:
            ledger = Ledger(system, glance=True)
            wanted = {(each.week, each.step_id): each for each in owed(ledger.state)}
            for key in [key for key, one in followers.items() if not one.alive]:
                if followers.pop(key).stopped:
                    return 0
            for key, each in wanted.items():
                if key not in followers:
                    followers[key] = _Following(system, ledger, each, ending, told)
            if not wanted and once and not followers:
                return 0
            if not wanted and not nothing:
                told.say("-", Turn("stands by"), "nothing is owed at the moment; looking every two seconds")
            nothing = not wanted
            _rest(system)
    finally:
        ending.set()
        for one in followers.values():
            one.join()
    return 0


def _rest(system: System) -> None:
    until = system.clock.monotonic() + _LOOKING
    while not system.interrupt.requested and system.clock.monotonic() < until:
        system.clock.sleep(0.1)


class _Told:
    """Tells a change of state at once, and a sign of life now and then."""

    _EVERY = 30.0

    def __init__(self, system: System) -> None:
        self._system = system
        self._lock = threading.Lock()
        self._states: dict[str, tuple[str, str]] = {}
        self._applied: dict[str, int] = {}
        self._next: dict[str, float] = {}

    def say(self, name: str, turn: Turn, text: str = "") -> None:
        with self._lock:
            now = self._system.clock.monotonic()
            changed = self._states.get(name) != (turn.state, turn.trouble)
            self._states[name] = (turn.state, turn.trouble)
            applied = self._applied[name] = self._applied.get(name, 0) + turn.applied
            if not changed and now < self._next.get(name, 0.0):
                return
            self._next[name] = now + self._EVERY
            self._applied[name] = 0
        said = text or turn.trouble or _in_words(turn, applied)
        self._system.observer.emit(
            SyncSaid(
                self._system.clock.now(),
                name,
                turn.state,
                self._system.redact(said),
                changed,
                applied,
                turn.behind_rows,
                round(turn.behind_seconds, 3),
            )
        )


def _in_words(turn: Turn, applied: int) -> str:
    if turn.state == "leads":
        behind = f", {duration.show(turn.behind_seconds)} behind" if turn.behind_rows else ", nothing waits"
        return f"{applied:,} changes carried over{behind}"
    return {
        "stands by": "ready to take over from whoever leads",
        "gone": "this replication is no more",
        "stopped": "stopped, as asked",
    }.get(turn.state, turn.state)


class _Following:
    """One thread that follows one replication; what keeps it from beginning is told, and tried again."""

    _PAUSE = 5.0

    def __init__(
        self, system: System, ledger: Ledger, each: Owed, ending: threading.Event, told: _Told
    ) -> None:
        self._system, self._ledger, self._each = system, ledger, each
        self._ending, self._told = ending, told
        self.stopped = False
        self._thread = threading.Thread(target=self._work, name=f"sync {each.name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> None:
        self._thread.join(_STOPPING)

    def _work(self) -> None:
        while not self._ending.is_set():
            try:
                replication = self._opened()
            except (StepFailed, SqlFailed, Unreachable, InvalidInput, TracseqMigrateError) as error:
                said = printable(str(error))
                self._told.say(self._each.name, Turn("in trouble", trouble=said))
                self._complain(self._system.redact(said))
                self._ending.wait(self._PAUSE)
                continue
            who = Who(f"{PROGRAM} sync run", self._system.host, self._system.pid)
            Follower(
                self._system.free_sessions,
                replication,
                who,
                stopping=self._ending.is_set,
                waited=self._ending.wait,
                told=self._turn,
            ).follow()
            return

    def _complain(self, said: str) -> None:
        """Leave the reason where `status` looks, unless somebody else carries the changes over all the same."""
        sessions = self._system.free_sessions
        with (
            suppress(SqlFailed, Unreachable),
            sessions.open(
                self._each.step.to, purpose="sync: beat", timeout=_PATIENCE, patience=_PATIENCE
            ) as b,
        ):
            if leading.leader(b, self._each.name) is None:
                beating.complain(b, self._each.name, said)

    def _turn(self, turn: Turn) -> None:
        self.stopped = turn.state == "stopped" and not self._ending.is_set()
        self._told.say(self._each.name, turn)

    def _opened(self) -> Replication:
        ctx = context_of(self._system, self._ledger, self._each, timeout=60.0)
        return self._each.step.opened(ctx).replication


def standing(system: System, ledger: Ledger, *, patience: float = _PATIENCE) -> list[ReplicationLine]:
    """Every replication that is owed, as it stands; what could not be asked is in its alarm."""
    return [_line(system, ledger, each, patience) for each in owed(ledger.state)]


def _line(system: System, ledger: Ledger, each: Owed, patience: float) -> ReplicationLine:
    step = each.step
    where = (each.week, each.step_id, each.name, step.from_, step.to)
    try:
        found = stand(
            system.free_sessions, each.name, step.from_, step.to, _pairs(ledger, each), patience=patience
        )
    except (SqlFailed, Unreachable) as error:
        return ReplicationLine(
            *where, (), "", 0, 0.0, f"it cannot be asked how it stands: {system.redact(str(error))}"
        )
    if found is None:
        return ReplicationLine(
            *where, (), "", 0, 0.0, f"{step.to} knows of no replication {each.name}: its tables were removed"
        )
    if found.direction == "back":
        where = (*where[:3], step.to, step.from_)
    tables = [
        ReplicatedTable(name, phase, waiting.rows if waiting else 0, waiting.seconds if waiting else 0.0)
        for name, phase in found.phases.items()
        for waiting in (found.waiting.get(name),)
    ]
    return ReplicationLine(
        *where,
        tables,
        found.leader,
        found.behind_rows,
        round(found.behind_seconds, 3),
        system.redact(found.alarm),
    )


def _pairs(ledger: Ledger, each: Owed) -> Sequence[str]:
    """The names of its pairs, as the step's undo has them."""
    record = ledger.state.week(each.week).steps.get(each.step_id)
    return tuple(map(str, record.undo.get("pairs", ()))) if record else ()


def status(system: System) -> SyncView:
    """Every replication that is owed, and what to do about those that stand still."""
    ledger = Ledger(system, glance=True)
    lines = standing(system, ledger)
    unled = any(line.alarm and not line.leader for line in lines)
    stuck = [line.week for line in lines if line.alarm and line.leader]
    # Whoever leads and is stuck needs a row or a mapping mended, which a comparison names; another `sync run` does not help it.
    command = system.type_this("sync run" if unled else f"compare {stuck[0]}" if stuck else "status")
    return SyncView(system.header, lines, command)


def stop(system: System) -> SyncStoppedView:
    """Ask every process that carries changes over to end, and wait until they did.

    Raises:
        CouldNotReach: one could not be asked.
    """
    ledger = Ledger(system, glance=True)
    asked: list[Owed] = []
    for each in owed(ledger.state):
        try:
            with system.free_sessions.open(
                each.step.to, purpose="sync: stop", timeout=_PATIENCE, patience=_PATIENCE
            ) as b:
                if beating.ask_to_stop(b, each.name):
                    asked.append(each)
        except (SqlFailed, Unreachable) as error:
            raise CouldNotReach(
                f"{each.name}: whoever carries its changes over could not be asked to stop: {error}",
                state=f"Asked so far: {', '.join(one.name for one in asked) or 'none'}.",
                hint=f"`{system.type_this('sync stop')}` asks again.",
            ) from error
    until = system.clock.monotonic() + _STOPPING
    left: list[str] = []
    while asked:
        left = [each.name for each in asked if _line(system, ledger, each, _PATIENCE).leader]
        if not left or system.clock.monotonic() > until or system.interrupt.requested:
            break
        system.clock.sleep(0.2)
    return SyncStoppedView(
        system.header,
        [each.name for each in asked if each.name not in left],
        left,
        system.type_this("sync status"),
    )
