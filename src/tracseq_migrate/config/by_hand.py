"""What a person would type in this environment in place of the tool; journaled as a run begins, for when nothing else is left."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable

from tracseq_migrate.config.environment import Environment
from tracseq_migrate.config.start import Start
from tracseq_migrate.ports import Unreachable
from tracseq_migrate.step import Hands, InstanceHands, ServiceHands

_ASK_SOCKET = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
    's.sendall((sys.argv[2] + "\\n").encode()); sys.exit(s.recv(65536).decode().strip() or None)'
)


def hands(environment: Environment) -> Hands:
    """The commands for bash. A value that is not known, as offline, is left out with the commands that need it."""
    return Hands(
        folder=str(environment.folder),
        flag_file=str(environment.gateway.flags.file),
        services={
            name: _of(environment, each.start, health=_known(lambda each=each: f"{each.url}{each.health}"))  # type: ignore[misc]  # bound early
            for name, each in environment.services.items()
        },
        instances=tuple(_instances(environment)),
        keys={flag: route.key for flag, route in environment.routes.items()},
    )


def _known(address: Callable[[], str]) -> str:
    try:
        return address()
    except Unreachable:
        return ""


def _of(environment: Environment, start: Start, *, health: str = "") -> ServiceHands:
    if start.external:
        return ServiceHands(health=health)
    if start.command is not None:
        return ServiceHands(shlex.join(start.command.up), shlex.join(start.command.down), health)
    ask = f"supervisorctl -s {shlex.quote(f'unix://{environment.supervisor}')}"
    program = shlex.quote(str(start.supervisor))
    return ServiceHands(f"{ask} start {program}", f"{ask} stop {program}", health)


def _instances(environment: Environment) -> Iterable[InstanceHands]:
    """How each is made to read the flag file: out of the rotation meanwhile, where that can be."""
    reload = environment.gateway.reload
    proxy = environment.gateway.proxy
    haproxy = proxy.haproxy if proxy is not None else None

    def rotate(name: str, state: str) -> str:
        assert haproxy is not None  # noqa: S101 - asked below
        line = f"set server {haproxy.backend}/{name} state {state}"
        return shlex.join(["python3", "-c", _ASK_SOCKET, str(haproxy.socket), line])

    for number, instance in enumerate(environment.gateway.instances):
        url = _known(lambda instance=instance: str(instance.url))  # type: ignore[misc]  # bound early
        by = _of(environment, instance.start)
        renew: list[str] = []
        ready: list[str] = []
        if reload.strategy == "command":
            # One command for them all.
            renew += [shlex.join(reload.command or ())] if number == 0 else []
        elif not by.start:
            renew.append(f"# have {instance.name} started anew by whoever runs it")
        elif reload.strategy == "signal" and instance.start.supervisor is not None:
            socket = shlex.quote(f"unix://{environment.supervisor}")
            program = shlex.quote(str(instance.start.supervisor))
            renew.append(f"supervisorctl -s {socket} signal {reload.signal} {program}")
        else:
            if haproxy is not None:
                renew.append(rotate(instance.name, "drain"))
                renew.append(f"sleep {max(1, round(reload.drain))}  # for requests under way to end")
                ready.append(rotate(instance.name, "ready"))
            renew += [by.stop, by.start]
        yield InstanceHands(instance.name, url, tuple(renew), tuple(ready))
