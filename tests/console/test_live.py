"""The live checklist, seen through a terminal: what moves goes without a trace, what is done stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.console.glass import Glass
from tests.console.samples import NOW, STEPS, STORY, WAITING
from tracseq_migrate.console.ink import ASCII, Ink
from tracseq_migrate.console.live import LiveObserver
from tracseq_migrate.console.region import Region
from tracseq_migrate.console.stream import Stream
from tracseq_migrate.console.terminal import Depth
from tracseq_migrate.operations import observer as notes


class Watch:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def watching(
    glass: Glass, ink: Ink | None = None, *, verbose: bool = False
) -> Iterator[tuple[LiveObserver, Watch]]:
    watch = Watch()
    live = LiveObserver(
        Stream(glass),
        ink or Ink(Depth.FULL),
        glass.size,
        reflows=glass.reflows,
        verbose=verbose,
        monotonic=watch,
    )
    with live:
        yield live, watch


def told(glass: Glass, story: Sequence[notes.Note]) -> str:
    with watching(glass) as (live, _):
        for note in story:
            live.emit(note)
    return glass.text


def test_what_stays_is_the_list_of_what_was_seen() -> None:
    assert told(Glass(100), STORY) == (
        "\n"
        "run week1 · Notifications, storage, RAG\n"
        "R1\n"
        "\n"
        "  ✓ Ask the gateway · 200\n"
        "  ✗ A backup was taken\n"
        "     nobody has signed\n"
        "     → approve week1 backup\n"
        "  ? Ask rag\n"
        "     could not be asked: connection refused\n"
        "  ✓ Start services  1.2 s\n"
        "    · storage runs\n"
        "    · rag runs\n"
        "  ✓ Prove one  already so  0.2 s\n"
        "    · one answered\n"
        "  ✗ Prove two  2.5 s\n"
        "     the monolith answered\n"
        "     → look at g-2\n"
        "  ! the log was not committed\n"
        "\n"
        "← going back: step two failed\n"
        "\n"
        "  ← Start services  undone  0.7 s\n"
        "    · storage is stopped\n"
        "\n"
        "✗ week1 is rolled-back: all is as before  12.3 s, exit 5\n"
        "→ next: tracseq-migrate run week1\n"
        "\n"
    )


def test_what_a_program_wrote_stands_below_its_step_and_nowhere_else() -> None:
    error = "`./x` exited with 3; its last lines:\nTraceback\n  boom"
    text = told(
        Glass(100),
        (
            notes.Began(NOW, "run", "week1", "W", "R1", (("x", "X", 0),)),
            notes.StepBegan(NOW, "x", "X", "apply", 30.0),
            notes.StepFailedNote(NOW, "x", "X", "apply", error, "", 1.0),
            notes.TurnedBack(NOW, "week1", f"step x failed: {error}"),
            notes.Finished(NOW, "week1", "R1", "rolled-back", 5, f"step x failed: {error}", "", 3.0),
        ),
    )
    assert "     `./x` exited with 3; its last lines:\n       Traceback\n         boom\n" in text
    assert "← going back: step x failed: `./x` exited with 3\n" in text
    assert "✗ week1 is rolled-back: step x failed: `./x` exited with 3  3.0 s, exit 5\n" in text
    assert text.count("boom") == 1


def test_a_wait_says_for_whom_until_when_and_once_what_to_type() -> None:
    text = told(Glass(100), WAITING)
    assert (
        "  ◷ Start services\n     waits for a person: good?, until 2026-11-23T18:00:00Z (in 3h)\n"
    ) in text
    assert text.count("tracseq-migrate run week2") == 1
    assert "◷ week2 is waiting: a person must look" in text


def test_the_moving_part_shows_what_runs_what_it_says_and_what_is_to_come() -> None:
    glass = Glass(60)
    with watching(glass) as (live, watch):
        live.emit(STORY[0])
        spinner, *rest = glass.text.split("\n")[4:]
        assert spinner[3:] == "preflight 0 s"
        assert rest == [
            "  · Start services",
            "  · Prove one",
            "  · Prove two",
            "  · Look again",
            f" {'╌' * 24} 0 of 4 · 0 s",
            "",
        ]
        live.emit(notes.StepBegan(NOW, "start", "Start services", "apply", 300.0))
        live.emit(notes.StepSaid(NOW, "start", "storage is\nstarting"))
        watch.now += 12
        live.emit(notes.StepBegan(NOW, "one", "Prove one", "verify", 30.0))
        moving = glass.text.split("\n\n")[-1].split("\n")
        assert [line[4:] if line[2:3] != "·" else line for line in moving] == [
            "Start services  12 s, at most 4m 48s left",
            "storage is starting",
            "Prove one  verifying, 0 s",
            "  · Prove two",
            "  · Look again",
            f"{'╌' * 21} 0 of 4 · 12 s",
            "",
        ]


def test_a_retry_counts_down_and_leaves_nothing_behind() -> None:
    glass = Glass(60)
    with watching(glass) as (live, watch):
        live.emit(STORY[0])
        live.emit(notes.StepBegan(NOW, "start", "Start services", "apply", 300.0))
        live.emit(notes.StepFailedNote(NOW, "start", "Start services", "apply", "refused", "", 0.1, 8.0))
        watch.now += 3
        live.emit(notes.StepSaid(NOW, "one", "not there"))
        assert "Start services  again in 5 s\n    refused\n" in glass.text
        live.emit(
            notes.StepDone(NOW, "start", "Start services", undone=False, seconds=9.0, evidence=["it runs"])
        )
    assert "refused" not in glass.text


@pytest.mark.parametrize("columns", [10, 20, 40, 80])
@pytest.mark.parametrize("height", [3, 6, 24])
def test_no_window_is_too_small(columns: int, height: int) -> None:
    """Whatever the size, the moving part is gone at the end, and no printed line but a command is wider than the window."""
    glass = Glass(columns, height)
    many = tuple((f"step-{n}", f"Step number {n} with a long title", 0) for n in range(40))
    with watching(glass) as (live, _):
        live.emit(notes.Began(NOW, "run", "week1", "Title", "R1", many))
        for step, title, _ in many[:3]:
            live.emit(notes.StepBegan(NOW, step, title, "apply", 300.0))
            live.emit(notes.StepSaid(NOW, step, "words " * 30))
        for step, title, _ in many[:3]:
            live.emit(notes.StepDone(NOW, step, title, undone=False, seconds=1.0, evidence=["seen"]))
        live.emit(notes.Finished(NOW, "week1", "R1", "proven", 0, "well", "", 1.0))
    assert "words" not in glass.text
    assert "more" not in glass.text
    assert "⠋" not in glass.text
    assert glass.text.replace("\n", "").count("seen") == 3
    assert not any(glass.joined)


@pytest.mark.parametrize("reflows", [True, False])
@pytest.mark.parametrize("narrow", [25, 33, 59])
def test_a_window_that_changes_its_width_keeps_no_rubbish(reflows: bool, narrow: int) -> None:
    glass = Glass(100, reflows=reflows)
    with watching(glass) as (live, _):
        for note in STORY[:6]:
            live.emit(note)
        kept = [line for line in glass.text.split("\n") if line][:-6]  # the moving part has six lines
        assert kept[-1] == "     could not be asked: connection refused"
        for columns in (narrow, 100, narrow, 140, narrow):
            live.emit(notes.StepSaid(NOW, "start", f"painted at {glass.columns} " + "and long " * 20))
            glass.resize(columns)
            live.emit(notes.StepSaid(NOW, "start", f"painted again at {columns}"))
            for part in ("Start services", "painted", "Prove one", "Prove two", "Look again", " of 4 "):
                assert glass.text.count(part) == 1
            flat = "".join(glass.text.split())
            assert all("".join(line[:narrow].split()) in flat for line in kept)
        live.emit(STORY[7])
    assert "painted" not in glass.text
    assert "Look again" not in glass.text


def test_the_cursor_is_never_hidden_and_rests_on_a_free_line_even_when_it_ends_badly() -> None:
    glass = Glass(60)
    with pytest.raises(RuntimeError), watching(glass) as (live, _):
        live.emit(STORY[0])
        live.emit(STORY[4])
        raise RuntimeError
    assert "\x1b[?25l" not in glass.raw
    assert (glass.row, glass.column) == (len(glass.rows) - 1, 0)
    assert glass.rows[-1] == ""
    assert "preflight" not in glass.text
    assert "Look again" not in glass.text


def test_it_stands_still_while_a_question_is_asked() -> None:
    glass = Glass(60)
    with watching(glass) as (live, _):
        live.emit(STORY[0])
        with live.suspended():
            assert "Look again" not in glass.text
            before = glass.raw
            time.sleep(0.3)
            assert glass.raw == before
        live.emit(notes.StepSaid(NOW, "start", "x"))
        assert "Look again" in glass.text


def test_the_spinner_turns_by_itself_and_its_thread_ends() -> None:
    glass = Glass(60)
    with watching(glass) as (live, _):
        live.emit(STORY[0])
        seen: set[str] = set()
        deadline = time.monotonic() + 20
        while len(seen) < 3 and time.monotonic() < deadline:
            seen |= set(glass.raw) & set(Ink().marks.frames)
            time.sleep(0.05)
        assert len(seen) >= 3
        assert any(thread.name == "console-live" for thread in threading.enumerate())
    assert not any(thread.name == "console-live" for thread in threading.enumerate())


def test_parallel_steps_can_tell_at_once() -> None:
    glass = Glass(60)
    names = [f"s{n}" for n in range(8)]
    with watching(glass) as (live, _):
        live.emit(notes.Began(NOW, "run", "week1", "T", "R", [(name, f"Step {name}", 1) for name in names]))

        def work(name: str) -> None:
            live.emit(notes.StepBegan(NOW, name, f"Step {name}", "apply", 30.0))
            for number in range(20):
                live.emit(notes.StepSaid(NOW, name, f"at {number}"))
            live.emit(
                notes.StepDone(NOW, name, f"Step {name}", undone=False, seconds=0.1, evidence=[f"saw {name}"])
            )

        threads = [threading.Thread(target=work, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        live.emit(notes.Finished(NOW, "week1", "R", "proven", 0, "", "", 1.0))
    for name in names:
        assert glass.text.count(f"  ✓ Step {name}  0.1 s\n    · saw {name}\n") == 1


def test_a_signal_may_close_it_in_the_middle_of_a_note() -> None:
    """As its handler does, in the thread that is inside `emit`, while the painter waits for its turn."""
    glass = Glass(60)
    closed: list[str] = []

    def handler(text: str) -> str:
        if text == "now" and not closed:
            closed.append(text)
            time.sleep(0.3)
            live.close()
        return text

    with watching(glass, Ink(hide=handler)) as (live, _):
        live.emit(STORY[0])
        live.emit(notes.StepSaid(NOW, "start", "now"))
    assert closed == ["now"]
    assert "Look again" not in glass.text


def test_in_ascii_there_is_ascii_only() -> None:
    glass = Glass(60)
    with watching(glass, Ink(Depth.NONE, ASCII)) as (live, _):
        for note in STORY:
            live.emit(note)
    glass.raw.encode("ascii")
    assert "  ok Start services  1.2 s\n" in glass.text


def test_every_step_of_the_story_has_its_line_when_verbose() -> None:
    glass = Glass(100)
    with watching(glass, verbose=True) as (live, _):
        for note in STORY:
            live.emit(note)
    assert "  ! Prove two: the monolith answered; again in 2.0 s\n" in glass.text


def test_a_region_is_not_painted_again_for_nothing() -> None:
    glass = Glass(40)
    region = Region(Stream(glass), glass.size, reflows=True)
    region.paint(["one", "two"])
    written = glass.raw
    region.paint(["one", "two"])
    assert glass.raw == written
    region.paint(["one"])
    assert glass.text == "one\n"
    region.clear()
    region.clear()
    assert glass.text == ""


def test_steps_of_the_samples_are_those_of_the_story() -> None:
    began = STORY[0]
    assert isinstance(began, notes.Began)
    assert began.steps == STEPS
