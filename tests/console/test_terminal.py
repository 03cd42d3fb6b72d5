"""What a stream can do, by what it is and what the environment says."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from tracseq_migrate.console.stream import Stream
from tracseq_migrate.console.terminal import PIPE_COLUMNS, Depth, abilities, is_terminal, size


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as file:
        yield file
    os.close(master)


@pytest.mark.parametrize(
    ("environ", "no_color", "on_terminal", "in_pipe"),
    [
        ({"TERM": "xterm-256color"}, False, Depth.FULL, Depth.NONE),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, False, Depth.FULL, Depth.NONE),
        ({"TERM": "xterm"}, False, Depth.BASIC, Depth.NONE),
        ({"TERM": "linux"}, False, Depth.BASIC, Depth.NONE),
        ({"TERM": "dumb"}, False, Depth.NONE, Depth.NONE),
        ({"TERM": "xterm-256color"}, True, Depth.NONE, Depth.NONE),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False, Depth.NONE, Depth.NONE),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, False, Depth.FULL, Depth.NONE),
        ({"TERM": "xterm-256color", "FORCE_COLOR": "1"}, False, Depth.FULL, Depth.FULL),
        ({"TERM": "xterm", "FORCE_COLOR": "1"}, False, Depth.BASIC, Depth.BASIC),
        ({"TERM": "dumb", "FORCE_COLOR": "2"}, False, Depth.FULL, Depth.FULL),
        ({"TERM": "xterm-256color", "FORCE_COLOR": "0"}, False, Depth.NONE, Depth.NONE),
        ({"TERM": "xterm-256color", "FORCE_COLOR": "1", "NO_COLOR": "1"}, False, Depth.NONE, Depth.NONE),
        ({"TERM": "xterm-256color", "FORCE_COLOR": "1"}, True, Depth.NONE, Depth.NONE),
        ({"TERM": "xterm-256color", "CI": "true", "GITHUB_ACTIONS": "true"}, False, Depth.FULL, Depth.NONE),
    ],
)
def test_colours(
    terminal: TextIO, environ: dict[str, str], no_color: bool, on_terminal: Depth, in_pipe: Depth
) -> None:
    assert abilities(terminal, environ, no_color=no_color).depth is on_terminal
    assert abilities(io.StringIO(), environ, no_color=no_color).depth is in_pipe


def test_the_cursor_moves_on_terminals_only(terminal: TextIO) -> None:
    assert abilities(terminal, {"TERM": "xterm"}, no_color=True).moves
    assert not abilities(terminal, {"TERM": "dumb"}, no_color=False).moves
    assert not abilities(terminal, {}, no_color=False).moves
    assert not abilities(io.StringIO(), {"TERM": "xterm", "FORCE_COLOR": "1"}, no_color=False).moves


@pytest.mark.parametrize(("encoding", "able"), [("utf-8", True), ("ascii", False), ("latin-1", False)])
def test_marks_by_encoding(encoding: str, able: bool) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert abilities(stream, {}, no_color=False).unicode is able


@pytest.mark.parametrize(
    ("environ", "reflows"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm-256color", "XTERM_VERSION": "XTerm(390)"}, False),
        ({"TERM": "linux"}, False),
        ({"TERM": "screen", "STY": "1.tty"}, False),
        ({"TERM": "screen", "TMUX": "/tmp/tmux"}, True),
    ],
)
def test_which_terminals_fold_anew(environ: dict[str, str], reflows: bool) -> None:
    assert abilities(io.StringIO(), environ, no_color=False).reflows is reflows


def test_sizes(terminal: TextIO) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 20, 40, 0, 0))
    assert size(terminal, {"COLUMNS": "99"}) == (40, 20)
    fcntl.ioctl(terminal.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    assert size(terminal, {}) == (80, 24)
    assert size(io.StringIO(), {}) == (PIPE_COLUMNS, 24)
    assert size(io.StringIO(), {"COLUMNS": "60"}) == (60, 24)
    assert size(io.StringIO(), {"COLUMNS": "wide"}) == (PIPE_COLUMNS, 24)
    assert size(None, {}) == (PIPE_COLUMNS, 24)


def test_a_closed_or_missing_stream_is_no_terminal() -> None:
    closed = io.StringIO()
    closed.close()
    assert not is_terminal(closed)
    assert not is_terminal(None)
    assert abilities(None, {"TERM": "xterm"}, no_color=False).depth is Depth.NONE


def test_what_cannot_be_encoded_is_spelled_out() -> None:
    raw = io.BytesIO()
    stream = Stream(io.TextIOWrapper(raw, encoding="latin-1"))
    stream.line("é ✓ 😀")
    assert raw.getvalue() == b"\xe9 \\u2713 \\U0001f600\n"


def test_a_stream_that_was_closed_takes_no_more_and_does_not_raise() -> None:
    file = io.StringIO()
    stream = Stream(file)
    stream.line("one")
    file.close()
    stream.line("two")
    assert stream.gone
    assert stream.failure is None
    Stream(None).line("nowhere")


def test_a_reader_that_left_is_no_failure_and_a_full_disk_is() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    file = os.fdopen(writing, "w", encoding="utf-8")
    stream = Stream(file)
    stream.line("x")
    assert stream.gone
    assert stream.failure is None
    with pytest.raises(BrokenPipeError):
        file.close()
    if Path("/dev/full").exists():
        full = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115 - its close fails, as its writes do
        stream = Stream(full)
        stream.line("x")
        assert stream.failure is not None
        assert stream.failure.strerror == "No space left on device"
        with pytest.raises(OSError, match="No space left"):
            full.close()
