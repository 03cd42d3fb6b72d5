"""Who starts and stops a process of the environment."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from tracseq_migrate.config.unknown import Section
from tracseq_migrate.config.values import Argv, Text, refusal


class StartCommands(Section):
    """Programs of the operator's own that start, stop and ask for a service. ``status`` exits 0 where it runs."""

    up: Argv
    down: Argv
    status: Argv | None = None


class Start(Section):
    """Who starts and stops a process: exactly one of the two, or somebody else (then both are missing)."""

    supervisor: Text | None = None
    command: StartCommands | None = None

    @property
    def external(self) -> bool:
        return self.__dict__["supervisor"] is None and self.command is None

    @model_validator(mode="after")
    def _one(self) -> Start:
        if self.__dict__["supervisor"] is not None and self.command is not None:
            raise refusal("'supervisor' and 'command' both start this", "keep one of the two")
        return self


def _start(value: Any) -> Any:
    if value == "external":
        return {}
    if isinstance(value, Start):
        return value
    if not isinstance(value, dict) or not value:
        raise refusal(
            "who starts this?",
            "write external, or a mapping: {supervisor: PROGRAM} or {command: {up: [..], down: [..]}}",
        )
    return value


_START_SCHEMA: dict[str, Any] = {
    "oneOf": [
        {"const": "external"},
        {
            "type": "object",
            "properties": {"supervisor": {"type": "string", "minLength": 1}},
            "required": ["supervisor"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "command": {
                    "type": "object",
                    "properties": {
                        key: {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
                        for key in ("up", "down", "status")
                    },
                    "required": ["up", "down"],
                    "additionalProperties": False,
                }
            },
            "required": ["command"],
            "additionalProperties": False,
        },
    ]
}
StartedBy = Annotated[Start, BeforeValidator(_start), WithJsonSchema(_START_SCHEMA)]
