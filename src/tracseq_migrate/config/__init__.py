"""The environment file, `tracseq-migrate.yaml`: where a system runs, and how it is touched.

`load` gives the environment to work in; `inspect` gives every finding of the file at once.
"""

from tracseq_migrate.config.environment import (
    CaddyConfig,
    DatabaseConfig,
    Environment,
    EnvironmentFile,
    FlagsConfig,
    GatewayConfig,
    HaproxyConfig,
    IdentityCommand,
    InstanceConfig,
    LogConfig,
    ProxyConfig,
    ReloadConfig,
    ServiceConfig,
)
from tracseq_migrate.config.flags import TRACSEQ_ROUTES
from tracseq_migrate.config.load import FILE_NAME, Inspection, find, inspect, load, locate
from tracseq_migrate.config.start import Start, StartCommands
from tracseq_migrate.config.unknown import Unknown, known_of

__all__ = [
    "FILE_NAME",
    "TRACSEQ_ROUTES",
    "CaddyConfig",
    "DatabaseConfig",
    "Environment",
    "EnvironmentFile",
    "FlagsConfig",
    "GatewayConfig",
    "HaproxyConfig",
    "IdentityCommand",
    "Inspection",
    "InstanceConfig",
    "LogConfig",
    "ProxyConfig",
    "ReloadConfig",
    "ServiceConfig",
    "Start",
    "StartCommands",
    "Unknown",
    "find",
    "inspect",
    "known_of",
    "load",
    "locate",
]
