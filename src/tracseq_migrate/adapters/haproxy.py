"""haproxy as the gateway's proxy, by its runtime socket: a switch takes a millisecond and breaks nothing."""

from __future__ import annotations

import csv
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tracseq_migrate.adapters.wording import one_line
from tracseq_migrate.ports import Unreachable

_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
_STATE_HEADER = "# be_id"
_MAX_ANSWER = 4 * 1024 * 1024
_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class _Server:
    """A server as `show servers state` has it."""

    name: str
    operational: int
    administrative: int
    weight: int
    check: int
    result: int

    @property
    def alive(self) -> bool:
        """Not held for dead by a health check: 1 is starting (slow start), 2 running; both serve."""
        return self.operational in (1, 2)

    @property
    def maintenance(self) -> bool:
        return bool(self.administrative & 0b1100111)

    @property
    def drained(self) -> bool:
        return bool(self.administrative & 0b0011000)

    @property
    def receives(self) -> bool:
        return self.alive and self.administrative == 0 and self.weight > 0

    @property
    def well(self) -> bool:
        """Alive, and where it is being checked, the last check passed (3, or 4: with a condition)."""
        # Bits 1 to 3 of the check's state: configured, enabled, paused.
        checked = self.check & 0b1110 == 0b0110
        return self.alive and (not checked or self.result in (3, 4))


class HaproxyProxy:
    """`Proxy` over haproxy's runtime socket; the servers of the backend carry the instances' names.

    Args:
        socket_path: of a ``stats socket … level admin``.
        backend: the backend that the instances are servers of.
        timeout: seconds for one exchange with the socket.
        settle: seconds that a server may need to be seen up and in rotation by `switch`.
    """

    kind = "haproxy"

    def __init__(self, socket_path: str, backend: str, *, timeout: float = 5.0, settle: float = 10.0) -> None:
        self._path = socket_path
        self._backend = backend
        self._timeout = timeout
        self._settle = settle
        self._what = f"haproxy (runtime socket {one_line(socket_path)}, backend {one_line(backend)})"

    def in_rotation(self) -> frozenset[str]:
        return frozenset(server.name for server in self._servers().values() if server.receives)

    def in_flight(self, instance: str) -> int | None:
        self._named(instance)
        text = self._ask(f"show stat {self._named(self._backend)} 4 -1")
        if not text.startswith("# pxname"):
            raise self._refused(text)
        for row in csv.DictReader(text.removeprefix("# ").splitlines()):
            if row.get("pxname") == self._backend and row.get("svname") == instance:
                current = row.get("scur") or ""
                if not current.isdigit():
                    raise Unreachable(self._what, f"gives no number of requests for server {instance}")
                return int(current)
        raise self._unknown([instance], self._servers())

    def switch(self, to: Sequence[str]) -> None:
        """Make ``to`` ready, then drain the others, in one write.

        A server that its health check has seen dead (it was restarted while drained) must pass a check first,
        still out of rotation; where it does not within ``settle`` seconds, nothing is switched.

        Raises:
            Unreachable: as the port says; also where a server of ``to`` is unknown, or does not stay alive.
            ValueError: ``to`` is empty, which would leave clients with nobody.
        """
        wanted = list(dict.fromkeys(to))
        if not wanted:
            raise ValueError("a proxy cannot be switched to no instance at all")
        until = time.monotonic() + self._settle
        servers = self._servers()
        missing = [name for name in wanted if name not in servers]
        if missing:
            raise self._unknown(missing, servers)
        self._revive(wanted, servers, until)
        others = sorted(set(servers) - set(wanted))
        self._change(
            [*(f"{self._server(name)} state ready" for name in wanted)]
            + [f"{self._server(name)} state drain" for name in others]
        )
        while (rotation := self.in_rotation()) != frozenset(wanted):
            if time.monotonic() > until:
                raise Unreachable(
                    self._what,
                    f"{self._settle:g} s after the switch the rotation is {_listed(rotation)},"
                    f" not {_listed(wanted)}",
                    sent=True,
                )
            time.sleep(_PAUSE)

    def _revive(self, wanted: Sequence[str], servers: dict[str, _Server], until: float) -> None:
        """Have all of ``wanted`` well before any of the others is drained, or clients would meet nobody."""
        commands: list[str] = []
        for name in wanted:
            server = servers[name]
            if server.maintenance:
                # In maintenance a server has no health; drained it has, and it still gets no requests.
                commands.append(f"{self._server(name)} state drain")
            if not server.alive and (server.maintenance or server.drained):
                # Declared alive, it needs one check to be believed instead of `rise` of them. One that is dead but
                # ready is left to its checks: declared alive, it would get requests at once.
                commands.append(f"{self._server(name)} health up")
        if commands:
            self._change(commands)
            servers = self._servers()
        while ill := [name for name in wanted if not (servers[name].receives or servers[name].well)]:
            if time.monotonic() > until:
                why = f"its health check holds {_listed(ill)} for down; nothing was switched"
                raise Unreachable(self._what, why, sent=bool(commands))
            time.sleep(_PAUSE)
            servers = self._servers()
            gone = [name for name in wanted if name not in servers]
            if gone:
                raise self._unknown(gone, servers)

    def _servers(self) -> dict[str, _Server]:
        return self._parsed(self._ask(f"show servers state {self._named(self._backend)}"))

    def _parsed(self, text: str) -> dict[str, _Server]:
        lines = text.splitlines()
        at = next((i for i, line in enumerate(lines) if line.startswith(_STATE_HEADER)), None)
        if at is None or at == 0:
            raise self._refused(text)
        columns = lines[at].removeprefix("# ").split()
        servers: dict[str, _Server] = {}
        try:
            for line in lines[at + 1 :]:
                row = dict(zip(columns, line.split(), strict=False))
                if row.get("be_name") == self._backend:
                    servers[row["srv_name"]] = _Server(
                        row["srv_name"],
                        int(row["srv_op_state"]),
                        int(row["srv_admin_state"]),
                        int(row["srv_uweight"]),
                        int(row["srv_check_state"]),
                        int(row["srv_check_result"]),
                    )
        except (KeyError, ValueError):
            raise Unreachable(
                self._what, "gives its servers' states in a form that is not known here"
            ) from None
        return servers

    def _change(self, commands: Sequence[str]) -> None:
        # The reading at the end marks where the commands' own answers end; one that worked answers nothing.
        text = self._ask("; ".join([*commands, f"show servers state {self._named(self._backend)}"]))
        said = text.partition(_STATE_HEADER)[0].strip().removesuffix("1").strip()
        if said or _STATE_HEADER not in text:
            raise self._refused(said or text, sent=True)

    def _ask(self, line: str) -> str:
        until = time.monotonic() + self._timeout
        if len(self._path.encode()) > 107:
            raise Unreachable(
                self._what, "the socket's path is longer than the 107 bytes that the system allows"
            )
        answer = bytearray()
        sent = False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self._timeout)
                connection.connect(self._path)
                sent = True
                connection.sendall(line.encode() + b"\n")
                while True:
                    connection.settimeout(_left(until))
                    chunk = connection.recv(65536)
                    if not chunk:
                        break
                    answer += chunk
                    if len(answer) > _MAX_ANSWER:
                        raise Unreachable(self._what, "its answer has no end", sent=True)
        except TimeoutError as error:
            raise Unreachable(self._what, f"no whole answer within {self._timeout:g} s", sent=sent) from error
        except FileNotFoundError as error:
            raise Unreachable(
                self._what, "there is no such socket: haproxy is not running, or runs elsewhere"
            ) from error
        except ConnectionRefusedError as error:
            raise Unreachable(self._what, "nobody listens on the socket: haproxy is not running") from error
        except PermissionError as error:
            raise Unreachable(self._what, "no permission to use the socket") from error
        except OSError as error:
            raise Unreachable(self._what, one_line(error.strerror or str(error)), sent=sent) from error
        return answer.decode("utf-8", "replace")

    def _named(self, name: str) -> str:
        # The socket's language has no quoting; a blank or a semicolon in a name would be another command.
        if not _NAME.fullmatch(name):
            raise Unreachable(self._what, f"{one_line(name)!r} cannot be the name of a server or backend")
        return name

    def _server(self, name: str) -> str:
        return f"set server {self._backend}/{self._named(name)}"

    def _unknown(self, names: Sequence[str], servers: dict[str, _Server]) -> Unreachable:
        return Unreachable(self._what, f"has no server {_listed(names)}; it has {_listed(servers)}")

    def _refused(self, text: str, *, sent: bool = False) -> Unreachable:
        said = one_line(text)
        if "Can't find backend" in said or "No such proxy" in said or "No such backend" in said:
            return Unreachable(self._what, "there is no backend of this name", sent=sent)
        if "Permission denied" in said:
            return Unreachable(
                self._what, "the socket does not allow changes; it needs `level admin`", sent=sent
            )
        return Unreachable(self._what, f"answered: {said or 'nothing'}", sent=sent)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _listed(names: Sequence[str] | frozenset[str] | dict[str, _Server]) -> str:
    return ", ".join(sorted(names)) or "none"
