"""Where week plans lie, and how one is found: the operator's folder first, the plans that come with the package behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

from tracseq_migrate.document import did_you_mean, shown
from tracseq_migrate.errors import Finding, InvalidInput, InvalidSetup, UsageError
from tracseq_migrate.plan.checks import check, check_needs, names_week
from tracseq_migrate.plan.model import Surroundings, WeekPlan
from tracseq_migrate.plan.project import Project
from tracseq_migrate.plan.reading import Read, read
from tracseq_migrate.plan.texts import with_texts
from tracseq_migrate.ports import Files

SUFFIXES = (".yaml", ".yml")


def packaged() -> Path | None:
    """The folder of the plans that come with the package; in a checkout, the checkout's own."""
    package = Path(str(resources.files("tracseq_migrate")))
    places = (package / "packaged" / "weeks", package.parent.parent / "weeks")
    return next((place for place in places if place.is_dir()), None)


def folders(files: Files, *, plans: Path | None, beside: Path | None, cwd: Path) -> tuple[Path, ...]:
    """The folders to look into, the operator's first.

    Args:
        plans: the folder that the environment names.
        beside: the folder of the environment file.
    """
    own = plans
    if own is None:
        tried = [place / "weeks" for place in (beside, cwd) if place is not None]
        own = next((place for place in tried if any(files.list(place, suffix) for suffix in SUFFIXES)), None)
    found = [place for place in (own, packaged()) if place is not None]
    return tuple({place.absolute(): place for place in found}.values())


@dataclass(frozen=True)
class PlanShelf:
    """The plans in some folders, held against an environment. Files are read once.

    A week that two folders have is the first folder's. Where an earlier folder has plans at all, a plan of a later one that
    does not fit the environment is left out: it comes with the package, and was not written for this system.
    """

    files: Files
    folders: tuple[Path, ...]
    environment: Surroundings | None = None
    project: Project | None = None

    def find(self, week: str) -> WeekPlan:
        """The plan of a week's name, or of a path.

        Raises:
            InvalidInput: it has findings; all of them.
            InvalidSetup: a path that cannot be read.
            UsageError: there is no plan of this week.
        """
        chosen = self._read_file(Path(week)) if is_path(week) else self._of_week(week)
        return self._checked(chosen)

    def all(self) -> tuple[WeekPlan, ...]:
        """Every plan, by the number of its week and its name.

        Raises:
            InvalidInput: with every finding of every file.
        """
        findings = self.inspect()
        if findings:
            raise InvalidInput(findings)
        return tuple(each.plan() for each in self._shelved)

    def names(self) -> tuple[str, ...]:
        """The names of the weeks that there are, in order; of a file in which none can be read, the file's own name."""
        return tuple(dict.fromkeys(_week(each) or Path(each.file).stem for each in self._shelved))

    def inspect(self, week: str = "") -> list[Finding]:
        """Every finding of every plan, or of one. Raises as `find` where that one is not there."""
        chosen = self._shelved
        if week:
            chosen = (self._read_file(Path(week)) if is_path(week) else self._of_week(week),)
        findings: list[Finding] = []
        for each in chosen:
            findings += self._findings(each)
        if not week:
            findings += self._needs
            findings += _twice(self._shelved)
        return sorted(set(findings))

    @cached_property
    def _shelved(self) -> tuple[Read, ...]:
        """The plans that there are for this environment, in order."""
        return tuple(each for each in self._found if each not in self._left_out)

    @cached_property
    def _found(self) -> tuple[Read, ...]:
        """The files of all folders, without those whose week an earlier folder has."""
        kept: list[Read] = []
        taken: set[str] = set()
        for folder in self.folders:
            here = [self._shelve(path) for path in self._paths(folder)]
            kept += [each for each in here if _week(each) not in taken]
            taken |= {_week(each) for each in here} - {""}
        return tuple(sorted(kept, key=lambda each: (*_order(_week(each) or Path(each.file).stem), each.file)))

    @cached_property
    def _left_out(self) -> tuple[Read, ...]:
        """The plans that come behind the operator's own and do not fit the operator's environment."""
        own = next((folder for folder in self.folders if self._paths(folder)), None)
        if own is None or self.environment is None:
            return ()
        theirs = {shown(path) for path in self._paths(own)}
        return tuple(each for each in self._found if each.file not in theirs and self._findings(each))

    @cached_property
    def _needs(self) -> list[Finding]:
        return check_needs(_partials(self._shelved), [*_unread(self._shelved), *_stems(self._left_out)])

    def _paths(self, folder: Path) -> list[Path]:
        return sorted(path for suffix in SUFFIXES for path in self.files.list(folder, suffix))

    def _of_week(self, week: str) -> Read:
        named = [each for each in self._shelved if _week(each) == week]
        if len(named) == 1:
            return named[0]
        if named:
            raise InvalidInput(_twice(named))
        for each in self._found:
            # A file of this name that cannot be read, or that says another week: that is the news, not that none is there.
            if names_week(Path(each.file).stem, week) and self._findings(each):
                return each
        weeks = self.names()
        where = ", ".join(map(str, self.folders)) or "any folder"
        raise UsageError(
            f"there is no plan of a week '{week}' in {where} ({did_you_mean(week, weeks, what='weeks')})",
            hint="Give the name of a week, or the path of a plan. `tracseq-migrate status` lists the weeks.",
        )

    def _read_file(self, path: Path) -> Read:
        try:
            body = self.files.read(path)
        except OSError as error:
            raise InvalidSetup(f"{path} cannot be read: {error.strerror or type(error).__name__}") from error
        found = read(body, shown(path))
        if found.partial is None:
            return found
        plan, findings = with_texts(found.partial, path, self.files, self.folders)
        return Read(found.file, (*found.findings, *findings), plan)

    def _shelve(self, path: Path) -> Read:
        try:
            return self._read_file(path)
        except InvalidSetup as error:
            finding = Finding(shown(path), 1, 1, error.message.removeprefix(f"{path} "))
            return Read(finding.file, (finding,), None)

    def _findings(self, each: Read) -> list[Finding]:
        findings = list(each.findings)
        if each.partial is not None:
            findings += check(each.partial, self.environment)
            if self.project is not None:
                findings += self.project.findings(each.partial)
        return findings

    def _checked(self, chosen: Read) -> WeekPlan:
        needs = [finding for finding in self._needs_with(chosen) if finding.file == chosen.file]
        findings = {*self._findings(chosen), *needs}
        if findings:
            raise InvalidInput(sorted(findings))
        return chosen.plan()

    def _needs_with(self, chosen: Read) -> list[Finding]:
        others = [each for each in self._shelved if _week(each) != _week(chosen) and each.file != chosen.file]
        return check_needs(_partials([*others, chosen]), [*_unread(others), *_stems(self._left_out)])


def is_path(week: str) -> bool:
    """Whether what was typed for a week is meant as a path."""
    return "/" in week or week.endswith(SUFFIXES)


def _week(each: Read) -> str:
    return each.partial.week if each.partial is not None else ""


def _partials(files: Iterable[Read]) -> list[WeekPlan]:
    return [each.partial for each in files if each.partial is not None]


def _unread(files: Iterable[Read]) -> list[str]:
    return _stems(each for each in files if not _week(each))


def _stems(files: Iterable[Read]) -> list[str]:
    return [Path(each.file).stem for each in files]


def _order(name: str) -> tuple[int, str]:
    number = re.search(r"\d+", name)
    return (int(number.group()) if number else 1_000_000, name)


def _twice(plans: Iterable[Read]) -> list[Finding]:
    first: dict[str, Read] = {}
    findings = []
    for each in plans:
        week = _week(each)
        if not week or each.partial is None or each.partial.source is None:
            continue
        earlier = first.setdefault(week, each)
        if earlier is not each:
            findings.append(
                each.partial.source.document.finding(
                    ("week",), f"{earlier.file} is a plan of '{week}' too", "a week has one plan in a folder"
                )
            )
    return findings
