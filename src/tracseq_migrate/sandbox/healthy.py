"""Starting what needs the databases, and waiting until it answers."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable

from tracseq_migrate.errors import TracseqMigrateError
from tracseq_migrate.sandbox.layout import HOST, State
from tracseq_migrate.sandbox.supervision import Supervisor

PATIENCE = 60.0
"""Seconds that anything of a sandbox may take to answer."""


def start_the_rest(state: State, supervisor: Supervisor, say: Callable[[str], None]) -> None:
    """The monolith and the gateway, healthy, with every instance in rotation. Raises `TracseqMigrateError`."""
    say("monolith and gateway")
    supervisor.start_program("monolith")
    for name in ("monolith", *state.instances, "gateway"):
        _wait_healthy(state, name)
    if state.proxy == "haproxy":
        _wait_in_rotation(state)


def _wait_in_rotation(state: State) -> None:
    """Return when haproxy sends requests to every instance: one that was slow to start comes in after the others."""
    from tracseq_migrate.adapters.haproxy import HaproxyProxy

    proxy = HaproxyProxy(str(state.proxy_socket), "gateway")
    deadline = time.monotonic() + PATIENCE
    while missing := set(state.instances) - proxy.in_rotation():
        if time.monotonic() >= deadline:
            raise TracseqMigrateError(
                f"haproxy does not take {' and '.join(sorted(missing))} into rotation",
                state="Nothing of the sandbox is left running.",
            )
        time.sleep(0.05)


def _wait_healthy(state: State, name: str) -> None:
    """Return when it answers /health with 200. Raises `TracseqMigrateError` with what it said last."""
    program = name if name in state.programs else "proxy" if state.proxy != "none" else "gateway-1"
    supervisor = Supervisor(state)
    url = state.url(name)
    deadline = time.monotonic() + PATIENCE
    said = "no answer"
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(HOST, int(url.rpartition(":")[2]), timeout=5)
        try:
            connection.request("GET", "/health")
            answer = connection.getresponse()
            said = f"{answer.status} {answer.read(300).decode('utf-8', 'replace')}"
            if answer.status == 200:
                return
        except (OSError, http.client.HTTPException) as error:
            said = str(error) or type(error).__name__
        finally:
            connection.close()
        if supervisor.processes()[program].state == "fatal":
            said = supervisor.tail(program) or said
            break
        time.sleep(0.05)
    raise TracseqMigrateError(
        f"{name} did not become healthy at {url}/health: {said}",
        state="Nothing of the sandbox is left running.",
    )
