"""What runs in a sandbox: one shell script a program, which ends by becoming it.

Scripts, so that a program reads its surroundings anew each time it starts, and so that a fault can keep one from
starting by replacing its script.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import tracseq_migrate
from tracseq_migrate.sandbox.gateway.flags import FLAGS
from tracseq_migrate.sandbox.layout import GATEWAYS, SERVICES, SYNC, State
from tracseq_migrate.sandbox.leftovers import MARK
from tracseq_migrate.sandbox.postgres import Cluster, Installation
from tracseq_migrate.sandbox.proxies import caddy, haproxy
from tracseq_migrate.sandbox.supervision import Program

_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")


def cluster(state: State) -> Cluster:
    """The sandbox's PostgreSQL."""
    installation = Installation(Path(state.postgres_bin), tuple(state.postgres_prefix))
    return Cluster(installation, state.layout.data, state.ports["postgres"])


def environment(state: State, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process of the sandbox: little of the caller's, in particular none of its flags."""
    chosen = {name: environ[name] for name in _INHERITED if name in environ}
    chosen |= {name: value for name, value in environ.items() if name.startswith("PYTHON")}
    package = str(Path(tracseq_migrate.__file__).parent.parent)
    chosen["PYTHONPATH"] = os.pathsep.join(filter(None, [package, environ.get("PYTHONPATH")]))
    chosen["PYTHONUNBUFFERED"] = "1"
    chosen[MARK] = state.id
    # Caddy keeps its own files; they belong into the sandbox.
    chosen["XDG_DATA_HOME"] = chosen["XDG_CONFIG_HOME"] = str(state.layout.run / "caddy")
    return chosen


def _command(state: State, name: str, proxy_binary: Path | None) -> list[str]:
    layout = state.layout
    python = [sys.executable, "-m"]
    if name == "postgres":
        return cluster(state).command()
    if name in GATEWAYS:
        return [*python, "tracseq_migrate.sandbox.gateway", *_gateway_arguments(state, name)]
    if name == "proxy":
        assert proxy_binary is not None  # noqa: S101  # a sandbox with this program has its binary
        if state.proxy == "haproxy":
            return haproxy.command(proxy_binary, layout.run / "haproxy.cfg")
        return caddy.command(proxy_binary, layout.run / "caddy.json")
    if name == SYNC:
        return [*python, "tracseq_migrate", "-c", str(layout.config), "sync", "run"]
    port = str(state.ports[name])
    if name == "monolith":
        module, database, who = "tracseq_migrate.sandbox.apps.monolith", "main", []
    else:
        module, database, who = "tracseq_migrate.sandbox.apps.service", name, [name]
    files = ["--dsn-file", str(layout.dsn_file(database)), "--fault-file", str(layout.fault_file(name))]
    return [*python, module, *who, "--port", port, *files]


def _gateway_arguments(state: State, name: str) -> list[str]:
    arguments = ["--port", state.url(name).rpartition(":")[2], "--monolith", state.url("monolith")]
    for flag in FLAGS:
        arguments += ["--service", f"{flag.key}={state.url(flag.service)}"]
    if "strict-env" not in state.gateway_faults:
        arguments += ["--env-file", str(state.flag_file)]
    for fault in state.gateway_faults:
        if fault != "env-shadow":
            arguments += ["--fault", fault]
    if "stuck-flag" in state.gateway_faults:
        arguments += ["--remember", str(state.layout.run / f"{name}.flags.json")]
    return arguments


def write(state: State, proxy_binary: Path | None) -> list[Program]:
    """Write the script of every program, and say how each is supervised."""
    layout = state.layout
    if state.proxy == "haproxy":
        text = haproxy.configuration(
            port=state.ports["gateway"],
            socket=state.proxy_socket,
            hold=layout.run / haproxy.HOLD.name,
            instances={name: state.ports[name] for name in state.instances},
        )
        (layout.run / "haproxy.cfg").write_text(text, "utf-8")
        (layout.run / haproxy.HOLD.name).write_bytes(haproxy.HOLD.read_bytes())
    elif state.proxy == "caddy":
        text = caddy.configuration(
            port=state.ports["gateway"],
            admin_port=state.ports["proxy-admin"],
            slots=state.rotation,
        )
        (layout.run / "caddy.json").write_text(text, "utf-8")
        all_in_rotation(state)
    return [_program(state, name, _command(state, name, proxy_binary)) for name in state.programs]


def all_in_rotation(state: State) -> None:
    """Caddy's rotation as at the start; haproxy begins with all instances by itself."""
    if state.proxy == "caddy":
        caddy.fill(state.rotation, [state.ports[name] for name in state.instances])


def _program(state: State, name: str, command: Sequence[str]) -> Program:
    layout = state.layout
    script = layout.programs / name
    lines = ["#!/bin/sh", f"exec {shlex.join(command)}"]
    if name in GATEWAYS and "env-shadow" in state.gateway_faults:
        # As the shipped compose file does it: hard-coded where it wins over any file.
        lines[1:1] = [f"export {flag.variable}=false" for flag in FLAGS]
    script.write_text("\n".join(lines) + "\n", "utf-8")
    script.chmod(0o700)
    folder = "gateway" if name in GATEWAYS else "run"
    # The monolith waits for its tables, services for the week that starts them, and changes for the first replication.
    autostart = name not in ("monolith", *SERVICES, SYNC)
    if name == "postgres":
        return Program(name, folder, autostart, retries=3, signal="INT", patience=20)
    if name == "proxy":
        return Program(name, folder, autostart, retries=3, patience=8)
    return Program(name, folder, autostart)
