"""JSON for scripts: an operation as one object a line, a reading command as one document."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from tracseq_migrate import __version__
from tracseq_migrate.console.failures import exit_code_of, page_of
from tracseq_migrate.console.stream import Stream
from tracseq_migrate.errors import InvalidInput, TracseqMigrateError
from tracseq_migrate.journal.chain import stamp
from tracseq_migrate.operations.observer import Note
from tracseq_migrate.operations.views import FORMAT


class JsonObserver:
    """One object a line; the first names the format. Only ASCII leaves, so no encoding and no terminal matters."""

    def __init__(self, stream: Stream, hide: Callable[[str], str]) -> None:
        self._stream, self._hide = stream, hide
        self._stream.line(dump({"type": "version", "format": FORMAT, "tracseq_migrate": __version__}, hide))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def emit(self, note: Note) -> None:
        self._stream.line(dump(note.as_json(), self._hide))

    def close(self) -> None:
        """Nothing is held open."""


def dump(value: Mapping[str, Any], hide: Callable[[str], str], *, indent: int | None = None) -> str:
    """The JSON text of a document, secrets taken out of every string and key."""
    text = json.dumps(_hidden(value, hide), indent=indent, allow_nan=False)
    # Only inside of strings, where it means the same: some build servers obey it wherever it stands in a line.
    return text.replace("##", "#\\u0023")


def error_document(error: TracseqMigrateError) -> dict[str, Any]:
    """An error for scripts: what a person reads on stderr, as fields."""
    document: dict[str, Any] = {
        "type": "error",
        "format": FORMAT,
        "exit_code": exit_code_of(error),
        "message": error.message,
        "state": error.state,
        "hint": error.hint,
        "page": page_of(error),
    }
    if isinstance(error, InvalidInput):
        document["findings"] = [
            {"file": f.file, "line": f.line, "column": f.column, "message": f.message, "remedy": f.remedy}
            for f in error.findings
        ]
    return document


def _hidden(value: Any, hide: Callable[[str], str]) -> Any:
    match value:
        case str():
            return hide(value)
        case None | bool() | int():
            return value
        case float():
            return value if value - value == 0 else None  # NaN and infinities are no JSON
        case datetime():
            return stamp(value)
        case Mapping():
            return {hide(str(key)): _hidden(item, hide) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_hidden(item, hide) for item in value]
        case _:
            return hide(str(value))
