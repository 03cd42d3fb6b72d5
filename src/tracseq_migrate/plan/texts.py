"""The files that a plan's steps read: found beside the plan, examined with it, bound into its digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tracseq_migrate import document as documents
from tracseq_migrate.errors import Finding
from tracseq_migrate.journal.chain import canonical
from tracseq_migrate.plan.model import WeekPlan
from tracseq_migrate.ports import Files
from tracseq_migrate.step import NamedText, Text

LARGEST = 16_000_000
"""Bytes of one file; what is larger is data, and not a script or a mapping."""


def with_texts(
    plan: WeekPlan, path: Path, files: Files, folders: Sequence[Path] = ()
) -> tuple[WeekPlan, list[Finding]]:
    """The plan with every file that its steps read, and what is wrong with them: missing, unreadable, or of a wrong content.

    Args:
        path: the plan's own file.
        folders: where plans lie; they are looked into after the plan's own folder and the one above it.
    """
    if plan.source is None or not any(entry.step.reads() for entry in plan.steps):
        return plan, []
    places = _places(path, folders)
    findings: list[Finding] = []
    texts: dict[str, Text] = {}
    for entry in plan.steps:
        at = (*plan.source.entries.get(entry.id, ()), entry.step.kind)
        own: dict[str, Text] = {}
        for named in entry.step.reads():
            found, why = _found(named, places, files)
            own |= found
            if why:
                findings.append(plan.source.document.finding((*at, *named.way), why, _remedy(named, places)))
        findings += entry.step.examine(own)
        texts |= own
    return replace(plan, texts={name: texts[name].body for name in sorted(texts)}), findings


def normal(texts: Mapping[str, str]) -> dict[str, bytes]:
    """What of the texts a digest covers: of YAML what it says, without comments and white space; of others every byte."""
    return {name: _normal(name, body) for name, body in texts.items()}


def _normal(name: str, body: str) -> bytes:
    if name.endswith((".yaml", ".yml")):
        document, _ = documents.inspect(body.encode(), name)
        if document is not None:
            return canonical(document.value).encode()
    return body.encode()


def _places(path: Path, folders: Sequence[Path]) -> tuple[Path, ...]:
    own = path.absolute().parent
    return tuple(
        dict.fromkeys(
            place for each in (own, *folders) for place in (each.absolute(), each.absolute().parent)
        )
    )


def _found(named: NamedText, places: Sequence[Path], files: Files) -> tuple[dict[str, Text], str]:
    """The files by name, and why there are none."""
    parts = PurePosixPath(named.name).parts
    if not parts or PurePosixPath(named.name).is_absolute() or ".." in parts:
        return {}, f"{documents.quoted(named.name)} must lie beside the plans"
    for place in places:
        target = place / named.name
        listed = files.list(target, named.suffix) if named.suffix else [target]
        there = [each for each in listed if files.exists(each)]
        if there:
            return _read(named, there, files)
    what = f"no file *{named.suffix} in the folder" if named.suffix else "there is no file"
    return {}, f"{what} {documents.quoted(named.name)}"


def _read(named: NamedText, paths: list[Path], files: Files) -> tuple[dict[str, Text], str]:
    found: dict[str, Text] = {}
    for path in paths:
        name = f"{named.name}/{path.name}" if named.suffix else named.name
        shown = documents.shown(path)
        try:
            body = files.read(path)
            if len(body) > LARGEST:
                return found, f"{shown} has {len(body):,} bytes: more than a script or a mapping has"
            found[name] = Text(shown, body.decode("utf-8"))
        except OSError as error:
            return found, f"{shown} cannot be read: {error.strerror or type(error).__name__}"
        except UnicodeDecodeError as error:
            return found, f"{shown} is not UTF-8: byte {error.start + 1} cannot be read"
    return found, ""


def _remedy(named: NamedText, places: Sequence[Path]) -> str:
    return f"looked for as {' and '.join(documents.shown(place / named.name) for place in places[:2])}"
