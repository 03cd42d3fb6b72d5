"""What a plan's own file cannot tell: that it fits the environment, and that the weeks fit each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from tracseq_migrate.document import Document, Path, did_you_mean
from tracseq_migrate.errors import Finding
from tracseq_migrate.plan.model import Source, StepEntry, Surroundings, WeekPlan
from tracseq_migrate.step import Uses


def check(plan: WeekPlan, environment: Surroundings | None) -> list[Finding]:
    """Everything about one plan that does not fit. Without an environment, only what the plan says by itself."""
    source = plan.source
    if source is None:
        return []
    findings = [*_file_name(plan, source), *_preflight(plan, source), *_groups(plan, source)]
    if environment is not None:
        for entry in (*plan.preflight, *plan.steps):
            findings += _names(entry, environment.offers, source)
            findings += [
                _at(entry, source, message)
                for message in entry.step.fits(environment.routes, environment.monolith)
            ]
    return findings


def check_needs(plans: Sequence[WeekPlan]) -> list[Finding]:
    """Every need that names no week, or that leads back to the week that has it."""
    known = {plan.week: plan for plan in plans if plan.week}
    needs = {name: [need.week for need in plan.needs] for name, plan in known.items()}
    findings = []
    for plan in plans:
        if plan.source is None:
            continue
        for index, need in enumerate(plan.needs):
            at: Path = ("needs", index, "week")
            if need.week == plan.week:
                findings.append(
                    plan.source.document.finding(at, f"'{plan.week}' needs itself", "take this need away")
                )
            elif need.week not in known:
                remedy = did_you_mean(need.week, known.keys() - {plan.week}, what="other weeks")
                findings.append(plan.source.document.finding(at, f"unknown week '{need.week}'", remedy))
            else:
                way = _way(need.week, plan.week, needs)
                if way:
                    circle = " -> ".join((plan.week, *way))
                    findings.append(
                        plan.source.document.finding(
                            at, f"the needs go in a circle: {circle}", "one of them must go"
                        )
                    )
    return findings


def _way(start: str, goal: str, needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The shortest way along needs from one week to another; empty where there is none."""
    ways, seen = [(start,)], {start}
    for way in ways:
        for following in needs.get(way[-1], ()):
            if following == goal:
                return (*way, goal)
            if following not in seen:
                seen.add(following)
                ways.append((*way, following))
    return ()


def _file_name(plan: WeekPlan, source: Source) -> Iterator[Finding]:
    stem = PurePath(source.document.file).stem
    if plan.week and not names_week(stem, plan.week):
        yield source.document.finding(
            ("week",),
            f"the file is called '{stem}', but its week is '{plan.week}'",
            f"a plan of this week is found as {plan.week}.yaml or {plan.week}-SOMETHING.yaml",
        )


def names_week(stem: str, week: str) -> bool:
    """Whether a file of this name, without its suffix, may hold a week of this name."""
    rest = stem.removeprefix(week)
    return stem.startswith(week) and not rest[:1].isdigit()


def _preflight(plan: WeekPlan, source: Source) -> Iterator[Finding]:
    for entry in plan.preflight:
        if not entry.step.is_check:
            yield _at(
                entry,
                source,
                f"a '{entry.step.kind}' step is not a check, and nothing may change before the preflight is over",
                "move it to the steps",
            )


def _groups(plan: WeekPlan, source: Source) -> Iterator[Finding]:
    for group in plan.groups():
        taken: dict[str, str] = {}
        for entry in group:
            for resource in sorted(entry.step.touches()):
                other = taken.setdefault(resource, entry.id)
                if other != entry.id:
                    yield _at(
                        entry,
                        source,
                        f"'{other}' and '{entry.id}' may run at once, and both change {_shown(resource)}",
                        "take one of them out of the parallel group",
                    )


def _shown(resource: str) -> str:
    kind, _, name = resource.partition(":")
    return f"the {kind} '{name}'" if name else f"the {kind}"


def _names(entry: StepEntry, offers: Uses, source: Source) -> Iterator[Finding]:
    used = entry.step.uses()
    for what, names, known in (
        ("service", used.services, offers.services),
        ("flag", used.flags, offers.flags),
        ("database", used.databases, offers.databases),
        ("target", used.targets, offers.targets),
    ):
        for name in sorted(names - known):
            at, key = _where(source.document, (*_path(entry, source), entry.step.kind), name)
            remedy = did_you_mean(name, known, what=f"{what}s of the environment")
            yield source.document.finding(at, f"unknown {what} '{name}'", remedy, key=key)


def _path(entry: StepEntry, source: Source) -> Path:
    return source.entries.get(entry.id, ())


def _at(entry: StepEntry, source: Source, message: str, remedy: str = "") -> Finding:
    return source.document.finding((*_path(entry, source), entry.step.kind), message, remedy, key=True)


def _where(document: Document, at: Path, name: str) -> tuple[Path, bool]:
    """The first place below a path where a name stands, and whether it stands there as a key."""

    def places(value: Any, path: Path) -> Iterator[tuple[Path, bool]]:
        if isinstance(value, dict):
            for key, each in value.items():
                if key == name:
                    yield (*path, key), True
                yield from places(each, (*path, key))
        elif isinstance(value, list):
            for index, each in enumerate(value):
                yield from places(each, (*path, index))
        elif value == name:
            yield path, False

    return next(places(document.at(at), at), (at, True))
