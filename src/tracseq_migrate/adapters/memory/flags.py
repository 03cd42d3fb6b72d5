"""A flag file in memory, by the same rules of reading and editing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from tracseq_migrate.adapters.dotenv.findings import findings
from tracseq_migrate.adapters.dotenv.text import EditError, FlagText, difference
from tracseq_migrate.errors import InvalidSetup, StepFailed
from tracseq_migrate.ports import FlagChange, FlagFile


class MemoryFlagStore:
    """A `FlagStore` whose ``text`` is there to be looked at and changed; None plays a missing file.

    ``writes`` counts the texts that were written; ``failing``, where set, is what the next writes fail with.
    """

    def __init__(
        self,
        text: str | None = "",
        *,
        names: Iterable[str] | None = None,
        nested_prefix: str = "FEATURE_FLAGS__",
        location: str = "memory.env",
    ) -> None:
        self.text = text
        self.writes = 0
        self.failing: str = ""
        self.location = location
        self._names = None if names is None else frozenset(name.upper() for name in names)
        self._nested_prefix = nested_prefix

    def read(self) -> FlagFile:
        content = self._content()
        declared = {
            flag: line
            for flag, line in content.declared.items()
            if self._names is None or flag in self._names
        }
        return FlagFile(
            location=self.location,
            digest=hashlib.sha256(content.text.encode()).hexdigest(),
            values={flag: line.value or "" for flag, line in declared.items()},
            entries={flag: line.own for flag, line in declared.items()},
            lines={flag: line.number for flag, line in declared.items()},
        )

    def preview(self, entries: Mapping[str, str | None]) -> FlagChange:
        before = self._content()
        try:
            after = before.edited(entries)
        except EditError as error:
            raise InvalidSetup(f"{self.location}: {error}") from error
        flags = frozenset(flag.upper() for flag in entries)
        return FlagChange(before.text, after.text, difference(before, after, self.location, flags))

    def write(self, entries: Mapping[str, str | None], *, expected: str) -> FlagFile:
        if self.failing:
            raise StepFailed(
                f"the flag file {self.location} could not be written: {self.failing}; it is as it was"
            )
        try:
            if self.read().digest != expected:
                raise StepFailed(f"the flag file {self.location} was changed by somebody else meanwhile")
            text = self._content().edited(entries).text
        except InvalidSetup as error:
            raise StepFailed(error.message, hint=error.hint) from error
        except EditError as error:
            raise StepFailed(f"{self.location}: {error}") from error
        self.writes += text != self.text
        self.text = text
        return self.read()

    def findings(self, names: Mapping[str, bool]) -> list[str]:
        return findings(
            self._content(),
            frozenset(name.upper() for name in names),
            self._names or frozenset(),
            location=self.location,
            nested_prefix=self._nested_prefix,
        )

    def _content(self) -> FlagText:
        if self.text is None:
            raise InvalidSetup(f"the flag file {self.location} does not exist")
        return FlagText(self.text, nested_prefix=self._nested_prefix)
