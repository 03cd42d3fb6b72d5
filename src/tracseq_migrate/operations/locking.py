"""The lock as people meet it: waiting for it, looking at who holds it, and taking it away from a holder that will not end."""

from __future__ import annotations

import secrets
import shlex
from datetime import datetime

from tracseq_migrate import duration
from tracseq_migrate.errors import Declined, Interrupted, Locked, NotAllowed, UsageError
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import State, WeekState, WeekStatus
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.observer import LockAwaited
from tracseq_migrate.operations.order import shown
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import LockReleasedView, LockView
from tracseq_migrate.ports import Holder, LeaseInfo, Sighting

_PAUSE = 0.1
_HEARTBEAT = 15.0


def holder_of(system: System) -> Holder:
    """This process, as whoever meets its lock will see it."""
    person = system.identity.whoami()
    return Holder(secrets.token_hex(4), person.name, system.host, system.pid, system.command)


def await_lease(system: System, holder: Holder, *, timeout: float) -> LeaseInfo:
    """Take the lease, waiting ``timeout`` seconds for another to end, and telling meanwhile who that is.

    Raises:
        Locked: another holds it still.
        Interrupted: a signal came while it waited.
    """
    clock = system.clock
    deadline = clock.monotonic() + timeout
    told = float("-inf")
    while True:
        try:
            return system.lease.acquire(holder, timeout=0)
        except Locked as error:
            now = clock.monotonic()
            if now >= deadline:
                waited = f" (waited {duration.show(timeout)} for it)" if timeout else ""
                raise Locked(f"{error.message}{waited}", state=error.state, hint=error.hint) from error
            if now - told >= _HEARTBEAT:
                told = now
                system.observer.emit(LockAwaited(clock.now(), error.message, deadline - now))
        if system.interrupt.requested:
            raise Interrupted(
                system.interrupt.requested,
                state="Nothing was changed: it was waiting for the lock.",
                hint=f"`{system.type_this('lock show')}` says who holds it; then type the same command again.",
            )
        clock.sleep(min(_PAUSE, deadline - now))


def awaits_another(system: System, timeout: float) -> bool:
    """Whether somebody is at work, and the command was told to wait for that: what is refused now may be allowed then."""
    return timeout > 0 and system.lease.show() is not None


def show(system: System) -> LockView:
    """Who holds the lock, and how it is known that the holder lives. Needs no lease, and disturbs nobody."""
    seen = system.lease.look()
    if seen is None or seen.life == "gone":
        how = f"the last holder has ended: {seen.how}" if seen else "nobody holds it"
        return LockView(system.header, held=False, how=how, next_command=system.type_this("status"))
    info, holder = seen.info, seen.info.holder
    return LockView(
        system.header,
        held=True,
        how=seen.how,
        next_command=_next_of_holder(system, seen),
        holder_id=holder.holder_id,
        person=holder.person,
        host=holder.host,
        pid=holder.pid,
        command=holder.command,
        since=info.since,
        expires=info.expires,
        epoch=info.epoch,
        life=seen.life,
    )


def _next_of_holder(system: System, seen: Sighting) -> str:
    if seen.life == "believed":
        return system.type_this(f"lock release {seen.info.holder.holder_id}")
    return system.type_this("status")


def release(
    system: System, holder_id: str, *, assume_yes: bool, force: bool, reason: str
) -> LockReleasedView:
    """Take the lock away from a holder: it is fenced from then on, and its run is broken off where it stands.

    What it runs on this machine is ended before anything else is done. On another machine its programs may go on until the
    holder itself finds that the lock is gone, at its next sign of life.

    Raises:
        UsageError: ``force`` without a reason.
        NotAllowed: this holder does not hold it; or it is seen to live, and nobody said ``force``; or nobody can be asked
            and nobody said ``assume_yes``.
        Declined: a person said no.
    """
    if force and not reason.strip():
        raise UsageError(
            "--force breaks a living run off: say why, with --reason TEXT (it stands in the journal)"
        )
    seen = system.lease.look()
    _refuse(system, seen, holder_id, force=force)
    assert seen is not None  # noqa: S101 - refused above
    ledger = Ledger(system)
    who = _who(seen.info)
    if not assume_yes:
        if not system.asker.present:
            given = f" --force --reason {shlex.quote(reason)}" if force else ""
            raise NotAllowed(
                f"releasing the lock of {who} breaks its run off, and nobody is here to be asked",
                hint=f"`{system.type_this(f'lock release {holder_id}{given} --yes')}`",
            )
        living = " Its run is broken off in the middle." if seen.life == "alive" else ""
        if not system.asker.confirm(f"Take the lock away from {who}?{living} ({seen.how})"):
            raise Declined(f"declined: the lock stays with {who}", hint=f"`{system.type_this('lock show')}`")
    me, by = system.identity.whoami(), holder_of(system)
    taken = system.lease.take_away(holder_id, by)
    broken_off = _at_work(ledger.state)
    ledger.append(
        v.lock_released(
            broken_off.week if broken_off else "",
            (broken_off.rollback_id or broken_off.run_id) if broken_off else "",
            holder=taken.holder,
            since=taken.since,
            epoch=taken.epoch,
            life=seen.life,
            how=seen.how,
            reason=reason,
            person=me,
            command=system.command,
        ),
        lease=False,
    )
    state = _at_work(ledger.state)
    return LockReleasedView(
        system.header,
        taken.holder.holder_id,
        taken.holder.person,
        taken.holder.host,
        taken.holder.pid,
        taken.holder.command,
        taken.since,
        seen.life,
        me.name,
        reason,
        state.week if state else "",
        str(shown(state, None)) if state else "",
        system.type_this(f"resume {state.week}" if state else "status"),
        here=taken.holder.host == system.host,
    )


def _refuse(system: System, seen: Sighting | None, holder_id: str, *, force: bool) -> None:
    look = f"`{system.type_this('lock show')}` shows the lock as it is now."
    if seen is None:
        raise NotAllowed("nobody holds the lock: there is nothing to release", hint=look)
    holder, who = seen.info.holder, _who(seen.info)
    if holder.holder_id != holder_id:
        raise NotAllowed(
            f"the lock is not held by {holder_id}, but by {holder.holder_id}: {who}",
            hint=f"Whoever holds it may have changed since you looked. {look}",
        )
    if seen.life == "gone":
        raise NotAllowed(
            f"the lock of {who} is free already: {seen.how}",
            hint=f"The next command takes it by itself. `{system.type_this('status')}` says what to type next.",
        )
    if seen.life == "alive" and not force:
        # A stopped process hears no signal but CONT and KILL: any other waits until it goes on.
        lives, goes_on, end = (
            ("lives, but is stopped", "Its run stands still", f"Let it go on (`kill -CONT {holder.pid}`")
            if seen.stopped
            else (
                "lives and is at work",
                "Its run goes on",
                f"End it where it runs (`kill {holder.pid}` on {holder.host} lets it finish its step",
            )
        )
        raise NotAllowed(
            f"{who} {lives}: {seen.how}",
            state=f"{goes_on}; nothing was changed.",
            hint=f"{end}), or break it off in the middle: "
            f'`{system.type_this(f"lock release {holder_id} --force --reason")} "..."`',
        )


def _at_work(state: State) -> WeekState | None:
    """The week that a run or a rollback is in the middle of, by the journal."""
    moving = [w for w in state.weeks.values() if w.status in (WeekStatus.RUNNING, WeekStatus.ROLLING_BACK)]
    return max(moving, key=lambda w: w.begun) if moving else None


def _who(info: LeaseInfo) -> str:
    holder = info.holder
    return f"{holder.person} on {holder.host} (pid {holder.pid}, `{holder.command}`, since {_moment(info.since)})"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
