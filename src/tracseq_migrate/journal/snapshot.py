"""A fold as bytes, so that whoever looks need not fold the whole journal again.

Nothing is believed of it that is not checked: it names the event up to which it was folded and that event's hash, a digest over
the hashes of all events up to there, the code that folded it, and its own digest. Whoever uses it checks that the journal has
those hashes; anything else is as if there were no snapshot.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from tracseq_migrate.journal import chain, replay, vocabulary
from tracseq_migrate.journal.replay import State

_KEY = "\x1f"
"""Between the parts of a key that is a tuple of names."""


@cache
def fold_code() -> str:
    """Names the code that folds: another version of it may fold the same events to another state."""
    digest = hashlib.sha256()
    for module in (replay, vocabulary):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()


def dump(state: State, hashes: str) -> bytes:
    """The snapshot of a state; ``hashes`` is the SHA-256 over the hashes of the events that were folded, in their order."""
    body = json.dumps(plain(state), ensure_ascii=False, separators=(",", ":")).encode()
    head = {
        "fold": fold_code(),
        "seq": state.events,
        "hash": state.head,
        "hashes": hashes,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    return json.dumps(head).encode() + b"\n" + body


def load(snapshot: bytes) -> tuple[State, str] | None:
    """The state of a snapshot, and what `dump` was told with it; None where it is damaged, or folded by other code."""
    first, _, body = snapshot.partition(b"\n")
    try:
        head = json.loads(first)
        if head["fold"] != fold_code() or head["sha256"] != hashlib.sha256(body).hexdigest():
            return None
        state, hashes = _typed(json.loads(body), State), head["hashes"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(hashes, str) or not isinstance(state, State):
        return None
    if (state.events, state.head) != (head["seq"], head["hash"]):
        return None
    return state, hashes


def plain(value: Any) -> Any:
    """A state, or a part of one, as JSON values."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime):
        return chain.stamp(value)
    if isinstance(value, dict):
        return {_KEY.join(k) if isinstance(k, tuple) else k: plain(item) for k, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _typed(value: Any, kind: Any) -> Any:
    """A value as a field of this type holds it."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        if value is None and NoneType in get_args(kind):
            return None
        return _typed(value, next(each for each in get_args(kind) if each is not NoneType))
    if origin is list:
        (inner,) = get_args(kind)
        return [_typed(item, inner) for item in value]
    if origin is dict:
        of_key, inner = get_args(kind)
        tuples = get_origin(of_key) is tuple
        return {tuple(k.split(_KEY)) if tuples else k: _typed(item, inner) for k, item in value.items()}
    if isinstance(kind, type):
        if is_dataclass(kind):
            hints = _hints(kind)
            return kind(**{name: _typed(item, hints[name]) for name, item in value.items()})
        if issubclass(kind, datetime):
            return chain.parse_stamp(value)
        if issubclass(kind, StrEnum):
            return kind(value)
    return value
