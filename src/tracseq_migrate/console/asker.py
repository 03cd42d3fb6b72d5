"""Asking a person at a terminal; and never asking where there is none."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

from tracseq_migrate.console.ink import Ink, Tone
from tracseq_migrate.console.stream import Stream
from tracseq_migrate.console.terminal import is_terminal
from tracseq_migrate.errors import Declined, Interrupted

_YES = frozenset({"y", "yes"})
_NEWS = 0.1
_NO = frozenset({"n", "no", ""})


class TerminalAsker:
    """Questions go to stderr, answers come from stdin; both must be terminals, otherwise nobody is asked.

    ``around`` surrounds each question, so that a moving display stands still meanwhile; ``stopped`` gives the number of a
    signal that asked to stop, 0 when none did.
    """

    def __init__(
        self,
        answers: TextIO | None,
        questions: Stream,
        ink: Ink,
        *,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
        stopped: Callable[[], int] = int,
    ) -> None:
        self._answers, self._questions, self._ink = answers, questions, ink
        self._around, self._stopped = around, stopped

    @property
    def present(self) -> bool:
        return is_terminal(self._answers) and self._questions.terminal

    def confirm(self, question: str) -> bool:
        """Yes only for ``y`` or ``yes``; an empty answer is no; anything else is asked again.

        Raises:
            Declined: the input ended, or nobody can be asked.
            Interrupted: a signal asked to stop.
        """
        with self._around():
            while True:
                answer = self._ask(question, " [y/N] ").strip().lower()
                if answer in _YES or answer in _NO:
                    return answer in _YES
                self._questions.line("answer yes or no")

    def text(self, question: str) -> str:
        """Raises as `confirm`."""
        with self._around():
            return self._ask(question.rstrip(": "), ": ").strip()

    def _ask(self, question: str, end: str) -> str:
        if not self.present or self._answers is None:
            raise Declined("nobody is there to be asked", hint="run it in a terminal, or answer by options")
        self._questions.write(self._ink.text(((question, Tone.STRONG), end)))
        # A signal's handler only notes it, and reading would simply go on; so look up between short waits.
        while not select.select([self._answers], [], [], 0.2)[0]:
            if signal := self._stopped():
                self._questions.line()
                raise Interrupted(signal, state="The question was not answered.")
        try:
            line = self._answers.readline()
        except OSError:  # the terminal is gone
            line = ""
        if not line:
            self._questions.line()
            time.sleep(_NEWS)  # a terminal that is closed ends the input, and says so by a signal as well
            if signal := self._stopped():
                raise Interrupted(signal, state="The question was not answered.")
            raise Declined("the input ended before an answer came")
        return line.rstrip("\r\n")
