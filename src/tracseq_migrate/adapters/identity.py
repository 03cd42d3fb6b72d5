"""Who is at the keyboard: the environment file chooses which of these is believed."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path

from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.errors import InvalidSetup, StepFailed
from tracseq_migrate.ports import Commands, Person

VARIABLE = "TRACSEQ_MIGRATE_IDENTITY"
_LONGEST = 200


class SystemIdentity:
    """The user of the operating system, by the process's user id: no variable can change it."""

    def whoami(self) -> Person:
        number = os.getuid()
        try:
            name = pwd.getpwuid(number).pw_name
        except KeyError:
            raise InvalidSetup(
                f"the user with the number {number} has no name on this machine",
                hint="Add the user to the machine, or set `identity` in the environment file to another way.",
            ) from None
        return _person(name, "system", f"the user with the number {number}")


class GitIdentity:
    """``user.name`` and ``user.email`` as git has them in a folder."""

    def __init__(self, folder: Path, *, timeout: float = 15.0) -> None:
        self._folder = folder
        self._timeout = timeout

    def whoami(self) -> Person:
        name, mail = self._ask("user.name"), self._ask("user.email")
        if not name:
            raise InvalidSetup(
                "git knows no user.name here", hint='Set it: git config --global user.name "Your Name"'
            )
        return _person(f"{name} <{mail}>" if mail else name, "git", "git's user.name")

    def _ask(self, key: str) -> str:
        try:
            asked = SubprocessCommands(self._folder).look(
                ["git", "config", "--get", key], timeout=self._timeout
            )
        except StepFailed as error:
            raise InvalidSetup(
                f"git could not be asked for {key}, and `identity: git` needs it: {error.message}",
                hint="Install git, or set `identity` in the environment file to another way.",
            ) from error
        # 1 is git's answer for a key that is not set.
        if asked.code not in (0, 1):
            raise InvalidSetup(f"git could not be asked for {key}: {asked.stderr.strip()}")
        return asked.stdout.strip()


class VariableIdentity:
    """A variable of the environment. Anybody can set it, so it is for sandboxes."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def whoami(self) -> Person:
        name = self._environment.get(VARIABLE, "")
        if not name.strip():
            raise InvalidSetup(
                f"the variable {VARIABLE} is not set", hint=f"Set it: export {VARIABLE}=your-name"
            )
        return _person(name, "variable", f"the variable {VARIABLE}")


class CommandIdentity:
    """What a command prints first; it proves who it is by its own means, such as checking a token."""

    def __init__(self, argv: Sequence[str], commands: Commands, *, timeout: float = 15.0) -> None:
        self._argv = tuple(argv)
        self._commands = commands
        self._timeout = timeout

    def whoami(self) -> Person:
        hint = "The command of `identity` in the environment file must print a name and exit 0."
        try:
            result = self._commands.run(self._argv, timeout=self._timeout)
        except StepFailed as error:
            raise InvalidSetup(f"the identity could not be found out: {error.message}", hint=hint) from error
        if result.code != 0:
            said = result.stderr.strip().splitlines()
            raise InvalidSetup(
                f"`{self._argv[0]}` did not tell the identity: it exited {result.code}"
                + (f" and said: {said[-1]}" if said else ""),
                hint=hint,
            )
        lines = result.stdout.strip().splitlines()
        if not lines:
            raise InvalidSetup(f"`{self._argv[0]}` did not tell the identity: it printed nothing", hint=hint)
        return _person(lines[0], "command", f"what `{self._argv[0]}` printed")


def _person(name: str, source: str, what: str) -> Person:
    name = name.strip()
    if not name or len(name) > _LONGEST or not name.isprintable():
        raise InvalidSetup(f"{what} is no name of a person: {name[:_LONGEST]!r}")
    return Person(name, source)
