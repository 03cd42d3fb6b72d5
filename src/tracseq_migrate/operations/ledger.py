"""The journal during an operation: append, and know at once what it means."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any

from tracseq_migrate.errors import Locked, Residue
from tracseq_migrate.journal import chain
from tracseq_migrate.journal.replay import State, replay
from tracseq_migrate.operations.system import System
from tracseq_migrate.ports import Draft, Event, Record

_WORTH_KEEPING = 500
"""Events: folding fewer than these takes less time than anybody notices."""
_MACHINE = frozenset({"plan", "undo", "digest", "data"})
_LONGEST = 20_000
"""Characters of one text that are kept. Who sent it might have gone on for ever."""
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
    """The state that the events fold to, and the one way to add more. Safe to use from several threads.

    No event is held: whoever needs the story itself reads `history`.
    """

    def __init__(self, system: System, *, glance: bool = False) -> None:
        """Read the journal whole, and verify its chain.

        Args:
            system: whose journal.
            glance: for commands that only look: go on from a fold that was kept, where the journal has the very hashes of the
                events that were folded, none missing; the chain is verified from there on.

        Raises:
            Residue: an event does not fit the chain; nothing may be built on it.
        """
        self._system = system
        self._lock = threading.RLock()
        self._hashes = hashlib.sha256()
        self._hashed = 0
        """Events whose hashes are in `_hashes`, which a kept fold is held against."""
        self.state = (glance and self._kept()) or State()
        known = self.state.events
        self.refresh()
        if self.state.events - known >= _WORTH_KEEPING and glance:
            self.keep()

    def _kept(self) -> State | None:
        body = self._system.store.kept_fold()
        if body is None:
            return None
        from tracseq_migrate.journal.snapshot import load

        kept = load(body)
        if kept is None:
            return None
        state, expected = kept
        found = hashlib.sha256()
        for piece in self._system.store.hashes(state.events):
            found.update(piece)
        if found.hexdigest() != expected or self.known_head(state.events) != state.head:
            return None
        self._hashes, self._hashed = found, state.events
        return state

    def keep(self) -> None:
        """Keep the fold for those who look later, where that saves them time."""
        if self.state.events >= _WORTH_KEEPING:
            from tracseq_migrate.journal.snapshot import dump

            with self._lock:
                if self._hashed == self.state.events:
                    self._system.store.keep_fold(dump(self.state, self._hashes.hexdigest()))

    def refresh(self) -> None:
        """Take up what others appended. Raises as the constructor does."""
        with self._lock:
            self.state = replay(self._counted(self._verified()), self.state)

    def _counted(self, events: Iterable[Event]) -> Iterator[Event]:
        """The same, their hashes noted."""
        for event in events:
            self._hashes.update(event.hash.encode())
            self._hashed += 1
            yield event

    def _verified(self) -> Iterator[Event]:
        walk = chain.Walk(self.state.events, self.state.head)
        for record in self._system.store.records(after=self.state.events):
            broken = walk.take(record)
            if broken is None:
                try:
                    event = chain.event_of(record)
                except (TypeError, ValueError):
                    broken = chain.Break(record.seq, "it cannot be read")
            if broken is not None:
                raise Residue(
                    f"the journal is broken at event {broken.seq}: {broken.why}",
                    state=f"The journal in {self._system.store.location} was not touched; nothing was changed.",
                    hint=f"`{self._system.type_this('log verify')}` shows how much of it fits. Put the last good copy of "
                    f"its folder back, or `{self._system.type_this('state import FILE')}`.",
                )
            yield event

    def history(self) -> Iterator[Event]:
        """The events from the beginning to where the state is now, read anew."""
        last = self.state.events
        return takewhile(lambda event: event.seq <= last, self._system.store.read())

    def append(self, *drafts: Draft, lease: bool = True) -> Sequence[Event]:
        """Append all or nothing, durably; secrets are taken out first.

        Args:
            drafts: what to append.
            lease: whether these are run events, which need the lease.

        Raises:
            Locked: the lease was lost.
        """
        system = self._system
        clean = [self._clean(draft) for draft in drafts]
        with self._lock:
            if not lease:
                self.refresh()
            epoch = system.gate.epoch if lease else None
            if lease and epoch is None:
                raise AssertionError("a run event was tried without the lease")
            at = system.clock.now()
            try:
                appended = system.store.append(clean, epoch=epoch, at=at)
            except Locked:
                if epoch is not None:
                    system.lease.check(epoch)  # the lease knows best how it was lost, and says so
                raise
            except UnicodeEncodeError:  # half a character, out of an argument or an answer: it has no bytes
                appended = system.store.append([_in_unicode(d) for d in clean], epoch=epoch, at=at)
            if appended[0].seq != self.state.events + 1:
                self.refresh()
            else:
                self.state = replay(self._counted(appended), self.state)
            return appended

    def sealed(self, *drafts: Draft, at: datetime) -> Sequence[Record]:
        """What `append` would write now, secrets taken out; nothing is written."""
        records: list[Record] = []
        previous = self.state.head
        for draft in drafts:
            clean = self._clean(draft)
            seq = self.state.events + len(records) + 1
            try:
                record, _ = chain.sealed(clean, seq, at, previous)
            except UnicodeEncodeError:
                record, _ = chain.sealed(_in_unicode(clean), seq, at, previous)
            records.append(record)
            previous = record.hash
        return records

    def append_last(self, draft: Draft) -> None:
        """Append a run event, and nothing after it: whoever would append from then on waits until the process ends.

        Raises:
            Locked: the lease was lost.
        """
        self._lock.acquire()
        try:
            self.append(draft)
        except BaseException:
            self._lock.release()
            raise

    def _clean(self, draft: Draft) -> Draft:
        return Draft(draft.type, draft.week, draft.run_id, draft.step, self._cleaned(draft.data))

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
        if not isinstance(value, str):
            return value
        text = str(self._system.redact(value)) if key in _TEXTS else value
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters in all)"

    def known_head(self, seq: int) -> str | None:
        """The hash of an event of this journal; None where it has no such event."""
        first = next(iter(self._system.store.records(after=seq - 1)), None) if seq > 0 else None
        return first.hash if first is not None and first.seq == seq else None


def _in_unicode(draft: Draft) -> Draft:
    return Draft(draft.type, _whole(draft.week), _whole(draft.run_id), _whole(draft.step), _whole(draft.data))


def _whole(value: Any) -> Any:
    """The same with every half of a character replaced."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(item) for item in value]
    return value
