"""What the types of an environment's values cannot say: that its parts fit each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from tracseq_migrate.config.environment import (
    DatabaseConfig,
    EnvironmentSection,
    FlagsConfig,
    IdentityFrom,
    InstanceConfig,
    LogConfig,
    Name,
    ProxyConfig,
    ReloadConfig,
    ServiceConfig,
)
from tracseq_migrate.config.start import Start, StartedBy
from tracseq_migrate.config.unknown import Section
from tracseq_migrate.config.values import FilePath, StateFolder, Text, Url
from tracseq_migrate.document import Document, keys_of
from tracseq_migrate.document import Path as Way
from tracseq_migrate.errors import Finding
from tracseq_migrate.ports import SYNC

_GATEWAY = "gateway"


class GatewayParts(Section):
    """A gateway of which a part may be missing because its types refused it."""

    url: Url | None = None
    monolith: Name | None = None
    program: Text = ""
    instances: Annotated[tuple[InstanceConfig, ...], Field(strict=False)] = ()
    flags: FlagsConfig | None = None
    reload: ReloadConfig | None = None
    proxy: ProxyConfig | None = None


class Parts(Section):
    """An environment of which a part may be missing because its types refused it, so that the rest is checked all the same."""

    sandbox: bool = True
    confirm: bool = False
    identity: IdentityFrom = "system"
    plans: FilePath | None = None
    state: StateFolder | None = None
    backups: FilePath | None = None
    outside: Annotated[tuple[FilePath, ...], Field(strict=False)] = ()
    hand_down: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    supervisor: FilePath | None = None
    gateway: GatewayParts | None = None
    services: dict[Name, ServiceConfig] = Field(default_factory=dict)
    databases: dict[Name, DatabaseConfig] = Field(default_factory=dict)
    sync: StartedBy = Field(default_factory=Start)
    log: LogConfig | None = None


def parts_of(section: EnvironmentSection) -> Parts:
    """The parts of a section from which nothing is missing."""
    values = dict(section.__dict__)
    values["gateway"] = GatewayParts.model_construct(**section.gateway.__dict__)
    return Parts.model_construct(**values)


def check(section: Parts, raw: Mapping[str, Any], document: Document, at: Way) -> list[Finding]:
    """Everything that does not fit. ``raw`` is the section as written: its names count even where a part was refused."""
    return list(_Check(section, raw, document, at).findings())


class _Check:
    def __init__(self, section: Parts, raw: Mapping[str, Any], document: Document, at: Way) -> None:
        self._section = section
        self._document = document
        self._at = at
        self._services = keys_of(raw.get("services"))
        self._databases = keys_of(raw.get("databases"))
        self._gateway: Mapping[str, Any] = raw["gateway"] if isinstance(raw.get("gateway"), dict) else {}

    def findings(self) -> Iterator[Finding]:
        yield from self._identity()
        yield from self._of_services()
        gateway = self._section.gateway
        if gateway is not None:
            yield from self._names(gateway)
            yield from self._references(gateway)
            yield from self._routes(gateway)
            yield from self._addresses(gateway)
            yield from self._strategy(gateway)

    def _finding(self, *way: str | int, message: str, remedy: str = "", key: bool = False) -> Finding:
        return self._document.finding((*self._at, *way), message, remedy, key=key)

    def _written(self, key: str) -> Any:
        """What the gateway has under a key, whether its types refused it or not."""
        return self._gateway.get(key)

    def _identity(self) -> Iterator[Finding]:
        if self._section.identity == "variable" and not self._section.sandbox:
            yield self._finding(
                "identity",
                message="a variable may tell who is at work in a sandbox only",
                remedy="write system, git or {command: [...]}, or sandbox: true",
            )

    def _of_services(self) -> Iterator[Finding]:
        for name, service in self._section.services.items():
            database = service.database
            if database is not None and database not in self._databases:
                yield self._finding(
                    "services",
                    name,
                    "database",
                    message=f"unknown database '{database}'",
                    remedy=self._document.did_you_mean(database, self._databases, what="databases"),
                )
            yield from self._started(service.start, "services", name, "start")
            if name == SYNC and not self._section.sync.external:
                yield self._finding(
                    "services",
                    name,
                    message=f"'{SYNC}' is what keeps `sync run` going",
                    remedy="rename this service",
                )
        yield from self._started(self._section.sync, "sync")

    def _started(self, start: Start, *way: str | int) -> Iterator[Finding]:
        if start.is_known("supervisor") and start.supervisor is None:
            return
        if self._section.is_known("supervisor") and self._section.supervisor is None:
            yield self._finding(
                *way,
                message="started by supervisor, but the environment names no socket of it",
                remedy="add supervisor: run/supervisor.sock to the environment",
            )

    def _names(self, gateway: GatewayParts) -> Iterator[Finding]:
        seen: set[str] = set()
        for index, instance in enumerate(gateway.instances):
            name = instance.name
            taken = (
                "stands for the gateway as clients reach it"
                if name == _GATEWAY
                else "names a service too"
                if name in self._services
                else "names two instances"
                if name in seen
                else ""
            )
            if taken:
                yield self._finding(
                    _GATEWAY,
                    "instances",
                    index,
                    "name",
                    message=f"the name '{name}' {taken}",
                    remedy="give the instance a name of its own",
                )
            seen.add(name)
        if _GATEWAY in self._services:
            yield self._finding(
                "services",
                _GATEWAY,
                message="a service cannot be called 'gateway': that name stands for the gateway",
                remedy="give the service another name",
                key=True,
            )

    def _references(self, gateway: GatewayParts) -> Iterator[Finding]:
        if gateway.monolith is not None and gateway.monolith not in self._services:
            yield self._finding(
                _GATEWAY,
                "monolith",
                message=f"unknown service '{gateway.monolith}'",
                remedy=self._document.did_you_mean(gateway.monolith, self._services, what="services"),
            )
        for index, instance in enumerate(gateway.instances):
            yield from self._started(instance.start, _GATEWAY, "instances", index, "start")

    def _routes(self, gateway: GatewayParts) -> Iterator[Finding]:
        named = gateway.flags.names if gateway.flags is not None else None
        seen: dict[str, dict[str, str]] = {"key": {}, "prefix": {}, "service": {}, "name": {}}
        for flag, route in (named or {}).items():
            way = (_GATEWAY, "flags", "names", flag)
            if route.service not in self._services:
                yield self._finding(
                    *way,
                    "service",
                    message=f"unknown service '{route.service}'",
                    remedy=self._document.did_you_mean(route.service, self._services, what="services"),
                )
            elif route.service == gateway.monolith:
                yield self._finding(*way, "service", message="a flag cannot route to the monolith itself")
            earlier = seen["name"].setdefault(flag.casefold(), flag)
            if earlier != flag:
                yield self._finding(
                    *way,
                    message=f"'{flag}' and '{earlier}' are one flag: letter case is not told apart",
                    key=True,
                )
            for field in ("key", "prefix"):
                if not route.is_known(field):
                    continue
                value = str(getattr(route, field))
                earlier = seen[field].setdefault(value, flag)
                if earlier != flag:
                    yield self._finding(
                        *way, field, message=f"the {field} '{value}' belongs to {earlier} already"
                    )

    def _addresses(self, gateway: GatewayParts) -> Iterator[Finding]:
        seen: dict[str, str] = {}
        for index, instance in enumerate(gateway.instances):
            if not instance.is_known("url"):
                continue
            earlier = seen.setdefault(instance.url, instance.name)
            if earlier != instance.name:
                yield self._finding(
                    _GATEWAY,
                    "instances",
                    index,
                    "url",
                    message=f"{instance.url} is the address of '{earlier}' already",
                    remedy="each instance has a port of its own",
                )
        if gateway.is_known("url") and gateway.url in seen and gateway.proxy is not None:
            yield self._finding(
                _GATEWAY,
                "url",
                message=f"{gateway.url} is the instance '{seen[gateway.url]}', not the proxy in front of it",
                remedy="give the address that clients use",
            )

    def _strategy(self, gateway: GatewayParts) -> Iterator[Finding]:
        reload = gateway.reload
        if reload is None:
            return
        strategy = reload.strategy
        if strategy == "proxy":
            if self._written("proxy") is None:
                yield self._finding(
                    _GATEWAY,
                    "reload",
                    "strategy",
                    message="the strategy proxy needs a proxy",
                    remedy="add proxy: {haproxy: {...}} to the gateway, or choose another strategy",
                )
            if len(self._written("instances") or ()) < 2:
                yield self._finding(
                    _GATEWAY,
                    "reload",
                    "strategy",
                    message="the strategy proxy needs two instances or more",
                    remedy="add an instance, or choose the strategy supervisor",
                )
        for field in ("signal", "command"):
            given = not reload.is_known(field) or getattr(reload, field) is not None
            if strategy == field and not given:
                example = "HUP" if field == "signal" else "[./reload-gateway]"
                yield self._finding(
                    _GATEWAY,
                    "reload",
                    "strategy",
                    message=f"the strategy {field} needs '{field}'",
                    remedy=f"add {field}: {example} to reload",
                )
            if strategy != field and given:
                yield self._finding(
                    _GATEWAY,
                    "reload",
                    field,
                    message=f"'{field}' means nothing to the strategy {strategy}",
                    remedy="take it out, or change the strategy",
                    key=True,
                )
        if strategy == "command":
            return
        for index, instance in enumerate(gateway.instances):
            start = instance.start
            supervised = not start.is_known("supervisor") or start.supervisor is not None
            if strategy == "signal" and not supervised:
                needed, remedy = "a start by supervisor", "write start: {supervisor: PROGRAM}"
            elif strategy != "signal" and start.external:
                needed = "a start by supervisor or command"
                remedy = "write start: {supervisor: PROGRAM} or {command: {...}}"
            else:
                continue
            yield self._finding(
                _GATEWAY,
                "instances",
                index,
                message=f"the strategy {strategy} needs {needed} for '{instance.name}'",
                remedy=remedy,
            )
