"""What every test may use."""

from __future__ import annotations

import hypothesis
import pytest

pytest_plugins = ["tests.sandbox_fixture"]

# A deadline would be a limit of time in disguise; a property is right or wrong, however busy the machine is.
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")

# A worker takes a file at a time: one that takes a minute and comes last keeps everybody waiting.
_FIRST = (
    "tests/sandbox/test_lifecycle.py",
    "tests/sandbox/test_load_command.py",
    "tests/sandbox/test_proxy_swap.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files that the alphabet would put last go first; a file's tests stay together, in their order."""
    items.sort(key=lambda item: not item.nodeid.startswith(_FIRST))
