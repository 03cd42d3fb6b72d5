"""The journal during an operation: append, and know at once what it means."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from tracseq_migrate.errors import Residue
from tracseq_migrate.journal import chain
from tracseq_migrate.journal.replay import State, replay
from tracseq_migrate.operations.system import System
from tracseq_migrate.ports import Draft, Event

_MACHINE = frozenset({"plan", "undo", "digest", "data"})
_TEXTS = frozenset(
    {
        "ask",
        "claimed",
        "command",
        "detail",
        "ends",
        "error",
        "evidence",
        "hint",
        "left",
        "on",
        "reason",
        "summary",
        "text",
        "title",
        "what",
        "why",
        "why_not",
    }
)


class Ledger:
    """Every event so far, the state that they fold to, and the one way to add more. Safe to use from several threads."""

    def __init__(self, system: System) -> None:
        """Read the journal whole, and verify its chain.

        Raises:
            Residue: an event does not fit the chain; nothing may be built on it.
        """
        self._system = system
        self._lock = threading.RLock()
        self.events: list[Event] = []
        self.state = State()
        self.refresh()

    def refresh(self) -> None:
        """Take up what others appended."""
        with self._lock:
            fresh = list(self._system.store.read(after=self.state.events))
            whole = self.events + fresh
            broken = chain.verify(whole).broken
            if broken:
                raise Residue(
                    f"the journal is broken at event {broken.seq}: {broken.why}",
                    state=f"The journal in {self._system.store.location} was not touched; nothing was changed.",
                    hint=self._system.type_this("log verify"),
                )
            self.events = whole
            self.state = replay(fresh, self.state)

    def append(self, *drafts: Draft, lease: bool = True) -> Sequence[Event]:
        """Append all or nothing, durably; secrets are taken out first.

        Args:
            drafts: what to append.
            lease: whether these are run events, which need the lease.

        Raises:
            Locked: the lease was lost.
        """
        system = self._system
        clean = [Draft(d.type, d.week, d.run_id, d.step, self._cleaned(d.data)) for d in drafts]
        with self._lock:
            if not lease:
                self.refresh()
            epoch = system.gate.epoch if lease else None
            if lease and epoch is None:
                raise AssertionError("a run event was tried without the lease")
            appended = system.store.append(clean, epoch=epoch, at=system.clock.now())
            if appended[0].seq != self.state.events + 1:
                self.refresh()
            else:
                self.events.extend(appended)
                self.state = replay(appended, self.state)
            return appended

    def _cleaned(self, value: Any, key: str = "") -> Any:
        """Secrets are taken out of what people will read. What the machine acts by later stays to the letter.

        A plan, an undo or a name with something taken out of it would be another one: going back by it would do another thing.
        """
        if key in _MACHINE:
            return value
        if isinstance(value, dict):
            return {name: self._cleaned(item, name) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._cleaned(item, key) for item in value]
        return self._system.redact(value) if key in _TEXTS else value

    def known_head(self, seq: int) -> str | None:
        """The hash of an event of this journal; None where it has no such event."""
        return self.events[seq - 1].hash if 0 < seq <= len(self.events) else None
