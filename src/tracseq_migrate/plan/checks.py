"""What a plan's own file cannot tell: that it fits the environment, and that the weeks fit each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import PurePath
from typing import Any

from tracseq_migrate.document import MOST_FINDINGS, Document, Path, did_you_mean, first_of
from tracseq_migrate.errors import Finding
from tracseq_migrate.plan.model import Source, StepEntry, Surroundings, WeekPlan
from tracseq_migrate.ports import Routes
from tracseq_migrate.step import Uses


def check(plan: WeekPlan, environment: Surroundings | None) -> list[Finding]:
    """Everything about one plan that does not fit. Without an environment, only what the plan says by itself."""
    source = plan.source
    if source is None:
        return []
    alone = chain(_file_name(plan, source), _preflight(plan, source), _groups(plan, source))
    findings = list(islice(alone, MOST_FINDINGS + 1))
    if environment is not None:
        # Asked once: an environment works these out anew whenever it is asked.
        offers, routes, monolith = environment.offers, Routes.of(environment.routes), environment.monolith
        for entry in (*plan.preflight, *plan.steps):
            if len(findings) > MOST_FINDINGS:
                break
            findings += _names(entry, offers, source)
            findings += [_at(entry, source, message) for message in entry.step.fits(routes, monolith)]
    return first_of(findings)


def check_needs(plans: Sequence[WeekPlan], unread: Sequence[str] = ()) -> list[Finding]:
    """Every need that names no week, or that leads back to the week that has it.

    Args:
        unread: names, without suffix, of files whose week could not be read: a need that may mean one is not unknown.
    """
    known = {plan.week: plan for plan in plans if plan.week}
    needs = {name: [need.week for need in plan.needs] for name, plan in known.items()}
    findings = []
    for plan in plans:
        if plan.source is None:
            continue
        for name in dict.fromkeys(need.week for need in plan.needs):
            way = _way(name, plan.week, needs)
            if name == plan.week:
                message, remedy = f"'{name}' needs itself", "take this need away"
            elif way:
                message = f"the needs go in a circle: {' -> '.join((plan.week, *way))}"
                remedy = "one of them must go"
            elif name not in known and not any(names_week(stem, name) for stem in unread):
                message = f"unknown week '{name}'"
                remedy = did_you_mean(name, known.keys() - {plan.week}, what="other weeks")
            else:
                continue
            at, _ = _where(plan.source.document, ("needs",), name)
            findings.append(plan.source.document.finding(at, message, remedy))
    return findings


def _way(start: str, goal: str, needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The shortest way along needs from one week to another; empty where there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = {start}
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
            remedy = source.document.did_you_mean(name, known, what=f"{what}s of the environment")
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
