"""The door of the room: what the streams can do is found out once, and everything that is shown goes through here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Protocol, TextIO

from tracseq_migrate.console.asker import TerminalAsker
from tracseq_migrate.console.failures import exit_code_of, render_error
from tracseq_migrate.console.ink import ASCII, UNICODE, Bit, Ink, Tone
from tracseq_migrate.console.jsonlines import JsonObserver, dump, error_document
from tracseq_migrate.console.stream import Stream
from tracseq_migrate.console.terminal import abilities, size
from tracseq_migrate.errors import InvalidInput, TracseqMigrateError
from tracseq_migrate.operations.observer import Observer
from tracseq_migrate.operations.views import FindingLine, Header, ValidateView, View
from tracseq_migrate.redact import Redactor


class OpenObserver(Observer, Protocol):
    """An observer that holds a thread or a part of the screen until it is closed."""

    def close(self) -> None: ...


class Screen:
    """What one command shows.

    ``stdout`` takes the results, ``stderr`` errors and questions; with ``as_json`` stdout holds JSON only and the header goes
    to stderr. ``environ`` is asked for NO_COLOR, FORCE_COLOR, TERM and the like. Nothing here raises for a stream that is
    closed or full: see `close`.
    """

    def __init__(
        self,
        *,
        stdout: TextIO | None,
        stderr: TextIO | None,
        stdin: TextIO | None,
        environ: Mapping[str, str],
        as_json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        no_color: bool = False,
    ) -> None:
        self._environ, self._stdin = dict(environ), stdin
        self.as_json, self.quiet, self.verbose = as_json, quiet, verbose
        self._hide: Callable[[str], str] = (
            Redactor().text
        )  # passwords in URLs are known without any environment
        self._out, self._err = Stream(stdout), Stream(stderr)
        self._out_can = abilities(stdout, environ, no_color=no_color)
        self._err_can = abilities(stderr, environ, no_color=no_color)
        self._observer: OpenObserver | None = None
        self._suspended: Callable[[], AbstractContextManager[None]] = nullcontext
        self._header_shown = self._document_shown = False
        self._findings: frozenset[FindingLine] = frozenset()

    def hide(self, hide: Callable[[str], str]) -> None:
        """Take secrets out of everything from now on; call it as soon as the environment is known."""
        self._hide = hide

    @property
    def _ink(self) -> Ink:
        return Ink(self._out_can.depth, UNICODE if self._out_can.unicode else ASCII, self._hide)

    @property
    def _err_ink(self) -> Ink:
        return Ink(self._err_can.depth, UNICODE if self._err_can.unicode else ASCII, self._hide)

    def header(self, header: Header) -> None:
        """The first line of every output (on a terminal that is too narrow for it: lines); later calls do nothing."""
        if self._header_shown:
            return
        self._header_shown = True
        stream, ink = (self._err, self._err_ink) if self.as_json else (self._out, self._ink)
        parts: list[list[Bit]] = [
            [("environment ", Tone.MUTED), (ink.flat(header.environment), Tone.STRONG)],
            [("gateway ", Tone.MUTED), ink.flat(header.gateway)],
            [("state ", Tone.MUTED), ink.flat(header.state)],
        ]
        dot = f" {ink.marks.dot} "
        width = sum(len(ink.plain(part)) for part in parts) + 2 * len(dot)
        fits = not stream.terminal or width <= size(stream.file, self._environ)[0]
        stream.line((ink.text(((dot, Tone.MUTED),)) if fits else "\n").join(ink.text(part) for part in parts))

    def observer(self) -> OpenObserver:
        """The one who watches an operation here: JSON lines, a live checklist, or plain lines. Close it, or the screen.

        A stream of JSON lines that has begun goes on: it may be asked for before the environment is opened, so that an error
        in that is a line of the stream, too.
        """
        if self.as_json and isinstance(self._observer, JsonObserver):
            return self._observer
        self._stop_watching()
        if self.as_json:
            self._document_shown = False
            self._observer = JsonObserver(self._out, lambda text: self._hide(text))
        elif self._out_can.moves and not self.quiet:
            from tracseq_migrate.console.live import LiveObserver

            self._observer = live = LiveObserver(
                self._out,
                self._ink,
                lambda: size(self._out.file, self._environ),
                reflows=self._out_can.reflows,
                verbose=self.verbose,
            )
            self._suspended = live.suspended
        else:
            from tracseq_migrate.console.plain import PlainObserver

            self._observer = PlainObserver(self._out, self._ink, quiet=self.quiet, verbose=self.verbose)
        return self._observer

    def asker(self, stopped: Callable[[], int] = int) -> TerminalAsker:
        """Asks at the terminal; ``stopped`` gives the number of the signal that asked to stop, 0 for none."""
        return TerminalAsker(
            self._stdin, self._err, self._err_ink, around=self.standing_still, stopped=stopped
        )

    @property
    def moving(self) -> bool:
        """Whether a part of the terminal is painted over and over now."""
        return self._suspended is not nullcontext

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Inside, nothing moves on the terminal."""
        with self._suspended():
            yield

    def show(self, view: View) -> None:
        """A document: as JSON, or laid out for the width there is, under its header."""
        self._stop_watching()
        header = getattr(view, "header", None)
        if isinstance(header, Header):
            self.header(header)
        if isinstance(view, ValidateView):
            self._findings = frozenset(view.findings)
        if self.as_json:
            self._document_shown = True
            self._out.line(dump(view.as_json(), self._hide, indent=2))
            return
        from tracseq_migrate.console.documents import Look, blocks_of
        from tracseq_migrate.console.wide import lay_out_wide

        columns, _ = size(self._out.file, self._environ)
        blocks = blocks_of(view, Look(self._ink.marks, datetime.now(UTC), brief=self.quiet))
        text = lay_out_wide(blocks, self._ink, columns)
        if text is None:
            from tracseq_migrate.console.layout import lay_out  # imports rich

            text = lay_out(blocks, self._ink, columns)
        self._out.write(text)

    def text(self, text: str) -> None:
        """A text that is a result by itself, such as a rendered log, as it is but for what would steer a terminal."""
        self._stop_watching()
        safe = self._ink.safe(text)
        self._out.write(safe if safe.endswith("\n") else f"{safe}\n")

    def letters(self, lines: Iterable[str]) -> None:
        """A result for another program, to the letter; its maker sees to it that nothing in it steers a terminal."""
        self._stop_watching()
        for line in lines:
            self._document_shown = True
            self._out.write(line)

    def say(self, text: str) -> None:
        """A sentence to the person, not a result: on stderr under JSON, dropped where quiet is asked for."""
        if self.quiet:
            return
        stream, ink = (self._err, self._err_ink) if self.as_json else (self._out, self._ink)
        stream.line(ink.plain(text))

    def warn(self, text: str) -> None:
        """A sentence on stderr that is never dropped."""
        ink = self._err_ink
        with self.standing_still():
            self._err.line(ink.text(((ink.marks.warn, Tone.WARN), f" {text}")))

    def error(self, error: TracseqMigrateError) -> int:
        """Show an error on stderr (and as JSON on stdout, where no document went there); returns its exit code."""
        streaming = isinstance(self._observer, JsonObserver)
        self._stop_watching()
        code = exit_code_of(error)
        columns = size(self._err.file, self._environ)[0] if self._err_can.terminal else 0
        text = render_error(error, self._err_ink, columns, findings_shown=self._shown(error))
        self._err.write(text)
        if self.as_json and (streaming or not self._document_shown):
            document = error_document(error)
            self._out.line(dump(document, self._hide, indent=None if streaming else 2))
        return code

    def trace(self, text: str) -> None:
        """A traceback on stderr, without secrets: the messages of a chain of errors may quote anything."""
        self._err.write(self._err_ink.safe(text))

    def _shown(self, error: TracseqMigrateError) -> bool:
        """Whether a document has listed all that the error would list."""
        return isinstance(error, InvalidInput) and self._findings.issuperset(
            FindingLine(f.file, f.line, f.column, f.message, f.remedy) for f in error.findings
        )

    def close(self) -> OSError | None:
        """End what moves. Returns why output was lost, where it was (a full disk); a reader that left is no loss."""
        self._stop_watching()
        failure = self._out.failure
        if failure is not None:
            self._err.line(
                self._err_ink.plain(f"the output could not be written: {failure.strerror or failure}")
            )
        return failure

    def _stop_watching(self) -> None:
        observer, self._observer = self._observer, None
        self._suspended = nullcontext
        if observer is not None:
            observer.close()
