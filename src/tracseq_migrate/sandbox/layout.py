"""Where everything of a sandbox lies: its folder, its ports, and the file that remembers how it was made."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import secrets
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tracseq_migrate.errors import InvalidSetup, TracseqMigrateError

FORMAT = "1.0"
HOST = "127.0.0.1"
GATEWAYS = ("gateway-1", "gateway-2")
SYNC = "sync"
"""The program that carries changes from one database to another, once a replication has begun."""
SERVICES = (
    "auth",
    "samples",
    "templates",
    "storage",
    "sequencing",
    "notifications",
    "rag",
    "spreadsheets",
    "dashboard",
    "reports",
)
PORT_NAMES = ("gateway", *GATEWAYS, "monolith", *SERVICES, "postgres", "proxy-admin")
BLOCK = 20
"""How many ports a sandbox keeps to itself, from its base on."""

# The kernel takes 107 bytes; supervisord and haproxy bind a longer, temporary name first.
SOCKET_PATH_LIMIT = 85


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of a sandbox. ``root`` is absolute."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "sandbox.json"

    @property
    def config(self) -> Path:
        return self.root / "tracseq-migrate.yaml"

    @property
    def gateway(self) -> Path:
        return self.root / "gateway"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def faults(self) -> Path:
        return self.run / "faults"

    @property
    def programs(self) -> Path:
        return self.run / "programs"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def data(self) -> Path:
        return self.postgres / "data"

    @property
    def journal(self) -> Path:
        return self.root / ".tracseq-migrate"

    @property
    def log(self) -> Path:
        return self.root / "MIGRATION_LOG.md"

    def dsn_file(self, database: str) -> Path:
        return self.secrets / f"{database}.dsn"

    def fault_file(self, application: str) -> Path:
        return self.faults / f"{application}.json"


@dataclass(slots=True)
class State:
    """What ``sandbox.json`` remembers: enough to find, to start again and to take down all that `up` made.

    ``phase`` is ``creating`` until everything answered once, then ``ready``.
    """

    root: str
    seed: int
    users: int
    ports: dict[str, int]
    gateway: str
    proxy: str
    gateway_faults: list[str]
    socket_folder: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    type: str = "sandbox-state"
    format: str = FORMAT
    phase: str = "creating"
    made_root: bool = False
    postgres_bin: str = ""
    postgres_prefix: list[str] = field(default_factory=list)
    faults: dict[str, Any] = field(default_factory=dict)
    # Name -> SHA-256 of the operator's files as `up` wrote them.
    written: dict[str, str] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        return Layout(Path(self.root))

    @property
    def instances(self) -> tuple[str, ...]:
        return GATEWAYS if self.proxy != "none" else GATEWAYS[:1]

    @property
    def programs(self) -> tuple[str, ...]:
        """Every program of the supervisor, in the order in which they are needed."""
        proxy = ("proxy",) if self.proxy != "none" else ()
        return ("postgres", "monolith", *self.instances, *proxy, *SERVICES, SYNC)

    @property
    def flag_file(self) -> Path:
        return self.layout.gateway / (".env" if "strict-env" in self.gateway_faults else "flags.env")

    @property
    def supervisor_socket(self) -> Path:
        return Path(self.socket_folder) / "supervisor.sock"

    @property
    def proxy_socket(self) -> Path:
        return Path(self.socket_folder) / "haproxy.sock"

    @property
    def rotation(self) -> list[Path]:
        """The files in which Caddy looks up its upstreams, one for each instance."""
        return [Path(self.socket_folder) / f"rotation-{number + 1}" for number in range(len(self.instances))]

    @property
    def private_sockets(self) -> bool:
        """Whether the sockets lie in a short folder elsewhere, because the sandbox's own path does not do."""
        return Path(self.socket_folder) != self.layout.run

    def url(self, program: str) -> str:
        """The address of a program that speaks HTTP; ``gateway`` is the one that clients use."""
        name = "gateway" if program == "gateway-1" and self.proxy == "none" else program
        return f"http://{HOST}:{self.ports[name]}"

    def save(self) -> None:
        """Write it, atomically, for its owner alone."""
        path = self.layout.state
        new = path.with_name(path.name + ".new")
        new.unlink(missing_ok=True)
        with os.fdopen(
            os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            json.dump(asdict(self), file, indent=2)
            file.write("\n")
        new.replace(path)

    @classmethod
    def load(cls, layout: Layout) -> State | None:
        """The sandbox of this folder; None where there is none.

        Raises:
            InvalidSetup: the file is there, but is not one of ours.
        """
        try:
            document = json.loads(layout.state.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InvalidSetup(
                f"{layout.state} cannot be read: {error}", hint="Is it a sandbox's folder?"
            ) from error
        if not isinstance(document, dict) or document.get("type") != "sandbox-state":
            raise InvalidSetup(
                f"{layout.state} was not written by `sandbox up`",
                hint="Choose another folder with --dir; this one is left as it is.",
            )
        known = {item.name for item in fields(cls)}
        try:
            state = cls(**{name: value for name, value in document.items() if name in known})
        except TypeError as error:
            raise InvalidSetup(f"{layout.state} is incomplete: {error}") from error
        # The folder may have been moved since; what is running then runs under the old name.
        if Path(state.root) != layout.root:
            raise InvalidSetup(
                f"{layout.state} belongs to a sandbox made at {state.root}",
                hint=f"Move it back there and type `tracseq-migrate sandbox down --dir {state.root}`.",
            )
        return state


def around(folder: Path) -> Path | None:
    """The sandbox's folder that a folder is, or is in; None where it is in none."""
    for each in (folder, *folder.parents):
        try:
            document = json.loads((each / "sandbox.json").read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(document, dict) and document.get("type") == "sandbox-state":
            return each
    return None


def choose_socket_folder(layout: Layout) -> str:
    """The sandbox's own run folder, or a short one elsewhere where the path does not fit into an address."""
    longest = len(os.fsencode(layout.run / "supervisor.sock"))
    # Braces begin a placeholder for Caddy, which finds files of the rotation there.
    if longest <= SOCKET_PATH_LIMIT and not {"{", "}"} & set(str(layout.run)):
        return str(layout.run)
    return tempfile.mkdtemp(prefix="tracseq-")


def _free(port: int) -> socket.socket | None:
    """A listening socket on the port; None where it is taken. Like every server here with SO_REUSEADDR."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((HOST, port))
        probe.listen(1)
    except OSError as error:
        probe.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return None
        raise
    return probe


def taken(ports: Sequence[int]) -> list[int]:
    """Those of the ports that something on this machine listens on."""
    found = []
    for port in ports:
        probe = _free(port)
        if probe is None:
            found.append(port)
        else:
            probe.close()
    return found


def _plan(base: int) -> dict[str, int]:
    return {name: base + offset for offset, name in enumerate(PORT_NAMES)}


def _first_ephemeral() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 32768


@contextlib.contextmanager
def reserved_ports(base: int | None) -> Iterator[dict[str, int]]:
    """Ports for a new sandbox, by name: from ``base`` on, or in a free block of our choice.

    While the context lasts no other `up` on this machine chooses the same block: its last port is held.

    Raises:
        TracseqMigrateError: a port from ``base`` on is taken; names it.
    """
    if base is not None:
        plan = _plan(base)
        if busy := taken(list(plan.values())):
            names = {port: name for name, port in plan.items()}
            listed = ", ".join(f"{port} (for {names[port]})" for port in busy)
            raise TracseqMigrateError(
                f"port {listed} is taken",
                hint=f"Choose another --port-base; the sandbox needs {base} to {base + len(plan) - 1}.",
            )
        yield plan
        return
    # Below the range from which the kernel takes ports for outgoing connections: a service that is started
    # weeks later must find its port free. In blocks, so that sandboxes cannot overlap halfway.
    low, high = 10_000, max(_first_ephemeral(), 12_000)
    blocks = list(range(low, high - BLOCK, BLOCK))
    random.shuffle(blocks)
    for start in blocks:
        guard = _free(start + BLOCK - 1)
        if guard is None:
            continue
        with contextlib.closing(guard):
            plan = _plan(start)
            if taken(list(plan.values())):
                continue
            yield plan
            return
    raise TracseqMigrateError(f"no {BLOCK} free ports in a row between {low} and {high}")
