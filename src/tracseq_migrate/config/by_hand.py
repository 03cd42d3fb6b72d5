"""What a person would type in this environment in place of the tool; journaled as a run begins, for when nothing else is left."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from tracseq_migrate.config.environment import Environment
from tracseq_migrate.config.start import Start
from tracseq_migrate.ports import Unreachable
from tracseq_migrate.step import Hands, ServiceHands

_ASK_SOCKET = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
    's.sendall((sys.argv[2] + "\\n").encode()); print(s.recv(65536).decode())'
)


def hands(environment: Environment) -> Hands:
    """The commands for bash. A value that is not known, as offline, is left out with the commands that need it."""
    return Hands(
        folder=str(environment.folder),
        flag_file=str(environment.gateway.flags.file),
        services={name: _of(environment, each.start) for name, each in environment.services.items()},
        reload=tuple(_reload(environment)),
        keys={flag: route.key for flag, route in environment.routes.items()},
    )


def _of(environment: Environment, start: Start) -> ServiceHands:
    if start.external:
        return ServiceHands()
    if start.command is not None:
        return ServiceHands(shlex.join(start.command.up), shlex.join(start.command.down))
    ask = f"supervisorctl -s {shlex.quote(f'unix://{environment.supervisor}')}"
    program = shlex.quote(str(start.supervisor))
    return ServiceHands(f"{ask} start {program}", f"{ask} stop {program}")


def _reload(environment: Environment) -> Iterable[str]:
    """Make every instance read the flag file: one after the other, each out of the rotation meanwhile, where that can be."""
    reload = environment.gateway.reload
    if reload.strategy == "command":
        yield shlex.join(reload.command or ())
        return
    proxy = environment.gateway.proxy
    haproxy = proxy.haproxy if proxy is not None else None

    def rotate(name: str, state: str) -> str:
        assert haproxy is not None  # noqa: S101 - asked below
        line = f"set server {haproxy.backend}/{name} state {state}"
        return shlex.join(["python3", "-c", _ASK_SOCKET, str(haproxy.socket), line])

    for instance in environment.gateway.instances:
        by = _of(environment, instance.start)
        if not by.start:
            yield f"# have {instance.name} started anew by whoever runs it"
            continue
        if reload.strategy == "signal" and instance.start.supervisor is not None:
            socket = shlex.quote(f"unix://{environment.supervisor}")
            yield f"supervisorctl -s {socket} signal {reload.signal} {shlex.quote(str(instance.start.supervisor))}"
            continue
        if haproxy is not None:
            yield rotate(instance.name, "drain")
            yield f"sleep {max(1, round(reload.drain))}  # for requests under way to end"
        yield f"{by.stop}; {by.start}"
        try:
            yield f"for i in $(seq 60); do curl -fsS -o /dev/null {shlex.quote(f'{instance.url}/health')} && break; sleep 1; done"
        except Unreachable:
            yield f"# wait until {instance.name} answers"
        if haproxy is not None:
            yield rotate(instance.name, "ready")
