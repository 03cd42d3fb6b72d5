"""``rehearse``: what a week does to data, carried out on clones of the databases: there, back, and there again.

The real databases are read, once, and everything else happens in the clones, which are dropped at the end. Flags, gateway and
services are not touched: steps that would are named as not rehearsed, and never as passed.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NoReturn, cast

from tracseq_migrate.errors import CouldNotReach, Interrupted, Locked, NotAllowed, Residue, StepFailed
from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.operations import observer as notes
from tracseq_migrate.operations.context import context
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import ClonesDroppedView, RehearsalView, RehearsedChange, RehearsedStep
from tracseq_migrate.plan import StepEntry, WeekPlan
from tracseq_migrate.ports import SYNC, ServiceState, SqlFailed, Unreachable
from tracseq_migrate.ports.clones import Clone, Clones, Source
from tracseq_migrate.ports.sql import Sessions
from tracseq_migrate.replication.cutover import cut_over
from tracseq_migrate.replication.following import Follower, Who
from tracseq_migrate.replication.opening import name_of
from tracseq_migrate.replication.pair import Direction, Replication
from tracseq_migrate.replication.rehearsing import Door, Tally, Writers
from tracseq_migrate.step import BrokenOff, Done, Evidence, Journaling, Step, StepContext, Undo
from tracseq_migrate.steps.cutover import CutoverStep
from tracseq_migrate.steps.replicate import ReplicateStep
from tracseq_migrate.steps.sql import SqlStep

_ASK = 30.0
_CLONING = 6 * 3600.0
_BETWEEN = 200
"""Writes that are acknowledged between two changes of owner, so that each change has something to lose."""
_PATIENCE = 20.0
_BEFORE = (WeekStatus.NEVER_RUN, WeekStatus.ROLLED_BACK)

FAILURES = (StepFailed, SqlFailed, Unreachable)


def clean(system: System) -> ClonesDroppedView:
    """Drop what rehearsals have left that were killed.

    Raises:
        Locked: a rehearsal goes on.
        Residue: not all of it could be dropped.
    """
    clones = system.clones()
    with clones.alone():
        dropped = _dropped(system, clones)
    return ClonesDroppedView(system.header, dropped, system.type_this("status"))


def rehearse(system: System, week: str, *, writers: int = 4, through: str = "") -> RehearsalView:
    """Carry the data steps of a week out on clones, with writers that are made up, and say what came of it.

    Args:
        writers: how many write at once.
        through: the database by whose connection clones are made; empty: whichever may.

    Raises:
        NotAllowed: there is nothing to rehearse, the week has begun for real, or the databases cannot be cloned.
        Locked: a run is at work, or another rehearsal.
        CouldNotReach: a database could not be asked or cloned.
        Interrupted: by a signal; the clones are dropped.
        Residue: clones of an earlier rehearsal could not be dropped.
    """
    ledger = Ledger(system, glance=True)
    plan = system.shelf.find(week)
    _refuse(system, ledger, plan)
    clones = system.clones()
    with clones.alone():
        system.last_words.speak = lambda number: Interrupted(
            number,
            state="Only clones were touched; what is left of them takes room.",
            hint=f"`{system.type_this('rehearse --clean')}` drops them.",
        )
        _dropped(system, clones)
        sources = _sources(system, clones, plan, through)
        made: list[Clone] = []
        try:
            made.extend(_cloned(system, clones, source, plan.week) for source in sources)
            rehearsal = _Rehearsal(system, ledger, plan, clones.sessions(made), writers)
            rehearsal.play()
        except (SqlFailed, Unreachable, StepFailed) as error:
            raise CouldNotReach(
                f"{plan.week} could not be rehearsed: {system.redact(str(error))}",
                state="Only clones were touched.",
                hint=getattr(error, "hint", ""),
            ) from error
        finally:
            left = _tried_to_drop(system, clones)
            system.last_words.speak = None
        return rehearsal.view(made, left)


def _refuse(system: System, ledger: Ledger, plan: WeekPlan) -> None:
    if not any(_rehearsable(entry.step) for entry in plan.entries()):
        raise NotAllowed(
            f"{plan.week} moves no data: there is nothing that clones could show",
            hint=f"`{system.type_this(f'plan {plan.week}')}` shows what it does.",
        )
    if system.lease.show() is not None:
        raise Locked(
            "a run is at work: what would be cloned is changing",
            hint=f"`{system.type_this('status')}` shows it.",
        )
    status = ledger.state.week(plan.week).status
    if status not in _BEFORE:
        raise NotAllowed(
            f"{plan.week} is {status}: a rehearsal is for a week that has not begun",
            hint=f"`{system.type_this(f'verify {plan.week}')}` asks what is in force.",
        )


def _rehearsable(step: Step) -> bool:
    return isinstance(step, (ReplicateStep, CutoverStep)) or (isinstance(step, SqlStep) and not step.create)


def _sources(system: System, clones: Clones, plan: WeekPlan, through: str) -> list[Source]:
    """The databases that are to be cloned. Raises `NotAllowed`, `CouldNotReach`."""
    names = sorted(
        {name for entry in plan.entries() if _rehearsable(entry.step) for name in entry.step.uses().databases}
    )
    try:
        found = [clones.look(name, through=through, timeout=_ASK) for name in names]
    except (Unreachable, SqlFailed) as error:
        raise CouldNotReach(f"the databases cannot be asked: {system.redact(str(error))}") from error
    for each in found:
        if each.may:
            raise NotAllowed(
                each.may,
                hint=f'As a superuser of its server: ALTER ROLE "{each.role}" CREATEDB; or name another with --through.',
            )
        if each.reaches:
            raise NotAllowed(
                f"a write into a clone of {each.database} could reach outside of it: {', '.join(each.reaches)}",
                hint="Rehearse on a copy that somebody made where these lead nowhere.",
            )
    needed, free = max((each.bytes for each in found), default=0), clones.free()
    if needed > free:
        raise NotAllowed(
            f"a dump of the largest database may need {needed:,} bytes, and {free:,} are free",
            hint="Make room first.",
        )
    return found


def _cloned(system: System, clones: Clones, source: Source, week: str) -> Clone:
    began = system.clock.monotonic()
    _tell(system, f"clone {source.database}", notes.StepBegan, "apply", _CLONING)

    def told(size: int) -> None:
        _heard(system)

    made = clones.make(source, how="auto", week=week, timeout=_CLONING, told=told)
    seconds = system.clock.monotonic() - began
    text = f"a clone by {made.how}, {made.bytes:,} bytes"
    name = f"clone {source.database}"
    system.observer.emit(
        notes.StepDone(system.clock.now(), name, name, undone=False, seconds=seconds, evidence=[text])
    )
    return made


def _tell(system: System, name: str, note: type[notes.StepBegan], doing: Any, allowed: float) -> None:
    system.observer.emit(note(system.clock.now(), name, name, doing, allowed))


def _heard(system: System) -> None:
    """Raises `Interrupted` where a signal came."""
    if number := system.interrupt.requested:
        raise Interrupted(number, state="Only clones were touched, and they are dropped.")


def _dropped(system: System, clones: Clones) -> list[str]:
    before = [each.name for each in clones.left()]
    left = _tried_to_drop(system, clones)
    if left:
        raise Residue(
            f"clones of an earlier rehearsal could not be dropped: {'; '.join(left)}",
            state="They take room, and nobody uses them.",
            hint=f"`{system.type_this('rehearse --clean')}` tries again.",
        )
    return before


def _tried_to_drop(system: System, clones: Clones) -> list[str]:
    """Drop everything that is written down; what could not be, with the reason."""
    left = []
    for scratch in clones.left():
        try:
            clones.drop(scratch, timeout=_ASK)
        except FAILURES as error:
            left.append(f"{scratch.name}: {system.redact(str(error))}")
    return left


class _Nowhere:
    """In place of a port that a rehearsal must not reach."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"a rehearsal reached for {self._what}.{name}")


class _Notebook(Journaling):
    """What a rehearsed step journals; gone with the rehearsal."""

    def __init__(self) -> None:
        self._owed: set[str] = set()
        self._kept: dict[str, bytes] = {}

    def checkpoint(self, name: str, data: Mapping[str, Any], direction: Any = "either") -> None:
        """Nobody goes on with a rehearsal."""

    def owe(self, name: str, what: str, ends: str) -> None:
        self._owed.add(name)

    def settle(self, name: str) -> None:
        self._owed.discard(name)

    def owes(self, name: str) -> bool:
        return name in self._owed

    def attach(self, body: bytes) -> str:
        name = secrets.token_hex(16)
        self._kept[name] = body
        return name

    def attachment(self, digest: str) -> bytes:
        return self._kept[digest]


class _Following:
    """`Services` of a rehearsal: it has one, the one who carries changes over, in threads of this process."""

    names: Sequence[str] = ()

    def __init__(self, system: System, sessions: Sessions) -> None:
        self._who = Who("tracseq-migrate rehearse", system.host, system.pid)
        self._sessions = sessions
        self._over = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self.known: dict[str, Replication] = {}

    def state(self, name: str, *, timeout: float) -> ServiceState:
        return ServiceState.STOPPED

    def up(self, name: str, *, timeout: float) -> None:
        if name != SYNC:
            raise AssertionError(f"a rehearsal was to start {name}")
        for one in self.known.values():
            running = self._threads.get(one.name)
            if running is None or not running.is_alive():
                follower = Follower(
                    self._sessions, one, self._who, stopping=self._over.is_set, waited=self._over.wait
                )
                thread = threading.Thread(target=follower.follow, name=f"sync {one.name}", daemon=True)
                self._threads[one.name] = thread
                thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads.values():
            thread.join(30)


class _Rehearsal:
    def __init__(
        self, system: System, ledger: Ledger, plan: WeekPlan, sessions: Sessions, writers: int
    ) -> None:
        self._system = system
        self._ledger = ledger
        self._plan = plan
        self._sessions = sessions
        self._count = writers
        self._run = "rehearsal-" + secrets.token_hex(4)
        self._entries = [each for each in plan.entries() if _rehearsable(each.step)]
        self._notebooks = {entry.id: _Notebook() for entry in self._entries}
        self._undo: dict[str, Undo] = {}
        self._seconds: dict[str, list[float]] = {entry.id: [] for entry in plan.entries()}
        self._evidence: dict[str, list[str]] = {entry.id: [] for entry in plan.entries()}
        self._changes: list[RehearsedChange] = []
        self._found: list[str] = []
        self._losses: list[str] = []
        self._notes: list[str] = []
        self._following = _Following(system, sessions)
        self._doors: dict[str, Door] = {}
        self._tally = Tally()
        try:
            self._holds = bool(system.rollout(ledger.state.unavailable).holds)
        except Unreachable as error:
            self._holds = False
            self._found.append(f"whether the proxy can hold writes cannot be asked: {error}")

    # -- the play ----------------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """All of it; what goes wrong is found, and ends it."""
        try:
            with self._people() as people:
                self._there(people)
                self._back(people)
                self._there(people)
                self._enough(people)
                people.end()
                self._looked_at(people)
        except FAILURES as error:
            hint = getattr(error, "hint", "")
            self._found.append(f"{error}{f'. {hint}' if hint else ''}")
        except BrokenOff:
            _heard(self._system)
            raise
        finally:
            self._following.stop()

    @contextmanager
    def _people(self) -> Iterator[Writers]:
        """The writers, from the beginning on every table whose mapping can be opened yet."""
        people = Writers(self._sessions, count=self._count)
        self._tally = people.tally
        for entry in self._entries:
            if isinstance(entry.step, ReplicateStep):
                with suppress(StepFailed):  # an earlier step makes what its mapping needs
                    self._welcome(people, entry.step.opened(self._ctx(entry)).replication)
        with people:
            yield people

    def _welcome(self, people: Writers, one: Replication) -> None:
        if one.name not in people.replications:
            people.also(one, self._door(one.name))

    def _door(self, name: str) -> Door:
        """In front of the tables of a replication: one for all that change their owner in one step."""
        together = next(
            (
                entry.id
                for entry in self._entries
                if isinstance(entry.step, CutoverStep)
                and name in {name_of(each.file) for each in entry.step.replications}
            ),
            f"replication {name}",
        )
        return self._doors.setdefault(together, Door(holds=self._holds))

    def _enough(self, people: Writers) -> None:
        """Something to lose before the next change. Raises `StepFailed` where the writers could not go on."""
        if not people.replications or self._notes:
            return
        came = people.until(_BETWEEN, patience=_PATIENCE, check=lambda: _heard(self._system))
        if people.trouble:
            raise StepFailed(f"the writers could not go on: {people.trouble[0]}")
        if not came:
            # Tables without a row, or with rules that no copy of a row meets: said, and the rest is worth rehearsing.
            self._notes.append(
                f"the writers had {people.tally.acknowledged} writes acknowledged, and {_BETWEEN} more did not come about in"
                f" {_PATIENCE:g} s: there are no rows to copy and change, or the tables' rules refuse copies"
            )

    def _there(self, people: Writers) -> None:
        for entry in self._entries:
            if isinstance(entry.step, CutoverStep):
                self._enough(people)
                self._timed(entry, lambda entry=entry: self._handed_over(entry, "forward"))
                self._enough(people)
            else:
                self._timed(entry, lambda entry=entry: self._applied(entry, people))
        self._compared()

    def _back(self, people: Writers) -> None:
        self._compared()
        for entry in reversed(self._entries):
            if isinstance(entry.step, CutoverStep):
                self._enough(people)
                self._timed(entry, lambda entry=entry: self._handed_over(entry, "back"))
                self._enough(people)
                self._compared()
            else:
                self._timed(entry, lambda entry=entry: self._reverted(entry))

    def _applied(self, entry: StepEntry, people: Writers) -> list[Evidence]:
        ctx = self._ctx(entry)
        if entry.id not in self._undo:
            wrong = [each for each in entry.step.concerns(ctx) if each.verdict != "pass"]
            if wrong:
                raise StepFailed("; ".join(each.detail for each in wrong), hint=wrong[0].remedy)
        self._undo[entry.id] = entry.step.prepare(ctx)
        if isinstance(entry.step, ReplicateStep):
            one = entry.step.opened(ctx).replication
            self._following.known[one.name] = one
            self._welcome(people, one)
        done = entry.step.apply(ctx, self._undo[entry.id])
        if not isinstance(done, Done):
            raise StepFailed(f"it waits for {done.on}")
        return [*done.measured, *entry.step.verify(ctx)]

    def _reverted(self, entry: StepEntry) -> list[Evidence]:
        """Back, whatever that loses: it is told, since the real one would refuse."""
        ctx, undo = self._ctx(entry), self._undo[entry.id]
        lost: dict[str, int] = {}
        for each in entry.step.losses(ctx, undo):
            lost[each.where] = lost.get(each.where, 0) + 1
        self._losses += [
            f"{entry.id}: {count:,} {'row' if count == 1 else 'rows'} of {where}"
            for where, count in lost.items()
        ]
        return entry.step.revert(replace(ctx, accept_loss=bool(lost)), undo, ())

    def _handed_over(self, entry: StepEntry, direction: Direction) -> list[Evidence]:
        step = cast("CutoverStep", entry.step)
        moving = step.moving(self._ctx(entry))
        door = self._door(moving[0].name).towards("b" if direction == "forward" else "a")
        done = cut_over(
            self._sessions,
            moving,
            direction,
            door,
            by=f"tracseq-migrate, rehearsal of {self._plan.week}",
            check=lambda: _heard(self._system),
            told=lambda text: self._say(entry, text),
        )
        self._changes.append(
            RehearsedChange(entry.id, direction, round(done.held, 4), step.write_gap, done.tries, done.rows)
        )
        if done.held > step.write_gap:
            self._found.append(
                f"{entry.id}: writes waited {done.held:.2f} s, and the plan allows {step.write_gap:g} s"
            )
        return done.evidence()

    def _compared(self) -> None:
        """Both sides of everything that follows, row for row, whichever owns it. Raises `StepFailed` where they differ."""
        for entry in self._entries:
            if isinstance(entry.step, ReplicateStep):
                entry.step.verify(self._ctx(entry))

    def _looked_at(self, people: Writers) -> None:
        wrong = people.look(patience=_CLONING) if people.replications else []
        self._found += wrong[:20] + ([f"and {len(wrong) - 20} more"] if len(wrong) > 20 else [])

    # -- how ---------------------------------------------------------------------------------------------------------------

    def _timed(self, entry: StepEntry, work: Any) -> None:
        system = self._system
        _heard(system)
        began = system.clock.monotonic()
        doing: Any = "revert" if len(self._seconds[entry.id]) == 1 else "apply"
        system.observer.emit(notes.StepBegan(system.clock.now(), entry.id, entry.title, doing, entry.timeout))
        try:
            evidence: list[Evidence] = work()
        except FAILURES as error:
            seconds = system.clock.monotonic() - began
            text = str(system.redact(str(error)))
            system.observer.emit(
                notes.StepFailedNote(
                    system.clock.now(),
                    entry.id,
                    entry.title,
                    doing,
                    text,
                    getattr(error, "hint", ""),
                    seconds,
                )
            )
            raise StepFailed(f"{entry.id}: {text}", hint=getattr(error, "hint", "")) from error
        seconds = system.clock.monotonic() - began
        self._seconds[entry.id].append(round(seconds, 3))
        texts = [str(system.redact(each.text)) for each in evidence]
        self._evidence[entry.id] = texts
        undone = doing == "revert"
        system.observer.emit(
            notes.StepDone(system.clock.now(), entry.id, entry.title, undone, seconds, texts)
        )

    def _say(self, entry: StepEntry, text: str) -> None:
        system = self._system
        system.observer.emit(notes.StepSaid(system.clock.now(), entry.id, str(system.redact(text))))

    def _ctx(self, entry: StepEntry) -> StepContext:
        made = context(
            self._system,
            self._ledger,
            week=self._plan.week,
            run_id=self._run,
            step_id=entry.id,
            digest="",
            timeout=entry.timeout,
            writing=False,
            texts=self._plan.texts,
        )
        away: dict[str, Any] = {
            name: _Nowhere(name)
            for name in (
                "http",
                "gateway",
                "flags",
                "rollout",
                "databases",
                "founding",
                "dumps",
                "prober",
                "commands",
            )
        }
        return replace(
            made,
            sessions=self._sessions,
            services=cast("Any", self._following),
            journal=self._notebooks[entry.id],
            **away,
        )

    def view(self, clones: Sequence[Clone], left: Sequence[str]) -> RehearsalView:
        """What came of it."""
        system, tally = self._system, self._tally
        verdict = "fail" if self._found or left else "pass"
        return RehearsalView(
            system.header,
            self._plan.week,
            self._plan.title,
            "pass" if verdict == "pass" else "fail",
            [str(system.redact(text)) for text in (*self._found, *(f"left behind: {name}" for name in left))],
            [
                (each.scratch.database, each.how, each.bytes, round(each.seconds, 3), each.note)
                for each in clones
            ],
            [
                RehearsedStep(
                    entry.id,
                    entry.title,
                    entry.step.kind,
                    self._seconds[entry.id],
                    self._evidence[entry.id],
                    "" if _rehearsable(entry.step) else _why_not(entry.step),
                )
                for entry in self._plan.entries()
            ],
            self._changes,
            "hold" if self._holds else "refuse",
            self._losses,
            self._notes,
            tally.acknowledged,
            tally.inserted,
            tally.updated,
            tally.deleted,
            tally.refused,
            dict(sorted(tally.tables.items())),
            list(left),
            system.type_this(f"{'plan' if verdict == 'pass' else 'rehearse'} {self._plan.week}"),
        )


def _why_not(step: Step) -> str:
    if isinstance(step, SqlStep):
        return "it makes a database of its own"
    return "it touches or asks what is outside of the databases"


__all__ = ["clean", "rehearse"]
