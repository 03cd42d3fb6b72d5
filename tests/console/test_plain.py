"""An operation in a pipe: one line a transition, a sign of life on long steps, nothing that moves."""

from __future__ import annotations

import io
import re
import threading
import time

import pytest

from tests.console.samples import NOW, STORY, WAITING
from tracseq_migrate.console.ink import Ink
from tracseq_migrate.console.plain import PlainObserver
from tracseq_migrate.console.stream import Stream
from tracseq_migrate.console.terminal import Depth
from tracseq_migrate.operations import observer as notes

T = "2026-11-23T15:00:00Z"


def lines(story: tuple[notes.Note, ...], *, quiet: bool = False, verbose: bool = False) -> list[str]:
    file = io.StringIO()
    with PlainObserver(Stream(file), Ink(), quiet=quiet, verbose=verbose) as plain:
        for note in story:
            plain.emit(note)
    return file.getvalue().splitlines()


def test_a_run_that_goes_back() -> None:
    assert lines(STORY) == [
        f"{T} begin   run of week1: Notifications, storage, RAG (4 steps, R1)",
        f"{T} ok      check gateway: 200",
        f"{T} FAIL    check backup: nobody has signed (approve week1 backup)",
        f"{T} UNKNOWN check rag: connection refused",
        f"{T} step    start begins: Start services",
        f"{T} ok      start: storage runs (and 1 more) [1.2 s]",
        f"{T} step    one begins: Prove one",
        f"{T} step    two begins: Prove two",
        f"{T} retry   two: the monolith answered (look at g-2) [verify, 0.5 s]; again in 2.0 s",
        f"{T} ok      one: one answered, already so [0.2 s]",
        f"{T} FAIL    two: the monolith answered (look at g-2) [verify, 2.5 s]",
        f"{T} WARN    the log was not committed",
        f"{T} BACK    going back: step two failed",
        f"{T} step    start goes back: Start services",
        f"{T} undone  start: storage is stopped [0.7 s]",
        f"{T} end     week1 is rolled-back: all is as before (exit 5, 12.3 s)",
        f"{T} next    tracseq-migrate run week1",
    ]


def test_a_wait() -> None:
    assert lines(WAITING)[1:] == [
        f"{T} step    start is probed: Start services",
        f"{T} waiting start waits for a person: good?, until 2026-11-23T18:00:00Z (in 3h)",
        f"{T} end     week2 is waiting: a person must look (exit 9, 1.0 s)",
        f"{T} next    tracseq-migrate run week2",
    ]


def test_quiet_keeps_what_went_wrong_and_the_end() -> None:
    words = [line.split()[1] for line in lines(STORY, quiet=True)]
    assert words == ["FAIL", "UNKNOWN", "retry", "FAIL", "WARN", "BACK", "end", "next"]


def test_verbose_adds_what_steps_say_on_one_line_and_all_evidence() -> None:
    told = lines(STORY, verbose=True)
    assert (
        f"{T} step    start: waiting for storage \\x1b]0;owned\\x07[bold]x[/bold]\\u202eevil\\x9b31m" in told
    )
    assert f"{T} ok      start: storage runs; rag runs [1.2 s]" in told
    assert f"{T} step    start is looked at: Start services" in told


LONG = "`./bin/x` exited with 3; its last lines:\nTraceback\n\n  \x1b[2J" + "y" * 200


def test_what_a_program_wrote_is_told_once_with_its_step() -> None:
    story = (
        notes.StepFailedNote(NOW, "x", "X", "apply", LONG, "", 0.5, 2.0),
        notes.StepFailedNote(NOW, "x", "X", "apply", LONG, "look", 1.0),
        notes.TurnedBack(NOW, "week1", f"step x failed: {LONG}"),
        notes.Finished(NOW, "week1", "R1", "rolled-back", 5, f"step x failed: {LONG}", "", 3.0),
    )
    short = "`./bin/x` exited with 3"
    assert lines(story) == [
        f"{T} retry   x: {short} [apply, 0.5 s]; again in 2.0 s",
        f"{T} FAIL    x: {short}; its last lines: (look) [apply, 1.0 s]",
        f"{'':29}Traceback",
        f"{'':29}  \\x1b[2J{'y' * 200}",
        f"{T} BACK    going back: step x failed: {short}",
        f"{T} end     week1 is rolled-back: step x failed: {short} (exit 5, 3.0 s)",
    ]
    assert [line for line in lines(story, verbose=True) if "yyy" in line] == [
        f"{'':29}  \\x1b[2J{'y' * 200}",
        f"{'':29}  \\x1b[2J{'y' * 200}",
    ]


@pytest.mark.parametrize(
    ("week", "state", "code", "summary", "told"),
    [
        ("", "", 0, "nothing is in progress", "nothing is in progress"),
        ("week1", "rolled-back", 0, "week1 is rolled back already", "week1 is rolled-back already"),
        ("week1", "proven", 0, "week1 is proven already; 5 were", "week1 is proven already; 5 were"),
        ("week1", "proven", 0, "5 steps done", "week1 is proven: 5 steps done"),
        ("week1", "in-doubt", 130, "", "week1 is in-doubt"),
        (
            "week1",
            "proven",
            11,
            "flags: USE_RAG_SERVICE is false",
            "week1 is proven in the journal, but reality differs: flags: USE_RAG_SERVICE is false",
        ),
        ("week1", "in-doubt", 11, "flags: off", "week1 is in-doubt: flags: off"),
        ("week1", "proven", 0, "z" * 161, f"week1 is proven: {'z' * 159}…"),
    ],
)
def test_the_last_line_says_it_once(week: str, state: str, code: int, summary: str, told: str) -> None:
    (line,) = lines((notes.Finished(NOW, week, "R1", state, code, summary, "", 1.0),))
    assert line == f"{T} end     {told} (exit {code}, 1.0 s)"


def test_no_half_of_a_secret_is_left_where_a_text_is_cut() -> None:
    ink = Ink(hide=lambda text: text.replace("hunter2hunter2", "***"))
    assert ink.gist("a" * 155 + "hunter2hunter2") == "a" * 155 + "***"


def test_a_note_of_a_later_version_is_told_by_its_type() -> None:
    class Later(notes.Note):
        type = "later.note"

    assert lines((Later(NOW),)) == [f"{T} later.note "]


def test_colours_are_for_those_who_force_them() -> None:
    file = io.StringIO()
    with PlainObserver(Stream(file), Ink(Depth.FULL)) as plain:
        plain.emit(STORY[2])
    assert "\x1b[1;38;5;196mFAIL" in file.getvalue()


def test_a_long_step_gives_signs_of_life_until_it_ends() -> None:
    file = io.StringIO()
    with PlainObserver(Stream(file), Ink(), heartbeat=0.05) as plain:
        plain.emit(notes.StepBegan(NOW, "start", "Start services", "apply", 300.0))
        plain.emit(notes.StepSaid(NOW, "start", "waiting for storage"))
        deadline = time.monotonic() + 20
        while file.getvalue().count("still") < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        plain.emit(
            notes.StepDone(NOW, "start", "Start services", undone=False, seconds=1.0, evidence=["it runs"])
        )
        after = file.getvalue()
        time.sleep(0.2)
        assert file.getvalue() == after
    found = [line for line in after.splitlines() if " still " in line]
    assert len(found) >= 2
    assert re.fullmatch(r"\S+Z still   start begins, \d+ s of at most 5m; waiting for storage", found[0]), (
        found[0]
    )


def test_signs_of_life_come_at_the_pace_that_was_asked_for() -> None:
    now = [0.0]
    file = io.StringIO()
    with PlainObserver(Stream(file), Ink(), heartbeat=0.2, monotonic=lambda: now[0]) as plain:
        plain.emit(notes.StepBegan(NOW, "start", "Start services", "revert", 90.0))
        time.sleep(0.3)
        assert "still" not in file.getvalue()  # no time has passed on the watch
        now[0] = 31.0
        deadline = time.monotonic() + 20
        while "still" not in file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
    assert file.getvalue().count("still") == 1
    assert "start goes back, 31 s of at most 1m 30s\n" in file.getvalue()


def test_the_pulse_ends_with_the_observer_and_never_begins_where_quiet_is_asked_for() -> None:
    def pulses() -> int:
        return sum(thread.name == "console-pulse" for thread in threading.enumerate())

    for quiet, running in ((False, 1), (True, 0)):
        with PlainObserver(Stream(io.StringIO()), Ink(), quiet=quiet) as plain:
            plain.emit(STORY[4])
            assert pulses() == running
        plain.close()
        assert pulses() == 0


def test_a_signal_may_close_it_in_the_middle_of_a_line() -> None:
    closed: list[str] = []

    def handler(text: str) -> str:
        if "looked at" in text and not closed:
            closed.append(text)
            time.sleep(0.1)
            plain.close()
        return text

    file = io.StringIO()
    with PlainObserver(Stream(file), Ink(hide=handler), verbose=True, heartbeat=0.04) as plain:
        plain.emit(STORY[4])
        plain.emit(STORY[6])
    assert len(closed) == 1
    assert "start is looked at" in file.getvalue()


def test_waiting_for_the_lock_is_told_even_where_quiet_is_asked_for() -> None:
    story = (notes.LockAwaited(NOW, "another run holds the lock: ada on lab-2, pid 4711", 40.0),)
    told = (
        f"{T} lock    another run holds the lock: ada on lab-2, pid 4711; waiting for it, 40.0 s more at most"
    )
    assert lines(story) == [told]
    assert lines(story, quiet=True) == [told]
