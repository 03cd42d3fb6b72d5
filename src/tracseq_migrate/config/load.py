"""Finding the environment file, reading it, and choosing the environment in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from tracseq_migrate import document as documents
from tracseq_migrate.config.checks import Parts, check, parts_of
from tracseq_migrate.config.environment import Environment, EnvironmentSection, Name, routes_of
from tracseq_migrate.config.filling import Filling
from tracseq_migrate.config.unknown import Section, known_of
from tracseq_migrate.document import Document, did_you_mean, findings_from
from tracseq_migrate.document import Path as Way
from tracseq_migrate.errors import Finding, InvalidInput, InvalidSetup, UsageError
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports import Files, Routes, Unreachable
from tracseq_migrate.printable import one_line
from tracseq_migrate.redact import Redactor
from tracseq_migrate.step import Uses

FILE_NAME = "tracseq-migrate.yaml"
_TAKEN_APART = ("gateway", "services", "databases")


class _Shell(Section):
    """The file apart from what is in its environments, which are looked at one by one."""

    version: Literal[1]
    default: Name | None = None
    environments: Annotated[dict[str, Any], Field(min_length=1)]


@frozen
class Facts:
    """What plans are checked against, told once: the names in an environment, its routes, its monolith."""

    offers: Uses
    routes: Routes
    monolith: str


@frozen
class Inspection:
    """An environment file looked at whole: every finding, and what plans can still be checked against.

    ``environment`` is the chosen one, None where the file has findings; ``facts`` is there even then, None where they cannot be
    told.
    """

    findings: tuple[Finding, ...]
    environment: Environment | None
    facts: Facts | None
    plans: Path | None = None
    """The folder of week plans that the chosen environment names, as far as it can be told."""
    outside: tuple[Path, ...] = ()
    """What plans may name outside of the file's folder."""
    secrets: frozenset[str] = frozenset()
    """What is to be kept out of everything that is shown."""


def find(start: Path, files: Files) -> Path | None:
    """The nearest environment file in a folder or above it."""
    return next((path for each in (start, *start.parents) if files.exists(path := each / FILE_NAME)), None)


def locate(given: Path | None, start: Path, files: Files) -> Path:
    """The environment file that was given, else the nearest one.

    Raises:
        InvalidSetup: there is none.
    """
    if given is not None:
        if not files.exists(given):
            raise InvalidSetup(f"there is no file {given}", hint="Give the environment file: -c FILE")
        return given
    found = find(start, files)
    if found is None:
        raise InvalidSetup(
            f"there is no {FILE_NAME} in {start} or above it",
            hint="Go to the folder that has it, or give it: -c FILE. "
            "To try things out first: tracseq-migrate sandbox up",
        )
    return found


def load(
    path: Path,
    files: Files,
    environ: Mapping[str, str],
    *,
    environment: str | None = None,
    offline: bool = False,
) -> Environment:
    """The environment to work in.

    Args:
        environment: its name, where a person gave one; else the file's default, unless that must be confirmed.
        offline: values that cannot be had now are unknown (see `config.unknown`), not findings.

    Raises:
        InvalidInput: with every finding of the file and of the chosen environment.
        InvalidSetup: the file cannot be read.
        UsageError: no such environment, or one must be named.
    """
    body = _read(path, files)
    document, findings = documents.inspect(body, documents.shown(path))
    if document is None:
        raise InvalidInput(findings)
    findings += _of_file(document)
    sections = document.value.get("environments")
    if findings and not (isinstance(sections, dict) and sections):
        raise InvalidInput(findings)
    name = choose(document, environment)
    looked = _look(document, name, path, files, environ, lenient=offline)
    findings += looked.findings
    if findings or looked.environment is None:
        raise InvalidInput(findings)
    return looked.environment


def inspect(
    path: Path,
    files: Files,
    environ: Mapping[str, str],
    *,
    environment: str | None = None,
    offline: bool = False,
) -> Inspection:
    """Everything that is wrong with the file: its environments too that nobody asked for, as far as their variables do not
    matter.

    Raises:
        InvalidSetup: the file cannot be read.
        UsageError: there is no environment of the name that was given.
    """
    document, findings = documents.inspect(_read(path, files), documents.shown(path))
    if document is None:
        return Inspection(tuple(findings), None, None)
    findings += [*_of_file(document), *_same_log(document)]
    sections = document.value.get("environments")
    if not isinstance(sections, dict) or not sections:
        return Inspection(tuple(documents.first_of(findings)), None, None)
    chosen = _chosen(document, environment)
    result: _Looked | None = None
    for name in sorted(sections, key=lambda each: each != chosen):  # the chosen one is looked at in any case
        if len(findings) > documents.MOST_FINDINGS:
            break
        looked = _look(document, name, path, files, environ, lenient=offline or name != chosen)
        findings += looked.findings
        if name == chosen:
            result = looked
    unique = tuple(documents.first_of(findings))
    if result is None:
        return Inspection(unique, None, None)
    return Inspection(
        unique,
        None if unique else result.environment,
        result.facts,
        result.plans,
        result.outside,
        frozenset(result.secrets),
    )


def choose(document: Document, given: str | None) -> str:
    """The name of the environment to work in.

    Raises:
        UsageError: there is none of that name, or one must be named.
    """
    name = _chosen(document, given)
    sections = document.value["environments"]
    if not name:
        raise UsageError(
            f"{document.file} has several environments and no default",
            hint=f"Name one: -e {' | -e '.join(map(str, sections))}",
        )
    section = sections[name]
    if given is None and isinstance(section, dict) and section.get("confirm") is True:
        raise UsageError(
            f"the environment '{name}' must be named, so that nobody meets it by accident",
            hint=f"If you mean it: -e {name}",
        )
    return name


def _chosen(document: Document, given: str | None) -> str:
    sections = document.value["environments"]
    if given is not None:
        if given not in sections:
            remedy = did_you_mean(given, sections, what="environments")
            raise UsageError(f"{document.file} has no environment '{given}' ({remedy})")
        return given
    default = document.value.get("default")
    if isinstance(default, str) and default in sections:
        return default
    return str(next(iter(sections))) if len(sections) == 1 else ""


def _read(path: Path, files: Files) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise InvalidSetup(f"{path} cannot be read: {error.strerror or type(error).__name__}") from error


def _of_file(document: Document) -> list[Finding]:
    """What is wrong with the file apart from what is in its environments."""
    value = document.value
    sections = value.get("environments")
    findings: list[Finding] = []
    try:
        _Shell.model_validate(value)
    except ValidationError as error:
        findings += findings_from(error, document, model=_Shell)
    if isinstance(sections, dict):
        default = value.get("default")
        if isinstance(default, str) and sections and default not in sections:
            remedy = did_you_mean(default, sections, what="environments")
            findings.append(document.finding(("default",), f"unknown environment '{default}'", remedy))
        for name in sections:
            if not _is_name(name):
                findings.append(
                    document.finding(
                        ("environments", name),
                        f"{documents.quoted(name)} cannot name an environment",
                        "small letters, digits and dashes, a letter first",
                        key=True,
                    )
                )
    return findings


def _same_log(document: Document) -> list[Finding]:
    """Environments that would write the same migration log: each would keep the other's aside, again and again."""
    sections = document.value.get("environments")
    first: dict[str, Any] = {}
    findings = []
    for name, section in sections.items() if isinstance(sections, dict) else ():
        log = section.get("log") if isinstance(section, dict) else None
        file = (log.get("file") if isinstance(log, dict) else None) or "MIGRATION_LOG.md"
        if not isinstance(file, str):
            continue
        other = first.setdefault(file, name)
        if other != name:
            findings.append(
                document.finding(
                    ("environments", name),
                    f"'{name}' would write the same log as '{other}': {file}",
                    "give each its own: log: {file: MIGRATION_LOG-" + str(name) + ".md}",
                    key=True,
                )
            )
    return findings


def _is_name(text: str) -> bool:
    return re.match(documents.NAME_PATTERN, text) is not None


@frozen
class _Looked:
    findings: list[Finding]
    environment: Environment | None
    facts: Facts | None
    plans: Path | None = None
    outside: tuple[Path, ...] = ()
    secrets: Iterable[str] = ()


def _look(
    document: Document, name: str, path: Path, files: Files, environ: Mapping[str, str], *, lenient: bool
) -> _Looked:
    at: Way = ("environments", name)
    folder = path.absolute().parent
    raw = document.at(at)
    if not isinstance(raw, dict):
        finding = document.finding(at, f"'{name}': expected a mapping, found {documents.quoted(raw)}")
        return _Looked([finding], None, None)
    filling = Filling(document, files, environ, folder, lenient=lenient)
    filled = filling.fill({"log": {}, **raw}, at)
    findings = list(filling.findings)
    secrets = {*filling.secrets, *filter(None, [environ.get("PGPASSWORD")])}
    context = {"folder": folder}
    try:
        section = EnvironmentSection.model_validate(filled, context=context)
    except ValidationError as error:
        findings += _refusals(error, document, at, filling)
        parts = _what_is_left(filled, error, context)
        if parts is None:
            return _Looked(_without_secrets(findings, secrets), None, None, secrets=secrets)
        findings += check(parts, filled, document, at)
        return _Looked(
            _without_secrets(findings, secrets),
            None,
            _facts(parts, filled),
            _plans(parts),
            known_of(parts.outside),
            secrets,
        )
    findings = _without_secrets([*findings, *check(parts_of(section), filled, document, at)], secrets)
    environment = Environment.model_construct(
        **section.__dict__,
        name=name,
        file=folder / path.name,
        secrets=frozenset(secrets),
        withheld=_withheld(filling, section),
    )
    return _Looked(
        findings,
        None if findings else environment,
        _facts(parts_of(section), filled),
        _plans(environment),
        known_of(environment.outside),
        secrets,
    )


def _withheld(filling: Filling, section: EnvironmentSection) -> frozenset[str]:
    """The variables that are kept from programs: those that secrets came from, but for those that are handed down."""
    return frozenset({"PGPASSWORD", *filling.variables} - set(map(str, section.hand_down)))


def _without_secrets(findings: list[Finding], secrets: Iterable[str]) -> list[Finding]:
    """A finding quotes what is wrong, and what is wrong may be a secret."""
    redact = Redactor(secrets).text
    return [replace(each, message=redact(each.message)) for each in findings]


def _refusals(error: ValidationError, document: Document, at: Way, filling: Filling) -> list[Finding]:
    findings = []
    told = {document.places.value(way): unknown for way, unknown in filling.unknown.items()}
    said = {finding.message for finding in filling.findings}
    for finding in findings_from(error, document, at=at, model=EnvironmentSection):
        unknown = told.get(documents.Place(finding.line, finding.column))
        if unknown is None:
            findings.append(finding)
        elif one_line(unknown.why) not in said:
            # Without the network too, this must be known: it says what the rest of the file means.
            findings.append(replace(finding, message=one_line(unknown.why)))
    return findings


def _what_is_left(
    filled: Mapping[str, Any], error: ValidationError, context: Mapping[str, Any]
) -> Parts | None:
    """The section without the parts that were refused, so that the rest is checked too; None where too little is left."""
    kept: dict[str, Any] = dict(filled)
    for name in _TAKEN_APART:
        if isinstance(kept.get(name), dict):
            kept[name] = dict(kept[name])
    for details in error.errors(include_url=False, include_input=False):
        loc = details["loc"]
        outer = kept.get(str(loc[0])) if len(loc) > 1 and loc[0] in _TAKEN_APART else None
        if isinstance(outer, dict):
            outer.pop(loc[1], None)
        elif loc:
            kept.pop(str(loc[0]), None)
    try:
        return Parts.model_validate(kept, context=context)
    except ValidationError:
        return None


def _plans(parts: Parts | Environment) -> Path | None:
    return parts.plans if parts.is_known("plans") else None


def _facts(parts: Parts, filled: Mapping[str, Any]) -> Facts | None:
    """A name that is there, however wrong what stands behind it, is no unknown one."""
    gateway = parts.gateway
    if gateway is None or gateway.flags is None or not gateway.instances or gateway.monolith is None:
        return None
    services = documents.keys_of(filled.get("services"))
    try:
        routes = Routes(routes_of(gateway.flags, services))
    except Unreachable:  # a key or a prefix that is unknown: nobody can tell what is routed
        return None
    offers = Uses(
        services=services,
        flags=frozenset(routes),
        databases=documents.keys_of(filled.get("databases")),
        targets=frozenset({"gateway", *(each.name for each in gateway.instances), *services}),
    )
    return Facts(offers, routes, gateway.monolith)
