"""The configuration of Caddy in front of the gateway."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

SERVER = "gateway"


def configuration(*, port: int, admin_port: int, instances: Sequence[int]) -> str:
    """The JSON that Caddy starts with; ``instances`` are the ports of the gateway's instances."""
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"127.0.0.1:{number}"} for number in instances],
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


def command(binary: Path, configuration_file: Path) -> list[str]:
    """In the foreground."""
    return [str(binary), "run", "--config", str(configuration_file)]
