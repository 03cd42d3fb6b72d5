"""Errors as people read them, and as scripts do."""

from __future__ import annotations

import pytest

from tracseq_migrate.console.failures import exit_code_of, render_error
from tracseq_migrate.console.ink import ASCII, Ink
from tracseq_migrate.console.terminal import Depth
from tracseq_migrate.errors import (
    Finding,
    Interrupted,
    InvalidInput,
    Locked,
    NotAllowed,
    RolledBack,
    TracseqMigrateError,
    Waiting,
)


def test_four_lines() -> None:
    error = Locked("ada holds the lock on host1", hint="`tracseq-migrate status`")
    assert render_error(error, Ink()) == (
        "✗ ada holds the lock on host1\n"
        "  state: Nothing was changed.\n"
        "  next:  `tracseq-migrate status`\n"
        "  more:  docs/runbook.md#exit-8 (exit 8)\n"
    )


def test_the_first_line_is_bold_and_only_the_first() -> None:
    shown = render_error(NotAllowed("week1 may not run yet\n  backup: open"), Ink(Depth.FULL))
    assert shown.startswith("\x1b[1;38;5;196m✗ week1 may not run yet\x1b[0m\n  backup: open\n")


def test_what_a_program_wrote_stands_indented_below() -> None:
    shown = render_error(RolledBack("step x failed: it exited with 3:\none\n\n  two\n"), Ink())
    assert shown.startswith("← step x failed: it exited with 3:\n  one\n\n  two\n  state: ")


def test_findings_come_first_one_a_line() -> None:
    error = InvalidInput([Finding("w.yaml", 5, 2, "b"), Finding("w.yaml", 3, 1, "a", "mend it")])
    assert render_error(error, Ink()) == (
        "w.yaml:3:1: a (mend it)\n"
        "w.yaml:5:2: b\n"
        "✗ 2 findings to mend\n"
        "  state: Nothing was changed.\n"
        "  more:  docs/runbook.md#exit-3 (exit 3)\n"
    )
    assert render_error(error, Ink(), findings_shown=True).startswith("✗ 2 findings to mend\n")


@pytest.mark.parametrize(
    ("error", "mark", "code"),
    [
        (RolledBack("step flags failed"), "←", 5),
        (Waiting("week2 waits"), "◷", 9),
        (Interrupted(2), "✗", 130),
        (Interrupted(15), "✗", 143),
        (TracseqMigrateError("unexpected"), "✗", 1),
    ],
)
def test_the_page_is_that_of_the_exit_code(error: TracseqMigrateError, mark: str, code: int) -> None:
    shown = render_error(error, Ink())
    assert shown.startswith(f"{mark} ")
    assert f"docs/runbook.md#exit-{code} (exit {code})" in shown
    assert exit_code_of(error) == code


def test_hostile_texts_and_secrets_are_harmless() -> None:
    ink = Ink(Depth.NONE, ASCII, hide=lambda text: text.replace("hunter2", "***"))
    shown = render_error(TracseqMigrateError("\x1b[2Jhunter2", state="\x07", hint="\u202e"), ink)
    assert shown == (
        "XX \\x1b[2J***\n  state: \\x07\n  next:  \\u202e\n  more:  docs/runbook.md#exit-1 (exit 1)\n"
    )


def test_prose_is_folded_between_words_and_commands_are_not() -> None:
    error = NotAllowed(
        "week1 may not run yet: 1 of 9 checks did not pass\n  backup: open",
        state="Nothing was changed here.\nNor elsewhere.",
        hint="`tracseq-migrate approve week1 backup --evidence TEXT`",
    )
    assert render_error(error, Ink(), 30) == (
        "✗ week1 may not run yet: 1 of\n"
        "  9 checks did not pass\n"
        "  backup: open\n"
        "  state: Nothing was changed\n"
        "         here.\n"
        "         Nor elsewhere.\n"
        "  next:  `tracseq-migrate approve week1 backup --evidence TEXT`\n"
        "  more:  docs/runbook.md#exit-4 (exit 4)\n"
    )


def test_what_to_do_is_folded_around_commands() -> None:
    hint = "Mend the cause and its causes, then `tracseq-migrate -c somewhere run week1`; `ls -l` shows more."
    assert render_error(NotAllowed("no", hint=hint), Ink(), 40).splitlines()[2:7] == [
        "  next:  Mend the cause and its causes,",
        "         then",
        "         `tracseq-migrate -c somewhere run week1`;",
        "         `ls -l` shows more.",
        "  more:  docs/runbook.md#exit-4 (exit 4)",
    ]
