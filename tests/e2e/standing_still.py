"""A run that is stopped past its lease, another that takes over, and the first again: what it may do, and what not."""

from __future__ import annotations

import signal
import time
from typing import Any

from tests.e2e.driving import Call, Outcome, Tool, tool_of, world
from tests.sandbox_fixture import Sandbox
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal
from tracseq_migrate.ports import Event

SHORT = "2s"
_IN_A_WRITE = "kept it busy"


def set_lease(sandbox: Sandbox, lease: str) -> None:
    """Let the lock go after so much silence. `Sandbox.reset` puts the file back."""
    text = sandbox.config.read_text()
    assert text.count("    sandbox: true\n") == 1
    sandbox.config.write_text(text.replace("    sandbox: true\n", f"    sandbox: true\n    lease: {lease}\n"))


def journal_of(sandbox: Sandbox) -> list[Event]:
    """Every event."""
    journal = SqliteJournal(
        sandbox.state.layout.journal / "sandbox" / "journal.sqlite3", environment="sandbox"
    )
    try:
        return list(journal.read())
    finally:
        journal.close()


def all_of_it(sandbox: Sandbox) -> dict[str, Any]:
    """All that a run may touch: the system, the journal, the log."""
    log = sandbox.folder / "MIGRATION_LOG.md"
    return {
        "system": world(sandbox),
        "events": [event.hash for event in journal_of(sandbox)],
        "log": log.read_bytes() if log.exists() else b"",
    }


def stop_and_overtake(sandbox: Sandbox, said: str, *, delay: float = 0.0) -> str:
    """Stop a run of week 1 a while after it said something, let another go on to the end, and continue it.

    The sandbox's lease must be short. Returns what became of the first: "was fenced", or "had ended" where it was done
    before it could be stopped.

    Raises:
        AssertionError: something of the first landed after another had taken over, or it does not say what happened.
    """
    ada, grace = tool_of(sandbox).as_("ada"), tool_of(sandbox).as_("grace")
    with ada.working("-v", "run", "week1", "--yes") as first:
        first.until_said(said)
        time.sleep(delay)
        if first.process.poll() is not None:
            first.end().expect(0)
            return "had ended"
        first.send(signal.SIGSTOP)
        try:
            command = "resume week1"
            taken = _take_over(grace, first, command)
            if taken.code == 4 and "never-run" in taken.err:  # it was stopped before it had begun anything
                command = "run week1 --yes"
                taken = _take_over(grace, first, command)
            ended_before = taken.code == 0 and "came to its end already" in taken.out
            then = all_of_it(sandbox)
        finally:
            first.send(signal.SIGCONT)
        ended = first.end()
    if ended_before:
        ended.expect(0)
        return "had ended"
    taken.expect(0, "week1 is proven")
    ended.expect(8, "grace", command, "lost the lock while it stood still", "it changes nothing any more")
    assert all_of_it(sandbox) == then, f"something of the first landed: {ended}"
    return "was fenced"


def _take_over(other: Tool, first: Call, command: str) -> Outcome:
    """Go on as somebody else. Where the first was stopped in the middle of a write of its journal, nobody can get at the
    file; it goes on for a moment then, and is stopped again."""
    while True:
        taken = other("-v", *command.split(), "--lock-timeout", "60s")
        if _IN_A_WRITE not in taken.err:
            return taken
        first.send(signal.SIGCONT)
        time.sleep(0.01)
        first.send(signal.SIGSTOP)
