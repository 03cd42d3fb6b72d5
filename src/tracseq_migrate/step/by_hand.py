"""What a person types where the tool cannot be used: the commands of an environment, for a step's lines by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from tracseq_migrate.frozen import frozen


@frozen
class ServiceHands:
    """The commands that start and stop a service; empty where somebody else does it."""

    start: str = ""
    stop: str = ""


@frozen
class Hands:
    """What a person types, in bash, where the tool cannot be used: by what is to be done.

    ``folder`` is where relative paths begin; ``reload`` makes every instance of the gateway read the flag file anew.
    """

    folder: str = ""
    flag_file: str = ""
    services: Mapping[str, ServiceHands] = field(default_factory=dict)
    reload: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    """What the gateway calls each flag in its answers."""

    def service(self, name: str, verb: Literal["start", "stop"], why: str) -> str:
        """One line: the command where it is known, else a comment."""
        known = getattr(self.services.get(name, ServiceHands()), verb)
        return f"{known}  # {verb} {name} ({why})" if known else f"# {verb} {name} ({why})"

    def document(self) -> dict[str, Any]:
        """In JSON values."""
        return {
            "folder": self.folder,
            "flag_file": self.flag_file,
            "services": {
                name: {"start": each.start, "stop": each.stop} for name, each in self.services.items()
            },
            "reload": list(self.reload),
            "keys": dict(self.keys),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Hands:
        """What `document` made; what an older journal does not have is empty."""
        return cls(
            str(document.get("folder", "")),
            str(document.get("flag_file", "")),
            {
                str(name): ServiceHands(str(each.get("start", "")), str(each.get("stop", "")))
                for name, each in document.get("services", {}).items()
            },
            tuple(map(str, document.get("reload", ()))),
            {str(flag): str(key) for flag, key in document.get("keys", {}).items()},
        )


NO_HANDS = Hands()
