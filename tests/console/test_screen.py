"""The door: which observer, which stream, and what happens when a stream is not what one hopes for."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.console.glass import Glass
from tests.console.samples import HEADER, NOW, STATUS, STORY, VIEWS
from tracseq_migrate import __version__
from tracseq_migrate.console.jsonlines import JsonObserver
from tracseq_migrate.console.live import LiveObserver
from tracseq_migrate.console.plain import PlainObserver
from tracseq_migrate.console.screen import Screen
from tracseq_migrate.errors import Finding, Interrupted, InvalidInput, NotAllowed
from tracseq_migrate.operations import observer as notes
from tracseq_migrate.operations.views import FindingLine, ValidateView

HEAD = "environment sandbox · gateway http://127.0.0.1:18089 · state .tracseq-migrate/sandbox\n"
ROOT = Path(__file__).parents[2]


def screen(
    stdout: io.StringIO,
    stderr: io.StringIO | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    as_json: bool = False,
    quiet: bool = False,
    no_color: bool = False,
) -> Screen:
    return Screen(
        stdout=stdout,
        stderr=stderr or io.StringIO(),
        stdin=None,
        environ=environ or {},
        as_json=as_json,
        quiet=quiet,
        no_color=no_color,
    )


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.console.watched", *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return {**kept, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "TERM": "xterm-256color", **more}


# Which observer


def test_which_observer() -> None:
    term = {"TERM": "xterm-256color"}
    for shown, kind in (
        (screen(Glass(80), environ=term), LiveObserver),
        (screen(Glass(80), environ={"TERM": "dumb"}), PlainObserver),
        (screen(Glass(80), environ=term, quiet=True), PlainObserver),
        (screen(Glass(80), environ=term, as_json=True), JsonObserver),
        (screen(Glass(80), environ=term, no_color=True), LiveObserver),
        (screen(io.StringIO(), environ=term), PlainObserver),
        (screen(io.StringIO(), environ={**term, "FORCE_COLOR": "1", "CI": "1"}), PlainObserver),
    ):
        assert type(shown.observer()) is kind
        shown.close()


def test_closing_the_screen_ends_what_moves() -> None:
    glass = Glass(80)
    shown = screen(glass, environ={"TERM": "xterm"})
    observer = shown.observer()
    observer.emit(STORY[0])
    assert "Look again" in glass.text
    assert shown.close() is None
    assert "Look again" not in glass.text


# Header, documents, errors


def test_the_header_comes_first_and_once() -> None:
    out, err = io.StringIO(), io.StringIO()
    shown = screen(out, err)
    shown.header(HEADER)
    shown.show(STATUS)
    assert out.getvalue().startswith(HEAD)
    assert out.getvalue().count("environment sandbox") == 1
    assert err.getvalue() == ""


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_a_json_document_is_all_of_stdout(name: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    shown = screen(out, err, as_json=True)
    shown.header(HEADER)
    shown.say("a sentence")
    shown.show(VIEWS[name])
    document = json.loads(out.getvalue())
    assert document["type"] == VIEWS[name].type
    assert document["format"] == "1.0"
    assert out.getvalue().isascii()
    assert err.getvalue() == HEAD + "a sentence\n"


def test_the_stream_of_events() -> None:
    out, err = io.StringIO(), io.StringIO()
    shown = screen(out, err, as_json=True)
    shown.header(HEADER)
    observer = shown.observer()
    for note in STORY:
        observer.emit(note)
    code = shown.error(NotAllowed("no", hint="sign"))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines[0] == {"type": "version", "format": "1.0", "tracseq_migrate": __version__}
    assert [line["type"] for line in lines[1:]] == [note.type for note in STORY] + ["error"]
    assert lines[-1]["exit_code"] == code == 4
    assert lines[1]["at"] == "2026-11-23T15:00:00.000000Z"
    assert lines[1]["steps"][1] == ["one", "Prove one", 1]
    assert "✗ no\n" in err.getvalue()


def test_a_stream_that_began_early_goes_on_and_hides_what_it_learns_later() -> None:
    out = io.StringIO()
    shown = screen(out, as_json=True)
    early = shown.observer()
    shown.hide(lambda text: text.replace("hunter2", "***"))
    assert shown.observer() is early
    early.emit(notes.Warned(NOW, "hunter2"))
    assert shown.error(NotAllowed("hunter2")) == 4
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["type"] for line in lines] == ["version", "warning", "error"]
    assert lines[1]["text"] == lines[2]["message"] == "***"


def test_an_error_is_a_document_where_there_was_none() -> None:
    error = InvalidInput([Finding("w.yaml", 3, 1, "unknown key", "mend it")])
    out, err = io.StringIO(), io.StringIO()
    assert screen(out, err, as_json=True).error(error) == 3
    assert json.loads(out.getvalue()) == {
        "type": "error",
        "format": "1.0",
        "exit_code": 3,
        "message": "w.yaml:3:1: unknown key (mend it)",
        "state": "Nothing was changed.",
        "hint": "",
        "page": "docs/runbook.md#exit-3",
        "findings": [
            {"file": "w.yaml", "line": 3, "column": 1, "message": "unknown key", "remedy": "mend it"}
        ],
    }
    out = io.StringIO()
    shown = screen(out, as_json=True)
    shown.show(STATUS)
    shown.error(error)
    assert json.loads(out.getvalue())["type"] == "status"


def test_findings_that_a_document_has_listed_are_only_counted_on_stderr() -> None:
    error = InvalidInput([Finding("w.yaml", 3, 1, "unknown key", "mend it")])
    view = ValidateView(["w.yaml"], [FindingLine("w.yaml", 3, 1, "unknown key", "mend it")])
    for quiet, as_json in ((False, False), (True, False), (False, True)):
        out, err = io.StringIO(), io.StringIO()
        shown = screen(out, err, quiet=quiet, as_json=as_json)
        shown.show(view)
        assert shown.error(error) == 3
        assert out.getvalue().count("unknown key") == 1
        assert err.getvalue().startswith("✗ 1 finding to mend\n")
        other = InvalidInput([*error.findings, Finding("x.yaml", 1, 1, "another")])
        shown.error(other)
        assert "x.yaml:1:1: another\n" in err.getvalue()


def test_the_json_of_an_interrupt_has_its_own_code_and_page() -> None:
    out = io.StringIO()
    assert screen(out, as_json=True).error(Interrupted(15)) == 143
    document = json.loads(out.getvalue())
    assert (document["exit_code"], document["page"]) == (143, "docs/runbook.md#exit-143")


def test_an_error_is_on_stderr_below_what_moves() -> None:
    glass, err = Glass(80), io.StringIO()
    shown = screen(glass, err, {"TERM": "xterm"})
    shown.observer().emit(STORY[0])
    assert shown.error(NotAllowed("no")) == 4
    assert "Look again" not in glass.text
    assert err.getvalue().startswith("✗ no\n")


def test_secrets_are_taken_out_of_everything() -> None:
    out, err = io.StringIO(), io.StringIO()
    for as_json in (False, True):
        shown = screen(out, err, as_json=as_json)
        shown.error(NotAllowed("postgresql://ada:hunter2@127.0.0.1/main"))
        shown.hide(lambda text: text.replace("/api/storage", "***"))
        shown.show(STATUS)
        shown.text("/api/storage")
        shown.warn("/api/storage")
    for text in (out.getvalue(), err.getvalue()):
        assert "***" in text
        assert "hunter2" not in text
        assert "/api/storage" not in text


def test_json_has_no_numbers_that_are_none() -> None:
    from dataclasses import replace

    out = io.StringIO()
    shown = screen(out, as_json=True)
    finished = STORY[-1]
    shown.observer().emit(replace(finished, data={"a": float("nan"), "b": {1, 2}, "c": Path("x")}))  # type: ignore[call-arg]  # of Finished
    assert json.loads(out.getvalue().splitlines()[-1])["data"] == {"a": None, "b": [1, 2], "c": "x"}


def test_text_is_shown_as_it_is_but_for_controls() -> None:
    out = io.StringIO()
    shown = screen(out)
    shown.text("# Log\n\n| a |\n\x1b[2J")
    assert out.getvalue() == "# Log\n\n| a |\n\\x1b[2J\n"


def test_quiet_drops_sentences_but_no_warnings() -> None:
    out, err = io.StringIO(), io.StringIO()
    shown = screen(out, err, quiet=True)
    shown.say("dropped")
    shown.warn("kept")
    assert (out.getvalue(), err.getvalue()) == ("", "! kept\n")


# Real processes with real streams


def test_a_reader_that_leaves_makes_no_noise() -> None:
    with subprocess.Popen(
        program("status"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            program("status"),
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=environment(),
            check=False,
            timeout=60,
        )
    assert done.stderr == b"the output could not be written: No space left on device\n"
    assert done.returncode == 1


@pytest.mark.parametrize("what", ["status", "story"])
def test_closed_streams_are_borne(what: str) -> None:
    line = f'"$@" <&- >&- 2>"{os.devnull}"'
    done = subprocess.run(
        ["sh", "-c", line, "sh", *program(what)], cwd=ROOT, env=environment(), check=False, timeout=60
    )
    assert done.returncode == (5 if what == "story" else 0)


def test_nobody_is_asked_with_a_closed_input() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *program("asker")],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == b"False\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("what", ["status", "plan", "story"])
def test_every_encoding_is_borne(encoding: str, what: str) -> None:
    done = subprocess.run(
        program(what),
        capture_output=True,
        cwd=ROOT,
        env=environment(PYTHONIOENCODING=encoding),
        check=False,
        timeout=60,
    )
    assert done.returncode == (5 if what == "story" else 0)
    assert b"Traceback" not in done.stderr
    text = done.stdout.decode(encoding)
    assert ("✓" in text or "·" in text) is (encoding == "utf-8")
    assert text.startswith("environment sandbox ")


def test_under_ci_a_pipe_stays_a_pipe() -> None:
    done = subprocess.run(
        program("story"),
        capture_output=True,
        cwd=ROOT,
        env=environment(CI="true", GITHUB_ACTIONS="true", TTY_COMPATIBLE="1", TTY_INTERACTIVE="1"),
        check=False,
        timeout=60,
    )
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"UNKNOWN check rag" in done.stdout


def _on_a_terminal(what: str, *, kill: bool = False, **env: str) -> tuple[str, int]:
    """Everything that a program writes to a terminal of 40 columns, and how it ended."""
    import fcntl
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    process = subprocess.Popen(
        program(what),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=ROOT,
        env=environment(**env),
        close_fds=True,
    )
    os.close(slave)
    seen = b""
    try:
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # the other end was closed
                break
            seen += chunk
            if kill and b"waiting" in seen:
                process.send_signal(signal.SIGINT)
                kill = False
        return seen.decode(), process.wait(60)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_on_a_narrow_terminal_the_list_is_what_stays() -> None:
    raw, code = _on_a_terminal("story")
    assert code == 5
    glass = Glass(40)
    glass.write(raw)
    text = glass.text
    assert "  ✓ Start services  1.2 s\n    · storage runs\n    · rag runs\n" in text
    assert "Look again" not in text
    assert "⠋" not in text
    assert "← step two failed\n" in text
    assert text.startswith(
        "environment sandbox\ngateway http://127.0.0.1:18089\nstate .tracseq-migrate/sandbox\n"
    )
    assert "\x1b[38;5;28m" in raw


def test_without_colours_a_terminal_gets_cursor_moves_only() -> None:
    raw, _ = _on_a_terminal("story", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*m", raw)
    assert re.search(r"\x1b\[\d+A", raw)


def test_a_dumb_terminal_gets_plain_lines() -> None:
    raw, code = _on_a_terminal("story", TERM="dumb")
    assert code == 5
    assert "\x1b" not in raw
    assert "UNKNOWN check rag" in raw


def test_an_interrupt_leaves_the_terminal_usable() -> None:
    raw, code = _on_a_terminal("stuck", kill=True)
    assert code in (-signal.SIGINT, 130, 1)
    assert "\x1b[?25l" not in raw
    glass = Glass(40)
    glass.write(raw)
    assert glass.column == 0
