"""What a plan may not hold, whatever its steps: places outside of the project, and secrets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tracseq_migrate.document import Path as Way
from tracseq_migrate.document import quoted
from tracseq_migrate.errors import Finding
from tracseq_migrate.plan.model import Source, WeekPlan

_LONG = 8
_WORD = 16
_REMEDY = "plans name what lies below the folder of the environment file; what else they may name is listed there under `outside`"


@dataclass(frozen=True)
class Project:
    """The folder that a plan's files lie in.

    Args:
        folder: where relative paths count from.
        outside: files and folders elsewhere that plans may name, too.
        secrets: what no plan may hold. Those that may be a word of the language (letters only, and fewer than 16) or have fewer
            than eight characters are not looked for: a plan may hold them without meaning them.
    """

    folder: Path
    outside: tuple[Path, ...] = ()
    secrets: frozenset[str] = frozenset()

    def findings(self, plan: WeekPlan) -> list[Finding]:
        """Every path that leads out, and every secret, with its place."""
        source = plan.source
        if source is None:
            return []
        return [*self._paths(plan, source), *self._secrets(source)]

    def why_not(self, path: str, base: str = "") -> str:
        """Why a path may not be named; empty where it may. Symbolic links count as what they point at.

        Args:
            path: as it is written.
            base: the folder below the project's that it counts from.
        """
        if "\0" in path or "\0" in base:
            return f"{quoted(path)} is no path: it has a NUL in it"
        target = _real(self.folder / base / path)
        if any(target.is_relative_to(place) for place in self._allowed):
            return ""
        where = "" if Path(path).is_absolute() and str(target) == path else f" (it is {quoted(str(target))})"
        return f"{quoted(path)} is outside of the project's folder{where}"

    @cached_property
    def _allowed(self) -> tuple[Path, ...]:
        return tuple(map(_real, (self.folder, *self.outside)))

    def _paths(self, plan: WeekPlan, source: Source) -> Iterator[Finding]:
        for entry in (*plan.preflight, *plan.steps):
            at = (*source.entries.get(entry.id, ()), entry.step.kind)
            for way, path, base in entry.step.named_paths():
                why = self.why_not(path, base)
                if why:
                    yield source.document.finding((*at, *way), why, _REMEDY)

    def _secrets(self, source: Source) -> Iterator[Finding]:
        looked_for = [secret for secret in self.secrets if _telling(secret)]
        if not looked_for:
            return
        for way, text in _texts(source.document.value, ()):
            if any(secret in text for secret in looked_for):
                yield source.document.finding(
                    way,
                    "a secret of the environment stands here in plain text",
                    "take it out, and change the secret: whoever could read this file knows it; programs read theirs from the "
                    "environment or from files",
                )


def _telling(secret: str) -> bool:
    return len(secret) >= _LONG and not (secret.isalpha() and len(secret) < _WORD)


def _texts(value: Any, way: Way) -> Iterator[tuple[Way, str]]:
    match value:
        case dict():
            for key, each in value.items():
                yield (*way, key), str(key)
                yield from _texts(each, (*way, key))
        case list():
            for index, each in enumerate(value):
                yield from _texts(each, (*way, index))
        case str():
            yield way, value


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
