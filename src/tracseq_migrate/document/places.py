"""Where each key and value of a document stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Path = tuple[str | int, ...]
"""The way to a value: keys of mappings and indices of lists, such as ``("steps", 3, "flags", "set")``."""


class Place(NamedTuple):
    """A line and a column, both counted from 1."""

    line: int
    column: int


class Spot:
    """A value's place and what is inside it. An alias shares the spots of what it stands for."""

    __slots__ = ("inner", "place")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.inner: dict[str | int, tuple[Place, Spot]] = {}


class Places:
    """The places of a document, asked by path. A path that the document does not have gives its nearest ancestor."""

    __slots__ = ("_root",)

    def __init__(self, root: Spot) -> None:
        self._root = root

    def known(self, path: Sequence[str | int]) -> Path:
        """The path without the parts that the document does not have, such as the labels of a model's union."""
        spot, parts = self._root, []
        for part in path:
            found = spot.inner.get(part)
            if found is not None:
                spot = found[1]
                parts.append(part)
        return tuple(parts)

    def key(self, path: Sequence[str | int]) -> Place:
        """Where the key of a value stands; for an item of a list, where the item does."""
        place, _ = self._find(path)
        return place

    def value(self, path: Sequence[str | int]) -> Place:
        """Where a value stands."""
        _, spot = self._find(path)
        return spot.place

    def __contains__(self, path: Sequence[str | int]) -> bool:
        spot = self._root
        for part in path:
            found = spot.inner.get(part)
            if found is None:
                return False
            spot = found[1]
        return True

    def _find(self, path: Sequence[str | int]) -> tuple[Place, Spot]:
        place, spot = self._root.place, self._root
        for part in path:
            found = spot.inner.get(part)
            if found is None:
                break
            place, spot = found
        return place, spot
