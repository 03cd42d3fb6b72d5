"""Values that could not be had: a variable that is not set, a secret file that is missing.

They exist only where a command works without the network (``--offline``); everywhere else such a value is a finding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports import Unreachable

T = TypeVar("T")


def without_secrets(text: str) -> str:
    """A URL without its password, query and fragment; any other text as it is."""
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return "(a URL)"
    user = f"{parts.username}@" if parts.username else ""
    return f"{parts.scheme}://{user}{parts.netloc.rpartition('@')[2]}{parts.path}"


@frozen
class Unknown:
    """A value that stands in the file, but whose text is not known. ``why`` says what is missing."""

    written: str
    why: str

    def __str__(self) -> str:
        return self.written


class Section(BaseModel):
    """A part of the environment file. Reading a value that is unknown raises `Unreachable`, so that nobody takes it for
    an answer; `shown` never raises."""

    # Built when first used: most commands never meet most of these models, and building them is slow.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        defer_build=True,
    )

    if not TYPE_CHECKING:  # a type checker would take it for leave to read any name

        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if isinstance(value, Unknown):
                raise Unreachable(f"{value.written} ({name} in the environment file)", value.why)
            return value

    def shown(self, name: str) -> str:
        """The value of a field for people; what is written, where it is unknown. Never raises for an unknown one."""
        value = self.__dict__[name]
        return f"{value.written} ({value.why})" if isinstance(value, Unknown) else without_secrets(str(value))

    def is_known(self, name: str) -> bool:
        """Whether reading this field gives a value."""
        return not isinstance(self.__dict__[name], Unknown)


def known_of(values: Iterable[T]) -> tuple[T, ...]:
    """Those of several values that are known."""
    return tuple(value for value in values if not isinstance(value, Unknown))
