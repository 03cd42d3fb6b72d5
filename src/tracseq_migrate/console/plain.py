"""An operation in plain lines, for pipes and log files: one line a transition, and a sign of life on long steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from tracseq_migrate import duration
from tracseq_migrate.console.ending import ending
from tracseq_migrate.console.ink import Ink, Line, Tone
from tracseq_migrate.console.moments import left, moment, spent
from tracseq_migrate.console.stream import Stream
from tracseq_migrate.operations.observer import (
    Began,
    CheckDone,
    Finished,
    LockAwaited,
    Note,
    StepBegan,
    StepDone,
    StepFailedNote,
    StepSaid,
    StepWaiting,
    SyncSaid,
    TurnedBack,
    Warned,
)

_PATIENCE = 1.0
"""How long closing waits for the pulse: a signal's handler may close while this very thread is inside `emit`."""
DOING = {"apply": "begins", "verify": "is looked at", "probe": "is probed", "revert": "goes back"}
_BELOW = " " * 29
"""Under the text of a line, to the right of its time and its word."""
_CHECKS = {"pass": ("ok", Tone.GOOD), "fail": ("FAIL", Tone.BAD), "unknown": ("UNKNOWN", Tone.DOUBT)}


@dataclass(slots=True)
class _Running:
    title: str
    doing: str
    allowed: float
    since: float
    spoken: float
    said: str = ""


class PlainObserver:
    """Each line: time in UTC, a word that can be grepped, and a sentence; what a failed program wrote stands indented below.

    ``quiet`` keeps failures, warnings and the end; ``verbose`` adds what steps say, all of their evidence, and when they
    are looked at. A line of
    life comes when a step has been silent for ``heartbeat`` seconds.
    """

    def __init__(
        self,
        stream: Stream,
        ink: Ink,
        *,
        quiet: bool = False,
        verbose: bool = False,
        heartbeat: float = 30.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._ink = stream, ink
        self._quiet, self._verbose = quiet, verbose
        self._heartbeat, self._monotonic = heartbeat, monotonic
        self._lock = threading.RLock()
        self._running: dict[str, _Running] = {}
        self._stop = threading.Event()
        self._pulse: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def emit(self, note: Note) -> None:
        with self._lock:
            self._take(note)

    def close(self) -> None:
        """End the signs of life. Harmless when called again."""
        self._stop.set()
        if self._pulse is not None:
            self._pulse.join(_PATIENCE)
            self._pulse = None

    def _take(self, note: Note) -> None:
        match note:
            case Began():
                count = f"{len(note.steps)} step{'' if len(note.steps) == 1 else 's'}"
                self._say(
                    note, "begin", f"{note.operation} of {note.week}: {note.title} ({count}, {note.run_id})"
                )
            case CheckDone():
                word, tone = _CHECKS[note.verdict]
                remedy = f" ({note.remedy})" if note.remedy and note.verdict != "pass" else ""
                line = f"check {note.id}: {note.detail or note.title}{remedy}"
                self._say(note, word, line, tone, always=note.verdict != "pass")
            case StepBegan():
                now = self._monotonic()
                self._running[note.step] = _Running(note.title, note.doing, note.allowed, now, now)
                if self._verbose or note.doing != "verify":
                    self._say(note, "step", f"{note.step} {DOING[note.doing]}: {note.title}")
                self._start_pulse()
            case StepSaid():
                running = self._running.get(note.step)
                if running is not None:
                    running.said = note.text
                if self._verbose:
                    self._say(note, "step", f"{note.step}: {note.text}")
            case StepDone():
                self._running.pop(note.step, None)
                self._done(note)
            case StepFailedNote():
                self._running.pop(note.step, None)
                self._failed(note)
            case StepWaiting():
                self._running.pop(note.step, None)
                until = f", {left(note.until, note.at)}" if note.until else ""
                line = f"{note.step} waits for {note.on}{until}"
                self._say(note, "waiting", line, Tone.WARN, always=True)
            case TurnedBack():
                self._say(note, "BACK", f"going back: {self._ink.gist(note.reason)}", Tone.WARN, always=True)
            case LockAwaited():
                line = f"{note.text}; waiting for it, {duration.show(note.remaining)} more at most"
                self._say(note, "lock", line, Tone.WARN, always=True)
            case SyncSaid():
                trouble = note.state == "in trouble"
                word, tone = ("FAIL", Tone.BAD) if trouble else ("sync", Tone.PLAIN)
                name = "" if note.replication == "-" else f"{note.replication} {note.state}: "
                self._say(note, word, f"{name}{note.text}", tone, always=trouble)
            case Warned():
                self._say(note, "WARN", note.text, Tone.WARN, always=True)
            case Finished():
                self._running.clear()
                tone = Tone.GOOD if note.exit_code == 0 else Tone.BAD
                told = ": ".join(part for part in ending(note, self._ink) if part)
                line = f"{told} (exit {note.exit_code}, {duration.show(note.seconds)})"
                self._say(note, "end", line, tone, always=True)
                if note.next_command:
                    self._say(note, "next", note.next_command, always=True)
            case _:
                self._say(note, note.type or "note", "", always=False)

    def _done(self, note: StepDone) -> None:
        word = "undone" if note.undone else "ok"
        seen = list(note.evidence) if self._verbose else list(note.evidence)[:1]
        more = len(note.evidence) - len(seen)
        evidence = "; ".join(seen) or ("it was so already" if note.already else note.title)
        also = f" (and {more} more)" if more else ""
        again = ", already so" if note.already and seen else ""
        line = f"{note.step}: {evidence}{also}{again} [{duration.show(note.seconds)}]"
        self._say(note, word, line, Tone.GOOD)

    def _failed(self, note: StepFailedNote) -> None:
        first, *rest = self._ink.safe(note.error).strip().split("\n")
        retried = note.again is not None
        if retried and not self._verbose:  # the last try tells it in full
            first, rest = self._ink.gist(note.error), []
        hint = f" ({note.hint})" if note.hint else ""
        again = f"; again in {duration.show(note.again)}" if note.again is not None else ""
        line = f"{note.step}: {first}{hint} [{note.doing}, {duration.show(note.seconds)}]{again}"
        below = [text.rstrip() for text in rest if text.strip()]
        word, tone = ("retry", Tone.WARN) if retried else ("FAIL", Tone.BAD)
        self._write(note.at, word, line, tone, below)

    def _say(
        self, note: Note, word: str, text: str, tone: Tone = Tone.PLAIN, *, always: bool = False
    ) -> None:
        if self._quiet and not always:
            return
        self._write(note.at, word, text, tone)

    def _write(
        self, at: datetime, word: str, text: str, tone: Tone = Tone.PLAIN, below: Sequence[str] = ()
    ) -> None:
        line: Line = ((moment(at), Tone.MUTED), " ", (f"{word:<7}", tone), " ", self._ink.flat(text))
        self._stream.line("\n".join([self._ink.text(line), *(_BELOW + more for more in below)]))

    def _start_pulse(self) -> None:
        if self._pulse is None and not self._quiet and not self._stop.is_set():
            self._pulse = threading.Thread(target=self._beat, name="console-pulse", daemon=True)
            self._pulse.start()

    def _beat(self) -> None:
        while not self._stop.wait(min(1.0, self._heartbeat / 4)):
            with self._lock:
                now = self._monotonic()
                for step, running in self._running.items():
                    if now - running.spoken < self._heartbeat:
                        continue
                    running.spoken = now
                    about = f"; {running.said}" if running.said else ""
                    length = f"{spent(now - running.since)} of at most {duration.show(running.allowed)}"
                    self._write(datetime.now(UTC), "still", f"{step} {DOING[running.doing]}, {length}{about}")
