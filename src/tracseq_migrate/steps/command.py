"""Kind ``command``: a program of the operator, with a way to see what it did and a way back."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from tracseq_migrate import duration
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import CommandResult, Route, Routes
from tracseq_migrate.step import (
    DONE,
    NO_HANDS,
    REVERSIBLE,
    UNDONE,
    Adopted,
    Concern,
    Done,
    Effect,
    EffectKind,
    Evidence,
    Found,
    Hands,
    NamedPath,
    Preview,
    Probed,
    Step,
    StepContext,
    Undo,
    WaitingOn,
    assumed,
    known,
    unknowable,
)

Argv = tuple[str, ...]


class CommandStep(Step):
    """Runs an argument list; a second one sees the effect, a third goes back (or the step says that nothing can)."""

    kind: ClassVar[str] = "command"
    summary: ClassVar[str] = (
        "Runs a program of yours, with one that sees what it did and one that takes it back."
    )
    default_timeout: ClassVar[float] = 600.0

    run: Argv = Field(min_length=1)
    verify_: Argv = Field(alias="verify", min_length=1)
    """Exits 0 when, and only when, the effect is there."""
    probe_: Argv | None = Field(default=None, alias="probe")
    """Exits 0 for done, 1 for not done, anything else for unknown. Without it a person is asked after a crash."""
    revert_: Argv | None = Field(default=None, alias="revert")
    irreversible: str | None = None
    """Why there is no way back; the step is a point of no return then."""
    shell: bool = False
    """Each list holds one text, which /bin/sh reads; shown in the preview as it is."""
    cwd: str | None = None
    env: dict[str, str] = Field(default_factory=dict)

    @property
    def effect(self) -> Effect:
        return Effect(EffectKind.IRREVERSIBLE, self.irreversible) if self.irreversible else REVERSIBLE

    @property
    def asks_a_person(self) -> bool:
        return self.probe_ is None

    @property
    def title(self) -> str:
        return f"run {self._show(self.run)}"

    def findings(self) -> list[str]:
        if self.revert_ is None and not self.irreversible:
            return [
                "it has no way back: give `revert: [..]`, or say why there is none with `irreversible: REASON`"
            ]
        if self.revert_ is not None and self.irreversible:
            return ["it has both `revert` and `irreversible`: keep one"]
        return []

    def fits(self, routes: Routes, monolith: str) -> list[str]:
        # Not among the findings: a journaled plan of an earlier version goes back although it has these.
        found = []
        if self.shell:
            found += [
                f"with `shell: true`, `{key}` is a list of one text, which the shell reads as it is; here it has {len(argv)}"
                for key, argv in self._programs()
                if len(argv) != 1
            ]
        if any(
            "\0" in word for _, argv in self._programs() for word in (*argv, *self.env, *self.env.values())
        ):
            found.append("a NUL stands in it, and no program can be given one")
        if any(not name or "=" in name for name in self.env):
            found.append("`env` has a name that no variable can have")
        return found

    def named_paths(self) -> list[NamedPath]:
        found = [] if self.cwd is None else [NamedPath(("cwd",), self.cwd)]
        if not self.shell:
            found += [
                NamedPath((key, 0), argv[0], self.cwd or "")
                for key, argv in self._programs()
                if "/" in argv[0]
            ]
        return found

    def touches(self) -> frozenset[str]:
        return frozenset({"command"})

    def concerns(self, ctx: StepContext) -> list[Concern]:
        question = f"{self.title}: its effect can be seen"
        looked = self.probe_ or self.verify_
        try:
            seen = self._look(ctx, looked)
        except StepFailed as error:
            return [Concern(question, "unknown", error.message, error.hint)]
        if seen.code:
            return []
        return [
            Concern(
                question,
                "fail",
                f"{self._show(looked)} exits 0 before the command has run, so it cannot tell whether the command did anything",
                "Give one that fails until the effect is there; where it is there already, take the step out.",
            )
        ]

    def preview(self, ctx: StepContext, *, offline: bool) -> Preview:
        lines = [
            known(f"runs {self._show(self.run)}"),
            known(f"is seen by {self._show(self.verify_)}"),
            known(f"goes back by {self._show(self.revert_)}")
            if self.revert_
            else known(f"is a point of no return: {self.irreversible}"),
            unknowable("what the program does"),
        ]
        if self.shell:
            lines.insert(0, known("gives what follows to a shell, /bin/sh, as it stands (`shell: true`)"))
        if self.env:
            names = ", ".join(sorted(self.env))
            lines.append(
                known(f"gives its programs {names} as the plan has {'it' if len(self.env) == 1 else 'them'}")
            )
        if self.probe_ is None:
            lines.append(assumed("after a crash in the middle a person will be asked whether it was done"))
        return Preview(tuple(lines), changes=True)

    def apply(self, ctx: StepContext, undo: Undo) -> Done | WaitingOn:
        self._sound(self.run, self._run(ctx, self.run))
        return Done()

    def verify(self, ctx: StepContext) -> list[Evidence]:
        result = self._sound(self.verify_, self._look(ctx, self.verify_))
        said = result.stdout.strip().splitlines()
        text = f"{self._show(self.verify_)} sees it ({duration.show(result.seconds)})"
        return [Evidence(f"{text}: {said[-1][:200]}" if said else text, {"code": result.code})]

    def probe(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> Probed:
        if self.probe_ is None:
            return self._ask(ctx)
        try:
            result = self._look(ctx, self.probe_)
        except StepFailed as error:
            return Probed(Found.UNKNOWN, error.message)
        found = {0: Found.DONE, 1: Found.NOT_DONE}.get(result.code, Found.UNKNOWN)
        return Probed(found, f"{self._show(self.probe_)} exited with {result.code}")

    def adopt(self, ctx: StepContext) -> Adopted:
        looked = self.probe_ or self.verify_
        try:
            seen = self._look(ctx, looked)
            told = f"{self._show(looked)} exited with {seen.code}"
            if seen.code < 0 or (self.probe_ is not None and seen.code > 1):
                return Adopted(Found.UNKNOWN, told)
            if seen.code:
                return Adopted(Found.NOT_DONE, told)
            evidence = tuple(self.verify(ctx))
        except StepFailed as error:
            return Adopted(Found.UNKNOWN, error.message)
        back = f"{self._show(self.revert_)} takes it back" if self.revert_ else "nothing takes it back"
        return Adopted(
            Found.DONE,
            evidence[0].text,
            assumed=(f"{back}, whatever was there before {self._show(self.run)}",),
            evidence=evidence,
        )

    def revert(self, ctx: StepContext, undo: Undo, checkpoints: Sequence[str]) -> list[Evidence]:
        if self.revert_ is None:
            signed = ctx.approvals(f"{ctx.step_id}{UNDONE}")
            probed = self.probe(ctx, undo, checkpoints) if self.probe_ or signed else None
            if probed is not None and probed.found is Found.NOT_DONE:
                return [Evidence(f"it was not done, so nothing is to be taken back: {probed.detail}")]
            raise StepFailed(f"there is no way back: {self.irreversible}")
        result = self._sound(self.revert_, self._run(ctx, self.revert_))
        looked = self.probe_ or self.verify_
        seen = self._look(ctx, looked)
        undone = f"{ctx.step_id}{UNDONE}"
        for approval in ctx.approvals(undone):
            return [
                Evidence(f"{approval.person} says that it is undone: {approval.evidence}", {"signed": undone})
            ]
        if seen.code == 0:
            raise StepFailed(
                f"{self._show(self.revert_)} exited 0, but by {self._show(looked)} the effect is still there",
                hint=f"If it is undone and {self._show(looked)} cannot tell, a person may sign for that: "
                f'`tracseq-migrate approve {ctx.week} {undone} --evidence "..."`; then roll back again.',
            )
        if seen.code < 0 or (self.probe_ is not None and seen.code != 1):
            raise StepFailed(
                f"{self._show(self.revert_)} exited 0, but {self._show(looked)} could not tell whether the effect is gone "
                f"(exit {seen.code})",
                unknown=True,
            )
        text = f"{self._show(self.revert_)} took it back ({duration.show(result.seconds)}), and it is seen no more"
        return [Evidence(text, {"code": result.code})]

    def manual(self, undo: Undo, routes: Mapping[str, Route], hands: Hands = NO_HANDS) -> list[str]:
        if self.revert_ is None:
            return [f"# nothing takes it back: {self.irreversible}"]
        given = "".join(f"{name}={shlex.quote(value)} " for name, value in self.env.items())
        typed = given + shlex.join(self._words(self.revert_))
        return [f"(cd {shlex.quote(self.cwd)} && {typed})" if self.cwd else typed]

    def _ask(self, ctx: StepContext) -> Probed:
        """Nothing but a person can tell."""
        for suffix, said in ((DONE, Found.DONE), (UNDONE, Found.NOT_DONE)):
            for approval in ctx.approvals(f"{ctx.step_id}{suffix}"):
                return Probed(said, f"{approval.person} says that it is {suffix[1:]}: {approval.evidence}")
        if not ctx.asker.present:
            signs = f"`tracseq-migrate approve {ctx.week} {ctx.step_id}"
            return Probed(
                Found.UNKNOWN,
                (
                    "the plan gives no `probe` for this command: a person must look (typed at a terminal, resume asks whether "
                    f'it was done), or sign what is so: {signs}{DONE} --evidence "..."`, or {signs}{UNDONE} --evidence "..."`'
                ),
            )
        question = f"{self._show(self.run)} was begun, and how it ended is not known. Was it done?"
        found = Found.DONE if ctx.asker.confirm(question) else Found.NOT_DONE
        return Probed(found, f"a person at the terminal says that it was {found}")

    def _sound(self, argv: Argv, result: CommandResult) -> CommandResult:
        if result.code:
            tail = (result.stderr.strip() or result.stdout.strip())[-800:]
            how = f"was ended by signal {-result.code}" if result.code < 0 else f"exited with {result.code}"
            text = f"{self._show(argv)} {how}"
            raise StepFailed(f"{text}:\n{tail}" if tail else text)
        return result

    def _look(self, ctx: StepContext, argv: Argv) -> CommandResult:
        return ctx.commands.look(argv, shell=self.shell, cwd=self.cwd, env=self.env, timeout=ctx.remaining())

    def _run(self, ctx: StepContext, argv: Argv) -> CommandResult:
        return ctx.commands.run(argv, shell=self.shell, cwd=self.cwd, env=self.env, timeout=ctx.remaining())

    def _programs(self) -> list[tuple[str, Argv]]:
        given = (
            ("run", self.run),
            ("verify", self.verify_),
            ("probe", self.probe_),
            ("revert", self.revert_),
        )
        return [(key, argv) for key, argv in given if argv]

    def _show(self, argv: Argv | None) -> str:
        return f"`{shlex.join(self._words(argv or ()))}`"

    def _words(self, argv: Argv) -> Argv:
        """What runs, to the letter."""
        return ("/bin/sh", "-c", argv[0], *(("sh", *argv[1:]) if argv[1:] else ())) if self.shell else argv
