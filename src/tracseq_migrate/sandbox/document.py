"""What a sandbox is like, for people and scripts."""

from __future__ import annotations

import contextlib
import xmlrpc.client
from typing import Any

from tracseq_migrate.errors import CouldNotReach
from tracseq_migrate.sandbox import databases, leftovers
from tracseq_migrate.sandbox.layout import FORMAT, SERVICES, State
from tracseq_migrate.sandbox.supervision import Supervisor


def document(state: State) -> dict[str, Any]:
    """What `sandbox up --json` and `sandbox status --json` print."""
    layout = state.layout
    supervisor = Supervisor(state)
    states = dict.fromkeys(state.programs, "stopped")
    pids: dict[str, int] = {}
    running = supervisor.alive()
    if running:
        with contextlib.suppress(CouldNotReach, xmlrpc.client.Fault):
            pids["supervisord"] = supervisor.pid()
            for name, info in supervisor.processes().items():
                states[name] = info.state
                if info.pid:
                    pids[name] = info.pid
    proxy: dict[str, Any] = {"kind": state.proxy}
    if state.proxy == "haproxy":
        proxy["socket"] = str(state.proxy_socket)
    elif state.proxy == "caddy":
        proxy["admin"] = state.url("proxy-admin")
    return {
        "type": "sandbox",
        "format": FORMAT,
        "dir": state.root,
        "running": running,
        "phase": state.phase,
        "gateway": {
            "url": state.url("gateway"),
            "instances": [{"name": name, "url": state.url(name)} for name in state.instances],
            "faults": state.gateway_faults,
        },
        "config": str(layout.config),
        "flag_file": str(state.flag_file),
        "monolith": {"url": state.url("monolith")},
        "services": {name: state.url(name) for name in SERVICES},
        "databases": {name: dsn_of(state, name) for name in databases.DATABASES},
        "supervisor": str(state.supervisor_socket),
        "proxy": proxy,
        "seed": state.seed,
        "users": state.users,
        "faults": sorted(state.faults),
        "orphans": [] if running else [process.pid for process in leftovers.running(state)],
        "pids": pids,
        "states": states,
    }


def dsn_of(state: State, name: str) -> str:
    """The connection string of a database; empty where it is not there (yet, or any more)."""
    try:
        return state.layout.dsn_file(name).read_text("utf-8").strip()
    except OSError:
        return ""
