"""Each document at each width, in colours and without: nothing is lost, nothing sticks out, nothing is markup."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

import pytest
from rich.cells import cell_len

from tests.console.samples import HOSTILE, NOW, STATUS, VIEWS
from tracseq_migrate.console.blocks import Command, Diff, Heading, Paragraph, Rows
from tracseq_migrate.console.documents import Look, blocks_of
from tracseq_migrate.console.ink import ASCII, UNICODE, Ink, Marks
from tracseq_migrate.console.layout import lay_out
from tracseq_migrate.console.terminal import PIPE_COLUMNS, Depth
from tracseq_migrate.operations.views import ManualStep, RollbackView, VerifyLine, VerifyView, View, WeekLine

SGR = re.compile(r"\x1b\[[0-9;]*m")
WIDTHS = (40, 80, 200, PIPE_COLUMNS)


def shown(view: View, columns: int, *, depth: Depth = Depth.NONE, marks: Marks = UNICODE) -> str:
    return lay_out(blocks_of(view, Look(marks, NOW)), Ink(depth, marks), columns)


def squeezed(text: str) -> str:
    """Without anything that folding may change."""
    return re.sub(r"\s+", "", SGR.sub("", text))


@pytest.mark.parametrize("name", sorted(VIEWS))
@pytest.mark.parametrize("columns", WIDTHS)
def test_only_commands_are_wider_than_the_window(name: str, columns: int) -> None:
    blocks = blocks_of(VIEWS[name], Look(UNICODE, NOW))
    for block in blocks:
        text = lay_out([block], Ink(), columns)
        if not isinstance(block, Command):
            assert max(cell_len(line) for line in text.split("\n")) <= columns
        else:
            assert text.count("\n") == 1


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_every_word_is_there_at_every_width(name: str) -> None:
    """What a block holds is found whatever the width, in its order, once white space is put aside."""
    ink = Ink()
    for block in blocks_of(VIEWS[name], Look(UNICODE, NOW)):
        match block:
            case Paragraph(line=line) | Command(line=line):
                pieces = [ink.plain(line)]
            case Heading(text=text) | Diff(text=text):
                pieces = [text]
            case Rows(rows=rows):
                pieces = [ink.plain(cell) for row in rows for cell in row]
            case _:
                continue
        for columns in WIDTHS:
            text = squeezed(lay_out([block], ink, columns))
            for piece in pieces:
                assert squeezed(piece) in text


@pytest.mark.parametrize("name", sorted(VIEWS))
@pytest.mark.parametrize("depth", list(Depth))
def test_colours_change_nothing_but_colours(name: str, depth: Depth) -> None:
    for columns in (40, 100):
        coloured = shown(VIEWS[name], columns, depth=depth)
        bare = "\n".join(line.rstrip() for line in SGR.sub("", coloured).split("\n"))
        assert bare == shown(VIEWS[name], columns)
        assert depth is not Depth.NONE or "\x1b" not in coloured


def test_there_are_colours() -> None:
    assert "\x1b[38;5;28m" in shown(STATUS, 100, depth=Depth.FULL)
    assert "\x1b[32m" in shown(STATUS, 100, depth=Depth.BASIC)


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_a_document_can_be_plain_ascii(name: str) -> None:
    text = shown(VIEWS[name], 80, marks=ASCII)
    assert text.encode("ascii").decode() == text


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_no_line_ends_in_blanks(name: str) -> None:
    for columns in WIDTHS:
        assert not re.search(r"[ \t]$", shown(VIEWS[name], columns), re.MULTILINE)


def test_hostile_text_is_shown_and_not_obeyed() -> None:
    text = shown(STATUS, 200)
    assert HOSTILE not in text
    assert "\\x1b]0;owned\\x07[bold]x[/bold]\\u202eevil\\x9b31m" in text


def test_status_says_what_is_off_and_what_to_type() -> None:
    text = shown(STATUS, 100)
    lines = [line.strip() for line in text.split("\n")]
    assert "✗ USE_RAG_SERVICE: g-2 says off" in lines
    assert "✗ week1 stands on rag, which is stopped" in lines
    assert "→ next: tracseq-migrate approve week2 look --evidence TEXT" in lines
    assert any(line.startswith("✓  week1  Notifications, storage, RAG  proven") for line in lines)
    assert any(line.startswith("✗  USE_RAG_SERVICE") and "differs" in line for line in lines)
    assert any(line.startswith("?  USE_AUTH_SERVICE") and "unknown" in line for line in lines)
    assert any(line.startswith("·  USE_TEMPLATE_SERVICE") and "not there" in line for line in lines)
    assert "progress  ━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  30 %" in lines


def test_steps_are_told_in_words_of_people() -> None:
    statuses = ("intent", "applied", "verified", "reverting", "revert-failed", "failed", "reverted", "")
    steps = [(f"s{number}", "t", status) for number, status in enumerate(statuses)]
    week = WeekLine("week1", "W", "low", "in-doubt", NOW, 30, [], steps=steps)
    lines = [line.strip() for line in shown(replace(STATUS, weeks=[week]), 100).splitlines()]
    start = lines.index("?  s0  t  begun, outcome unknown")
    assert lines[start + 1 : start + 8] == [
        "?  s1  t  done, not yet seen",
        "✓  s2  t  done",
        "?  s3  t  going back, outcome unknown",
        "✗  s4  t  could not go back",
        "✗  s5  t  failed",
        "←  s6  t  reverted",
        "·  s7  t",
    ]


def test_there_is_no_bar_where_no_plan_says_how_far_it_brings() -> None:
    weeks = [WeekLine("week1", "W", "low", "proven", NOW, 0, [])]
    assert "progress" not in shown(replace(STATUS, weeks=weeks, progress=0), 100)
    assert "progress  ╌" in shown(
        replace(STATUS, weeks=[*weeks, replace(weeks[0], progress=5)], progress=0), 100
    )


def test_a_narrow_table_becomes_lists() -> None:
    assert shown(VIEWS["runs"], 40) == (
        "\n"
        "✓ week1 run\n"
        "   began 2026-11-23T13:00:00Z · took 2h\n"
        "   outcome proven · by ada\n"
        "   id 20261123T130000.000000Z-ab12\n"
        "? week1 rollback\n"
        "   began 2026-11-23T15:00:00Z\n"
        "   took not ended · outcome in progress\n"
        "   by ada\n"
        "   id 20261123T150000.000000Z-ab12\n"
        "\n"
        "log: MIGRATION_LOG.md\n"
        "! the file there was not our last\n"
        "  render; it is kept as\n"
        "  MIGRATION_LOG.md.1\n"
    )


def test_a_plan_shows_how_each_line_is_known_and_the_diff() -> None:
    text = shown(VIEWS["plan"], 120)
    assert "     assumed: healthy in 30 s\n" in text
    assert "     cannot be known before: how long requests wait\n" in text
    assert "     -USE_TEMPLATE_SERVICE=false\n" in text
    assert "  at once:\n    3. Prove one" in text
    assert "     → tracseq-migrate approve week2 backup\n" in text


def test_a_comment_among_commands_is_folded_into_comments_and_a_command_stays_whole() -> None:
    hand = "by hand: GET /routing-status at every instance: feature_flags.rag must be false"
    command = "sed -i s/USE_RAG_SERVICE=true/USE_RAG_SERVICE=false/ /etc/gateway/flags.env"
    header = STATUS.header
    steps = [ManualStep("flags", "Switch", [f"# {hand}", command])]
    view = RollbackView(header, "week1", "Safe", "proven", steps, [], [], "", "")
    for columns in (40, 60):
        lines = shown(view, columns).split("\n")
        assert f"     {command}" in lines
        remarks = [line for line in lines if line.startswith("     # ")]
        assert len(remarks) > 1
        assert all(len(line) <= columns for line in remarks)
        assert " ".join(line.removeprefix("     # ") for line in remarks) == hand
    assert f"     # {hand}" in shown(view, 200).split("\n")


def test_what_does_not_hold_is_counted_once_and_told_from_what_could_not_be_asked() -> None:
    header = STATUS.header
    verdicts: list[Literal["pass", "fail", "unknown"]] = ["pass", "fail", "unknown", "unknown"]
    lines = [VerifyLine("week1", f"s{n}", "Look", verdict, "so") for n, verdict in enumerate(verdicts)]
    view = VerifyView(header, lines, [f"week1 {x.step}: so" for x in lines if x.verdict != "pass"], "", ())
    text = shown(view, 80)
    assert "✗ 1 of 4 not as they were left: week1 s1\n" in text
    assert "? 2 of 4 could not be asked: week1 s2, week1 s3\n" in text
    assert "Drift" not in text


def test_an_unknown_answer_is_not_shown_as_a_pass() -> None:
    text = shown(VIEWS["verify"], 80)
    assert "  ? Prove /api/storage\n     could not be asked: connection refused\n" in text
    assert "hold" not in text
    assert "✓ all 1 hold" in shown(VIEWS["well"], 80)


def test_findings_can_be_jumped_to() -> None:
    assert "\nweeks/week1-safe.yaml:3:1: unknown key 'stpes' (did you mean 'steps'?)\n" in shown(
        VIEWS["validate"], 200
    )
    brief = lay_out(blocks_of(VIEWS["validate"], Look(UNICODE, NOW, brief=True)), Ink(), 200)
    assert brief == "weeks/week1-safe.yaml:3:1: unknown key 'stpes' (did you mean 'steps'?)\n"
    assert lay_out(blocks_of(VIEWS["valid"], Look(UNICODE, NOW, brief=True)), Ink(), 200) == ""


def test_a_view_that_nothing_shows_is_a_bug_that_is_named() -> None:
    with pytest.raises(TypeError, match="nothing shows a View"):
        blocks_of(View(), Look(UNICODE, NOW))


def test_what_shows_that_events_are_lost_stands_in_every_document_of_the_journal() -> None:
    for name in ("lost-chain", "lost-runs", "lost-status"):
        assert f"{UNICODE.failed} MIGRATION_LOG.md was rendered up to event 152" in shown(VIEWS[name], 200)
    assert "newer version of this tool wrote 2 events" in shown(VIEWS["lost-status"], 200)


def test_what_was_taken_in_and_what_was_kept() -> None:
    text = shown(VIEWS["replaced"], 200)
    assert "taken in: 152 of 152 events" in text
    assert "kept: journal.sqlite3.kept-20261123T150000Z-wal" in text
    assert "kept: MIGRATION_LOG.aside-1.md" in text
    assert "152 events with 7 attachments" in shown(VIEWS["imported"], 200)
    assert "nothing to take in: all 1 events are here" in shown(VIEWS["nothing-imported"], 200)
    assert "1 event with 1 attachment to" in shown(VIEWS["evidence"], 200)
    assert "of a chain that does not fit" in shown(VIEWS["evidence"], 200)
