"""The files of a sandbox that its operator reads: the environment file and the flag file."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tracseq_migrate.sandbox.gateway.flags import FLAGS
from tracseq_migrate.sandbox.layout import SERVICES, State

_FLAG_FILE_HEAD = """\
# Feature flags of the TracSeq API gateway.
# Each sends one path prefix to its service (true) or leaves it on the monolith (false).
# The gateway reads this file when it starts, and never again.
"""

_GROUPS = (
    ("Week 1: storage, notifications, retrieval", ("storage", "notifications", "rag")),
    ("Week 2: templates", ("templates",)),
    ("Week 3: authentication (users will have to sign in again)", ("auth",)),
    ("Week 4: the laboratory's core", ("samples", "sequencing")),
    ("Week 5: new services", ("spreadsheet", "dashboard", "reports")),
)


def flag_file(state: State) -> bytes:
    """The flag file as it is when the sandbox is new."""
    text = _FLAG_FILE_HEAD
    if "strict-env" in state.gateway_faults:
        # This gateway would not even start with a name in it; what it does when one is added is the fault.
        return (text + "\n# (no flag is set: each is false)\n").encode()
    variables = {flag.key: flag.variable for flag in FLAGS}
    for title, keys in _GROUPS:
        text += f"\n# {title}\n" + "".join(f"{variables[key]}=false\n" for key in keys)
    return text.encode()


def _quoted(text: str) -> str:
    return json.dumps(text)  # a JSON string is a YAML string


def _relative(path: Path, state: State) -> str:
    root = state.layout.root
    return _quoted(os.fspath(path.relative_to(root) if path.is_relative_to(root) else path))


def _reload(state: State) -> str:
    if state.proxy == "none":
        return """\
      reload:
        strategy: supervisor            # one instance: it is restarted, and requests fail meanwhile
        start: 30s                      # how long it may take to come up
        drain: 10s                      # how long old requests may take to end
"""
    if state.proxy == "haproxy":
        socket = _relative(state.proxy_socket, state)
        proxy = f"haproxy: {{socket: {socket}, backend: gateway}}   # its servers bear the names above"
    else:
        admin = _quoted(state.url("proxy-admin"))
        proxy = f"caddy: {{admin: {admin}, server: gateway}}        # its upstreams are files with the instances above"
    return f"""\
      reload:
        strategy: proxy                 # the proxy swaps instances; no request fails
        start: 30s                      # how long an instance may take to come up
        drain: 10s                      # how long old requests may take to end
      proxy:
        {proxy}
"""


def environment_file(state: State) -> str:
    """The environment file, in YAML, for this sandbox."""
    instances = "".join(
        f"        - {{name: {name}, url: {_quoted(state.url(name))}, start: {{supervisor: {name}}}}}\n"
        for name in state.instances
    )
    services = "".join(
        f"      {name + ':':<15}{{url: {_quoted(state.url(name))}, health: /health, "
        f"start: {{supervisor: {name}}}, database: {'main' if name == 'monolith' else name}}}\n"
        for name in ("monolith", *SERVICES)
    )
    databases = "".join(
        f"      {name + ':':<15}{{dsn: file:secrets/{name}.dsn}}\n" for name in ("main", *SERVICES)
    )
    return f"""\
# The environment of a sandbox, written by `tracseq-migrate sandbox up`.
# Paths are relative to this file. Secrets are in files of their own, and never here.
version: 1
default: sandbox                        # the environment when -e is not given
environments:
  sandbox:
    sandbox: true
    confirm: false                      # true: -e must be given explicitly, as production should
    identity: variable                  # who you are: TRACSEQ_MIGRATE_IDENTITY (allowed in a sandbox alone)
    plans: weeks                        # your own week plans, if there are any; the packaged ones stand behind
    state: .tracseq-migrate             # the journal's folder
    supervisor: {_relative(state.supervisor_socket, state)}

    gateway:
      url: {_quoted(state.url("gateway"))}      # what clients use
      monolith: monolith                # the service that answers where a flag is off
      instances:
{instances}      flags:
        file: {_relative(state.flag_file, state)}
        write: auto                     # auto | atomic | in-place
{_reload(state)}
    services:                           # started by the week that needs them; the monolith runs from the first
{services}
    databases:
{databases}
    sync: {{supervisor: sync}}            # who keeps `sync run` going, once a replication has begun
    log:
      file: MIGRATION_LOG.md
"""
