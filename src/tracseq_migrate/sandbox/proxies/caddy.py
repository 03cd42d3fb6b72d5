"""The configuration of Caddy in front of the gateway."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

SERVER = "gateway"


def configuration(*, port: int, admin_port: int, slots: Sequence[Path]) -> str:
    """The JSON that Caddy starts with.

    Each change of Caddy's configuration breaks connections, also new ones. So none is needed here: its upstreams are
    *slots*, files that it reads for each request, and whoever changes the rotation changes what is in them.
    """
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"{{file.{slot}}}"} for slot in slots],
        "load_balancing": {
            "selection_policy": {"policy": "round_robin"},
            # Where no connection could be made, another instance is tried: such a request had not begun.
            "try_duration": "5s",
            "try_interval": "20ms",
            # GETs that had begun would be sent again otherwise; nothing is sent twice here.
            "retry_match": [{"method": ["NONE"]}],
        },
        "health_checks": {"passive": {"fail_duration": "300ms", "max_fails": 1}},
        # A connection a request: one that the gateway has just closed is never used for the next.
        "transport": {"protocol": "http", "keep_alive": {"enabled": False}, "dial_timeout": "2s"},
        "headers": {"response": {"delete": ["Via"]}},
    }
    document = {
        "admin": {"listen": f"127.0.0.1:{admin_port}", "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "WARN"}}},
        "apps": {
            "http": {
                "grace_period": "5s",
                "servers": {
                    SERVER: {
                        "listen": [f"127.0.0.1:{port}"],
                        "automatic_https": {"disable": True},
                        "protocols": ["h1"],
                        "routes": [{"handle": [proxy]}],
                    }
                },
            }
        },
    }
    return json.dumps(document, indent=2) + "\n"


def fill(slots: Sequence[Path], instances: Sequence[int]) -> None:
    """Put the instances of these ports into the rotation, in turn, each slot at once."""
    for slot, port in zip(slots, instances, strict=True):
        new = slot.with_name(slot.name + ".new")
        new.write_text(f"127.0.0.1:{port}\n", "ascii")
        new.replace(slot)


def command(binary: Path, configuration_file: Path) -> list[str]:
    """In the foreground."""
    return [str(binary), "run", "--config", str(configuration_file)]
