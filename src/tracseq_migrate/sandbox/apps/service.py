"""One of the services that replace the monolith: the same resources without ``/api``, over a database of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from aiohttp import web

from tracseq_migrate.sandbox.apps import accounts, laboratory, records, storage
from tracseq_migrate.sandbox.apps.connections import Connections
from tracseq_migrate.sandbox.apps.overview import Overview
from tracseq_migrate.sandbox.apps.resource import Resource
from tracseq_migrate.sandbox.apps.server import Application, Routes, Settings, arguments, run, settings_of
from tracseq_migrate.sandbox.apps.style import SERVICE, Style


def _auth(connections: Connections, style: Style) -> Sequence[web.AbstractRouteDef]:
    users = accounts.service_users()
    signing_in = accounts.SigningIn(users, connections, style)
    return [*signing_in.endpoints(""), *users.endpoints(connections, style, "")]


def _of(*resources: Resource) -> Routes:
    return lambda connections, style: [
        route for resource in resources for route in resource.endpoints(connections, style, "")
    ]


SERVICES: Mapping[str, Routes] = {
    "auth": _auth,
    "samples": _of(laboratory.service_samples()),
    "templates": _of(laboratory.service_templates()),
    "storage": _of(storage.service_locations(), storage.service_movements()),
    "sequencing": _of(laboratory.service_jobs()),
    "notifications": _of(records.service_notifications()),
    "rag": lambda connections, style: Overview(connections, style).rag(""),
    "spreadsheets": _of(records.service_spreadsheets()),
    "dashboard": lambda connections, style: Overview(connections, style).dashboard(""),
    "reports": lambda connections, style: Overview(connections, style).reports(""),
}


def application(name: str, settings: Settings) -> Application:
    """Raises `KeyError` where there is no service of this name."""
    return Application(name, SERVICE, SERVICES[name], settings)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tracseq-service", description="A service of the embedded TracSeq.")
    parser.add_argument("name", choices=sorted(SERVICES))
    arguments(parser)
    parsed = parser.parse_args(argv)
    return run(application(parsed.name, settings_of(parsed)))


if __name__ == "__main__":
    sys.exit(main())
