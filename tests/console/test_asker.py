"""Asking at a real pseudo-terminal, and never anywhere else."""

from __future__ import annotations

import io
import os
import pty
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

import pytest

from tracseq_migrate.console.asker import TerminalAsker
from tracseq_migrate.console.ink import Ink
from tracseq_migrate.console.stream import Stream
from tracseq_migrate.errors import Declined, Interrupted


@dataclass
class Keyboard:
    """The far end of a terminal: types, and reads what is shown."""

    master: int
    stdin: TextIO
    stderr: TextIO

    def types(self, text: str) -> None:
        os.write(self.master, text.encode())

    def shows(self) -> str:
        """All that came so far; a terminal shows what is typed, too."""
        shown = b""
        while select.select([self.master], [], [], 0.2)[0]:
            shown += os.read(self.master, 65536)
        return shown.decode()


@pytest.fixture
def keyboard() -> Iterator[Keyboard]:
    master, slave = pty.openpty()
    with (
        os.fdopen(os.dup(slave), encoding="utf-8") as stdin,
        os.fdopen(slave, "w", encoding="utf-8") as stderr,
    ):
        yield Keyboard(master, stdin, stderr)
    os.close(master)


def asker(keyboard: Keyboard, **more: object) -> TerminalAsker:
    return TerminalAsker(keyboard.stdin, Stream(keyboard.stderr), Ink(), **more)  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("y\n", True), ("YES\n", True), (" yes \n", True), ("n\n", False), ("no\n", False), ("\n", False)],
)
def test_yes_and_no(keyboard: Keyboard, typed: str, answer: bool) -> None:
    keyboard.types(typed)
    assert asker(keyboard).confirm("Is it so?") is answer
    assert "Is it so? [y/N] " in keyboard.shows()


def test_anything_else_is_asked_again(keyboard: Keyboard) -> None:
    keyboard.types("maybe\nyess\ny\n")
    assert asker(keyboard).confirm("Is it so?")
    assert keyboard.shows().count("answer yes or no") == 2


def test_text(keyboard: Keyboard) -> None:
    keyboard.types("  the mail of Monday, ünïcode \n")
    assert asker(keyboard).text("evidence: ") == "the mail of Monday, ünïcode"
    assert "evidence: " in keyboard.shows()


def test_the_end_of_input_declines(keyboard: Keyboard) -> None:
    keyboard.types("\x04")
    with pytest.raises(Declined, match="the input ended"):
        asker(keyboard).confirm("Is it so?")


def test_a_signal_that_asked_to_stop_ends_the_question(keyboard: Keyboard) -> None:
    asked = threading.Event()

    def stopped() -> int:
        asked.set()
        return 2

    with pytest.raises(Interrupted) as caught:
        asker(keyboard, stopped=stopped).text("evidence")
    assert caught.value.code == 130
    assert asked.is_set()


def test_a_display_stands_still_around_each_question(keyboard: Keyboard) -> None:
    order: list[str] = []

    @contextmanager
    def around() -> Iterator[None]:
        order.append("still")
        yield
        order.append("moving")

    keyboard.types("y\nwords\n")
    quiet = asker(keyboard, around=around)
    assert quiet.confirm("Is it so?")
    assert quiet.text("evidence") == "words"
    assert order == ["still", "moving"] * 2


def test_hostile_questions_are_harmless(keyboard: Keyboard) -> None:
    keyboard.types("y\n")
    asker(keyboard).confirm("\x1b]0;owned\x07?")
    assert "\x1b" not in keyboard.shows()


def test_nobody_is_asked_where_a_stream_is_no_terminal(keyboard: Keyboard) -> None:
    closed = io.StringIO()
    closed.close()
    pairs: list[tuple[TextIO | None, TextIO]] = [
        (keyboard.stdin, io.StringIO()),
        (io.StringIO("y\n"), keyboard.stderr),
        (None, keyboard.stderr),
        (closed, keyboard.stderr),
    ]
    for answers, questions in pairs:
        nobody = TerminalAsker(answers, Stream(questions), Ink())
        assert not nobody.present
        with pytest.raises(Declined, match="nobody is there"):
            nobody.confirm("Is it so?")
        with pytest.raises(Declined, match="nobody is there"):
            nobody.text("evidence")
    assert asker(keyboard).present
