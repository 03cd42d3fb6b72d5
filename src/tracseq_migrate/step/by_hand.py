"""What a person types where the tool cannot be used: the commands of an environment, for a step's lines by hand."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from tracseq_migrate.frozen import frozen

BY_HAND = "# by hand: "
"""How a line begins that is for a person alone: no command does it, and none sees whether it was done."""


def wait_until(look: str, what: str) -> str:
    """One line that waits up to a minute for ``look`` to succeed; else it fails, with ``what`` and its last words."""
    told = shlex.quote(f"waited in vain: {what}")
    return (
        f"for i in $(seq 60); do said=$({{ {look}; }} 2>&1) && break; "
        f'[ $i -lt 60 ] || {{ echo {told}: "$said" >&2; false; }}; sleep 1; done'
    )


@frozen
class ServiceHands:
    """The commands that start and stop a service; empty where somebody else does it. ``health`` is the address that answers."""

    start: str = ""
    stop: str = ""
    health: str = ""


@frozen
class InstanceHands:
    """One instance of the gateway: the lines that start it anew, and those that put it back into the rotation once it is right.

    ``url`` is its own address; empty where it is not known.
    """

    name: str
    url: str = ""
    renew: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()


@frozen
class Hands:
    """What a person types, in bash, where the tool cannot be used: by what is to be done.

    ``folder`` is where relative paths begin; ``instances`` are those of the gateway. ``reload`` makes them all read the flag
    file anew: of a journal that does not know them one by one.
    """

    folder: str = ""
    flag_file: str = ""
    services: Mapping[str, ServiceHands] = field(default_factory=dict)
    reload: tuple[str, ...] = ()
    instances: tuple[InstanceHands, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    """What the gateway calls each flag in its answers."""

    def service(self, name: str, verb: Literal["start", "stop"], why: str) -> list[str]:
        """The command where it is known, else a comment; what was started must answer then."""
        hands = self.services.get(name, ServiceHands())
        known = getattr(hands, verb)
        said = f"{verb} {name} ({why})"
        lines = [f"{known}  # {said}" if known else f"{BY_HAND}{said}"]
        if verb == "start" and hands.health:
            lines.append(
                wait_until(f"curl -fsS -o /dev/null {shlex.quote(hands.health)}", f"{name} to answer")
            )
        return lines

    def document(self) -> dict[str, Any]:
        """In JSON values."""
        return {
            "folder": self.folder,
            "flag_file": self.flag_file,
            "services": {
                name: {"start": each.start, "stop": each.stop, "health": each.health}
                for name, each in self.services.items()
            },
            "reload": list(self.reload),
            "instances": [
                {
                    "name": each.name,
                    "url": each.url,
                    "renew": list(each.renew),
                    "ready": list(each.ready),
                }
                for each in self.instances
            ],
            "keys": dict(self.keys),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Hands:
        """What `document` made; what an older journal does not have is empty."""
        return cls(
            str(document.get("folder", "")),
            str(document.get("flag_file", "")),
            {
                str(name): ServiceHands(*(str(each.get(key, "")) for key in ("start", "stop", "health")))
                for name, each in document.get("services", {}).items()
            },
            tuple(map(str, document.get("reload", ()))),
            tuple(
                InstanceHands(
                    str(each.get("name", "")),
                    str(each.get("url", "")),
                    tuple(map(str, each.get("renew", ()))),
                    tuple(map(str, each.get("ready", ()))),
                )
                for each in document.get("instances", ())
            ),
            {str(flag): str(key) for flag, key in document.get("keys", {}).items()},
        )


NO_HANDS = Hands()
