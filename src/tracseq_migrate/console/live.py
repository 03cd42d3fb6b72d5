"""An operation on a terminal: what is done stays and scrolls, what runs and what is to come moves below it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tracseq_migrate import duration
from tracseq_migrate.console.blocks import Block, Command, Paragraph, Space
from tracseq_migrate.console.ending import ending
from tracseq_migrate.console.ink import Ink, Line, Tone
from tracseq_migrate.console.moments import left, spent
from tracseq_migrate.console.region import Region
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

TICK = 0.1
_PATIENCE = 1.0
"""How long closing waits for the painter: a signal's handler may close while this very thread is inside `emit`."""
_DOING = {"apply": "", "verify": "verifying", "probe": "looking what is so", "revert": "going back"}


@dataclass(slots=True)
class _Line:
    """A step of the list that is still to end; ``since`` is None until it begins."""

    title: str
    group: int = 0
    doing: str = ""
    since: float | None = None
    allowed: float = 0.0
    said: str = ""
    again_at: float | None = None


class LiveObserver:
    """The checklist of an operation.

    Ended steps are printed once, with mark, time and evidence, and are never touched again; the region below has a spinner
    and the newest words of each running step, and the steps to come. ``size`` is asked at each paint, so a window may change.
    """

    def __init__(
        self,
        stream: Stream,
        ink: Ink,
        size: Callable[[], tuple[int, int]],
        *,
        reflows: bool = True,
        verbose: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ink, self._size, self._verbose, self._monotonic = ink, size, verbose, monotonic
        self._region = Region(stream, size, reflows=reflows)
        self._lock = threading.RLock()
        self._steps: dict[str, _Line] = {}
        self._total = self._ended = 0
        self._began = monotonic()
        self._checking = False
        self._open = False
        self._frame = 0
        self._stop = threading.Event()
        self._painter: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def emit(self, note: Note) -> None:
        with self._lock:
            blocks = self._take(note)
            self._paint(blocks)
            if self._open and self._painter is None and not self._stop.is_set():
                self._painter = threading.Thread(target=self._spin, name="console-live", daemon=True)
                self._painter.start()

    def close(self) -> None:
        """Take the moving part away; what is printed stays. Harmless when called again."""
        self._stop.set()
        painter, self._painter = self._painter, None
        if painter is not None:
            painter.join(_PATIENCE)
        with self._lock:
            self._open = False
            self._region.clear()

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Nothing moves inside, so that a question can be asked."""
        with self._lock:
            was, self._open = self._open, False
            self._region.clear()
        try:
            yield
        finally:
            with self._lock:
                self._open = was

    # What a note changes, and what it leaves printed.

    def _take(self, note: Note) -> list[Block]:
        marks = self._ink.marks
        match note:
            case Began():
                self._list(note.steps)
                self._began, self._checking, self._open = self._monotonic(), True, True
                title: Line = ((f"{note.operation} {note.week}", Tone.STRONG), f" {marks.dot} {note.title}")
                return [Space(), Paragraph(title), Paragraph(((note.run_id, Tone.MUTED),)), Space()]
            case CheckDone():
                return self._checked(note)
            case StepBegan():
                self._checking = False
                line = self._steps.setdefault(note.step, _Line(note.title))
                line.doing, line.allowed, line.again_at = note.doing, note.allowed, None
                if line.since is None:
                    line.since = self._monotonic()
                return []
            case StepSaid():
                if note.step in self._steps:
                    self._steps[note.step].said = self._ink.flat(note.text)
                return []
            case StepDone():
                self._end(note.step)
                return self._done(note)
            case StepFailedNote():
                return self._failed(note)
            case StepWaiting():
                self._end(note.step)
                until = f", {left(note.until, note.at)}" if note.until else ""
                return [
                    Paragraph((note.title,), mark=(marks.waiting, Tone.WARN), indent=2),
                    Paragraph((f"waits for {note.on}{until}",), indent=5),
                ]
            case TurnedBack():
                self._list(note.steps)
                why: Line = (("going back", Tone.WARN), f": {self._ink.gist(note.reason)}")
                return [Space(), Paragraph(why, mark=(marks.back, Tone.WARN)), Space()]
            case LockAwaited():
                waits = f"{note.text}; waiting for it, {duration.show(note.remaining)} more at most"
                return [Paragraph((waits,), mark=(marks.waiting, Tone.WARN), indent=2)]
            case SyncSaid():
                trouble = note.state == "in trouble"
                mark = (marks.failed, Tone.BAD) if trouble else (marks.waiting, Tone.MUTED)
                name = "" if note.replication == "-" else f"{note.replication} {note.state}: "
                return [Paragraph((f"{name}{note.text}",), mark=mark, indent=2)]
            case Warned():
                return [Paragraph((note.text,), mark=(marks.warn, Tone.WARN), indent=2)]
            case Finished():
                self._open = False
                self._steps.clear()
                return self._finished(note)
            case _:
                return []

    def _list(self, steps: object) -> None:
        self._steps = {}
        if isinstance(steps, (list, tuple)):
            self._steps = {step: _Line(title, group) for step, title, group in steps}
        self._total, self._ended = len(self._steps), 0

    def _end(self, step: str) -> None:
        if self._steps.pop(step, None) is not None:
            self._ended += 1

    def _checked(self, note: CheckDone) -> list[Block]:
        if note.verdict == "pass":
            text: Line = (
                (note.title, (f" {self._ink.marks.dot} {note.detail}", Tone.MUTED))
                if note.detail
                else (note.title,)
            )
            return [Paragraph(text, mark=(self._ink.marks.passed, Tone.GOOD), indent=2)]
        mark = self._ink.marks.failed if note.verdict == "fail" else self._ink.marks.unknown
        tone = Tone.BAD if note.verdict == "fail" else Tone.DOUBT
        words = "" if note.verdict == "fail" else "could not be asked: "
        blocks: list[Block] = [Paragraph(((note.title, Tone.STRONG),), mark=(mark, tone), indent=2)]
        blocks.append(Paragraph((f"{words}{note.detail}",), indent=5))
        if note.remedy:
            blocks.append(Paragraph((f"{self._ink.marks.next} {note.remedy}",), indent=5))
        return blocks

    def _done(self, note: StepDone) -> list[Block]:
        marks = self._ink.marks
        how = "  undone" if note.undone else "  already so" if note.already else ""
        title: Line = (note.title, (f"{how}  {duration.show(note.seconds)}", Tone.MUTED))
        mark = marks.back if note.undone else marks.passed
        bullet = (marks.bullet, Tone.MUTED)
        blocks: list[Block] = [Paragraph(title, mark=(mark, Tone.GOOD), indent=2)]
        return blocks + [Paragraph(((text, Tone.MUTED),), mark=bullet, indent=4) for text in note.evidence]

    def _failed(self, note: StepFailedNote) -> list[Block]:
        marks = self._ink.marks
        if note.again is not None:
            line = self._steps.get(note.step)
            if line is not None:
                line.again_at = self._monotonic() + note.again
                line.said = self._ink.gist(note.error)
            if not self._verbose:
                return []
            text = f"{note.title}: {self._ink.gist(note.error)}; again in {duration.show(note.again)}"
            return [Paragraph((text,), mark=(marks.warn, Tone.WARN), indent=2)]
        self._end(note.step)
        title: Line = ((note.title, Tone.STRONG), (f"  {duration.show(note.seconds)}", Tone.MUTED))
        blocks: list[Block] = [Paragraph(title, mark=(marks.failed, Tone.BAD), indent=2)]
        first, *rest = self._ink.safe(note.error).strip().split("\n")
        blocks.append(Paragraph(((first, Tone.BAD),), indent=5))
        blocks += [Paragraph((text.rstrip(),), indent=7) for text in rest if text.strip()]
        if note.hint:
            blocks.append(Paragraph((f"{marks.next} {note.hint}",), indent=5))
        return blocks

    def _finished(self, note: Finished) -> list[Block]:
        good = note.exit_code == 0
        waits = note.exit_code == 9
        marks = self._ink.marks
        mark = marks.passed if good else marks.waiting if waits else marks.failed
        tone = Tone.GOOD if good else Tone.WARN if waits else Tone.BAD
        state, summary = ending(note, self._ink)
        told: Line = (
            (state, Tone.STRONG),
            ": " if state and summary else "",
            summary,
            (f"  {duration.show(note.seconds)}, exit {note.exit_code}", Tone.MUTED),
        )
        blocks: list[Block] = [Space(), Paragraph(told, mark=(mark, tone))]
        if note.next_command:
            blocks.append(Command(((marks.next, Tone.INFO), " next: ", (note.next_command, Tone.STRONG))))
        return [*blocks, Space()]

    # Painting.

    def _spin(self) -> None:
        while not self._stop.wait(TICK):
            with self._lock:
                if self._open:
                    self._frame += 1
                    self._paint([])

    def _paint(self, blocks: list[Block]) -> None:
        columns, rows = self._size()
        above = ""
        if blocks:
            from tracseq_migrate.console.layout import lay_out

            above = lay_out(blocks, self._ink, columns)
        self._region.paint(self._moving(columns, rows) if self._open else (), above)

    def _moving(self, columns: int, rows: int) -> list[str]:
        now = self._monotonic()
        running = [line for line in self._steps.values() if line.since is not None]
        coming = [line for line in self._steps.values() if line.since is None]
        lines: list[Line] = []
        if self._checking:
            lines.append((" ", self._spinner(), " preflight ", (spent(now - self._began), Tone.MUTED)))
        for line in running:
            lines += self._of_running(line, now, columns)
        room = max(1, rows - len(lines) - 4)
        for line in coming[:room]:
            lines.append(((f"  {self._ink.marks.pending} ", Tone.MUTED), line.title))
        if len(coming) > room:
            lines.append(((f"  {self._ink.marks.more} and {len(coming) - room} more", Tone.MUTED),))
        if self._total:
            counted = f"{self._ended} of {self._total} {self._ink.marks.dot} {spent(now - self._began)}"
            lines.append((self._bar(columns), (f" {counted}", Tone.MUTED)))
        return [self._ink.cut(line, columns - 1) for line in lines[: max(1, rows - 1)]]

    def _of_running(self, line: _Line, now: float, columns: int) -> list[Line]:
        took = now - (line.since or now)
        times = spent(took)
        if line.again_at is not None:
            times = f"again in {spent(max(0.0, line.again_at - now))}"
        elif line.allowed and took >= 5:
            times += f", at most {spent(max(0.0, line.allowed - took))} left"
        doing = _DOING.get(line.doing, "")
        tail = f"  {doing + ', ' if doing else ''}{times}"
        if len(tail) > columns - 20:
            tail = f"  {spent(took)}"
        title = self._ink.cut((line.title,), max(4, columns - 5 - len(tail)))
        lines: list[Line] = [("  ", self._spinner(), " ", title, (tail, Tone.MUTED))]
        if line.said:
            lines.append(((f"    {line.said}", Tone.MUTED),))
        return lines

    def _spinner(self) -> tuple[str, Tone]:
        frames = self._ink.marks.frames
        return frames[self._frame % len(frames)], Tone.INFO

    def _bar(self, columns: int) -> tuple[str, Tone]:
        width = min(24, max(0, columns - 24))
        done = round(width * self._ended / self._total) if self._total else 0
        return f" {self._ink.marks.full * done}{self._ink.marks.empty * (width - done)}", Tone.INFO
