"""The outside as Protocols: everything that the tool asks of the world, and nothing about how it is done.

Adapters implement these; operations and steps know nothing else. A method marked with `changes` alters something outside;
tests derive the places where a crash matters from that mark, so an adapter's author never has to list them.

Two words hold for every port: a question that could not be asked raises `Unreachable` (never a default answer), and every
call that can take time has a ``timeout`` in seconds.
"""

from tracseq_migrate.ports.commands import CommandResult, Commands
from tracseq_migrate.ports.database import Databases, Manifest, TableManifest
from tracseq_migrate.ports.dumps import Dump, Dumps
from tracseq_migrate.ports.flags import FlagChange, FlagFile, FlagStore
from tracseq_migrate.ports.founding import Foundation, Founding
from tracseq_migrate.ports.gateway import (
    Gateway,
    GatewayFlags,
    Proxy,
    Reading,
    Rollout,
    Route,
    Routes,
    StaleSwitch,
)
from tracseq_migrate.ports.http import Answer, Http, Prober, ProbeReport, ProbeTarget, Probing
from tracseq_migrate.ports.journal import (
    Draft,
    Event,
    Holder,
    JournalStore,
    JournalVault,
    Lease,
    LeaseInfo,
    Life,
    Record,
    Sighting,
)
from tracseq_migrate.ports.mark import Unreachable, changes, is_changing
from tracseq_migrate.ports.people import Asker, Identity, Person
from tracseq_migrate.ports.services import SYNC, Services, ServiceState
from tracseq_migrate.ports.sql import Session, Sessions, SqlFailed
from tracseq_migrate.ports.surroundings import Clock, Committed, Files, Git, Interrupt

__all__ = [
    "SYNC",
    "Answer",
    "Asker",
    "Clock",
    "CommandResult",
    "Commands",
    "Committed",
    "Databases",
    "Draft",
    "Dump",
    "Dumps",
    "Event",
    "Files",
    "FlagChange",
    "FlagFile",
    "FlagStore",
    "Foundation",
    "Founding",
    "Gateway",
    "GatewayFlags",
    "Git",
    "Holder",
    "Http",
    "Identity",
    "Interrupt",
    "JournalStore",
    "JournalVault",
    "Lease",
    "LeaseInfo",
    "Life",
    "Manifest",
    "Person",
    "ProbeReport",
    "ProbeTarget",
    "Prober",
    "Probing",
    "Proxy",
    "Reading",
    "Record",
    "Rollout",
    "Route",
    "Routes",
    "ServiceState",
    "Services",
    "Session",
    "Sessions",
    "Sighting",
    "SqlFailed",
    "StaleSwitch",
    "TableManifest",
    "Unreachable",
    "changes",
    "is_changing",
]
