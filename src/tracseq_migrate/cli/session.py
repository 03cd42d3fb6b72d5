"""One call of the tool: the global options, the screen, and the environment once it is opened."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tracseq_migrate.cli.signals import Stop, listening

if TYPE_CHECKING:
    from tracseq_migrate.console.screen import Screen
    from tracseq_migrate.operations.system import System
    from tracseq_migrate.operations.views import View

PREFIX = "TRACSEQ_MIGRATE_"


@dataclass
class Session:
    """What every command is given: flag > variable > file, settled for the global options."""

    config: Path | None = None
    environment: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: int = 0
    no_color: bool = False
    argv: Sequence[str] = ()
    operated: bool = False
    """Whether an operation came to its end, so that its exit code stands even where its output was lost."""
    changing: bool = False
    """Whether an error now would be one in the middle of something."""
    stop: Stop = field(default_factory=Stop)
    _screen: Screen | None = None

    @property
    def screen(self) -> Screen:
        """The screen, made when something is first to be shown."""
        if self._screen is None:
            from tracseq_migrate.console.screen import Screen

            self._screen = Screen(
                stdout=sys.stdout,
                stderr=sys.stderr,
                stdin=sys.stdin,
                environ=os.environ,
                as_json=self.json,
                quiet=self.quiet,
                verbose=self.verbose > 0,
                no_color=self.no_color,
            )
        return self._screen

    @property
    def options(self) -> str:
        """The global options as they must be typed again in a command that is printed."""
        words = []
        if self.config is not None:
            words += ["-c", str(self.config)]
        if self.environment is not None:
            words += ["-e", self.environment]
        return shlex.join(words)

    @contextmanager
    def system(self, *, offline: bool = False, watched: bool = False) -> Iterator[System]:
        """The environment, opened; ``watched`` shows the operation as it goes along."""
        from tracseq_migrate.cli.wiring import opened

        with opened(self, offline=offline, watched=watched) as system:
            yield system

    def show(
        self,
        view: Callable[[System], View],
        *,
        offline: bool = False,
        watched: bool = False,
        tidied: bool = False,
    ) -> View:
        """Open the environment, make a view of it, show it, and give it back.

        Args:
            watched: tells people what happens meanwhile.
            tidied: a signal asks it to stop, and it gets the time to take away what it made.
        """
        with self.system(offline=offline, watched=watched and not self.json) as system:
            if tidied:
                with listening(
                    self.stop,
                    told=self.screen.warn,
                    deed=lambda number: self._tell_last(system, number),
                    end=_end_programs,
                    at_work=lambda: system.last_words.speak is not None,
                ):
                    made = view(system)
            else:
                made = view(system)
            self.screen.show(made)
        return made

    def _tell_last(self, system: System, number: int) -> None:
        """How far it came, before the process ends."""
        from tracseq_migrate.errors import Interrupted

        speak = system.last_words.speak
        nothing = Interrupted(
            number,
            state="Nothing was changed.",
            hint=f"`{system.type_this('status')}` says what to type next.",
        )
        self.screen.error(speak(number) if speak else nothing)

    def operate(self, operation: Callable[[System], int]) -> None:
        """Carry out an operation that changes something, under signals, and end with its exit code."""
        if self.json:
            self.screen.observer()  # the stream begins before anything can go wrong
        with self.system(watched=True) as system:
            self.screen.header(system.header)
            self.changing = True
            with listening(
                self.stop,
                told=self.screen.warn,
                deed=lambda number: self._tell_last(system, number),
                end=_end_programs,
                at_work=lambda: system.last_words.speak is not None,
                still=self.screen.standing_still if self.screen.moving else None,
            ):
                code = operation(system)
            self.changing = False
            self.operated = True
        if code:
            raise typer.Exit(code)

    def keep_on(self, operation: Callable[[System], int]) -> None:
        """Carry out an operation that goes on until a signal ends it, which is how it is meant to end."""
        if self.json:
            self.screen.observer()
        with self.system(watched=True) as system:
            self.screen.header(system.header)
            with listening(
                self.stop,
                told=self.screen.warn,
                deed=lambda number: self._tell_last(system, number),
                end=_end_programs,
            ):
                code = operation(system)
            self.operated = True
        if code:
            raise typer.Exit(code)


def _end_programs() -> None:
    """No program of a step outlives the tool."""
    from tracseq_migrate.adapters.commands import SubprocessCommands

    SubprocessCommands.end_all()


def session_of(context: typer.Context) -> Session:
    """The session that the root command made."""
    found = context.find_object(Session)
    if found is None:
        raise AssertionError("a command was called without the root command")
    return found


def variable(name: str) -> str | None:
    """A ``TRACSEQ_MIGRATE_*`` variable; an empty one counts as not set."""
    return os.environ.get(PREFIX + name) or None
