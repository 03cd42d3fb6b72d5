"""The models of `tracseq-migrate.yaml`: where a system runs, and how it is touched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from tracseq_migrate.config.flags import TRACSEQ_ROUTES
from tracseq_migrate.config.start import Start, StartedBy
from tracseq_migrate.config.unknown import Section, Unknown, without_secrets
from tracseq_migrate.config.values import (
    FLAG,
    Argv,
    Dsn,
    FilePath,
    Prefix,
    RequestPath,
    StateFolder,
    Text,
    Url,
    refusal,
)
from tracseq_migrate.document import NAME_PATTERN
from tracseq_migrate.duration import Duration
from tracseq_migrate.ports import Route
from tracseq_migrate.step import Uses

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
FlagName = Annotated[str, StringConstraints(pattern=FLAG)]


class InstanceConfig(Section):
    """One process of the gateway."""

    name: Name
    url: Url
    start: StartedBy = Field(default_factory=Start)


class RouteConfig(Section):
    """What one flag decides: its name in the gateway's answers, the prefix it routes, the service it routes to."""

    key: Text
    prefix: Prefix
    service: Name


class FlagsConfig(Section):
    """Where the gateway's flags are declared."""

    file: FilePath
    """The env file that the gateway reads when it starts."""
    write: Literal["auto", "atomic", "in-place"] = "auto"
    """Whether the file is replaced (atomic) or written in place, as a bind-mounted single file must be."""
    names: Annotated[dict[FlagName, RouteConfig], Field(min_length=1)] | None = None
    """TracSeq's own flags where this is missing."""


class ReloadConfig(Section):
    """How the gateway's processes take up new flags. Times are in seconds."""

    strategy: Literal["proxy", "rolling", "signal", "supervisor", "command"]
    start: Duration = 30.0
    """How long an instance may take to come up."""
    drain: Duration = 10.0
    """How long requests under way may take to end."""
    signal: Literal["HUP", "USR1", "USR2"] | None = None
    """For the strategy signal: what makes an instance read its flags again."""
    command: Argv | None = None
    """For the strategy command: the program that makes all instances read their flags again."""


class HaproxyConfig(Section):
    """haproxy by its runtime socket; its servers bear the instances' names."""

    socket: FilePath
    backend: Text


class CaddyConfig(Section):
    """Caddy by its admin API; ``server`` is the name of the HTTP server in its configuration."""

    admin: Url
    server: Text


class ProxyConfig(Section):
    """What stands in front of the instances: exactly one of the two."""

    haproxy: HaproxyConfig | None = None
    caddy: CaddyConfig | None = None

    @model_validator(mode="after")
    def _one(self) -> ProxyConfig:
        if (self.haproxy is None) == (self.caddy is None):
            raise refusal("exactly one proxy must be given", "write haproxy: {...} or caddy: {...}")
        return self


class GatewayConfig(Section):
    """The gateway: where clients reach it, its processes, its flags, and what stands in front of it."""

    url: Url
    monolith: Name
    """The service that answers where a flag is off."""
    program: Text = "TracSeq API Gateway"
    """How the gateway's own /health begins to name itself: another program on its port is not taken for it."""
    instances: Annotated[tuple[InstanceConfig, ...], Field(strict=False, min_length=1)]
    flags: FlagsConfig
    reload: ReloadConfig
    proxy: ProxyConfig | None = None


class ServiceConfig(Section):
    """A service, or the monolith."""

    url: Url
    health: RequestPath = "/health"
    start: StartedBy = Field(default_factory=Start)
    database: Name | None = None


class DatabaseConfig(Section):
    """A PostgreSQL database, by its connection string; best in a file of its own: file:secrets/main.dsn."""

    dsn: Dsn = Field(repr=False)


class GitConfig(Section):
    """Whether the log is committed whenever it changes, and as whom."""

    commit: bool = False
    author: Text = "tracseq-migrate <tracseq-migrate@localhost>"


class LogConfig(Section):
    """The rendered migration log, and whether it is committed."""

    file: FilePath = Field(default=Path("MIGRATION_LOG.md"), validate_default=True)
    git: GitConfig = Field(default_factory=GitConfig)


class IdentityCommand(Section):
    """A program that prints the name of the one who is at work."""

    command: Argv


IdentityFrom = Annotated[
    Literal["system", "git", "variable"] | IdentityCommand,
    WithJsonSchema(
        {
            "oneOf": [
                {"enum": ["system", "git", "variable"]},
                {
                    "type": "object",
                    "properties": {
                        "command": {
                            "type": "array",
                            "items": {"type": "string", "minLength": 1},
                            "minItems": 1,
                        }
                    },
                    "required": ["command"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


def _long_enough(seconds: float) -> float:
    if seconds < 1:
        raise refusal(
            "a lease of less than a second is lost to the first busy moment", "write 1s or more, such as 30s"
        )
    return seconds


class EnvironmentSection(Section):
    """One environment as its file has it."""

    sandbox: bool = False
    """Whether this is a sandbox, made by `sandbox up`."""
    confirm: bool = False
    """Whether it must be named with ``-e``, even where it is the default."""
    identity: IdentityFrom = "system"
    """Where the name of the one who is at work comes from."""
    plans: FilePath | None = None
    """The folder of week plans; else weeks/ beside this file. The packaged plans stand behind it."""
    state: StateFolder = Field(default=Path(".tracseq-migrate"), validate_default=True)
    """The folder of the journal."""
    backups: FilePath | None = None
    """The folder of backups; else backups/ beside the journal."""
    lease: Annotated[Duration, AfterValidator(_long_enough)] = 30.0
    """How long the lock stays with a holder that gives no sign of life, in seconds."""
    outside: Annotated[tuple[FilePath, ...], Field(strict=False)] = ()
    """Folders and files outside of this file's folder that plans may name."""
    hand_down: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    """Variables with secrets that programs get all the same; the others are kept from them."""
    supervisor: FilePath | None = None
    """The socket of supervisord, where a process is started by it."""
    gateway: GatewayConfig
    services: Annotated[dict[Name, ServiceConfig], Field(min_length=1)]
    databases: dict[Name, DatabaseConfig] = Field(default_factory=dict)
    sync: StartedBy = Field(default_factory=Start)
    """Who keeps `sync run` going, which carries changes on after a replication; else a person does."""
    log: LogConfig = Field(default_factory=LogConfig)


class EnvironmentFile(Section):
    """The whole file."""

    version: Literal[1]
    default: Name | None = None
    environments: Annotated[dict[Name, EnvironmentSection], Field(min_length=1)]


class Environment(EnvironmentSection):
    """The environment that a command works in: its section, with its name, its file, and the secrets to keep out of output.

    Paths are resolved against the file's folder. Reading a value that is unknown (``--offline`` only) raises `Unreachable`.
    """

    name: str
    file: Path
    secrets: frozenset[str] = Field(default=frozenset(), repr=False)
    withheld: frozenset[str] = frozenset()
    """The variables that secrets came from, which programs do not get."""

    @property
    def folder(self) -> Path:
        """The folder that relative paths of the file mean."""
        return self.file.parent

    @property
    def routes(self) -> Mapping[str, Route]:
        """What each flag decides, by flag. TracSeq's flags where the file names none, as far as it has their services."""
        return routes_of(self.gateway.flags, frozenset(self.services))

    @property
    def targets(self) -> Mapping[str, str]:
        """The base URL of everything that can be asked by HTTP: ``gateway``, the instances, the services."""
        urls = {"gateway": self.gateway.url}
        urls |= {instance.name: instance.url for instance in self.gateway.instances}
        urls |= {name: service.url for name, service in self.services.items()}
        return urls

    @property
    def monolith(self) -> str:
        """The service that answers where a flag is off."""
        return self.gateway.monolith

    @property
    def health(self) -> Mapping[str, str]:
        """The health path of each service."""
        return {name: service.health for name, service in self.services.items()}

    @property
    def stores(self) -> Mapping[str, str]:
        """The database of each service that has one."""
        return {name: service.database for name, service in self.services.items() if service.database}

    @property
    def offers(self) -> Uses:
        """The names that a plan may use here."""
        return Uses(
            services=frozenset(self.services),
            flags=frozenset(self.routes),
            databases=frozenset(self.databases),
            targets=frozenset(
                {"gateway", *(instance.name for instance in self.gateway.instances), *self.services}
            ),
        )

    def digest_view(self) -> dict[str, Any]:
        """What a run depends on, in JSON values, without a secret: two equal views mean the same system.

        How people name themselves, where the log and the plans lie, what plans and programs are allowed and whether ``-e``
        must be typed are not part of it.
        """
        left_out = {
            "file",
            "secrets",
            "withheld",
            "confirm",
            "identity",
            "plans",
            "log",
            "lease",
            "outside",
            "hand_down",
            "backups",
        }
        return {key: _view(value, self.folder) for key, value in self.__dict__.items() if key not in left_out}


def routes_of(flags: FlagsConfig, services: frozenset[str]) -> dict[str, Route]:
    """The routes of an environment with these services, by flag."""
    names = flags.names
    if names is None:
        return {route.flag: route for route in TRACSEQ_ROUTES if route.service in services}
    return {
        flag: Route(flag=flag, key=str(each.key), prefix=str(each.prefix), service=each.service)
        for flag, each in names.items()
    }


def _view(value: Any, folder: Path) -> Any:
    match value:
        case Unknown():
            return value.written
        case DatabaseConfig():
            dsn = value.__dict__["dsn"]
            return {"dsn": dsn.written if isinstance(dsn, Unknown) else _place(dsn)}
        case Section():
            return {key: _view(each, folder) for key, each in value.__dict__.items() if each is not None}
        case dict():
            return {key: _view(each, folder) for key, each in sorted(value.items())}
        case list() | tuple():
            return [_view(each, folder) for each in value]
        case Path():
            return value.relative_to(folder).as_posix() if value.is_relative_to(folder) else str(value)
        case str():
            return without_secrets(value)
        case _:
            return value


def _place(dsn: str) -> str:
    """Which database a connection string means: without its password, and without how it is talked to."""
    if "://" in dsn:
        return without_secrets(dsn)
    words = dict(word.split("=", 1) for word in dsn.split() if "=" in word)
    kept = ("host", "hostaddr", "port", "dbname", "user", "service")
    return " ".join(f"{key}={words[key]}" for key in kept if key in words)
