"""Commands that are answered from a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import CommandResult


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it was asked for."""

    argv: tuple[str, ...]
    shell: bool
    cwd: str | None
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None
    timeout: float = 0.0


Reply = CommandResult | StepFailed | Callable[[Call], CommandResult]


class MemoryCommands:
    """`Commands` whose ``replies`` are found by the program's name; ``calls`` lists what was asked for.

    A reply is a result, a failure to raise, or a function of the call. A program without one could not be started.
    """

    def __init__(self, replies: Mapping[str, Reply] | None = None) -> None:
        self.replies: dict[str, Reply] = dict(replies or {})
        self.calls: list[Call] = []

    def run(
        self,
        argv: Sequence[str],
        *,
        shell: bool = False,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout: float,
    ) -> CommandResult:
        if not argv or not argv[0]:
            raise StepFailed("there is no command to run")
        call = Call(tuple(argv), shell, cwd, dict(env or {}), stdin, timeout)
        self.calls.append(call)
        reply = self.replies.get(argv[0])
        if reply is None:
            raise StepFailed(f"`{argv[0]}` could not be started: No such file or directory")
        if isinstance(reply, StepFailed):
            raise reply
        return reply if isinstance(reply, CommandResult) else reply(call)

    def look(
        self,
        argv: Sequence[str],
        *,
        shell: bool = False,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float,
    ) -> CommandResult:
        return self.run(argv, shell=shell, cwd=cwd, env=env, timeout=timeout)
