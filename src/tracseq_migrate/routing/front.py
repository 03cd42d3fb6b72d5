"""What stands in front of data that changes its owner: requests held for a moment, sent over, or sent back, by the same flags.

The parts of a flip, one by one, for whoever has to do something between them. Each can be called again, and from whatever state
a crash may have left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from tracseq_migrate.errors import Locked, StepFailed
from tracseq_migrate.ports import ProbeReport, StaleSwitch, Unreachable
from tracseq_migrate.routing.flip import OWED, PROBES_A_SECOND, Flip, declare, probe_targets, see
from tracseq_migrate.routing.orders import Order
from tracseq_migrate.step import Evidence, StepContext

HOLD = 1.0
"""Seconds after which the proxy lets held writes go by itself, whatever became of the one who asked."""
_PAUSE = 0.01


class GatewayFront:
    """The gateway and its proxy, in front of tables that move.

    Args:
        ctx: of the step.
        over: the flags by which requests reach the new owner.
        back: those by which they reach the present one.
        order: what becomes of writes in the moment of the change: only ``hold`` lets them wait.
        prove: given the name of a prepared instance, sees who answers through it; raises `StepFailed`.
    """

    def __init__(
        self,
        ctx: StepContext,
        *,
        over: Flip,
        back: Flip,
        order: Order,
        prove: Callable[[str], Sequence[Evidence]] = lambda _: (),
    ) -> None:
        self._ctx = ctx
        self.order = order
        self._over = over
        self._back = back
        self._prove = prove
        self._prefixes = sorted({ctx.routes[flag].prefix for flag in over.expect if flag in ctx.routes})
        self.proofs: list[Evidence] = []
        self._probing = (
            None if ctx.settled else ctx.prober.start(probe_targets(ctx, over.expect), rate=PROBES_A_SECOND)
        )

    @property
    def wanted(self) -> Mapping[str, bool]:
        """What is effective when requests reach the new owner."""
        return self._over.expect

    def prepare(self) -> None:
        """Declare the flags, and have instances with them up, out of rotation. Raises `StepFailed`."""
        ctx = self._ctx
        try:
            ctx.rollout.unfinished()
        except Unreachable as error:
            raise StepFailed(str(error)) from error
        declare(ctx, self._over)
        ctx.say("bringing instances up with the flags, out of rotation")
        prepared = list(ctx.rollout.prepare(self._over.expect, timeout=ctx.remaining()))
        self.proofs = [evidence for name in prepared[:1] for evidence in self._prove(name)]

    def hold(self) -> None:
        """Writes below the prefixes wait from here on, at most `HOLD` seconds. Raises `Unreachable`."""
        if self.order == "hold":
            self._ctx.rollout.hold(self._prefixes, seconds=HOLD)

    def settle(self, seconds: float) -> int | None:
        """Wait until no write is under way, at most so long; how many still are, None where nobody can tell."""
        if self.order != "hold":
            return None  # they come in as they go out: there is nothing to wait for
        clock = self._ctx.clock
        until = clock.monotonic() + seconds
        while True:
            under_way = self._ctx.rollout.writes_in_flight(self._prefixes)
            if not under_way or clock.monotonic() >= until:
                return under_way
            clock.sleep(_PAUSE)

    def switch(self, epoch: int) -> None:
        """Send requests to the new owner. Raises `StepFailed`, `Unreachable`; `Locked` where a later epoch has switched."""
        with _not_stale():
            self._ctx.rollout.commit(self._over.expect, timeout=self._ctx.remaining(), epoch=epoch)

    def turn_back(self, epoch: int) -> None:
        """Send requests to the present owner, who stays the owner. Raises `StepFailed`, `Unreachable`."""
        ctx = self._ctx
        declare(ctx, self._back)
        with _not_stale():
            ctx.rollout.abort(self._back.expect, timeout=ctx.remaining(), epoch=epoch)
        see(ctx, self._back.expect)
        ctx.journal.settle(OWED)

    def release(self) -> None:
        """Let held writes go. Harmless at any time, and what cannot be told the proxy ends by itself."""
        with suppress(Unreachable):
            self._ctx.rollout.release()

    def finish(self) -> None:
        """Let old requests end, and have every instance take the flags up. Raises `StepFailed`."""
        ctx = self._ctx
        # Whoever recovers comes here without `prepare`: the store has to say so too, before an instance is started anew.
        declare(ctx, self._over)
        ctx.rollout.finish(self._over.expect, timeout=ctx.remaining())
        see(ctx, self._over.expect)
        ctx.journal.settle(OWED)

    def stop(self) -> ProbeReport:
        """End the measuring; what clients noticed since this was made."""
        probing, self._probing = self._probing, None
        return probing.stop() if probing is not None else ProbeReport(0, 0)


@contextmanager
def _not_stale() -> Iterator[None]:
    try:
        yield
    except StaleSwitch as error:
        raise Locked(
            f"somebody else has switched the requests meanwhile: {error}",
            hint="Whoever did goes on with it; `tracseq-migrate status` says how far.",
        ) from error


__all__ = ["HOLD", "GatewayFront"]
