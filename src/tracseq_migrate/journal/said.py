"""What a person signs of a step that cannot tell by itself how it is: one of these behind the step's id."""

from __future__ import annotations

from typing import Final

DONE: Final = "-done"
UNDONE: Final = "-undone"
