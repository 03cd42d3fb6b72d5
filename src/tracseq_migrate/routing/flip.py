"""The flag transaction: declare, let the gateway take it up, and see it; there and back by the same code.

The order is: look; write the store by compare-and-swap; a reload is owed from here on; prepare instances out of rotation and
prove the routes on their own address; commit; read the effective flags back from everywhere; finish; read back again. A prober
measures meanwhile what clients notice. Nothing here undoes: whoever calls decides, and undoing is the same transaction with the
old entries.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from tracseq_migrate import duration
from tracseq_migrate.errors import InvalidSetup, StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports import ProbeReport, ProbeTarget, Unreachable
from tracseq_migrate.routing import values
from tracseq_migrate.routing.readback import CONNECTIONS, STARTED_ANEW, await_flags, disagreements
from tracseq_migrate.step import Evidence, StepContext

OWED = "reload"
SWITCHING = "switching"
"""The checkpoint from which on clients may be on the new side; before it nobody was sent there."""

PROBES_A_SECOND = 20.0


@frozen
class Flip:
    """What the transaction is to bring about.

    ``entries`` goes to the store (see `FlagStore.write`); ``expect`` is what must be effective afterwards.
    """

    entries: Mapping[str, str | None]
    expect: Mapping[str, bool]


@frozen
class Flipped:
    """What was measured. Seconds; ``switched`` is how long the commit itself took."""

    strategy: str
    written: bool
    prepared: Sequence[str]
    switched: float
    elapsed: float
    readings: int
    clients: ProbeReport
    proofs: Sequence[Evidence] = field(default_factory=tuple)

    def evidence(self) -> list[Evidence]:
        """In sentences, with the numbers behind them."""
        clients = self.clients
        failed = f"{clients.failed} failed" if clients.failed else "none failed"
        gap = f", longest without an answer {duration.show(clients.unavailable)}" if clients.failed else ""
        return [
            Evidence(
                f"flipped by {self.strategy} in {duration.show(self.elapsed)}, the switch itself {duration.show(self.switched)}; "
                f"{clients.requests} probes meanwhile, {failed}{gap}, slowest {duration.show(clients.slowest)}",
                {
                    "what": "flip",
                    "strategy": self.strategy,
                    "prepared": list(self.prepared),
                    "switch_seconds": round(self.switched, 6),
                    "seconds": round(self.elapsed, 4),
                    "readings": self.readings,
                    "probes": clients.requests,
                    "failed": clients.failed,
                    "failed_by_kind": dict(clients.by_kind),
                    "unavailable_seconds": round(clients.unavailable, 4),
                    "median_seconds": round(clients.median, 6),
                    "p99_seconds": round(clients.p99, 6),
                    "slowest_seconds": round(clients.slowest, 6),
                },
            ),
            *self.proofs,
        ]


def carry_out(
    ctx: StepContext,
    flip: Flip,
    *,
    prove: Callable[[str], Sequence[Evidence]],
    before_commit: Callable[[], None] = lambda: None,
) -> Flipped:
    """Carry the transaction out, from whatever state a crash may have left.

    Args:
        ctx: of the step.
        flip: what to bring about.
        prove: given the name of a prepared instance, sees who answers through it; raises `StepFailed`. Called before any
            client is sent there.
        before_commit: called at the last moment before clients are moved; what it raises stops the flip.

    Raises:
        StepFailed: something did not come about. The store may be written and the rotation changed.
    """
    began = ctx.clock.monotonic()
    probing = ctx.prober.start(probe_targets(ctx, flip.expect), rate=PROBES_A_SECOND)
    try:
        try:
            ctx.rollout.unfinished()  # who cannot be asked cannot be switched: better known before anything is written
        except Unreachable as error:
            raise StepFailed(str(error)) from error
        written = declare(ctx, flip)
        ctx.say(
            "bringing instances up with the flags, out of rotation"
            if ctx.rollout.strategy == "proxy"
            else "preparing"
        )
        prepared = list(ctx.rollout.prepare(flip.expect, timeout=ctx.remaining()))
        proofs = [evidence for name in prepared[:1] for evidence in prove(name)]
        before_commit()
        ctx.say(f"switching by {ctx.rollout.strategy}")
        ctx.journal.checkpoint(SWITCHING, {"strategy": ctx.rollout.strategy}, "either")
        at = ctx.clock.monotonic()
        ctx.rollout.commit(flip.expect, timeout=ctx.remaining())
        switched = ctx.clock.monotonic() - at
        ctx.say("letting old requests end, and bringing every instance up with the flags")
        ctx.rollout.finish(flip.expect, timeout=ctx.remaining())
        readings = see(ctx, flip.expect)
        ctx.journal.settle(OWED)
    finally:
        clients = probing.stop()
    return Flipped(
        strategy=ctx.rollout.strategy,
        written=written,
        prepared=prepared,
        switched=switched,
        elapsed=ctx.clock.monotonic() - began,
        readings=readings,
        clients=clients,
        proofs=proofs,
    )


def put_back(ctx: StepContext, flip: Flip, *, before_commit: Callable[[], None] = lambda: None) -> Flipped:
    """The same transaction on the way back: where it cannot go the gentle way, it goes any way that ends right.

    Raises:
        StepFailed: the old flags are not in force everywhere; the message says what is left.
    """
    try:
        return carry_out(ctx, flip, prove=lambda _: (), before_commit=before_commit)
    except StepFailed as gentle:
        ctx.say(f"trying once more, less gently: {gentle.message}")
        began = ctx.clock.monotonic()
        before_commit()
        declare(ctx, flip)
        ctx.rollout.abort(flip.expect, timeout=ctx.remaining())
        readings = see(ctx, flip.expect)
        ctx.journal.settle(OWED)
        elapsed = ctx.clock.monotonic() - began
        return Flipped(
            strategy=ctx.rollout.strategy,
            written=True,
            prepared=(),
            switched=elapsed,
            elapsed=elapsed,
            readings=readings,
            clients=ProbeReport(0, 0),
        )


def see(ctx: StepContext, expect: Mapping[str, bool]) -> int:
    """Read the flags back from every instance and the public address until all agree, and see that the rollout is whole.

    Returns how many readings agreed.

    Raises:
        StepFailed: they do not agree before the step's time is over, or an instance is out of rotation.
    """
    readings = await_flags(
        ctx.gateway,
        ctx.clock,
        expect,
        instances=[*ctx.gateway.instances, None],
        deadline=ctx.clock.monotonic() + ctx.remaining(10.0),
        connections=CONNECTIONS,
        patience=STARTED_ANEW if ctx.settled else float("inf"),
    )
    try:
        unfinished = ctx.rollout.unfinished()
    except Unreachable as error:
        raise StepFailed(str(error), unknown=True) from error
    if unfinished:
        raise StepFailed(unfinished, hint="Bring it back into rotation; or run `rollback`, which does.")
    return readings


def declare(ctx: StepContext, flip: Flip) -> bool:
    """Write the store where it does not say so yet. The owed reload is journaled first: it survives a crash."""
    try:
        now = ctx.flags.read()
        change = ctx.flags.preview(flip.entries)
    except InvalidSetup as error:
        raise StepFailed(error.message, hint=error.hint) from error
    if change.before == change.after:
        clear_up(ctx, flip)
        return False
    ctx.journal.owe(
        OWED,
        f"the gateway must take up {', '.join(f'{k}={values.spell(v)}' for k, v in flip.expect.items())}",
        "the effective flags of every instance agree",
    )
    ctx.flags.write(flip.entries, expected=now.digest)
    ctx.journal.checkpoint("declared", {"location": ctx.flags.location}, "either")
    return True


def keep_declared(ctx: StepContext, flip: Flip, back: Flip) -> None:
    """Going back failed. Where every instance still has the new flags, the store must say so too: otherwise the next restart
    of an instance would send clients back, uncounted."""

    def having(expect: Mapping[str, bool]) -> bool:
        return any(
            not disagreements(ctx.gateway, expect, instances=[name], connections=1, timeout=2.0)
            for name in ctx.gateway.instances
        )

    if having(flip.expect) and not having(back.expect):
        declare(ctx, flip)


def clear_up(ctx: StepContext, flip: Flip) -> None:
    """Where the store says already what it is to say, have it take away what a write that was cut off left beside it."""
    with contextlib.suppress(
        InvalidSetup, StepFailed
    ):  # what is left there does no harm, and ends with the next write
        now = ctx.flags.read()
        change = ctx.flags.preview(flip.entries)
        if change.before == change.after:
            ctx.flags.write(flip.entries, expected=now.digest)


def probe_targets(ctx: StepContext, expect: Mapping[str, bool]) -> list[ProbeTarget]:
    """What is asked all the time while flags change, to measure what clients notice."""
    prefixes = [ctx.routes[flag].prefix for flag in expect if flag in ctx.routes]
    return [ProbeTarget("gateway", "/health"), *(ProbeTarget("gateway", prefix) for prefix in prefixes)]
