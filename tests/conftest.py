"""What every test may use."""

from __future__ import annotations

import hypothesis

pytest_plugins = ["tests.sandbox_fixture"]

# A deadline would be a limit of time in disguise; a property is right or wrong, however busy the machine is.
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")
