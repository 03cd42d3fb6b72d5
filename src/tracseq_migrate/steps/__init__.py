"""The kinds of steps: one module each, found by looking into this folder. Kinds do not know each other."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

from tracseq_migrate.step import Step


@cache
def kinds() -> dict[str, type[Step]]:
    """Every kind of step by the key under which a plan writes it."""
    found: dict[str, type[Step]] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for _, member in inspect.getmembers(module, inspect.isclass):
            if member.__module__ == module.__name__ and issubclass(member, Step):
                found[member.kind] = member
    return dict(sorted(found.items()))
