"""haproxy as the gateway's proxy, by its runtime socket: a switch takes a millisecond and breaks nothing.

What haproxy cannot do by itself, to make writes wait and to compare epochs in one move with a switch, it learns from a small
Lua file (examples/haproxy/hold.lua), whose commands are asked on the same socket.
"""

from __future__ import annotations

import csv
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from tracseq_migrate.adapters.wording import one_line
from tracseq_migrate.ports import StaleSwitch, Unreachable

_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
_STATE_HEADER = "# be_id"
_MAX_ANSWER = 4 * 1024 * 1024
_PAUSE = 0.02

_SPEAKS = "tracseq-hold 1"
"""How the status begins where the Lua file of this form is loaded."""
_TABLE = "tracseq_writes"
# What means something in the socket's language cannot be said in it.
_PREFIX = re.compile(r"/[!#-:=-\[\]-~]*")
_ROW = re.compile(r"^0x[0-9a-f]+: key=([0-9A-F]*) .*\bconn_cur=(\d+)", re.MULTILINE)


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

    @property
    def holds(self) -> bool:
        """Whether the Lua file is loaded, and the table by which writes are counted is there. Raises `Unreachable`."""
        text = self._ask(f"tracseq status; show table {_TABLE}")
        return text.startswith(_SPEAKS) and f"# table: {_TABLE}," in text

    def hold(self, prefixes: Sequence[str], *, seconds: float) -> None:
        """As the port says; haproxy takes 10 seconds at most.

        Raises:
            Unreachable: as the port says; also where a prefix has letters that cannot be said on the socket.
        """
        if not prefixes:
            return
        for prefix in prefixes:
            if not _PREFIX.fullmatch(prefix):
                raise Unreachable(self._what, f"{one_line(prefix)!r} cannot be the prefix of writes to hold")
        self._command(f"tracseq hold {seconds:.3f} {' '.join(prefixes)}")

    def release(self) -> None:
        text = self._ask("tracseq release")
        if not _lacks_lua(text):
            self._done(text)

    def held(self) -> frozenset[str]:
        return frozenset(line.split(" ", 2)[2] for line in self._status() if line.startswith("held "))

    def writes_in_flight(self, prefixes: Sequence[str]) -> int | None:
        text = self._ask(f"show table {_TABLE} data.conn_cur gt 0")
        if "No such table" in text:
            return None
        if f"# table: {_TABLE}," not in text:
            raise self._refused(text)
        # The table's keys are paths in hexadecimal, so that nobody's path can look like another line of it.
        below = tuple(prefix.encode().hex().upper() for prefix in prefixes)
        return sum(int(row[2]) for row in _ROW.finditer(text) if row[1].startswith(below))

    def switch(self, to: Sequence[str], *, epoch: int | None = None, scope: str = "") -> None:
        """Make ``to`` ready, then drain the others, in one move.

        A server that its health check has seen dead (it was restarted while drained) must pass a check first,
        still out of rotation; where it does not within ``settle`` seconds, nothing is switched. A haproxy without the
        Lua file keeps no epochs and compares none; one that was started anew has forgotten them.

        Raises:
            Unreachable: as the port says; also where a server of ``to`` is unknown, or does not stay alive.
            StaleSwitch: as the port says.
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
        status = self._status() if epoch is not None else []
        if epoch is not None and status:
            # A stale one shall not even touch the servers' health; what decides is the comparison of the switch itself.
            last = _epochs(status).get(scope, epoch)
            if epoch < last:
                raise StaleSwitch(epoch, last)
        self._revive(wanted, servers, until)
        if epoch is not None and status:
            names = " ".join(self._named(name) for name in wanted)
            said = self._command(
                f"tracseq switch {self._named(self._backend)} @{quote(scope, safe='')} {epoch} {names}"
            )
            if said is not None:
                raise StaleSwitch(epoch, said)
        else:
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

    def _status(self) -> list[str]:
        """The lines that the Lua file says of itself; none where it is not loaded."""
        text = self._ask("tracseq status")
        if _lacks_lua(text):
            return []
        lines = text.splitlines()
        if not lines or lines[0] != _SPEAKS:
            raise self._refused(text)
        return lines[1:]

    def _command(self, line: str) -> int | None:
        """Have one of the Lua file's commands done; the later epoch where it says that this one is stale."""
        return self._done(self._ask(line))

    def _done(self, text: str) -> int | None:
        said = text.strip()
        if said == "done":
            return None
        stale = re.fullmatch(r"stale (\d+)", said)
        if stale:
            return int(stale[1])
        if _lacks_lua(text):
            raise Unreachable(
                self._what,
                "cannot make writes wait: its configuration has no `lua-load` of hold.lua (examples/haproxy)",
            )
        raise self._refused(text, sent=True)

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


def _lacks_lua(text: str) -> bool:
    return text.startswith("Unknown command")


def _epochs(status: Sequence[str]) -> dict[str, int]:
    """The epochs of the last switches by scope."""
    words = [line.split(" ", 2) for line in status if line.startswith("epoch ")]
    return {unquote(scope.removeprefix("@")): int(epoch) for _, epoch, scope in words}


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _listed(names: Sequence[str] | frozenset[str] | dict[str, _Server]) -> str:
    return ", ".join(sorted(names)) or "none"
